"""Frames with decord (the decord2 package): local files, by frame number. Never the choice of reader="auto".

decord's calls can neither be interrupted nor be told a time limit, so they run in a daemon thread that is left behind
when the time is over, and only on files that PyAV has opened and decoded a picture of.
"""

from __future__ import annotations

import importlib
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.errors import MediaCorrupt, MediaError, MediaUnsupported
from pipelines.faces.types import Frame
from pipelines.media.container import Geometry
from pipelines.media.deadline import Deadline
from pipelines.media.pyav_reader import WALK_FRAMES
from pipelines.media.video import SampledFrame, VideoInfo

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

AHEAD = 4
"""Decoded frames that may wait for the caller."""


FORMATS = ("mov,mp4", "matroska,webm", "avi", "flv", "gif")
"""Formats whose frames decord numbers rightly. Of MPEG streams and WMV it delivers other frames than asked for, without
a word (decord2 3.4.0, numbered test videos, 2026-11-22)."""


def decord_frames(
    path: Path, targets_s: Sequence[float], info: VideoInfo, geometry: Geometry, deadline: Deadline, *, key_frames: bool
) -> Iterator[SampledFrame]:
    """Yields, for every wanted time, the frame shown then, or one near it with `key_frames`; each frame once.

    Raises MediaUnsupported for formats outside FORMATS, MediaCorrupt where decord gives up, MediaTimeout.
    """
    if not info.container.startswith(FORMATS):
        raise MediaUnsupported(f"{path}: decord does not read {info.container} rightly.", "Use reader='pyav'.")
    ready: queue.Queue[SampledFrame | Exception | None] = queue.Queue(maxsize=AHEAD)
    stop = threading.Event()

    def work() -> None:
        try:
            for sampled in _decode(path, targets_s, info.first_s, geometry, key_frames=key_frames):
                ready.put(sampled)
                if stop.is_set():
                    return
            ready.put(None)
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread
            ready.put(error)

    threading.Thread(target=work, name="decord", daemon=True).start()
    try:
        while (sampled := _next(ready, path, deadline)) is not None:
            yield sampled
    finally:
        stop.set()
        while not ready.empty():
            ready.get_nowait()


def _next(ready: queue.Queue[SampledFrame | Exception | None], path: Path, deadline: Deadline) -> SampledFrame | None:
    try:
        item = ready.get(timeout=max(0.0, deadline.left_s))
    except queue.Empty:
        raise deadline.error() from None
    if isinstance(item, MediaError):
        raise item
    if isinstance(item, Exception):
        raise MediaCorrupt(f"{path}: decord cannot read it ({_first_line(item)}).") from item
    return item


def _decode(
    path: Path, targets_s: Sequence[float], first_s: float, geometry: Geometry, *, key_frames: bool
) -> Iterator[SampledFrame]:
    try:
        decord: Any = importlib.import_module("decord")
    except ImportError as error:
        raise MediaUnsupported("decord is not installed.", "Use reader='pyav', or install decord2.") from error
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    starts_s = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)[:, 0]
    starts_s += first_s - starts_s[0]
    keys = np.asarray(reader.get_key_indices(), dtype=np.int64)
    for index in wanted_indices(np.asarray(targets_s), starts_s, keys if key_frames else None):
        yield SampledFrame(float(starts_s[index]), _fitted(reader[index].asnumpy(), geometry), geometry.scale)


def wanted_indices(targets_s: F64, starts_s: F64, keys: I64 | None) -> list[int]:
    """Returns the distinct frame numbers for the wanted times, ascending.

    Without `keys` the frame shown at each time; with them the key frame at or before it, and for further times of the
    same key frame numbers up to WALK_FRAMES on, as `pyav_reader` does.
    """
    half_s = 0.5 * float(np.median(np.diff(starts_s))) if len(starts_s) > 1 else 0.0
    exact = np.minimum(np.searchsorted(starts_s, targets_s - half_s), len(starts_s) - 1)
    if keys is None or not len(keys):
        return list(dict.fromkeys(exact.tolist()))
    chosen: dict[int, None] = {}
    previous_key = last = -1
    for index in exact.tolist():
        key = int(keys[max(0, int(np.searchsorted(keys, index, side="right")) - 1)])
        last = key if key != previous_key else min(index, last + WALK_FRAMES)
        previous_key = key
        chosen[last] = None
    return list(chosen)


def _fitted(image: Frame, geometry: Geometry) -> Frame:
    """Scales what decord delivers, which is already upright, to the size of the plan."""
    width, height = geometry.width, geometry.height
    if geometry.quarter_turns % 2:
        width, height = height, width
    if image.shape[:2] != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return image


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
