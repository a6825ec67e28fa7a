"""Pairs of scenes by the hashes of their scanned frames: what finds trims, clips and scenes with another opening.

Two frames are near when one of the four 16-bit bands of their pHash64 is equal and at most 8 bits differ; near frames
of two scenes vote for the offset of one scene on the other, and three distinct frames on both sides at one offset make
a candidate. Measured at 1 frame a second: 99 % of copies have an equal band, unrelated scenes never reach three frames
(2026-11-22). A scan keeps some 60 key frames a scene, which in two encodes lie at different times: how much of that
recall is left is measured by the benchmark `duplicate_candidates`.

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
from pipelines.duplicates.hamming import I64, U64, gathered, tile_hits
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
_CHUNK = 512


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
    groups = np.arange(n) if linked is None else linked
    search = _Search(frames, groups, query, stop_scenes)
    plain, df = search.run(frames.phash, MAX_FRAME_DISTANCE, threads)
    stopped = df >= stop_scenes
    mirror, _ = search.run(frames.phash ^ _ODD_COLUMNS, MAX_MIRROR_DISTANCE, threads, mirrored=True, stopped=stopped)
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
        self._frames = frames
        self._scene = frames.scene
        self._group = groups[frames.scene]
        self._query = None if query is None else query[frames.scene]
        self._stop = stop_scenes

    def run(
        self,
        other: U64,
        most: int,
        threads: int,
        *,
        mirrored: bool = False,
        stopped: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[_Found, npt.NDArray[np.int32]]:
        """Returns near frames of `frames.phash` (left) and `other` (right), and (m,) in how many scenes each is near.

        The number is that of the band with the most, so a frame is near in at least so many scenes.
        """
        found, df = _Found([], []), np.zeros(len(self._frames), np.int32)
        if not len(self._frames):
            return found, df
        use = np.arange(len(self._frames)) if stopped is None else np.flatnonzero(~stopped)
        with ThreadPoolExecutor(max(1, threads)) as pool:
            for band in range(BANDS):
                buckets = _Buckets(self._frames.phash, other, use, band, same=not mirrored)
                found.heavy += buckets.heavy

                def work(block: tuple[int, int], buckets: Any = buckets, band: int = band) -> Any:
                    return self._near(buckets, block, other, most, band, mirrored=mirrored)

                for left, right, near, scenes in pool.map(work, buckets.blocks()):
                    found.left.append(left)
                    found.right.append(right)
                    np.maximum.at(df, near, scenes)
        return found, df

    def _near(
        self, buckets: _Buckets, block: tuple[int, int], other: U64, most: int, band: int, *, mirrored: bool
    ) -> tuple[Any, Any, Any, Any]:
        lefts, rights, near, scenes = [], [], [], []
        for rows, columns in buckets.pairs(*block):
            left, right, far = self._hits(rows, columns, other, most)
            if not len(left):
                continue
            # A pair is counted in the first of the bands that it has in common.
            differing = self._frames.phash[left] ^ other[right]
            first = np.ones(len(left), np.bool_)
            for earlier in range(band):
                first &= (differing >> np.uint64(_BAND_BITS * earlier)) & np.uint64(0xFFFF) != 0
            keep = first & (self._scene[left] != self._scene[right])
            if mirrored:
                turned = self._frames.pdq[left] ^ self._frames.pdq[right] ^ _ODD_COLUMNS
                keep &= (left < right) & (np.bitwise_count(turned).sum(axis=1) <= MAX_MIRROR_PDQ)
            else:
                who, many = self._near_scenes(left, right, far)
                near.append(who)
                scenes.append(many)
                crowded = who[many >= self._stop]
                if len(crowded):
                    keep &= ~(np.isin(left, crowded) | np.isin(right, crowded))
            if self._query is not None:
                keep &= self._query[left] | self._query[right]
            lefts.append(left[keep].astype(np.int32))
            rights.append(right[keep].astype(np.int32))
        none = np.zeros(0, np.int32)
        left, right, who, many = (np.concatenate([none, *parts]) for parts in (lefts, rights, near, scenes))
        return left, right, who, many

    def _hits(self, rows: I64, columns: I64 | None, other: U64, most: int) -> tuple[I64, I64, Any]:
        left = self._frames.phash[rows]
        row, column, far = gathered(list(tile_hits(left, None if columns is None else other[columns], most)))
        return rows[row], (rows if columns is None else columns)[column], far

    def _near_scenes(self, left: I64, right: I64, far: Any) -> tuple[I64, I64]:
        """Returns frames and to how many scenes, linked ones counted once, each is near."""
        close = far <= STOP_DISTANCE
        one, two = np.r_[left[close], right[close]], np.r_[right[close], left[close]]
        apart = self._group[one] != self._group[two]
        code = np.unique(one[apart] * (int(self._group.max()) + 1) + self._group[two[apart]])
        who, many = np.unique(code // (int(self._group.max()) + 1), return_counts=True)
        return who, many


class _Buckets:
    """Frames by the value of one band: left ones by their own hash, right ones by that of the other side.

    A heavy bucket is divided by the three other bands: near frames of it must have two bands in common.
    """

    def __init__(self, own: U64, other: U64, use: I64, band: int, *, same: bool) -> None:
        self._same = same
        self._own, self._other, self._band = own, other, band
        self._left, self._left_start = _by_band(own, use, band)
        self._right, self._right_start = (self._left, self._left_start) if same else _by_band(other, use, band)
        sizes = np.diff(self._left_start) * np.diff(self._right_start)
        self._heavy = sizes > HEAVY_ROWS**2
        self.heavy = int(self._heavy.sum())

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yields ranges of values."""
        return ((start, start + _CHUNK) for start in range(0, 1 << _BAND_BITS, _CHUNK))

    def pairs(self, start: int, end: int) -> Iterator[tuple[I64, I64 | None]]:
        """Yields rows on the left and on the right, None where they are the same."""
        for value in range(start, end):
            rows = self._left[self._left_start[value] : self._left_start[value + 1]]
            if self._same:
                if len(rows) < 2:
                    continue
                columns = rows
            else:
                columns = self._right[self._right_start[value] : self._right_start[value + 1]]
                if not len(rows) or not len(columns):
                    continue
            if not self._heavy[value]:
                yield rows, (None if self._same else columns)
                continue
            for second in range(BANDS):
                if second != self._band:
                    yield from self._divided(rows, columns, second)

    def _divided(self, rows: I64, columns: I64, second: int) -> Iterator[tuple[I64, I64 | None]]:
        left, left_start = _by_band(self._own, rows, second)
        right, right_start = (left, left_start) if self._same else _by_band(self._other, columns, second)
        filled = np.flatnonzero((np.diff(left_start) > 0) & (np.diff(right_start) > 0))
        for value in filled.tolist():
            part = left[left_start[value] : left_start[value + 1]][:HEAVY_ROWS]
            yield part, (None if self._same else right[right_start[value] : right_start[value + 1]][:HEAVY_ROWS])


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
