"""Grids of a file: decoded once in bounded memory, and kept in the evidence cache where there is one.

Decoding is PyAV's, one thread. Frames that no other frame needs are not decoded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from pipelines.duplicates.evidence import EvidenceCache
from pipelines.duplicates.grid import RATE, SAMPLE_PX, Grid, make_grid
from pipelines.duplicates.types import SceneVideo
from pipelines.faces.types import U8
from pipelines.media.container import named_errors, open_video
from pipelines.media.deadline import Deadline
from pipelines.media.probe import read_info
from pipelines.media.pyav_reader import KeyGroup, PyavReader
from pipelines.media.video import SampledFrame, source_name

log = logging.getLogger(__name__)

KEY_STEP_S = 2.0
MOST_KEYS = 600
"""Key frames looked at in one file: one in `KEY_STEP_S`, fewer in long files."""

LONGEST_STRETCH_S = 1200.0
"""Longest stretch decoded at once: 4,800 pictures of at most 25 kB are held."""


class Footage:
    """One video; opened when something of it is not in the cache. For one thread; a context manager.

    Attributes:
        decoded_s: seconds of video decoded so far, key frames aside.
    """

    def __init__(self, video: SceneVideo, cache: EvidenceCache | None, timeout_s: float) -> None:
        self._video = video
        self._cache = cache
        self._deadline = Deadline(timeout_s, source_name(video.source))
        self._open = ExitStack()
        self._reader: PyavReader | None = None
        self._duration_s = self._first_s = 0.0
        self.decoded_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def restart_clock(self) -> None:
        """Gives the next pair that the video is in its own time."""
        self._deadline.restart()

    @property
    def duration_s(self) -> float:
        """As Stash has it, else as the file says. Raises MediaError leaves when that must be asked and cannot be."""
        if not self._duration_s:
            self._duration_s = self._video.duration_s
        if not self._duration_s:
            self._opened()
        return self._duration_s

    def grid(self, start_s: float, end_s: float) -> Grid:
        """Returns the grid of a stretch, cut to what the file has. Raises MediaError leaves."""
        start_s, end_s = max(0.0, start_s), min(self.duration_s, end_s)
        if not 0 < end_s - start_s <= LONGEST_STRETCH_S:
            raise ValueError(f"a stretch from {start_s} to {end_s} s; up to {LONGEST_STRETCH_S} s are decoded at once")
        return self._kept(f"{round(start_s * 1000)}-{round(end_s * 1000)}", lambda: self._decode(start_s, end_s))

    def keys(self) -> Grid:
        """Returns key frames over the whole file, at most MOST_KEYS. Raises MediaError leaves."""
        return self._kept("keys", self._decode_keys)

    def _kept(self, part: str, make: Callable[[], Grid]) -> Grid:
        found = self._cache.get(self._video.fingerprint, part) if self._cache else None
        if found is None:
            found = make()
            if self._cache:
                try:
                    self._cache.put(self._video.fingerprint, part, found)
                except OSError as error:  # a full disk costs time only
                    log.warning("Evidence of %s is not kept: %s", source_name(self._video.source), error)
        return found

    def _decode(self, start_s: float, end_s: float) -> Grid:
        reader = self._opened()
        targets_s = np.arange(start_s, end_s, 1 / RATE) + self._first_s
        self.decoded_s += end_s - start_s
        with self._named():
            return self._of(reader.in_order(targets_s.tolist(), jump=start_s > 0), start_s, end_s)

    def _decode_keys(self) -> Grid:
        reader = self._opened()
        step_s = max(KEY_STEP_S, self.duration_s / MOST_KEYS)
        targets_s = np.arange(0, self.duration_s, step_s) + self._first_s
        with self._named():
            groups = reader.key_groups(targets_s.tolist(), self.duration_s)
            frames = (frame for group in groups for frame in reader.group_frames(KeyGroup(group.targets_s[:1])))
            return self._of(frames, 0.0, self.duration_s)

    def _of(self, frames: Iterable[SampledFrame], start_s: float, end_s: float) -> Grid:
        pictures: list[U8] = []
        times_s: list[float] = []
        for frame in frames:
            time_s = frame.time_s - self._first_s
            if times_s and time_s <= times_s[-1]:  # the frame after a key frame can be the next key frame
                continue
            grey = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), np.uint8)
            if pictures and grey.shape != pictures[0].shape:  # the size of the pictures changes within the file
                grey = np.asarray(cv2.resize(grey, pictures[0].shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
            pictures.append(grey)
            times_s.append(time_s)
        return make_grid(pictures, times_s, start_s, end_s)

    def _named(self) -> AbstractContextManager[None]:
        return named_errors(self._video.source, self._deadline)

    def _opened(self) -> PyavReader:
        if self._reader is None:
            video = self._open.enter_context(open_video(self._video.source, self._deadline))
            with self._named():
                info = read_info(video, self._deadline)
            self._first_s = info.first_s
            self._duration_s = self._duration_s or info.duration_s
            self._reader = PyavReader(video, SAMPLE_PX, self._deadline)
        return self._reader
