"""Pairs of scenes by the hashes of their scanned frames: what finds trims, clips and scenes with another opening.

Two frames are near when one of the four 16-bit bands of their pHash64 is equal and at most 8 bits differ; near frames
of two scenes vote for the offset of one scene on the other, and three distinct frames on both sides at one offset make
a candidate, or two whose PDQ agrees, or one whose PDQ agrees closely. A scan keeps some 60 key frames a scene, which in
two encodes lie at different times: the fewer there are a minute, the more copies are missed (`python -m tests.bench
duplicate_recall`).

A frame that comes near to those of many scenes (an opening, an end card, an empty set) says nothing and is stopped.
Scenes linked already, such as the copies of one film, count as one scene there, or a film with many copies would stop
itself.

The mirror image of a picture turns the signs of the odd columns of its DCT, so its pHash64 follows from the hash but
for the coefficients nearest the median: 2 to 8 bits of 64 (own measurement, 2026-11-26). Mirrored frames are therefore
searched with more bits, and their PDQ, turned the same way, must be near too.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.duplicates.frame_table import FrameTable
from pipelines.duplicates.hamming import I64, U64, Hits, gathered
from pipelines.duplicates.pairs import ragged_product
from pipelines.duplicates.votes import FramePairs, count_votes

MAX_FRAME_DISTANCE = 8
MAX_MIRROR_DISTANCE = 14
MAX_MIRROR_PDQ = 80
"""Bits of 256: 60 for copies, and 20 by which PDQ turned like this misses PDQ of the mirror image at most (own
measurement, 2026-11-26); unrelated frames differ in about 128."""
STOP_DISTANCE = 6
STOP_SCENES = 20
"""A frame near those of so many unrelated scenes is stopped (own choice; 8 of 18 in a small library, 2026-11-22)."""
BANDS = 4
HEAVY_ROWS = 8192
"""A band with more frames is divided by the other bands, so that it cannot grow with the square of the library."""
MOST_HITS = 40_000_000
"""Near frames held at a time, 12 bytes each; with more the stop list becomes stricter."""

_ODD_COLUMNS = np.uint64(0x5555_5555_5555_5555)
"""Bits of pHash64 of the odd columns of an 8 x 8 DCT, row by row; of PDQ's 16 x 16 likewise, in every word."""
_BAND_BITS = 16
_RANGES = [(start, start + 512) for start in range(0, 1 << _BAND_BITS, 512)]
_SMALL = 1024
"""Pairs of a bucket up to which many buckets are compared in one go: 15 ns a pair, against 1 ns and 20 us a bucket (own
measurement, 2026-11-26)."""
_TILE = 1 << 17

_Block = tuple[I64, I64]


@dataclass(slots=True)
class _Found:
    """Near frames: (k,) places on both sides and whether the second is mirrored; and what was left out."""

    left: list[npt.NDArray[np.int32]]
    right: list[npt.NDArray[np.int32]]
    heavy: int = 0


def frame_pairs(
    frames: FrameTable,
    n: int,
    *,
    linked: I64 | None = None,
    query: npt.NDArray[np.bool_] | None = None,
    threads: int = 1,
    stop_scenes: int = STOP_SCENES,
) -> FramePairs:
    """Returns the pairs of scenes with at least three near frames at one offset.

    Args:
        n: number of scenes.
        linked: (n,) equal numbers for scenes that are known to show the same; by default none is.
        query: (n,) whether a scene is asked about; pairs of two others are left out. By default all are.
        stop_scenes: see STOP_SCENES.
    """
    if not len(frames):
        none = np.zeros(0, np.int32)
        return count_votes(frames, n, (none, none), (none, none))
    search = _Search(frames, np.arange(n) if linked is None else linked, query, stop_scenes)
    df = search.often()
    plain = search.run(frames.phash, MAX_FRAME_DISTANCE, threads, df)
    mirror = search.run(frames.phash ^ _ODD_COLUMNS, MAX_MIRROR_DISTANCE, threads, df, mirrored=True)
    stopped = df >= stop_scenes
    limit = stop_scenes
    while sum(map(len, plain.left)) + sum(map(len, mirror.left)) > MOST_HITS and limit > 1:
        limit //= 2
        stopped = df >= limit
        for found in (plain, mirror):
            _without(found, stopped)
    _without(plain, stopped)
    result = count_votes(frames, n, _joined(plain), _joined(mirror))
    result.stopped, result.capped = int(stopped.sum()), plain.heavy + mirror.heavy
    return result


