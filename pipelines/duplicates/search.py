"""Finding windows of one long file in another: key frames give likely places, only these are decoded.

Key frames of two encodes coincide only at cuts, so key frames of one file are compared with a dense grid of windows of
the other: 0.02 of what a full decode costs, and all but heavily cropped copies are found (measured 2026-11-22). Here
the mean distance of all key frames in a window decides instead of a threshold for each, which finds those too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.duplicates.align import Match, OffsetGuess, best_match, likely_offsets
from pipelines.duplicates.footage import Footage
from pipelines.duplicates.grid import Grid
from pipelines.duplicates.motion import motion_residual
from pipelines.duplicates.rule import MOST_D
from pipelines.duplicates.types import Alignment

GRID_BELOW_S = 90.0
"""A file that is shorter is decoded whole instead of in windows."""
_LONGEST_KEY_GAP_S = 20.0
"""With fewer key frames than one in so many seconds, nothing can be said of what was not found."""
_SPEED_RANGE = 0.045
_LEAST_EVIDENCE_S = 12.0


@dataclass(frozen=True, slots=True)
class Found:
    """As `rule.Seen`, of the window with the smallest distance; the rest over all windows that agree."""

    d: float
    r: float | None
    evidence_s: float
    alignment: Alignment | None


@dataclass(frozen=True, slots=True, eq=False)
class _Hit:
    window: Grid
    match: Match
    r: float | None


def search(
    short: Footage,
    long: Footage,
    hints_s: Sequence[float],
    windows: int,
    window_s: float,
    guesses: int,
    slack_s: float,
) -> Found | None:
    """Returns where windows of the shorter file lie in the longer one; None where too little could be seen.

    Args:
        hints_s: likely offsets, looked at before those that key frames say.
        guesses: how many places are decoded before the search is given up.
    """
    parts = _windows(short, windows, window_s)
    keys = long.keys()
    if not any(part.seen.any() for part in parts) or not keys.seen.any():
        return None
    likely = [(part, guess) for part in parts for guess in likely_offsets(part, keys)]
    likely.sort(key=lambda found: -found[1].rank)
    middle = parts[len(parts) // 2]
    hinted = [(middle, OffsetGuess(o, 0.0, 0, mirrored, np.inf)) for o in hints_s[:1] for mirrored in (False, True)]
    hits: list[_Hit] = []
    closest: _Hit | None = None
    for part, guess in [*hinted, *likely][: guesses + len(hinted)]:
        hit = _look(part, guess.offset_s, guess.mirrored, long, slack_s)
        if hit is None:
            continue
        closest = hit if closest is None or hit.match.d < closest.match.d else closest
        if hit.match.d <= MOST_D and hit.match.evidence_s >= _LEAST_EVIDENCE_S:
            hits.append(hit)
            break
    if not hits:
        if closest is None and len(keys) * _LONGEST_KEY_GAP_S < long.duration_s:
            return None
        return Found(closest.match.d if closest else 128.0, None, 0.0, None)
    for part in parts:
        if part is not hits[0].window:
            hit = _look_again(part, hits[0], keys, long, slack_s)
            if hit is not None:
                hits.append(hit)
    return _summed(hits, parts, short.duration_s, long.duration_s)


def _windows(video: Footage, count: int, length_s: float) -> list[Grid]:
    if video.duration_s <= GRID_BELOW_S:
        return [video.grid(0, video.duration_s)]
    fit = max(2, min(count, int(video.duration_s / length_s) - 1))
    centres = (np.arange(fit) + 0.5) / fit * video.duration_s
    return [video.grid(round(c - length_s / 2), round(c + length_s / 2)) for c in centres]


def _look(part: Grid, offset_s: float, mirrored: bool, long: Footage, slack_s: float) -> _Hit | None:  # noqa: FBT001
    """Returns the match of a window with what lies around a place in the longer file, which is decoded."""
    start_s = max(0.0, part.start_s + offset_s - slack_s)
    end_s = min(long.duration_s, part.end_s + offset_s + slack_s)
    if end_s - start_s < 10:
        return None
    other = long.grid(round(start_s), round(end_s))
    match = best_match(part, other, mirrored=mirrored)
    if match is None:
        return None
    r = motion_residual(part, other, match.a_s, match.offset_s, match.speed, mirrored=mirrored, views=match.views)
    return _Hit(part, match, r)


def _look_again(part: Grid, first: _Hit, keys: Grid, long: Footage, slack_s: float) -> _Hit | None:
    """Returns the match of another window where the first one says that it lies, give or take a change of speed."""
    away_s = abs(part.start_s - first.window.start_s)
    offset_s, mirrored = _offset_at(first.match, part.start_s), first.match.mirrored
    near = [
        guess
        for guess in likely_offsets(part, keys, most=6)
        if guess.mirrored == mirrored and abs(guess.offset_s - offset_s) <= slack_s + _SPEED_RANGE * away_s
    ]
    hit = _look(part, near[0].offset_s if near else offset_s, mirrored, long, slack_s)
    if hit is None or hit.match.d > MOST_D or hit.match.evidence_s < _LEAST_EVIDENCE_S:
        return None
    return hit


def _offset_at(match: Match, time_s: float) -> float:
    """Returns (time in b) - (time in a) at a time in a."""
    return (match.speed - 1) * time_s + match.offset_s


def _summed(hits: Sequence[_Hit], parts: Sequence[Grid], short_s: float, long_s: float) -> Found:
    middles = np.array([sum(h.match.a_s) / 2 for h in hits])
    partners = np.array([sum(h.match.b_s) / 2 for h in hits])
    best = min(hits, key=lambda h: h.match.d).match
    offset_s, speed = best.offset_s, best.speed
    if len(hits) >= 2:
        slope = float(np.polyfit(middles, partners, 1)[0])
        speed = slope if abs(slope - 1) > 0.002 else 1.0
        offset_s = float(np.median(partners - speed * middles))
    first, last = min(h.match.a_s[0] for h in hits), max(h.match.a_s[1] for h in hits)
    agreeing = {id(h.window) for h in hits}
    before = [p.end_s for p in parts if id(p) not in agreeing and p.end_s <= first + 1]
    after = [p.start_s for p in parts if id(p) not in agreeing and p.start_s >= last - 1]
    whole = len(parts) == 1  # the match itself says where it ends
    low = max(0.0, -offset_s / speed)
    high = min(short_s, (long_s - offset_s) / speed)
    start = first if whole else max(low, (max(before) + first) / 2) if before else low
    end = last if whole else min(high, (min(after) + last) / 2) if after else high
    measured = [(h.match.evidence_s, h.r) for h in hits if h.r is not None]
    weight = sum(seconds for seconds, _ in measured)
    r = sum(seconds * value for seconds, value in measured) / weight if weight else None
    b = (start * speed + offset_s, end * speed + offset_s)
    alignment = Alignment(offset_s, speed, best.mirrored, (start, end), (max(0.0, b[0]), min(long_s, b[1])))
    return Found(best.d, r, sum(h.match.evidence_s for h in hits), alignment)
