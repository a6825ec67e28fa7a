"""Opening a video with PyAV: checks of the path, allowed formats, time limits, errors by name, picture geometry."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.errors import (
    MediaCorrupt,
    MediaEmpty,
    MediaError,
    MediaNotFound,
    MediaNoVideo,
    MediaUnsupported,
)
from pipelines.faces.types import Frame
from pipelines.media.deadline import Deadline
from pipelines.media.http_file import HttpFile
from pipelines.media.video import HttpSource, VideoSource, source_name

VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,live_flv,mpeg,mpegts,ogg,rm,gif,ivf,wtv,mxf,nut,dv,nsv,swf,"
    "mp3,aac,flac,wav"
)
"""Formats that hold pictures with their times, and sound formats so that sound is called sound. Play lists (hls, dash,
concat, ...) are left out: they name other files and addresses, so a crafted file could make the reader fetch them.
Bare streams (.h264, .m2v, ...) are left out: they have neither times nor a way to jump."""

SIDE_DATA_DISPLAY_MATRIX = "DISPLAYMATRIX"


def check_path(path: Path) -> int:
    """Returns the size of a regular, non-empty, readable file in bytes; raises a MediaError leaf for anything else."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise MediaNotFound(f"{path}: no such file.") from error
    except (OSError, ValueError) as error:
        raise MediaNotFound(f"{path}: cannot be looked at ({error}).") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise MediaNoVideo(f"{path}: {kind}.", "Name one media file.")
    if not os.access(path, os.R_OK):
        raise MediaNotFound(f"{path}: no permission to read it.", "Give the user that runs this read access.")
    if found.st_size == 0:
        raise MediaEmpty(f"{path}: the file has no bytes.")
    return found.st_size


@contextmanager
def named_errors(source: VideoSource, deadline: Deadline) -> Iterator[None]:
    """Turns what PyAV and the system raise into leaves of the MediaError tree."""
    try:
        yield
    except MediaError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:  # UnicodeDecodeError is a ValueError
        raise _named(error, source_name(source), deadline) from error


def _named(error: Exception, name: str, deadline: Deadline) -> MediaError:
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return deadline.error()
    if isinstance(error, (av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError)):
        return MediaUnsupported(f"{name}: this build has no decoder for it.")
    if isinstance(error, FileNotFoundError):
        return MediaNotFound(f"{name}: no such file.")
    if isinstance(error, PermissionError):
        if error.errno == errno.EPERM:  # ffmpeg's word for "cannot jump there"
            return MediaCorrupt(f"{name}: has no usable times or index.")
        return MediaNotFound(f"{name}: no permission to read it.")
    reason = getattr(error, "strerror", None) or error
    return MediaCorrupt(f"{name}: cannot be read as a video ({reason}).")


@dataclass(slots=True)
class OpenVideo:
    """An open container and its main picture stream; times are seconds from the start of the file."""

    container: InputContainer
    stream: VideoStream
    size_bytes: int
    time_base_s: float
    start_s: float
    http: HttpFile | None = None

    def pts(self, time_s: float) -> int:
        return round((time_s + self.start_s) / self.time_base_s)

    def time_s(self, pts: int) -> float:
        return max(0.0, pts * self.time_base_s - self.start_s)


@contextmanager
def open_video(source: VideoSource, deadline: Deadline, *, codec_threads: int = 1) -> Iterator[OpenVideo]:
    """Opens `source` for reading pictures; errors inside the block come out as MediaError leaves."""
    with ExitStack() as stack:
        stack.enter_context(named_errors(source, deadline))
        http = None
        if isinstance(source, HttpSource):
            http = stack.enter_context(closing(HttpFile(source, deadline)))
            stack.enter_context(http.own_errors())
        size_bytes = check_path(source) if isinstance(source, Path) else http.size_bytes if http else 0
        container = stack.enter_context(closing(_open_container(source, http, deadline)))
        stream = _main_stream(container, source)
        stream.codec_context.thread_count = codec_threads
        stream.codec_context.thread_type = "AUTO" if codec_threads > 1 else "NONE"
        time_base_s = float(stream.time_base or 1 / 1000)
        yield OpenVideo(container, stream, size_bytes, time_base_s, _start_s(container, stream, time_base_s), http)


