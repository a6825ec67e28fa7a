"""Frames with PyAV: key frames one packet at a time, or decoding in order where key frames are sparse.

A key frame is decoded alone: jump, read packets up to the first key packet, decode it, drain the decoder. Asking the
decoder for "the next frame" instead reads on because of the reorder delay and measured 3 to 4 times slower
(2026-11-22, 1080p H.264, 28-35 against 98-157 ms of CPU a frame).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import av
from av.video.frame import VideoFrame

from pipelines.media.container import Geometry, OpenVideo, pixel_aspect, rewind
from pipelines.media.deadline import Deadline
from pipelines.media.video import SampledFrame

WALK_FRAMES = 12
"""Frames decoded on from a key frame for every further wanted time that lies in the same group of pictures: about
half a second, the price of one more key frame, and another picture than the key frame's."""

PACKETS_TO_FIRST_PICTURE = 64
"""Packets given to a decoder that shows nothing for the key packet alone (open groups, recovery points)."""

INDEXED_FORMATS = ("mov", "matroska", "avi")
"""Formats whose index names every key frame; in the others ffmpeg's index holds only what was met so far."""

INDEXED_SHARE = 0.8
"""A file's index is used when it reaches this far; a fragmented or cut file indexes only what was read so far."""

STRIDE_TO_SKIP = 4
"""In order, where wanted times are this many frames apart or more, frames that no other frame needs are not decoded:
about half the time, and the frame delivered is at most a few frames late."""


