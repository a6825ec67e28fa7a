"""Renders the scenes of the labelled set of duplicates: clips cut together, and what becomes of a scene in a copy.

Everything is drawn from a seed that is the scene's name, so that a file is the same whenever it is made again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

WIDTH, HEIGHT, FPS = 320, 180, 25
INTRO_S, BLACK_S, END_CARD_S = 5.0, 1.0, 3.0
TRIM_S = 21.37
SPEED = 1.042
"""Films of 24 frames a second played at 25."""


@dataclass(frozen=True)
class Source:
    """A stretch of a file of footage."""

    path: Path
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Shot:
    """One shot of a scene: where in the footage it starts (share of it), how fast, which part of the picture."""

    source: float
    start: float
    speed: float
    crop: tuple[float, float, float]
    duration_s: float
    ping_pong: bool


@dataclass(frozen=True)
class Encoding:
    codec: str = "libx264"
    fps: Fraction = Fraction(FPS)
    options: dict[str, str] = field(default_factory=lambda: {"preset": "veryfast", "crf": "23"})


def seeded(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def load(sources: Sequence[Source]) -> list[U8]:
    """Returns every source as (frames, h, w, 3) at 25 frames a second, at most 480 px wide."""
    return [_load(source) for source in sources]


def _load(source: Source) -> U8:
    times = np.arange(source.start_s, source.end_s - 0.5 / FPS, 1 / FPS)
    return np.stack(list(frames_at(source.path, times, width=480)))


def frames_at(path: Path, times_s: Iterable[float], width: int = 0) -> Iterator[U8]:
    """Yields, for ascending times, the frame shown then (the last one after the end)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = _pictures(container, stream, width)
        now, ahead = next(pictures), next(pictures, None)
        for time_s in times_s:
            while ahead is not None and ahead[0] <= time_s + 1e-3:
                now, ahead = ahead, next(pictures, None)
            yield now[1]


def _pictures(container: Any, stream: Any, width: int) -> Iterator[tuple[float, U8]]:
    first: float | None = None
    for frame in container.decode(stream):
        time_s = float(frame.time or 0.0)
        first = time_s if first is None else first
        fits = min(width or frame.width, frame.width)
        height = frame.height if fits == frame.width else round(frame.height * fits / frame.width / 2) * 2
        yield time_s - first, frame.reformat(fits, height, "rgb24", interpolation="AREA").to_ndarray()


def shots(name: str, duration_s: float, *, fixed: bool) -> list[Shot]:
    """Returns the edit of a scene: shots of 3 to 8 s, each of its own crop and speed; `fixed`: one camera, no crops."""
    rng = seeded("edit " + name)
    edit, filled = [], 0.0
    while filled < duration_s:
        length = min(float(rng.uniform(3, 8)), duration_s - filled)
        zoom = 1.0 if fixed else float(rng.uniform(0.65, 1.0))
        crop = (zoom, float(rng.uniform(0, 1 - zoom)), float(rng.uniform(0, 1 - zoom)))
        speed = 1.0 if fixed else float(rng.uniform(0.7, 1.3))
        edit.append(Shot(float(rng.random()), float(rng.random()), speed, crop, length, bool(rng.random() < 0.5)))
        filled += length
    return edit


def scene(edit: Sequence[Shot], footage: Sequence[U8], studio: str) -> Iterator[U8]:
    """Yields the frames of a scene: the studio's intro, black, the shots, black, the studio's end card."""
    yield from title(f"intro {studio}", INTRO_S)
    yield from black(BLACK_S)
    for shot in edit:
        yield from _shot_frames(shot, footage)
    yield from black(BLACK_S)
    yield from title(f"end {studio}", END_CARD_S, still=True)


