"""Where two videos show the same: all offsets of two grids at once, and likely offsets of key frames in a grid.

Distances are numbers of differing bits of PDQ (of 256): copies differ by 1 to 32, other takes of the same people in the
same room by 92 and more, unrelated pictures by about 128 (measured 2026-11-22).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.duplicates.grid import Grid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

STEP_S = 0.5
FINE = 3
"""Samples of b for one of a; see `grid.RATE`."""
SLIP = 3
"""Samples of b that the best partner may lie aside: half a second, what 4.2 % of speed make of half a window."""
WINDOW_S = 20.0
"""Less says too little: with windows of 5 s the motion of other takes correlates up to .85 (measured 2026-11-22)."""
SHORTEST_WINDOW_S = 5.0
"""Of clips that are shorter than `WINDOW_S` as a whole."""
SEEN_SHARE = 0.7
"""Share of a window in which both videos must show something."""

UNRELATED = 128.0
_BLOCK_S = 5.0
"""What continues a window is judged by the mean of so many seconds around each sample."""
_FOLLOW_COST = 1.0
_ROWS_A_SLIP = 4
"""Samples of a between two slips of a sample of b: enough for 8 % of speed, and static pictures do not wander."""
_BRIDGE_S = 6.0
"""Longest piece without a match (black, a title) inside what continues a window."""
_SPEED_SPAN_S = 30.0
_SPEED_TOLERANCE = 0.004
_LARGEST_SPEED_CHANGE = 0.06


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """The best window of two grids, and what continues it on both sides.

    Attributes:
        d: mean distance over the window.
        window_s: start and end of the window in a.
        offset_s, speed: (time in b) = speed * (time in a) + offset_s.
        mirrored: b is a mirror image of a.
        views: which view of each grid: 0 as it is, 1 without bars.
        a_s, b_s: start and end of the common part in each.
        evidence_s: seconds of a in the common part in which both show something and agree.
        spread: mean distance of the worst quarter of the window.
    """

    d: float
    window_s: tuple[float, float]
    offset_s: float
    speed: float
    mirrored: bool
    views: tuple[int, int]
    a_s: tuple[float, float]
    b_s: tuple[float, float]
    evidence_s: float
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """A grid read every `step_s`: `index` of the sample nearest to each time, `seen` whether there is one to see."""

    index: I64
    seen: npt.NDArray[np.bool_]
    start_s: float
    step_s: float

    @classmethod
    def of(cls, grid: Grid, step_s: float = STEP_S) -> _Steps:
        first = np.ceil(grid.start_s / STEP_S) * STEP_S
        times_s = np.arange(first, max(grid.end_s, first + 1e-6), step_s)
        index = nearest(grid.times_s, times_s)
        near = np.abs(grid.times_s[index] - times_s) <= STEP_S
        return cls(index, near & grid.seen[index], float(first), step_s)


def nearest(times_s: F64, wanted_s: F64) -> I64:
    """Returns the index of the time nearest to each wanted one; `times_s` ascends and is not empty."""
    after = np.clip(np.searchsorted(times_s, wanted_s), 1, max(1, len(times_s) - 1))
    if len(times_s) == 1:
        return np.zeros(len(wanted_s), np.int64)
    return np.asarray(after - (wanted_s - times_s[after - 1] < times_s[after] - wanted_s), np.int64)


def signs(pdq: npt.NDArray[np.uint8]) -> F32:
    """Returns (n, 256) float32, -1 or 1 for each bit: half of 256 minus a product is a distance."""
    return np.unpackbits(pdq, axis=1).astype(np.float32) * 2 - 1


def distances(a: F32, b: F32) -> F32:
    """Returns (n, m) distances of two arrays of `signs`."""
    return np.asarray((256 - a @ b.T) / 2, np.float32)


def best_match(a: Grid, b: Grid, *, mirrored: bool | None = None) -> Match | None:
    """Returns the best window of 20 s over all offsets; None where no window has enough to see on both sides.

    The window of a grid that is shorter is the whole grid, at least SHORTEST_WINDOW_S.

    Args:
        mirrored: looks at one of both ways only.
    """
    if not len(a) or not len(b):
        return None
    steps_a, steps_b = _Steps.of(a), _Steps.of(b, STEP_S / FINE)
    length = min(round(WINDOW_S / STEP_S), len(steps_a.index), len(steps_b.index) // FINE)
    if length < SHORTEST_WINDOW_S / STEP_S:
        return None
    best: tuple[float, _Diagonals, tuple[int, int]] | None = None
    for way in (False, True) if mirrored is None else (mirrored,):
        for view_a in range(len(a.pdq)):
            for view_b in range(len(b.pdq)):
                pdq_b = (b.mirrored if way else b.pdq)[view_b]
                diagonals = _Diagonals(a.pdq[view_a], pdq_b, steps_a, steps_b, way, (view_a, view_b))
                found = diagonals.best(length)
                if found is not None and (best is None or found[0] < best[0]):
                    best = (found[0], diagonals, found[1])
    if best is None:
        return None
    return best[1].followed(best[2], length, best[0], a, b)


class _Diagonals:
    """The distances of all samples of two grids, one row for each sample of a, one column for each offset."""

    def __init__(
        self,
        pdq_a: npt.NDArray[np.uint8],
        pdq_b: npt.NDArray[np.uint8],
        a: _Steps,
        b: _Steps,
        mirrored: bool,  # noqa: FBT001
        views: tuple[int, int],
    ) -> None:
        self.a, self.b, self.mirrored, self.views = a, b, mirrored, views
        plain = distances(signs(pdq_a[a.index]), signs(pdq_b[b.index]))
        both = a.seen[:, None] & b.seen[None, :]
        either = a.seen[:, None] | b.seen[None, :]
        plain[~both] = UNRELATED
        self._plain = plain
        self._value = _skewed(np.where(either, _slipped(plain), 0).astype(np.float32))
        self._either = _skewed(either.astype(np.float32))
        self._both = _skewed(both.astype(np.float32))

    def best(self, length: int) -> tuple[float, tuple[int, int]] | None:
        """Returns (mean distance, (first sample of a, column)) of the best window."""
        value, either, both = (_running(x, length) for x in (self._value, self._either, self._both))
        mean = np.where(both >= SEEN_SHARE * length, value / np.maximum(either, 1), np.inf)
        at = int(mean.argmin())
        row, column = divmod(at, mean.shape[1])
        return None if np.isinf(mean[row, column]) else (float(mean[row, column]), (row, column))

    def followed(self, start: tuple[int, int], length: int, d: float, a: Grid, b: Grid) -> Match:
        """Returns the match that the window `start` belongs to, followed in both directions."""
        n = len(self.a.index)
        block = min(round(_BLOCK_S / STEP_S), length)
        value, either = _centred(self._value, block), _centred(self._either, block)
        mean = np.where(either >= 1, value / np.maximum(either, 1), np.nan)
        columns = np.full(n, -1, np.int64)
        middle = start[0] + length // 2
        columns[middle] = start[1]
        for step in (1, -1):
            column, since = start[1], 0
            for row in range(middle + step, n if step > 0 else -1, step):
                since += 1
                near = _next_column(mean[row], column) if since >= _ROWS_A_SLIP else column
                column, since = near, 0 if near != column else since
                columns[row] = column
        path = mean[np.arange(n), columns]
        limit = follow_limit(d)
        agrees = path <= limit
        agrees[start[0] : start[0] + length] |= np.isnan(path[start[0] : start[0] + length])
        first, last = _continued(agrees, np.isnan(path), start[0], start[0] + length - 1)
        return self._match(d, start, length, columns, (first, last), agrees, a, b)

    def _match(
        self,
        d: float,
        start: tuple[int, int],
        length: int,
        columns: I64,
        span: tuple[int, int],
        agrees: npt.NDArray[np.bool_],
        a: Grid,
        b: Grid,
    ) -> Match:
        rows = np.arange(span[0], span[1] + 1)
        first = FINE * (rows - (len(self.a.index) - 1))
        exact = first + columns[rows]
        partner = np.clip(exact, 0, len(self.b.index) - 1)
        both = self.a.seen[rows] & self.b.seen[partner]
        used = agrees[rows] & both & (exact == partner)
        near = np.clip(partner[:, None] + np.arange(-SLIP, SLIP + 1), 0, len(self.b.index) - 1)
        partner = near[np.arange(len(rows)), self._plain[rows[:, None], near].argmin(axis=1)]
        times_a = np.asarray(self.a.start_s + rows * STEP_S, np.float64)
        times_b = np.asarray(self.b.start_s + partner * self.b.step_s, np.float64)
        window = slice(start[0], start[0] + length)
        inside = (rows >= window.start) & (rows < window.stop)
        chosen = used if used.sum() >= 4 else inside
        offset_s, speed = _line(times_a[chosen], times_b[chosen])
        a_s = (float(times_a[0]), min(float(times_a[-1]) + STEP_S, a.end_s))
        low, high = (speed * t + offset_s for t in a_s)
        b_s = (max(b.start_s, low), min(b.end_s, high))
        a_s = (max(a_s[0], (b_s[0] - offset_s) / speed), min(a_s[1], (b_s[1] - offset_s) / speed))
        quarters = self._quarters(start, length)
        return Match(
            d,
            (self.a.start_s + window.start * STEP_S, self.a.start_s + window.stop * STEP_S),
            offset_s,
            speed,
            self.mirrored,
            self.views,
            a_s,
            b_s,
            float(used.sum() * STEP_S),
            quarters,
        )

    def _quarters(self, start: tuple[int, int], length: int) -> float:
        rows = np.array_split(np.arange(start[0], start[0] + length), 4)
        parts = [(self._value[r, start[1]].sum(), self._either[r, start[1]].sum()) for r in rows]
        return float(max((value / weight for value, weight in parts if weight), default=UNRELATED))


def follow_limit(d: float) -> float:
    """Returns up to which mean distance of a block a window of mean `d` is continued."""
    return min(100.0, max(60.0, 1.3 * d + 10))


def _slipped(x: F32) -> F32:
    """Returns the smallest value within SLIP columns."""
    m = x.shape[1]
    padded = np.pad(x, ((0, 0), (SLIP, SLIP)), constant_values=UNRELATED)
    return np.asarray(np.min([padded[:, at : at + m] for at in range(2 * SLIP + 1)], axis=0), np.float32)


def _skewed(x: F32) -> F32:
    """Returns (n, columns): row i holds x[i, FINE * i + o], o = -FINE * (n - 1) .. m - 1; zero outside of x."""
    n, m = x.shape
    side = FINE * (n - 1)
    wide = np.zeros((n, m + 2 * side), np.float32)
    wide[:, side : side + m] = x
    row, column = wide.strides
    shape = (n, m + side)
    return np.lib.stride_tricks.as_strided(wide, shape, (row + FINE * column, column), writeable=False)


def _running(x: F32, length: int) -> F32:
    """Returns sums of `length` rows from each row on: (n - length + 1, columns)."""
    total = np.zeros((x.shape[0] + 1, x.shape[1]), np.float64)
    np.cumsum(x, axis=0, out=total[1:])
    return np.asarray(total[length:] - total[:-length], np.float32)


def _centred(x: F32, length: int) -> F32:
    """Returns sums of `length` rows around each row, fewer at the ends."""
    n = x.shape[0]
    total = np.zeros((n + 1, x.shape[1]), np.float64)
    np.cumsum(x, axis=0, out=total[1:])
    low = np.clip(np.arange(n) - length // 2, 0, n)
    high = np.clip(np.arange(n) + (length + 1) // 2, 0, n)
    return np.asarray(total[high] - total[low], np.float32)


def _next_column(row: F32, column: int) -> int:
    """Returns the column of the next sample: the same unless a neighbour is better by more than a slip's cost."""
    best, best_value = column, row[column]
    for near in (column - 1, column + 1):
        if 0 <= near < len(row) and not np.isnan(row[near]) and not row[near] + _FOLLOW_COST >= best_value:
            best, best_value = near, row[near]
    return best


