"""All pairs of 64-bit hashes that differ in few bits, without looking at all pairs.

Lives here: tiles of popcounts, and the exact search by pieces. Which hashes these are, and what a near pair means, is
`candidates_phash` and `candidates_frames`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Hits = tuple[I64, I64, U8]
"""Rows on the left, rows on the right, and in how many bits they differ."""

_TILE_ROWS = 64
_TILE_COLUMNS = 2048
"""A tile is 1 MiB of 64-bit numbers; larger ones leave the cache (own measurement, 2026-11-26)."""
_BITS = 64


def tile_hits(left: U64, right: U64 | None, most: int) -> Iterator[Hits]:
    """Yields the pairs that differ in at most `most` bits, tile by tile, in bounded memory.

    Args:
        right: None compares `left` with itself, each pair once, the smaller row first.
    """
    own = right is None
    columns = left if right is None else right
    for top in range(0, len(left), _TILE_ROWS):
        rows = left[top : top + _TILE_ROWS, None]
        for start in range(top if own else 0, len(columns), _TILE_COLUMNS):
            bits = np.bitwise_count(rows ^ columns[None, start : start + _TILE_COLUMNS])
            found = np.flatnonzero(bits <= most)
            if not len(found):
                continue
            row, column = np.divmod(found, bits.shape[1])
            row, column, far = row + top, column + start, bits.ravel()[found]
            if own:
                keep = column > row
                row, column, far = row[keep], column[keep], far[keep]
            if len(row):
                yield row, column, far


def gathered(parts: Sequence[Hits]) -> Hits:
    """Returns many hits as one."""
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    rows, columns, far = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(far)


def near_pairs(hashes: U64, most: int, *, crowd: int, threads: int = 1) -> tuple[Hits, int]:
    """Returns all pairs of different hashes that differ in at most `most` bits, and how many hashes are crowded.

    Exact but for crowds: when the 64 bits are dealt into `most + 1` pieces, two hashes that differ in at most `most`
    bits have an equal piece, so only hashes with an equal piece are compared. Bits that lie together in the picture's
    spectrum are dealt to different pieces, which keeps pieces of like pictures apart. Where equal pieces are so
    common that this saves nothing, all pairs are compared.

    Args:
        hashes: (n,) distinct.
        crowd: of a hash with more neighbours than this behind it in one piece, the nearest ones are kept.
    """
    n = len(hashes)
    pieces = most + 1
    keys = [_piece(hashes, number, pieces) for number in range(pieces)]
    if sum(int((np.unique(key, return_counts=True)[1] ** 2).sum()) for key in keys) >= n * n:
        keys = [np.zeros(n, np.uint64)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = list(pool.map(lambda key: _near_by_key(hashes, key, most, crowd), keys))
    row, column, far = gathered([hits for hits, _ in found])
    code, first = np.unique(np.minimum(row, column) * n + np.maximum(row, column), return_index=True)
    crowded = np.unique(np.concatenate([rows for _, rows in found])) if found else np.zeros(0, np.int64)
    return (code // n, code % n, far[first]), len(crowded)


def _piece(hashes: U64, number: int, pieces: int) -> U64:
    """Returns (n,) the bits number, number + pieces, ... of each hash side by side."""
    key = np.zeros(len(hashes), np.uint64)
    for place, bit in enumerate(range(number, _BITS, pieces)):
        key |= ((hashes >> np.uint64(bit)) & np.uint64(1)) << np.uint64(place)
    return key


def _near_by_key(hashes: U64, key: U64, most: int, crowd: int) -> tuple[Hits, I64]:
    order = np.argsort(key, kind="stable")
    ends = np.r_[np.flatnonzero(key[order][1:] != key[order][:-1]) + 1, len(order)]
    parts: list[Hits] = []
    crowded: list[I64] = [np.zeros(0, np.int64)]
    start = 0
    for end in ends.tolist():
        members = order[start:end]
        start = end
        for row, column, far in _by_rows(hashes[members], most):
            kept = nearest(row, far, crowd)
            if len(kept) < len(row):
                crowded.append(members[np.flatnonzero(np.bincount(row) > crowd)])
            parts.append((members[row[kept]], members[column[kept]], far[kept]))
    return gathered(parts), np.concatenate(crowded)


def _by_rows(hashes: U64, most: int) -> Iterator[Hits]:
    """Yields hits of `tile_hits`, all of one row together."""
    waiting: list[Hits] = []
    top = 0
    for hits in tile_hits(hashes, None, most):
        if waiting and int(hits[0][0]) // _TILE_ROWS != top:
            yield gathered(waiting)
            waiting = []
        top = int(hits[0][0]) // _TILE_ROWS
        waiting.append(hits)
    if waiting:
        yield gathered(waiting)


def nearest(group: I64, far: npt.NDArray[np.generic], most: int) -> I64:
    """Returns the places of the `most` entries with the smallest `far` of each group, in order."""
    if len(group) <= most:
        return np.arange(len(group))
    order = np.lexsort((far, group))
    grouped = group[order]
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.sort(order[rank < most])
