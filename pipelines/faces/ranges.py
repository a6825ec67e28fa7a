"""From the sampled frames in which somebody is seen to ranges of time.

Lives here: `SampleTimes`, when each frame was sampled, and `time_ranges`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
_SHORTEST_S = 0.04
"""Length given to a range that would be empty: one frame at 25 fps."""


@dataclass(frozen=True, slots=True)
class SampleTimes:
    """The stretch of time that each sampled frame stands for: from half-way to the sample before to half-way to the
    next one.

    Attributes:
        spans: by frame number, (start_s, end_s).
    """

    spans: dict[int, tuple[float, float]]

    @classmethod
    def of(
        cls,
        seen: Sequence[tuple[int, float | None]],
        frame_times: Sequence[float] | None = None,
        duration_s: float | None = None,
    ) -> Self | None:
        """Returns the spans, or None when no time is known.

        Args:
            seen: (frame number, time) of the frames with faces.
            frame_times: times of all sampled frames by frame number. Without them the interval between samples is
                taken to be the median of the seen ones.
            duration_s: spans end here at the latest, when known.
        """
        if frame_times is not None:
            frames, times = np.arange(len(frame_times)), np.asarray(frame_times, dtype=np.float64)
        else:
            known = sorted({frame: time for frame, time in seen if time is not None}.items())
            frames = np.array([frame for frame, _ in known], dtype=np.int64)
            times = np.array([time for _, time in known], dtype=np.float64)
        if not len(times):
            return None
        steps, gaps = np.diff(times), np.diff(frames)
        interval = float(np.median(steps / gaps)) if len(steps) else (duration_s or 2 * _SHORTEST_S)
        starts, ends = times - interval / 2, times + interval / 2
        middles = (times[:-1] + times[1:]) / 2
        starts[1:][gaps == 1] = middles[gaps == 1]
        ends[:-1][gaps == 1] = middles[gaps == 1]
        return cls(dict(zip(frames.tolist(), _clipped(starts, ends, times, duration_s), strict=True)))


def time_ranges(
    frames: Collection[int], times: SampleTimes, join_gap_s: float = 0.0
) -> tuple[tuple[float, float], ...]:
    """Returns (start_s, end_s) in order, each of positive length, for the frames in which somebody is seen.

    Args:
        join_gap_s: ranges with at most this much between them are joined; those of consecutive samples always are.
    """
    ranges: list[tuple[float, float]] = []
    for start, end in sorted(times.spans[frame] for frame in frames if frame in times.spans):
        if ranges and start - ranges[-1][1] <= join_gap_s + 1e-6:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
        else:
            ranges.append((start, end))
    return tuple((round(start, 3), round(end, 3)) for start, end in ranges)


def _clipped(starts: F64, ends: F64, times: F64, duration_s: float | None) -> list[tuple[float, float]]:
    """Returns the spans within the video, each of them at least _SHORTEST_S long."""
    last = ends if duration_s is None else np.maximum(duration_s, times)
    starts, ends = np.maximum(starts, 0.0), np.minimum(ends, last)
    short = ends - starts < _SHORTEST_S
    starts = np.where(short, np.maximum(0.0, np.minimum(starts, last - _SHORTEST_S)), starts)
    ends = np.where(short, starts + _SHORTEST_S, ends)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
