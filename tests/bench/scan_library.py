"""The library that scans are measured on: the real clips of the test data and 5-minute 1080p files made from them.

Lives here: making the long files (scaled to 1080p, film grain, H.264, GOP 250, 6 Mbit/s; one minute is encoded and
repeated) and laying files out as a library in which each file stands under many names. All of it is generated once
into the benchmarks' folder. The library is a repetition of one group, so its mix is the same at any size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from pipelines.faces.types import U8, Frame
from tests.bench.media_files import repeat_packets

DATA = Path(__file__).parents[1] / "data"
CLIPS = DATA / "video"
PEOPLE = DATA / "faces" / "people"
LONG_FILES = {
    "signers": ("asl_again.mkv", "asl_bird.mkv", "asl_book.mkv"),
    "heads": ("head_pose_female.mp4", "head_pose_male.mp4", "head_pose_female_and_male.mp4", "short_hamilton_clip.mp4"),
    "mixed": ("noface_bottles.mp4", "short_hamilton_clip.mp4", "noface_nasa_dark.mp4", "head_pose_female_and_male.mp4"),
}
"""What each long file shows, clip after clip."""
WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 25, 250
BASE_S, REPEATS = 60, 5
SHOT_S = 6
"""A clip is shown for so long before the next one; a shorter clip runs to and fro."""
GRAIN = 8
BITS_PER_S = 6_000_000
GROUP_LONG, GROUP_SHORT = 6, 14
"""Long files and real clips in a group of 20 scenes."""


def real_clips() -> list[Path]:
    """Returns the real clips of the test data and those derived from them, sorted."""
    return sorted(p for p in CLIPS.rglob("*") if p.suffix in {".mp4", ".mkv", ".webm"})


def long_files(folder: Path) -> list[Path]:
    """Returns the long files in `folder`, made where they are not there yet (a minute each)."""
    return [_long_file(folder, name) for name in LONG_FILES]


def scene_files(folder: Path, scenes: int, *, quick: bool = False) -> list[Path]:
    """Returns the file of each of `scenes` scenes: groups of 20, the long files spread among the real clips.

    `quick`: real clips only, so that nothing has to be made.
    """
    clips = real_clips()
    if quick:
        return list(islice(cycle(clips), scenes))
    long, short = cycle(long_files(folder)), cycle(clips)
    group = GROUP_LONG + GROUP_SHORT
    is_long = [(i * GROUP_LONG) % group < GROUP_LONG for i in range(group)]
    return [next(long) if is_long[i % group] else next(short) for i in range(scenes)]


def lay_out(folder: Path, files: list[Path]) -> list[Path]:
    """Returns a path of its own for each file: links in `folder`, named scene_0001 and so on; other links go away."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    links = [folder / f"scene_{number:04d}{file.suffix}" for number, file in enumerate(files, start=1)]
    for link, file in zip(links, files, strict=True):
        link.symlink_to(file.resolve())
    return links


def copies(files: list[Path]) -> Counter[Path]:
    """Returns how often each distinct file stands in the library."""
    return Counter(files)


def _long_file(folder: Path, name: str) -> Path:
    path = folder / f"long_{name}_{WIDTH}x{HEIGHT}_{BASE_S * REPEATS}s_gop{GOP}_grain{GRAIN}_6M.mp4"
    if not path.exists():
        base, part = path.with_suffix(".base.mp4"), path.with_suffix(".part.mp4")
        _write_base(base, [next(CLIPS.rglob(clip)) for clip in LONG_FILES[name]])
        repeat_packets(base, part, REPEATS)
        base.unlink()
        part.rename(path)
    return path


def _write_base(path: Path, clips: list[Path]) -> None:
    rng = np.random.default_rng(5)
    grains = [rng.normal(0, GRAIN, (HEIGHT, WIDTH, 1)).astype(np.int16).repeat(3, axis=2) for _ in range(5)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.bit_rate = BITS_PER_S
        shots = chain.from_iterable(_shot(clip) for clip in cycle(clips))
        for index, picture in enumerate(islice(shots, BASE_S * FPS)):
            grainy = cv2.add(picture, grains[int(rng.integers(len(grains)))], dtype=cv2.CV_8U)
            frame = av.VideoFrame.from_ndarray(np.asarray(grainy, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _shot(clip: Path) -> Iterator[U8]:
    """Yields `SHOT_S` seconds of a clip as 1080p pictures, forwards and backwards in turn."""
    with av.open(str(clip)) as container:
        small = [f.to_ndarray(format="rgb24") for f in islice(container.decode(video=0), SHOT_S * FPS)]
    to_and_fro = cycle(small + small[-2:0:-1])
    for picture in islice(to_and_fro, SHOT_S * FPS):
        yield _full_size(picture)


def _full_size(picture: Frame) -> U8:
    """Returns the picture in the middle of a 1080p frame, as large as it fits."""
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    place = np.array([[scale, 0, (WIDTH - scale * width) / 2], [0, scale, (HEIGHT - scale * height) / 2]])
    return np.asarray(cv2.warpAffine(picture, place, (WIDTH, HEIGHT), borderValue=(40, 40, 40)), np.uint8)
