"""Generated videos: small ones whose frames carry their number, large ones for benchmarks. Made with PyAV alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import av
import cv2
import numpy as np
import numpy.typing as npt

BITS = 12
"""Bars that carry a frame's number, most significant first, white = 1; they fill the upper half of the picture."""

U8 = npt.NDArray[np.uint8]
P = ParamSpec("P")
T = TypeVar("T")


def in_a_thread(write: Callable[P, T]) -> Callable[P, T]:
    """Returns `write`, run in a thread of its own, which takes with it what encoders do to the thread they run in.

    For root SVT-AV1 gives it real-time priority (SCHED_FIFO), and what is started afterwards would inherit that.
    """

    @wraps(write)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(write, *args, **kwargs).result()

    return run


@dataclass(frozen=True)
class Clip:
    """What a generated clip is made of.

    Attributes:
        times: presentation time of each frame in units of 1/1000 s; evenly spaced by `fps` when empty.
        rotation_deg: counter-clockwise turn written to the display matrix.
        options: of the encoder; `container_options`: of the muxer.
        sound: adds a second of tone per second of pictures.
    """

    codec: str = "libx264"
    frames: int = 50
    fps: int = 25
    width: int = 320
    height: int = 180
    gop: int = 250
    pix_fmt: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    times_ms: Sequence[int] = ()
    rotation_deg: int = 0
    hflip: bool = False
    sound_s: float = 0.0
    pixel_aspect: Fraction | None = None
    interlaced: bool = False