def _continued(agrees: npt.NDArray[np.bool_], unseen: npt.NDArray[np.bool_], first: int, last: int) -> tuple[int, int]:
    """Returns the first and last sample of what continues the window, over gaps of up to `_BRIDGE_S`."""
    bridge = round(_BRIDGE_S / STEP_S)
    end = last
    for row in range(last + 1, len(agrees)):
        if agrees[row]:
            end = row
        elif row - end > bridge and not unseen[row]:
            break
    start = first
    for row in range(first - 1, -1, -1):
        if agrees[row]:
            start = row
        elif start - row > bridge and not unseen[row]:
            break
    return start, end


def _line(times_a: F64, times_b: F64) -> tuple[float, float]:
    """Returns (offset, speed) of b = speed * a + offset; speed 1 where it cannot be told from 1."""
    span = times_a[-1] - times_a[0]
    if span >= _SPEED_SPAN_S:
        slope = float(np.polyfit(times_a - times_a.mean(), times_b, 1)[0])
        keep = np.abs(times_b - times_b.mean() - slope * (times_a - times_a.mean())) <= 2 * STEP_S
        if keep.sum() >= 8:
            slope = float(np.polyfit(times_a[keep] - times_a[keep].mean(), times_b[keep], 1)[0])
        if _SPEED_TOLERANCE < abs(slope - 1) <= _LARGEST_SPEED_CHANGE:
            return float(np.median(times_b - slope * times_a)), slope
    return float(np.median(times_b - times_a)), 1.0


