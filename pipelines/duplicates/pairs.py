"""Pairs of scenes as numbers: how groups give pairs without growing with the square of the group.

A pair (a, b), a < b, of n scenes is the number a * n + b. No function here looks at two scenes at a time in Python.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.duplicates.hamming import I64

Places = npt.NDArray[np.intp] | I64


def pair_codes(a: I64, b: I64, n: int) -> I64:
    """Returns (m,) the numbers of pairs in either order; pairs of a scene with itself are left out."""
    keep = a != b
    a, b = a[keep], b[keep]
    codes: I64 = np.minimum(a, b) * n + np.maximum(a, b)
    return codes


def neighbours(key: I64, value: I64, *, within: int, most: int) -> tuple[I64, I64, int]:
    """Returns the places of entries with the same key and values at most `within` apart, each pair once.

    Args:
        key: (m,) entries below 0 belong to no group.
        value: (m,) integers.
        most: an entry is paired with this many of those behind it in order of value, the nearest: m * most pairs at
            most, however large a group is.

    Returns (left, right, capped): two (k,) arrays, and the number of entries that had more neighbours.
    """
    order = np.lexsort((value, key))
    order = order[key[order] >= 0]
    left: list[I64] = [np.zeros(0, np.int64)]
    right: list[I64] = [np.zeros(0, np.int64)]
    for step in range(1, most + 2):
        first, second = order[:-step], order[step:]
        close = (key[first] == key[second]) & (value[second] - value[first] <= within)
        if step > most or not close.any():
            return np.concatenate(left), np.concatenate(right), int(close.sum())
        left.append(first[close])
        right.append(second[close])
    raise AssertionError  # the loop returns in its last step


def ragged_product(
    left: I64, right: I64, starts: I64, sizes: I64, right_starts: I64 | None = None, right_sizes: I64 | None = None
) -> tuple[I64, I64]:
    """Returns all pairs of members of two groups, for each of k pairs of groups, those of one left member together.

    Args:
        left, right: (k,) groups.
        starts, sizes: (g,) where the members of a group begin, and how many there are; those on the right may be
            numbered otherwise.
    """
    other = starts if right_starts is None else right_starts
    wide = (sizes if right_sizes is None else right_sizes)[right]
    count = sizes[left] * wide
    owner = np.repeat(np.arange(len(left)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return starts[left][owner] + place // wide[owner], other[right][owner] + place % wide[owner]
