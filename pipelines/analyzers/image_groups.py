"""Which images of a library show the same picture: from perceptual hashes to groups, without comparing all with all.

Lives here: candidates by bands of the hashes, the proof of a pair, groups without chains. Two hashes that differ in few
bits are equal in at least one band of them (pigeonhole; multi-index hashing, Norouzi et al. 2012), so only images that
share a band are compared. What becomes of a group is `duplicate_images`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

PDQ_SAME = 31
"""Largest PDQ distance, of 256 bits, of two copies of a picture: the threshold of PDQ's authors (hashing.pdf of
facebook/ThreatExchange, 2019). Copies of the tests' photos at half the size or as JPEG 25 are at most 26 bits apart."""
PDQ_LEAST_QUALITY = 50
"""Pictures of less quality (0..100) are too flat for their hash to say anything (same paper)."""
PDQ_BANDS = 16
"""Of 16 bits. Hashes up to 15 bits apart always share one; of pairs at 20, 24, 28 and 31 random bits 99.9, 99, 96 and
91 % do (20,000 draws each, 2026-11-26). pHash's bands find more."""
PHASH_BANDS = 4
FULLEST_BAND = 4096
"""Different hashes with one value of a band that are compared all with all; more say that the band is of a frame or a
background that thousands share, and other bands decide."""
_PAIRS_AT_ONCE = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class ImageHashes:
    """The hashes of n images.

    Attributes:
        phash: (n,) uint64.
        pdq: (n, 32) uint8.
        quality: (n,) of the PDQ hash, 0..100.
    """

    phash: U64
    pdq: U8
    quality: npt.NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.phash)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """m pairs of rows with their PDQ distance; `first` is the smaller row, each pair is there once."""

    first: I64
    second: I64
    distance: I64

    def __len__(self) -> int:
        return len(self.first)


def similar_pairs(
    hashes: ImageHashes, most: int = PDQ_SAME, *, should_stop: Callable[[], bool] = lambda: False
) -> Pairs | None:
    """Returns pairs of images whose PDQ hashes differ in at most that many bits; None when it was asked to stop.

    Flat pictures are left out. Images with equal hashes are a chain of neighbours, not all pairs: many copies of one
    picture cost no more than they are.
    """
    rows = np.flatnonzero(hashes.quality >= PDQ_LEAST_QUALITY)
    words = np.ascontiguousarray(hashes.pdq[rows]).view(np.uint64).reshape(-1, 4)
    unique, first_of, copies = np.unique(words, axis=0, return_index=True, return_inverse=True)
    copies = copies.reshape(-1)
    by_hash = np.argsort(copies, kind="stable")
    same = copies[by_hash][1:] == copies[by_hash][:-1]
    parts = [(rows[by_hash[:-1][same]], rows[by_hash[1:][same]], np.zeros(int(same.sum()), np.int64))]
    bands = [*unique.view(np.uint16).reshape(-1, PDQ_BANDS).T]
    phash = np.ascontiguousarray(hashes.phash[rows][first_of])
    bands += [*phash.view(np.uint16).reshape(-1, PHASH_BANDS).T]
    keys: list[I64] = []
    for band in bands:
        for first, second in _sharing(band):
            if should_stop():
                return None
            distance = np.bitwise_count(unique[first] ^ unique[second]).sum(axis=1, dtype=np.int64)
            near = distance <= most
            keys.append(np.minimum(first[near], second[near]) * len(unique) + np.maximum(first[near], second[near]))
    found = np.unique(np.concatenate(keys)) if keys else np.zeros(0, np.int64)
    first, second = np.divmod(found, max(len(unique), 1))
    distance = np.bitwise_count(unique[first] ^ unique[second]).sum(axis=1, dtype=np.int64)
    parts.append((rows[first_of[first]], rows[first_of[second]], distance))
    ends = [np.concatenate([part[place] for part in parts]) for place in range(3)]
    return Pairs(np.minimum(ends[0], ends[1]), np.maximum(ends[0], ends[1]), ends[2])


def equal_pairs(values: npt.NDArray[np.integer]) -> Pairs:
    """Returns neighbours among the rows of equal values, as a chain; a value below 0 is equal to nothing."""
    order = np.argsort(values, kind="stable")
    same = (values[order][1:] == values[order][:-1]) & (values[order][1:] >= 0)
    first, second = order[:-1][same], order[1:][same]
    return Pairs(np.minimum(first, second), np.maximum(first, second), np.zeros(len(first), np.int64))


def groups_of(pairs: Pairs, worth: I64, same: Callable[[int, I64], npt.NDArray[np.bool_]]) -> list[list[int]]:
    """Returns groups of at least two rows, the keeper first, the others in order of row; without chains.

    Inside what hangs together by pairs, the row that is worth most takes in all that are the same as itself; what is
    left over forms further groups in the same way. So everything in a group is the same as its keeper.

    Args:
        worth: (n,) larger is better; the smaller row of equal ones.
        same: from a row and other rows to whether each is the same picture as it.
    """
    rows = np.unique(np.concatenate([pairs.first, pairs.second]))
    if not len(rows):
        return []
    ends = np.searchsorted(rows, pairs.first), np.searchsorted(rows, pairs.second)
    graph = coo_array((np.ones(len(pairs), np.int8), ends), shape=(len(rows), len(rows)))
    _, labels = connected_components(graph, directed=False)
    order = np.lexsort((rows, -worth[rows], labels))
    edges = np.flatnonzero(np.diff(labels[order], prepend=-1, append=-1))
    found = []
    for start, stop in pairwise(edges):
        left = rows[order[start:stop]]
        while len(left) > 1:
            own = same(int(left[0]), left[1:])
            if own.any():
                found.append([int(left[0]), *sorted(left[1:][own].tolist())])
            left = left[1:][~own]
    return found


def _sharing(band: npt.NDArray[np.uint16]) -> Iterator[tuple[I64, I64]]:
    """Yields all pairs of rows with the same value of a band, about _PAIRS_AT_ONCE at a time."""
    order = np.argsort(band, kind="stable").astype(np.int64)
    starts = np.flatnonzero(np.diff(band[order].astype(np.int64), prepend=-1))
    lengths = np.diff(starts, append=len(order))
    sizes = np.repeat(np.where(lengths > FULLEST_BAND, 0, lengths), lengths)
    # Each row is paired with those after it that have the same value.
    after = np.maximum(sizes - (np.arange(len(order)) - np.repeat(starts, lengths)) - 1, 0)
    total = np.concatenate([[0], np.cumsum(after)])
    begin = 0
    while total[begin] < total[-1]:
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + _PAIRS_AT_ONCE, side="right")) - 1)
        counts = after[begin:end]
        first = np.repeat(np.arange(begin, end), counts)
        step = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield order[first], order[first + step + 1]
        begin = end
