"""Videos that are odd or broken, made from a real clip with faces: what a library of many years holds somewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from pipelines.faces.types import U8
from tests.bench.media_files import cut_short, flip_bits, in_a_thread, write_sound
from tests.bench.scan_library import CLIPS

FACES = CLIPS / "derived" / "signers_mix2.mp4"
"""640 x 480, 10 s, signing people seen from the front."""


@dataclass(frozen=True)
class Recoded:
    """The clip with faces, encoded again.

    Attributes:
        seconds: how long; the clip repeats.
        turned_deg: the pixels lie so far clockwise and the display matrix turns them back.
        uneven: frames come at uneven times.
    """

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    width: int = 640
    height: int = 480
    fps: int = 25
    seconds: float = 8
    turned_deg: int = 0
    uneven: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    container: Mapping[str, str] = field(default_factory=dict)

    @in_a_thread
    def write(self, path: Path) -> Path:
        """Writes the video to `path` and returns that."""
        rng = np.random.default_rng(4)
        with av.open(str(path), "w", options=dict(self.container)) as container:
            stream: Any = container.add_stream(self.codec, rate=self.fps, options=dict(self.options))
            turned = self.turned_deg in {90, 270}
            stream.width, stream.height = (self.height, self.width) if turned else (self.width, self.height)
            stream.pix_fmt = self.pix_fmt
            stream.codec_context.time_base = Fraction(1, 1000)
            if self.turned_deg:
                stream.set_display_rotation(self.turned_deg)
            time_ms = 0
            for picture in islice(_pictures(), int(self.seconds * self.fps)):
                sized = cv2.resize(picture, (self.width, self.height))
                pixels = np.ascontiguousarray(np.rot90(sized, -self.turned_deg // 90))
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=self.pix_fmt)
                frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
                container.mux(stream.encode(frame))
                time_ms += int(rng.choice((10, 40, 120))) if self.uneven else 1000 // self.fps
            container.mux(stream.encode(None))
        return path


@dataclass(frozen=True)
class OddFile:
    """One case: how its file is made, which statuses are right, and what the reason must begin with.

    Attributes:
        file_name: in the library's folder.
        make: writes the file; None leaves it missing.
        reason: start of the right reason; empty where there is none.
    """

    name: str
    file_name: str
    make: Callable[[Path], object] | None
    statuses: tuple[str, ...]
    reason: str = ""


def _pictures() -> Iterator[U8]:
    with av.open(str(FACES)) as container:
        yield from cycle([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def _truncated(path: Path) -> None:
    whole = path.with_suffix(".whole.mp4")
    Recoded(seconds=90, fps=10, options={"preset": "ultrafast", "g": "10"}, container={"movflags": "+faststart"}).write(
        whole
    )
    cut_short(path, whole, 0.4)
    whole.unlink()


def _without_index(path: Path) -> None:
    whole = Recoded().write(path.with_suffix(".whole.mp4"))
    cut_short(path, whole, 0.6)
    whole.unlink()


def _damaged(path: Path) -> None:
    whole = Recoded().write(path.with_suffix(".whole.mkv"))
    flip_bits(path, whole)
    whole.unlink()


ODD_FILES = (
    OddFile("0 bytes", "empty.mp4", lambda p: p.touch(), ("failed",), "media_empty"),
    OddFile("not there", "missing.mp4", None, ("failed",), "media_not_found"),
    OddFile("no video, plain text", "text.mp4", lambda p: p.write_text("no video\n" * 99), ("failed",), "media_"),
    OddFile("audio only", "sound.mp4", write_sound, ("failed",), "media_no_video"),
    OddFile("cut off, index at the end", "no_index.mp4", _without_index, ("failed",), "media_"),
    OddFile("cut off, index at the front", "truncated.mp4", _truncated, ("partial",)),
    OddFile("bits turned over", "damaged.mkv", _damaged, ("ok", "partial")),
    OddFile("3 s", "short.mp4", Recoded(seconds=3).write, ("ok",)),
    OddFile("1 frame", "one_frame.mp4", Recoded(seconds=0.04).write, ("ok",)),
    OddFile("turned by 90 degrees", "turned.mp4", Recoded(turned_deg=90).write, ("ok",)),
    OddFile("uneven frame times", "uneven.mp4", Recoded(uneven=True).write, ("ok",)),
    OddFile("AV1", "av1.mp4", Recoded("libsvtav1", seconds=4, options={"preset": "10"}).write, ("ok",)),
    OddFile(
        "HEVC, 10 bits",
        "hevc10.mp4",
        Recoded(
            "libx265", "yuv420p10le", seconds=4, options={"preset": "ultrafast", "x265-params": "log-level=none"}
        ).write,
        ("ok",),
    ),
    OddFile(
        "8K",
        "8k.mp4",
        Recoded(width=7680, height=4320, fps=5, seconds=2, options={"preset": "ultrafast"}).write,
        ("ok",),
    ),
)


def make_all(folder: Path) -> list[Path]:
    """Returns a path for each of `ODD_FILES`, made in `folder` where it is not there yet; missing ones stay missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / odd.file_name for odd in ODD_FILES]
    for odd, path in zip(ODD_FILES, paths, strict=True):
        if odd.make is not None and not path.exists():
            odd.make(path)
    return paths