def numbered_picture(number: int, width: int, height: int) -> U8:
    """Returns (height, width, 3) RGB: the number as bars in the upper half, grey below, a dark lower left corner."""
    picture = np.full((height, width, 3), 128, np.uint8)
    edges = np.linspace(0, width, BITS + 1).astype(int)
    for bit in range(BITS):
        on = number >> (BITS - 1 - bit) & 1
        picture[: height // 2, edges[bit] : edges[bit + 1]] = 235 if on else 20
    picture[height // 2 + height // 8 :, : width // 4] = (20, 20, 160)
    return picture


def number_of(picture: U8) -> int:
    """Returns the number that `numbered_picture` drew; -1 when the picture is not upright or is damaged."""
    height, width = picture.shape[:2]
    edges = np.linspace(0, width, BITS + 1)
    centres = ((edges[:-1] + edges[1:]) / 2).astype(int)
    band = picture[height // 8 : height * 3 // 8].mean(axis=2)
    levels = np.array([band[:, max(0, c - 2) : c + 3].mean() for c in centres])
    corner = picture[height * 3 // 4 :, : width // 8].astype(float).mean(axis=(0, 1))
    if np.any((levels > 90) & (levels < 170)) or corner[2] < corner[0] + 60:
        return -1
    return int(sum(1 << (BITS - 1 - bit) for bit, level in enumerate(levels) if level > 128))


@in_a_thread
def write_clip(path: Path, clip: Clip, first_number: int = 0) -> Path:
    """Writes a video whose frame i shows the number `first_number` + i; returns `path`."""
    with av.open(str(path), "w", options=dict(clip.container_options)) as container:
        stream: Any = container.add_stream(clip.codec, rate=clip.fps, options=dict(clip.options))
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, clip.pix_fmt
        stream.codec_context.gop_size = clip.gop
        if clip.times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        if clip.pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = clip.pixel_aspect
        if clip.rotation_deg or clip.hflip:
            stream.set_display_rotation(clip.rotation_deg, hflip=clip.hflip)
        sound: Any = container.add_stream("aac", rate=16_000, layout="mono") if clip.sound_s else None
        for index in range(clip.frames):
            picture = numbered_picture(first_number + index, clip.width, clip.height)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=clip.pix_fmt)
            frame.pts = clip.times_ms[index] if clip.times_ms else index
            frame.time_base = Fraction(1, 1000) if clip.times_ms else Fraction(1, clip.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for packet in _tone(sound, clip.sound_s):
                container.mux(packet)
    return path


def write_sound(path: Path, seconds: float = 2.0, codec: str = "aac") -> Path:
    """Writes a file that holds a tone and no pictures."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=16_000, layout="mono")
        for packet in _tone(stream, seconds):
            container.mux(packet)
    return path


def _tone(stream: Any, seconds: float) -> Iterator[Any]:
    rate, size = 16_000, 1024
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
    for index in range(int(seconds * rate / size)):
        wave = np.sin(np.arange(index * size, (index + 1) * size) * 0.1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, index * size, Fraction(1, rate)
        for ready in resampler.resample(frame):
            yield from stream.encode(ready)
    yield from stream.encode(None)


def repeat_packets(base: Path, path: Path, times: int) -> Path:
    """Writes `base`'s pictures `times` times in a row without encoding them again; `base` must start at a key frame."""
    with av.open(str(base)) as source, av.open(str(path), "w", options={"movflags": "+faststart"}) as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [p for p in source.demux(stream) if p.size]
        facts = [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe) for p in packets]
        span = max(pts + duration for _, pts, _, duration, _ in facts) - min(pts for _, pts, *_ in facts)
        for turn in range(times):
            for data, pts, dts, duration, is_key in facts:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + turn * span, dts + turn * span, duration
                packet.time_base, packet.is_keyframe, packet.stream = stream.time_base, is_key, copy
                target.mux(packet)
    return path


@dataclass(frozen=True)
class GrainyVideo:
    """A long video for benchmarks: a slow pan over a picture under film grain.

    `base_s` seconds are encoded and repeated up to `duration_s`.

    Attributes:
        grain: strongest change of a pixel by grain, in grey levels.
        picture: what is panned over; blurred blocks when None.
    """

    codec: str = "libx264"
    width: int = 1920
    height: int = 1080
    fps: int = 25
    gop: int = 250
    base_s: int = 20
    duration_s: int = 300
    grain: int = 10
    picture: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        scene = self.picture.stem if self.picture else "blocks"
        size = f"{self.width}x{self.height}_{self.duration_s}s"
        return f"{self.codec}_{size}_gop{self.gop}_grain{self.grain}_{scene}.mp4"


def grainy_file(folder: Path, video: GrainyVideo) -> Path:
    """Returns the file in `folder`, made if it is not there yet."""
    path = folder / video.name
    if not path.exists():
        base, part = path.with_suffix(".base.mp4"), path.with_suffix(".part.mp4")
        _write_grainy(base, video)
        repeat_packets(base, part, video.duration_s // video.base_s)
        base.unlink()
        part.rename(path)
    return path


def _write_grainy(path: Path, video: GrainyVideo) -> None:
    rng = np.random.default_rng(7)
    width, height = video.width, video.height
    grains = [rng.integers(-video.grain, video.grain + 1, (height, width), dtype=np.int16) for _ in range(6)]
    if video.picture is None:
        scene = rng.integers(0, 255, (height // 32, width // 32), dtype=np.uint8)
    else:
        scene = np.asarray(cv2.imread(str(video.picture), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    wide = cv2.resize(scene, (width + 256, height + 128), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", **video.options}
        stream: Any = container.add_stream(video.codec, rate=video.fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = video.gop
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        total = video.base_s * video.fps
        for index in range(total):
            there_and_back = 1 - abs(2 * index / total - 1)
            x, y = int(256 * there_and_back), int(128 * there_and_back)
            pixels = wide[y : y + height, x : x + width] + grains[int(rng.integers(len(grains)))]
            planes[:height] = np.clip(pixels, 0, 255)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cut_short(path: Path, source: Path, share: float) -> Path:
    """Writes the first `share` of the bytes of `source` to `path`."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def flip_bits(path: Path, source: Path, *, start_share: float = 0.3, bytes_a_flip: int = 5000) -> Path:
    """Writes `source` with single bits turned over after `start_share` of its bytes, one in `bytes_a_flip`."""
    data = np.frombuffer(source.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(3)
    flips = 3 + len(data) // bytes_a_flip
    at = rng.integers(int(len(data) * start_share), len(data), flips)
    data[at] ^= np.uint8(1) << rng.integers(0, 8, flips).astype(np.uint8)
    path.write_bytes(data.tobytes())
    return path


def ten_bit(clip: Clip) -> Clip:
    """Returns the clip with 10 bits a sample."""
    return replace(clip, pix_fmt="yuv420p10le")