@dataclass(slots=True)
class Counts:
    """What happened so far: pictures that could not be decoded, and times that no picture was found for."""

    damaged: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Wanted times whose nearest earlier key frame is the same."""

    targets_s: tuple[float, ...]


@dataclass(slots=True)
class PyavReader:
    """Decodes wanted frames from one open video. One thread at a time."""

    video: OpenVideo
    max_side_px: int
    deadline: Deadline
    counts: Counts = field(default_factory=Counts)
    _geometry: tuple[tuple[int, int], Geometry] | None = None

    def key_groups(self, targets_s: Sequence[float], duration_s: float) -> list[KeyGroup]:
        """Returns the wanted times grouped by the key frame at or before them, in time order."""
        keys = self._indexed_keys(duration_s)
        found = [self._key_by_index(keys, t) if keys else self._key_by_seeking(t) for t in targets_s]
        pairs = [(key, target) for key, target in zip(found, targets_s, strict=True) if key is not None]
        self.counts.missing += len(targets_s) - len(pairs)
        return [KeyGroup(tuple(t for _, t in group)) for _, group in groupby(pairs, key=lambda pair: pair[0])]

    def group_frames(self, group: KeyGroup) -> list[SampledFrame]:
        """Returns the key frame of the group and, for its further times, frames decoded on toward them."""
        frames: list[SampledFrame] = []
        if len(group.targets_s) == 1:
            self._seek_backward(group.targets_s[0])
            frames.extend(self._key_frame_alone())
        if not frames:  # several wanted times, or a key packet that shows nothing by itself
            self._seek_backward(group.targets_s[0])
            frames.extend(self._key_frame_and_on(group.targets_s))
        self.counts.missing += len(group.targets_s) - len(frames)
        return frames

    def in_order(self, targets_s: Sequence[float], *, jump: bool = False) -> Iterator[SampledFrame]:
        """Yields, for every wanted time, the first frame not before it (half a frame of tolerance), each frame once.

        `jump`: decoding begins at the key frame before the first wanted time instead of the start of the file.
        """
        step_s = targets_s[1] - targets_s[0] if len(targets_s) > 1 else 0.0
        if step_s * self._fps >= STRIDE_TO_SKIP:
            self.video.stream.codec_context.skip_frame = "NONREF"
        if jump:
            self._seek_backward(targets_s[0])
        else:
            rewind(self.video)  # jumps land late in formats without an index, and sampling begins near the start
        wanted = deque(targets_s)
        passed: VideoFrame | None = None
        for frame in self._pictures(from_key=jump):
            time_s = self._time_s(frame)
            if time_s < wanted[0] - 0.5 / self._fps:
                passed = frame
                continue
            passed = None
            while wanted and time_s >= wanted[0] - 0.5 / self._fps:
                wanted.popleft()
            yield self._sampled(frame)
            if not wanted:
                return
        if passed is not None:
            yield self._sampled(passed)
            wanted.popleft()
        self.counts.missing += len(wanted)

    def frame_at(self, time_s: float) -> SampledFrame | None:
        """Returns the first frame not before a time (half a frame of tolerance), else the last one, else None."""
        self._seek_backward(time_s)
        passed: VideoFrame | None = None
        for frame in self._pictures(from_key=True):
            passed = frame
            if self._time_s(frame) >= time_s - 0.5 / self._fps:
                break
        return self._sampled(passed) if passed is not None else None

    def _key_frame_alone(self) -> list[SampledFrame]:
        context = self.video.stream.codec_context
        for packet in self.video.container.demux(self.video.stream):
            self.deadline.check()
            if packet.is_keyframe and packet.size:
                try:
                    shown = [*context.decode(packet), *context.decode(None)]
                except av.error.InvalidDataError:
                    return []
                return [self._sampled(frame) for frame in shown[:1] if not frame.is_corrupt]
        return []

    def _key_frame_and_on(self, targets_s: Sequence[float]) -> Iterator[SampledFrame]:
        """Yields the key frame, then for each further time a frame up to WALK_FRAMES nearer to it."""
        context = self.video.stream.codec_context
        context.skip_frame = "NONREF"
        wanted, due_s = deque(targets_s), 0.0
        limit = PACKETS_TO_FIRST_PICTURE + 2 * WALK_FRAMES * len(targets_s)
        try:
            for frame in self._pictures(from_key=True, most_packets=limit):
                time_s = self._time_s(frame)
                if time_s < due_s:
                    continue
                yield self._sampled(frame)
                wanted.popleft()
                if not wanted:
                    return
                walked_s = time_s + (WALK_FRAMES - 0.5) / self._fps
                due_s = max(time_s + 0.5 / self._fps, min(wanted[0] - 1 / self._fps, walked_s))
        finally:
            context.skip_frame = "DEFAULT"

    def _pictures(self, *, from_key: bool, most_packets: int | None = None) -> Iterator[VideoFrame]:
        """Yields sound pictures in the order shown; damaged packets and pictures are counted and left out."""
        waiting_for_key, packets = from_key, 0
        for packet in self.video.container.demux(self.video.stream):
            self.deadline.check()
            waiting_for_key = waiting_for_key and not packet.is_keyframe
            if waiting_for_key and packet.size:
                continue
            packets += 1
            if most_packets is not None and packets > most_packets:
                return
            try:
                frames = self.video.stream.codec_context.decode(packet if packet.size else None)
            except (av.error.InvalidDataError, av.error.EOFError):
                self.counts.damaged += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.counts.damaged += 1
                else:
                    yield frame

    def _indexed_keys(self, duration_s: float) -> list[int]:
        """Returns the timestamps of all key frames, ascending; [] where the file has no index of its whole length."""
        stream = self.video.stream
        if not self.video.container.format.name.startswith(INDEXED_FORMATS):
            return []
        if len(stream.index_entries) < 2:
            self._seek_backward(duration_s)  # Matroska reads its index at the first jump
        first = last = None
        keys = set()
        for entry in stream.index_entries:  # 180,000 of them in two hours: looked at once, not kept
            last = entry.timestamp
            first = last if first is None else first
            if entry.is_keyframe:
                keys.add(last)
        if first is None or last is None or last < self.video.pts(INDEXED_SHARE * duration_s):
            return []
        # MP4 indexes decoding times but jumps by showing times; the first picture tells how far they are apart.
        shift = (stream.start_time or 0) - first if "mp4" in self.video.container.format.name else 0
        return sorted(key + shift for key in keys)

    def _key_by_index(self, keys: list[int], time_s: float) -> int:
        return keys[max(0, bisect_right(keys, self.video.pts(time_s)) - 1)]

    def _key_by_seeking(self, time_s: float) -> int | None:
        self._seek_backward(time_s)
        for packet in self.video.container.demux(self.video.stream):
            self.deadline.check()
            if packet.is_keyframe and packet.size:
                return packet.pts if packet.pts is not None else packet.dts
        return None

    def _seek_backward(self, time_s: float) -> None:
        self.video.stream.codec_context.flush_buffers()
        try:
            self.video.container.seek(self.video.pts(time_s), stream=self.video.stream, backward=True)
        except av.error.FFmpegError:  # nothing before it, or a format that cannot jump: from the start
            self.video.container.seek(0, backward=True)

    @property
    def _fps(self) -> float:
        return float(self.video.stream.average_rate or self.video.stream.guessed_rate or 25)

    def _time_s(self, frame: VideoFrame) -> float:
        pts = frame.pts if frame.pts is not None else frame.dts
        return self.video.time_s(pts) if pts is not None else 0.0

    def _sampled(self, frame: VideoFrame) -> SampledFrame:
        size = (frame.width, frame.height)
        if self._geometry is None or self._geometry[0] != size:
            aspect = pixel_aspect(self.video.stream)
            self._geometry = (size, Geometry.of(frame, aspect, self.max_side_px))
        geometry = self._geometry[1]
        return SampledFrame(self._time_s(frame), geometry.apply(frame), geometry.scale)