@dataclass(frozen=True, slots=True)
class OffsetGuess:
    """A likely offset of key frames in a grid.

    Attributes:
        offset_s: (time in b) - (time in a).
        mean: distance over the `keys` key frames that fall into the grid.
        rank: the larger, the less it looks like chance.
    """

    offset_s: float
    mean: float
    keys: int
    mirrored: bool
    rank: float


def likely_offsets(a: Grid, b: Grid, *, most: int = 3, fewest_keys: int = 2) -> list[OffsetGuess]:
    """Returns the likeliest offsets of the key frames b in the dense grid a, the likeliest first.

    Key frames of two encodes coincide only at cuts, so those of one side are looked for in a grid of the other.
    """
    if not len(a) or not len(b):
        return []
    steps = _Steps.of(a)
    keys = np.flatnonzero(b.seen)
    if not steps.seen.any() or len(keys) < fewest_keys:
        return []
    guesses: list[OffsetGuess] = []
    column = np.rint(b.times_s[keys] / STEP_S).astype(np.int64)
    bins = column[:, None] - np.arange(len(steps.index))[None, :]
    lowest = int(bins.min())
    for mirrored in (False, True):
        distance = _nearest_view(a, b, steps, keys, mirrored=mirrored)
        weight = np.broadcast_to(steps.seen, distance.shape)
        counts = np.bincount((bins - lowest).ravel(), weight.ravel())
        sums = np.bincount((bins - lowest).ravel(), (distance * weight).ravel())
        mean = sums / np.maximum(counts, 1)
        rank = np.where(counts >= fewest_keys, (_CHANCE - mean) * np.sqrt(counts), -np.inf)
        for at in np.argsort(-rank)[: 8 * most]:
            if rank[at] <= 0:
                break
            offset_s = float((at + lowest) * STEP_S - steps.start_s)
            guesses.append(OffsetGuess(offset_s, float(mean[at]), int(counts[at]), mirrored, float(rank[at])))
    chosen: list[OffsetGuess] = []
    for guess in sorted(guesses, key=lambda g: -g.rank):
        if all(g.mirrored != guess.mirrored or abs(g.offset_s - guess.offset_s) > 2.0 for g in chosen):
            chosen.append(guess)
    return chosen[:most]


_CHANCE = 112.0
"""Mean distance of unrelated pictures when the best of three neighbours is taken (own measurement, 2026-11-26)."""


def _nearest_view(a: Grid, b: Grid, steps: _Steps, keys: I64, *, mirrored: bool) -> F32:
    """Returns (keys, samples of a): the smallest distance over the views and a slip of one sample."""
    best: F32 | None = None
    pdq_b = b.mirrored if mirrored else b.pdq
    for view_b in pdq_b:
        for view_a in a.pdq:
            found = distances(signs(view_b[keys]), signs(view_a[steps.index]))
            best = found if best is None else np.minimum(best, found)
    assert best is not None  # noqa: S101 - a grid has one view or two
    padded = np.pad(best, ((0, 0), (1, 1)), constant_values=UNRELATED)
    return np.asarray(np.minimum(np.minimum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:]), np.float32)