class _Search:
    """All near frames, band by band."""

    def __init__(self, frames: FrameTable, groups: I64, query: npt.NDArray[np.bool_] | None, stop_scenes: int) -> None:
        self._phash = frames.phash
        self._pdq = frames.pdq
        self._scene = frames.scene
        self._group = groups[frames.scene]
        self._groups = int(groups.max(initial=0)) + 1
        self._query = None if query is None else query[frames.scene]
        self._stop = stop_scenes

    def often(self) -> npt.NDArray[np.int32]:
        """Returns (m,) in how many scenes exactly the hash of each frame occurs, linked ones counted once."""
        _, number = np.unique(self._phash, return_inverse=True)
        each = np.unique(number * self._groups + self._group) // self._groups
        often: npt.NDArray[np.int32] = np.bincount(each, minlength=1)[number].astype(np.int32)
        return often

    def run(self, other: U64, most: int, threads: int, df: npt.NDArray[np.int32], *, mirrored: bool = False) -> _Found:
        """Returns near frames of `frames.phash` (left) and `other` (right), each pair once.

        Args:
            df: (m,) in how many scenes each frame is near at least; raised by what is seen in one band. Frames that
                are stopped at the start are left out.
        """
        found = _Found([], [])
        use = np.flatnonzero(df < self._stop)
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for band in range(BANDS):
                buckets = _Buckets(self._phash, other, use, band)
                found.heavy += buckets.heavy

                def work(values: tuple[int, int], buckets: _Buckets = buckets, band: int = band) -> Any:
                    parts = [
                        self._judged(hits, other, band, mirrored=mirrored)
                        for hits in _together(_near(self._phash, other, most, buckets.pairs(*values)))
                    ]
                    return [np.concatenate(column) for column in zip(*parts, strict=True)]

                for done in pool.map(work, _RANGES):
                    if done:
                        left, right, near, scenes = done
                        found.left.append(left)
                        found.right.append(right)
                        np.maximum.at(df, near, scenes)
        return found

    def _judged(self, hits: Hits, other: U64, band: int, *, mirrored: bool) -> tuple[Any, Any, Any, Any]:
        """Returns left and right of those hits that count, and frames with the number of scenes that they are near."""
        left, right, far = hits
        near, scenes = np.zeros(0, np.int64), np.zeros(0, np.int64)
        keep = (left < right) & (self._scene[left] != self._scene[right])
        if mirrored:
            turned = self._pdq[left] ^ self._pdq[right] ^ _ODD_COLUMNS
            keep &= np.bitwise_count(turned).sum(axis=1) <= MAX_MIRROR_PDQ
        else:
            near, scenes = self._near_scenes(left[far <= STOP_DISTANCE], right[far <= STOP_DISTANCE])
            keep &= ~np.isin(left, near[scenes >= self._stop])
        if self._query is not None:
            keep &= self._query[left] | self._query[right]
        left, right = left[keep], right[keep]
        # A pair counts in the first of the bands that it has in common.
        differing = self._phash[left] ^ other[right]
        first = np.ones(len(left), np.bool_)
        for earlier in range(band):
            first &= (differing >> np.uint64(_BAND_BITS * earlier)) & np.uint64(0xFFFF) != 0
        return left[first].astype(np.int32), right[first].astype(np.int32), near, scenes

    def _near_scenes(self, left: I64, right: I64) -> tuple[I64, I64]:
        """Returns frames and to how many other scenes each is near, linked ones counted once."""
        apart = self._group[left] != self._group[right]
        code = np.unique(left[apart] * self._groups + self._group[right[apart]])
        return np.unique(code // self._groups, return_counts=True)


def _near(own: U64, other: U64, most: int, pairs: Iterator[_Block]) -> Iterator[Hits]:
    """Yields hits; all those of one row on the left in one bucket together."""
    for rows, columns in pairs:
        bits = np.bitwise_count(own[rows] ^ other[columns])
        found = np.flatnonzero(bits <= most)
        if not len(found):
            continue
        if bits.ndim == 1:
            yield rows[found], columns[found], bits[found]
        else:
            row, column = np.divmod(found, bits.shape[1])
            yield rows[row, 0], columns[0, column], bits.ravel()[found]


def _together(parts: Iterator[Hits]) -> Iterator[Hits]:
    """Yields hits in fewer, larger parts."""
    waiting: list[Hits] = []
    held = 0
    for hits in parts:
        waiting.append(hits)
        held += len(hits[0])
        if held > _TILE:
            yield gathered(waiting)
            waiting, held = [], 0
    if waiting:
        yield gathered(waiting)


class _Buckets:
    """Frames by the value of one band: left ones by their own hash, right ones by that of the other side.

    A heavy bucket is divided by the three other bands: near frames of it must have two bands in common.
    """

    def __init__(self, own: U64, other: U64, use: I64, band: int) -> None:
        self._own, self._other, self._band = own, other, band
        self._left, self._left_start = _by_band(own, use, band)
        self._right, self._right_start = _by_band(other, use, band)
        self._work = np.diff(self._left_start) * np.diff(self._right_start)
        self.heavy = int((self._work > HEAVY_ROWS**2).sum())

    def pairs(self, start: int, end: int) -> Iterator[_Block]:
        """Yields what to compare of the buckets of some values: two lists, pair by pair, or a column and a row."""
        work = self._work[start:end]
        small = np.flatnonzero((work > 0) & (work <= _SMALL)) + start
        if len(small):
            left, right = ragged_product(
                small,
                small,
                self._left_start[:-1],
                np.diff(self._left_start),
                self._right_start[:-1],
                np.diff(self._right_start),
            )
            yield self._left[left], self._right[right]
        for value in (np.flatnonzero(work > _SMALL) + start).tolist():
            rows = self._left[self._left_start[value] : self._left_start[value + 1]]
            columns = self._right[self._right_start[value] : self._right_start[value + 1]]
            if work[value - start] <= HEAVY_ROWS**2:
                yield from _stripes(rows, columns)
                continue
            for second in range(BANDS):
                if second != self._band:
                    yield from self._divided(rows, columns, second)

    def _divided(self, rows: I64, columns: I64, second: int) -> Iterator[_Block]:
        left, left_start = _by_band(self._own, rows, second)
        right, right_start = _by_band(self._other, columns, second)
        for value in np.flatnonzero((np.diff(left_start) > 0) & (np.diff(right_start) > 0)).tolist():
            part = left[left_start[value] : left_start[value + 1]][:HEAVY_ROWS]
            yield from _stripes(part, right[right_start[value] : right_start[value + 1]][:HEAVY_ROWS])


def _stripes(rows: I64, columns: I64) -> Iterator[_Block]:
    """Yields a few rows at a time with all columns: all neighbours of a row are seen at once, in little memory."""
    step = max(1, _TILE // len(columns))
    for start in range(0, len(rows), step):
        yield rows[start : start + step, None], columns[None]


def _by_band(hashes: U64, use: I64, band: int) -> tuple[I64, I64]:
    """Returns `use` sorted by the value of a band, and where each of the 65,536 values starts, with the end."""
    values = (hashes[use] >> np.uint64(_BAND_BITS * band)).astype(np.uint16)
    order = np.argsort(values, kind="stable")
    starts = np.r_[0, np.cumsum(np.bincount(values, minlength=1 << _BAND_BITS))]
    return use[order], starts


def _without(found: _Found, stopped: npt.NDArray[np.bool_]) -> None:
    left, right = _joined(found)
    keep = ~(stopped[left] | stopped[right])
    found.left, found.right = [left[keep]], [right[keep]]


def _joined(found: _Found) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    none = np.zeros(0, np.int32)
    return np.concatenate([none, *found.left]), np.concatenate([none, *found.right])
