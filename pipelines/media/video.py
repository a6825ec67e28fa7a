"""What is asked of a video and what comes back: the plan, the frames, the facts about the file, the report.

Records only; nothing here opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.errors import InputError
from pipelines.faces.types import Frame

Reader = Literal["auto", "pyav", "decord"]
Method = Literal["key frames", "in order"]


@dataclass(frozen=True, slots=True, repr=False)
class HttpSource:
    """A video behind a URL, read with Range requests.

    Headers and the query of the address may hold an API key: they are left out of `repr`, messages and logs. Whether
    the host may be asked at all is for the caller to decide before the source is made.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.url.lower().startswith(("http://", "https://")):
            raise InputError(f"not a web address: {self.name!r}.", "Use http:// or https://.")

    def __repr__(self) -> str:
        return f"HttpSource({self.name!r})"

    @property
    def name(self) -> str:
        """The address without its query, which may hold a key: safe to print."""
        return self.url.split("?", 1)[0].split("#", 1)[0]


VideoSource = Path | HttpSource


def source_name(source: VideoSource) -> str:
    """Returns how messages call the source: the path, or the address without its query."""
    return source.name if isinstance(source, HttpSource) else str(source)


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Which frames are wanted.

    Attributes:
        frames: how many, spread evenly from `start_fraction` to `end_fraction` of the duration.
        max_side_px: longest side of a returned frame; smaller videos are not enlarged.
        timeout_s: longest time for opening and decoding together.
        reader: "auto" takes the reader that measured fastest for the case (`frames.choose_reader`).
        min_step_s: wanted times are never closer than this, so a clip of 2 s gives 9 frames, not 54 near copies.
        block: most frames in one block, hence in memory for one reader.
        threads: sections of the file decoded side by side; 1 where many videos are decoded at once.
    """

    frames: int = 60
    start_fraction: float = 0.05
    end_fraction: float = 0.95
    max_side_px: int = 1280
    timeout_s: float = 300.0
    reader: Reader = "auto"
    min_step_s: float = 0.2
    block: int = 8
    threads: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 10_000:
            raise InputError(f"frames is {self.frames}.", "1 to 10000 are allowed.")
        if not 0.0 <= self.start_fraction <= self.end_fraction <= 1.0:
            raise InputError(
                f"sampling from {self.start_fraction} to {self.end_fraction} of the duration.",
                "0 <= start_fraction <= end_fraction <= 1 is needed.",
            )
        if self.max_side_px < 16:
            raise InputError(f"max_side_px is {self.max_side_px}.", "16 px or more are needed.")
        if self.timeout_s <= 0 or self.min_step_s < 0:
            raise InputError(f"timeout_s is {self.timeout_s}, min_step_s {self.min_step_s}.", "Both count in seconds.")
        if self.reader not in {"auto", "pyav", "decord"}:
            raise InputError(f"reader is {self.reader!r}.", "auto, pyav and decord are allowed.")
        if self.block < 1 or self.threads < 1:
            raise InputError(f"block is {self.block}, threads {self.threads}.", "Both are at least 1.")

    def targets(self, duration_s: float, first_s: float = 0.0) -> tuple[float, ...]:
        """Returns the wanted times in seconds, ascending, evenly spread, `min_step_s` or more apart, at least one.

        `first_s` is the time of the first picture, where pictures begin later than sound.
        """
        start, end = first_s + self.start_fraction * duration_s, first_s + self.end_fraction * duration_s
        fit = int((end - start) / self.min_step_s) + 1 if self.min_step_s > 0 else self.frames
        count = max(1, min(self.frames, fit))
        if count == 1:
            return ((start + end) / 2,)
        step = (end - start) / (count - 1)
        return tuple(start + step * index for index in range(count))


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts about a video file.

    Attributes:
        duration_s: from its first to after its last picture; 0.0 when the file does not tell and holds one picture.
        first_s: time of the first picture; above 0 where the sound begins before it.
        width, height: as shown, px: after rotation and with square pixels.
        codec: ffmpeg's decoder name, such as "h264".
        fps: average frames per second; 0.0 when unknown.
        rotation_deg: 0, 90, 180 or 270, counter-clockwise turn that shows the picture upright.
        pix_fmt: ffmpeg's pixel format, such as "yuv420p10le".
        container: ffmpeg's format name, such as "mov,mp4,m4a,3gp,3g2,mj2".
        size_bytes: 0 when unknown.
        duration_stated: whether the file states its duration (otherwise its packets were read to find it).
    """

    duration_s: float
    first_s: float
    width: int
    height: int
    codec: str
    fps: float
    rotation_deg: int
    pix_fmt: str
    container: str
    size_bytes: int
    duration_stated: bool


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """One picture of a video.

    Attributes:
        time_s: its own time, counted from the start of the file; not the wanted time it stands for.
        image: (h, w, 3) uint8 RGB, upright, longest side <= the plan's `max_side_px`.
        scale: px of `image` per px of the shown video.
    """

    time_s: float
    image: Frame
    scale: float


@dataclass(frozen=True, slots=True)
class SamplingReport:
    """How the sampling of one video went.

    Attributes:
        wanted: times asked for.
        decoded: frames delivered.
        damaged: frames that were there but could not be decoded.
        partial: whether the video has parts that should have given frames and did not.
        reason: why, in words; empty when all is well.
        reader, method: what delivered the frames.
        stopped_by: code of the error that ended the reading early; empty when none did.
    """

    wanted: int
    decoded: int
    damaged: int
    partial: bool
    reason: str
    reader: Literal["pyav", "decord"]
    method: Method
    stopped_by: str = ""
