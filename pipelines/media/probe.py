"""Facts about a video file without decoding more than its first picture."""

from __future__ import annotations

import re

import av
from av.video.frame import VideoFrame

from pipelines.media.container import OpenVideo, open_video, orientation, pixel_aspect, rewind
from pipelines.media.deadline import Deadline
from pipelines.media.video import VideoInfo, VideoSource, source_name

PACKETS_TO_FIRST_PICTURE = 250
"""The display matrix comes with a picture; a file that shows none in so many packets is taken as not turned."""


def probe(source: VideoSource, timeout_s: float = 30.0) -> VideoInfo:
    """Returns the facts about `source`. Raises a MediaError leaf for what is no video, within about `timeout_s`."""
    deadline = Deadline(timeout_s, source_name(source))
    with open_video(source, deadline) as video:
        return read_info(video, deadline)


def read_info(video: OpenVideo, deadline: Deadline) -> VideoInfo:
    """Returns the facts about an open video; reads its packets through when no duration is stated."""
    stream, context = video.stream, video.stream.codec_context
    stated_s = _stated_duration_s(video)
    duration_s = stated_s if stated_s is not None else _read_duration_s(video, deadline)
    first = first_picture(video, deadline)
    turns = orientation(first)[0] if first is not None else 0
    width, height = round(context.width * pixel_aspect(stream)), context.height
    if turns % 2:
        width, height = height, width
    return VideoInfo(
        duration_s=duration_s,
        first_s=video.time_s(stream.start_time) if stream.start_time is not None else 0.0,
        width=width,
        height=height,
        codec=context.name,
        fps=float(stream.average_rate or stream.guessed_rate or 0),
        rotation_deg=90 * turns,
        pix_fmt=str(context.pix_fmt or ""),
        container=video.container.format.name,
        size_bytes=video.size_bytes,
        duration_stated=stated_s is not None,
    )


def _stated_duration_s(video: OpenVideo) -> float | None:
    """Returns the duration that the file states for its pictures, or for the whole file; None when it states none."""
    container, stream = video.container, video.stream
    if stream.duration and stream.duration > 0:
        return float(stream.duration * video.time_base_s)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag is not None and (tagged_s := int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])) > 0:
        return tagged_s
    if container.duration and container.duration > 0:
        return float(container.duration / av.time_base)
    return None


def _read_duration_s(video: OpenVideo, deadline: Deadline) -> float:
    """Returns the time of the last packet, found by reading all of them (no decoding); 0.0 for a single picture."""
    last_s = 0.0
    for packet in video.container.demux(video.stream):
        deadline.check()
        pts = packet.pts if packet.pts is not None else packet.dts
        if packet.size and pts is not None:
            last_s = max(last_s, video.time_s(pts + (packet.duration or 0)))
    rewind(video)
    return last_s


def first_picture(video: OpenVideo, deadline: Deadline) -> VideoFrame | None:
    """Returns the first picture that can be decoded, None when there is none near the start; rewinds."""
    context = video.stream.codec_context
    try:
        for count, packet in enumerate(video.container.demux(video.stream)):
            deadline.check()
            try:
                frames = context.decode(packet if packet.size else None)
            except (av.error.InvalidDataError, av.error.EOFError):
                frames = []
            if frames:
                return frames[0]
            if count >= PACKETS_TO_FIRST_PICTURE:
                return None
        return None
    finally:
        rewind(video)
