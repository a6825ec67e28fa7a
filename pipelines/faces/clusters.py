"""Which faces of a whole library are one person: average linkage of many vectors, exact, in little memory.

Lives here: `average_linkage`. Unlike `tracks`, which groups the faces of one scene, it never holds all distances: the
average similarity of two groups is the inner product of their means, so a group is one vector however many members it
has. Groups that are each other's nearest are joined, all at once; for average linkage, joining such pairs in any order
gives the tree that joining the nearest pair of all, one after the other, gives (Bruynooghe 1977, Murtagh 1983: no
group comes nearer to a third by being joined). For the same reason a group whose nearest is below the cut is finished.
A chain of weak links never makes a group, because every member counts in the average.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
import numpy.typing as npt

from pipelines.faces.types import F32, I32

I64 = npt.NDArray[np.int64]

PRODUCTS_AT_ONCE = 50_000_000_000
"""Multiplications between two looks at `should_stop`: about a second on two cores (154 s for 200,000 vectors of 128
numbers, `make bench NAME=people_findings`, 2026-11-26)."""
_NEIGHBOURS = 2
"""The nearest of a group is itself."""


def average_linkage(
    vectors: F32, cut: float, *, threads: int = 0, should_stop: Callable[[], bool] = lambda: False
) -> I32 | None:
    """Returns (n,) int32 labels 0, 1, ... in order of first appearance; None when it was asked to stop.

    Args:
        vectors: (n, d) unit length.
        cut: least average inner product of the members of two groups that are joined.
        threads: CPU threads; 0 = as many as FAISS takes by itself.
    """
    if threads:
        faiss.omp_set_num_threads(threads)
    groups = _Groups(vectors)
    while groups.search(cut, should_stop):
        if not groups.join():
            return _by_appearance(groups.parents)
    return None


class _Groups:
    """The groups that may still be joined, one vector each.

    Attributes:
        parents: (n,) for each vector, the group that it is in.
    """

    def __init__(self, vectors: F32) -> None:
        self.parents: I64 = np.arange(len(vectors), dtype=np.int64)
        self._means = np.array(vectors, dtype=np.float32, order="C")
        self._sizes = np.ones(len(vectors), dtype=np.int64)
        self._names: I64 = np.arange(len(vectors), dtype=np.int64)
        self._nearest: I64 = np.full(len(vectors), -1, dtype=np.int64)
        self._scores = np.full(len(vectors), -np.inf, dtype=np.float32)
        self._into: I64 = np.arange(len(vectors), dtype=np.int64)

    def search(self, cut: float, should_stop: Callable[[], bool]) -> bool:
        """Finds the nearest group of each that has none, and forgets those that are finished; False when stopped."""
        todo = np.flatnonzero(self._nearest < 0)
        if len(self._means) < _NEIGHBOURS:
            todo = todo[:0]
        at_once = max(1, PRODUCTS_AT_ONCE // max(1, self._means.size))
        for start in range(0, len(todo), at_once):
            if should_stop():
                return False
            rows = todo[start : start + at_once]
            scores, found = faiss.knn(self._means[rows], self._means, _NEIGHBOURS, metric=faiss.METRIC_INNER_PRODUCT)
            # Of equal vectors the first one may come before the vector itself.
            own = found[:, 0] == rows
            self._nearest[rows] = np.where(own, found[:, 1], found[:, 0])
            self._scores[rows] = np.where(own, scores[:, 1], scores[:, 0])
        self._keep((self._scores >= cut) & (self._nearest >= 0))
        return True

    def join(self) -> bool:
        """Joins all pairs that are each other's nearest; False when there is nothing to join."""
        count = len(self._means)
        if not count:
            self._resolve()
            return False
        rows = np.arange(count)
        mutual = (self._nearest[self._nearest] == rows) & (rows < self._nearest)
        first = np.flatnonzero(mutual)
        if not len(first):
            # Equal scores, or scores that differ by rounding, can go round in a circle; the best pair is right.
            first = np.array([int(self._scores.argmax())])
        second = self._nearest[first]
        sizes = self._sizes[first] + self._sizes[second]
        share = (self._sizes[second] / sizes).astype(np.float32)[:, None]
        self._means[first] += share * (self._means[second] - self._means[first])
        self._sizes[first] = sizes
        self._into[self._names[second]] = self._names[first]
        touched = np.zeros(count, dtype=bool)
        touched[first] = touched[second] = True
        self._nearest[touched | touched[self._nearest]] = -1
        gone = np.zeros(count, dtype=bool)
        gone[second] = True
        self._keep(~gone)
        return True

    def _keep(self, kept: npt.NDArray[np.bool_]) -> None:
        """Forgets groups; nobody who stays has one of them as its nearest."""
        if kept.all():
            return
        numbers = np.cumsum(kept) - 1
        self._means = self._means[kept]
        self._sizes, self._names, self._scores = self._sizes[kept], self._names[kept], self._scores[kept]
        nearest = self._nearest[kept]
        self._nearest = np.where(nearest < 0, -1, numbers[nearest])

    def _resolve(self) -> None:
        """Follows who was joined into whom, to the end."""
        into = self._into
        while not np.array_equal(further := into[into], into):
            into = further
        self.parents = into


def _by_appearance(groups: I64) -> I32:
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    ranked: I32 = rank[inverse]
    return ranked