def _open_container(source: VideoSource, http: HttpFile | None, deadline: Deadline) -> InputContainer:
    limit_s = max(0.001, deadline.left_s)
    target: Any = str(source) if http is None else http
    options = {"protocol_whitelist": "file", "format_whitelist": VIDEO_FORMATS}
    try:
        opened = av.open(target, timeout=(limit_s, limit_s), options=options, metadata_errors="replace")
    except av.error.ArgumentError as error:  # what ffmpeg says of a format outside the list
        raise MediaUnsupported(f"{source_name(source)}: not a video format that is read here.") from error
    return cast("InputContainer", opened)


def _main_stream(container: InputContainer, source: VideoSource) -> VideoStream:
    name = source_name(source)
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise MediaNoVideo(f"{name}: no picture stream in it ({kinds} found).")
    default = [s for s in streams if s.disposition & s.disposition.default]
    stream: VideoStream = max(default or streams, key=lambda s: (s.codec_context is not None) and _pixels(s))
    if stream.codec_context is None:
        raise MediaUnsupported(f"{name}: this build has no decoder for its pictures.")
    if _pixels(stream) <= 0:
        raise MediaCorrupt(f"{name}: no picture size is known; the file is damaged or cut short.")
    return stream


def _pixels(stream: VideoStream) -> int:
    return 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height


def _start_s(container: InputContainer, stream: VideoStream, time_base_s: float) -> float:
    start: int | None = cast("Any", container).start_time
    if start is not None:
        return start / av.time_base
    return (stream.start_time or 0) * time_base_s


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a decoded picture becomes a frame: scaled size before turning, quarter turns (counter-clockwise), mirror."""

    width: int
    height: int
    scale: float
    quarter_turns: int
    mirrored: bool

    @classmethod
    def of(cls, frame: VideoFrame, aspect: float, max_side_px: int) -> Geometry:
        """`aspect`: width of a pixel per its height; pictures with tall or wide pixels come out with square ones."""
        shown_width = frame.width * aspect
        scale = min(1.0, max_side_px / max(shown_width, frame.height))
        turns, mirrored = orientation(frame)
        width, height = max(1, round(shown_width * scale)), max(1, round(frame.height * scale))
        return cls(width, height, scale, turns, mirrored)

    def apply(self, frame: VideoFrame) -> Frame:
        """Returns the frame as (h, w, 3) uint8 RGB: scaled and converted in one step, then turned upright."""
        small = frame.reformat(self.width, self.height, "rgb24", interpolation="AREA")
        image = small.to_ndarray()
        if self.mirrored:
            image = image[:, ::-1]
        if self.quarter_turns:
            image = np.rot90(image, self.quarter_turns)
        return np.ascontiguousarray(image, dtype=np.uint8)


def rewind(video: OpenVideo) -> None:
    """Back to the start of the file, with an empty decoder."""
    video.stream.codec_context.flush_buffers()
    video.container.seek(0, backward=True)


def pixel_aspect(stream: VideoStream) -> float:
    """Returns width per height of one pixel; 1.0 when unknown or beyond what real videos have (1/4 to 4)."""
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    value = float(ratio) if ratio else 1.0
    return value if 0.25 <= value <= 4.0 else 1.0


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Returns (quarter turns counter-clockwise, mirrored before turning) from the frame's display matrix."""
    data = frame.side_data.get(SIDE_DATA_DISPLAY_MATRIX)
    if data is None:
        return 0, False
    matrix = np.frombuffer(cast("Any", data), dtype=np.int32)
    if matrix.size != 9:
        return 0, False
    a, b, c, d = (float(value) for value in matrix[[0, 1, 3, 4]])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    angle_deg = math.degrees(math.atan2(b, a))
    return round(-angle_deg / 90) % 4, mirrored