def _shot_frames(shot: Shot, footage: Sequence[U8]) -> Iterator[U8]:
    clip = footage[int(shot.source * len(footage))]
    height, width = clip.shape[1:3]
    wanted_w, wanted_h = (
        (width, width * HEIGHT / WIDTH) if width * HEIGHT <= height * WIDTH else (height * WIDTH / HEIGHT, height)
    )
    zoom, left, top = shot.crop
    w, h = int(wanted_w * zoom), int(wanted_h * zoom)
    x = int((width - wanted_w) / 2 + wanted_w * left)
    y = int((height - wanted_h) / 2 + wanted_h * top)
    last = len(clip) - 1
    position = shot.start * last
    for index in range(round(shot.duration_s * FPS)):
        at = position + index * shot.speed
        turn = at % (2 * last) if shot.ping_pong else at % (last + 1)
        number = round(2 * last - turn) if shot.ping_pong and turn > last else round(turn)
        yield resized(clip[min(number, last)][y : y + h, x : x + w], WIDTH, HEIGHT)


def title(name: str, duration_s: float, *, still: bool = False) -> Iterator[U8]:
    """Yields a title: blurred blocks of the name's seed that drift, and a moving bar."""
    rng = seeded(name)
    wide = np.asarray(rng.integers(0, 255, (7, 12, 3), dtype=np.uint8))
    picture = cv2.resize(wide, (WIDTH * 2, HEIGHT * 2), interpolation=cv2.INTER_CUBIC)
    dx, dy = (0.0, 0.0) if still else (float(rng.uniform(0.2, 1)), float(rng.uniform(0.2, 1)))
    count = round(duration_s * FPS)
    for index in range(count):
        share = index / count
        x, y = int(WIDTH * dx * share), int(HEIGHT * dy * share)
        frame = picture[y : y + HEIGHT, x : x + WIDTH].copy()
        bar = int(WIDTH * (0.5 if still else share))
        frame[HEIGHT // 2 - 12 : HEIGHT // 2 + 12, :bar] = 240
        yield frame


def black(duration_s: float) -> Iterator[U8]:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for _ in range(round(duration_s * FPS)):
        yield picture


def resized(image: U8, width: int, height: int) -> U8:
    shrinks = image.shape[1] > width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def encode(path: Path, frames: Iterable[U8], encoding: Encoding) -> None:
    """Writes the file; it appears under its name when it is whole."""
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    with av.open(str(part), "w") as container:
        stream: Any = None
        for index, image in enumerate(frames):
            if stream is None:
                stream = container.add_stream(encoding.codec, rate=encoding.fps, options=dict(encoding.options))
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
                stream.codec_context.gop_size = 250
                stream.codec_context.thread_count = 1
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, 1 / encoding.fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.rename(path)


H264 = Encoding()
LOW = Encoding(options={"preset": "veryfast", "crf": "36"})
HEVC = Encoding("libx265", options={"preset": "ultrafast", "crf": "28", "x265-params": "log-level=none:pools=1"})
MPEG4 = Encoding("mpeg4", Fraction(30), {"b": "700k"})


def _every(fps: float, start_s: float, end_s: float, speed: float = 1.0) -> npt.NDArray[np.float64]:
    """Returns the times in the scene of a copy's frames: the copy plays the scene `speed` times as fast."""
    return np.asarray(start_s + speed * np.arange(0, (end_s - start_s) / speed, 1 / fps))


@dataclass(frozen=True)
class Copy:
    """What a transform makes of a scene.

    Attributes:
        frames: of the copy.
        offset_s, speed: time in the copy = (time in the scene) / speed + offset_s, wherever the scene is in it.
        span_s: the part of the scene that is in it.
        suffix: of the file.
    """

    frames: Iterator[U8]
    encoding: Encoding
    offset_s: float
    speed: float
    span_s: tuple[float, float]
    mirrored: bool = False


def _framed(frames: Iterable[U8], width: int, height: int) -> Iterator[U8]:
    """Puts frames in the middle of a larger black picture."""
    for frame in frames:
        canvas = np.zeros((height, width, 3), np.uint8)
        y, x = (height - frame.shape[0]) // 2, (width - frame.shape[1]) // 2
        canvas[y : y + frame.shape[0], x : x + frame.shape[1]] = frame
        yield canvas


def _cropped(frame: U8, share: float) -> U8:
    dy, dx = int(frame.shape[0] * share / 2), int(frame.shape[1] * share / 2)
    return resized(frame[dy : frame.shape[0] - dy, dx : frame.shape[1] - dx], WIDTH, HEIGHT)


def _logo(frame: U8) -> U8:
    frame = cv2.convertScaleAbs(_cropped(frame, 0.08), alpha=1.05, beta=18)
    frame[10:40, WIDTH - 80 : WIDTH - 12] = (230, 40, 40)
    cv2.putText(frame, "LOGO", (WIDTH - 74, 32), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    return np.asarray(frame, np.uint8)


def _dark_grey(frame: U8) -> U8:
    grey = cv2.convertScaleAbs(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), alpha=0.6, beta=0)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _chain(*parts: Iterable[U8]) -> Iterator[U8]:
    for part in parts:
        yield from part


def copy_of(transform: str, path: Path, duration_s: float, filler: Path) -> Copy:
    """Returns the copy of the scene at `path`. `filler`: another scene, of which `inside` takes footage."""
    whole = (0.0, duration_s)
    to_end = (TRIM_S, duration_s)
    content = INTRO_S + BLACK_S
    own_intro_s = 8.0
    clip = content + 0.37 * (duration_s - content - 30)
    part = content + 0.2 * (duration_s - content - 45)
    before, after = ((20.0, 80.0), (25.0, 85.0)) if duration_s > 90 else ((8.0, 30.0), (20.0, 45.0))

    def at(start_s: float, end_s: float, fps: float = FPS, speed: float = 1.0) -> Iterator[U8]:
        return frames_at(path, _every(fps, start_s, end_s, speed))

    def film() -> Iterator[U8]:
        return (_cropped(frame, 0.06)[:, ::-1] for frame in at(*to_end, fps=24))

    makers: dict[str, Callable[[], Copy]] = {
        "low": lambda: Copy((resized(f, 240, 136) for f in at(*whole)), LOW, 0, 1, whole),
        "mpeg4_30fps": lambda: Copy(at(*whole, fps=30), MPEG4, 0, 1, whole),
        "hevc": lambda: Copy(at(*whole), HEVC, 0, 1, whole),
        "dark_grey": lambda: Copy((_dark_grey(f) for f in at(*whole)), H264, 0, 1, whole),
        "letterbox": lambda: Copy(_framed(at(*whole), WIDTH, 240), H264, 0, 1, whole),
        "pillarbox": lambda: Copy(_framed(at(*whole), 426, HEIGHT), H264, 0, 1, whole),
        "mirror": lambda: Copy((f[:, ::-1] for f in at(*whole)), H264, 0, 1, whole, mirrored=True),
        "crop_logo": lambda: Copy((_logo(f) for f in at(*whole)), H264, 0, 1, whole),
        "trim": lambda: Copy(at(*to_end), H264, -TRIM_S, 1, to_end),
        "intro": lambda: Copy(
            _chain(title(f"own intro {path.stem}", own_intro_s), at(INTRO_S, duration_s)),
            H264,
            own_intro_s - INTRO_S,
            1,
            (INTRO_S, duration_s),
        ),
        "speed": lambda: Copy(at(*whole, speed=SPEED), H264, 0, SPEED, whole),
        "clip": lambda: Copy(at(clip, clip + 25), H264, -clip, 1, (clip, clip + 25)),
        "inside": lambda: Copy(
            _chain(
                frames_at(filler, _every(FPS, *before)), at(part, part + 40), frames_at(filler, _every(FPS, *after))
            ),
            H264,
            before[1] - before[0] - part,
            1,
            (part, part + 40),
        ),
        "combo": lambda: Copy(
            _framed(film(), WIDTH, 240), Encoding(fps=Fraction(24)), -TRIM_S, 1, to_end, mirrored=True
        ),
    }
    return makers[transform]()


TRANSFORMS: tuple[str, ...] = (
    "low",
    "mpeg4_30fps",
    "hevc",
    "dark_grey",
    "letterbox",
    "pillarbox",
    "mirror",
    "crop_logo",
    "trim",
    "intro",
    "speed",
    "clip",
    "inside",
    "combo",
)
