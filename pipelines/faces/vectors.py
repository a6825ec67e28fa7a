"""Vectors arranged so that most of an exact search needs only their first part.

Lives here: `SplitVectors`. The vectors are rotated onto their principal axes, which changes no inner product, and cut
into a head, which holds nearly all of their length, and a tail. By Cauchy and Schwarz

    x . q  <=  head(x) . head(q) + |tail(x)| * |tail(q)|

and |tail(x)| is kept as one more number of the head, |tail(q)| of the query's head, so that one inner product of heads
is an upper bound of the score. A search scans the heads and looks at the tails of the few vectors whose bound reaches
the k-th best score: the answer is exact whatever the data, the speed depends on how much of the length the head holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import faiss
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from pipelines.errors import InputError
from pipelines.faces.types import F32

IndexDtype = Literal["float32", "float16"]
VECTOR_FILES = ("head.faiss", "tail.npy", "rotation.npy")

MAX_HEAD_SHARE = 0.75
"""Vectors are split only when the head is at most this share of the whole."""
TAIL_COST = 100.0
"""Time to look at the tail of one vector, as a multiple of its share of a matrix product (own measurement, 2026-11-22:
100 to 200 for 1024 numbers). It decides how wide the head is."""
_TOP = 10
MIN_SPLIT_COUNT = 20_000
"""Fewer vectors are searched in a millisecond anyway."""
_SAMPLE = 16_384
_BLOCK_BYTES = 16 << 20
BOUND_SLACK = np.float32(1e-5)
"""Added to an upper bound for the rounding of float32 sums (observed below 1e-6)."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitQueries:
    """Queries in the arrangement of the vectors: heads (q, h) with the length of the tail last, and tails (q, t)."""

    head: F32
    tail: F32

    def __len__(self) -> int:
        return len(self.head)

    def __getitem__(self, rows: slice) -> SplitQueries:
        return SplitQueries(self.head[rows], self.tail[rows])


@dataclass(frozen=True, slots=True, eq=False)
class SplitVectors:
    """n vectors of d numbers.

    Attributes:
        store: FAISS index that holds the heads.
        head: (n, h) view of them; the last column is the length of the tail when there are tails.
        tail: (n, t) of the same dtype; t is 0 when the vectors are not split, then `head` is the vectors.
        rotation: (d, d) float32, orthogonal; (0, 0) when the vectors are not split.
    """

    store: Any
    head: npt.NDArray[np.floating[Any]]
    tail: npt.NDArray[np.floating[Any]]
    rotation: F32

    @classmethod
    def build(cls, vectors: F32, dtype: IndexDtype) -> Self:
        """Returns the arrangement of (n, d) float32 vectors, stored with the given precision."""
        if dtype not in {"float32", "float16"}:
            raise InputError(f"The index dtype is {dtype!r}.", "Choose float16 or float32.")
        count, dimension = vectors.shape
        rotation, width = _principal_axes(vectors)
        tail = np.empty((count, dimension - width), dtype=dtype)
        store = _empty_store(width + (width < dimension), dtype)
        step = max(1, _BLOCK_BYTES // (4 * dimension))
        for start in range(0, count, step):
            block = np.ascontiguousarray(vectors[start : start + step], dtype=np.float32)
            if width < dimension:
                block = block @ rotation
                tail[start : start + step] = block[:, width:]
                lengths = _rounded_up(tail[start : start + step], dtype)
                block = np.concatenate([block[:, :width], lengths[:, None]], axis=1)
            store.add(block)
        return cls(store, _view(store, dtype), tail, rotation)

    @property
    def count(self) -> int:
        return len(self.tail)

    @property
    def is_split(self) -> bool:
        return bool(self.tail.shape[1])

    @property
    def width(self) -> int:
        """How many numbers of a vector are in its head."""
        return int(self.store.d) - self.is_split

    @property
    def dimension(self) -> int:
        return int(self.width + self.tail.shape[1])

    @property
    def nbytes(self) -> int:
        return int(self.head.nbytes + self.tail.nbytes + self.rotation.nbytes)

    def queries(self, queries: F32) -> SplitQueries:
        """Returns (q, d) queries in the arrangement of the vectors."""
        if not self.is_split:
            return SplitQueries(queries, queries[:, :0])
        rotated = queries @ self.rotation
        tail = np.ascontiguousarray(rotated[:, self.width :])
        lengths = np.sqrt(np.einsum("ij,ij->i", tail, tail))
        return SplitQueries(np.concatenate([rotated[:, : self.width], lengths[:, None]], axis=1), tail)

    def scores(
        self,
        queries: SplitQueries,
        query_rows: npt.NDArray[np.integer[Any]],
        rows: npt.NDArray[np.integer[Any]],
        bounds: F32,
    ) -> F32:
        """Returns (m,) float32: exact scores of query query_rows[i] with vector rows[i], bounded by bounds[i]."""
        if not self.is_split:
            return bounds
        lengths = self.head[rows, -1].astype(np.float32, copy=False) * queries.head[query_rows, -1]
        tails = self.tail[rows].astype(np.float32, copy=False)
        scores: F32 = bounds - lengths + np.einsum("ij,ij->i", tails, queries.tail[query_rows])
        return scores

    def block_scores(self, queries: SplitQueries, start: int, stop: int) -> F32:
        """Returns (q, stop - start) float32: exact scores with the vectors start..stop."""
        width = self.width
        scores: F32 = queries.head[:, :width] @ self.head[start:stop, :width].astype(np.float32, copy=False).T
        if self.is_split:
            scores += queries.tail @ self.tail[start:stop].astype(np.float32, copy=False).T
        return scores

    def widen(self, start: int, out: F32) -> None:
        """Writes the vectors from `start` on, rotated like the queries, into all rows of out (m, d)."""
        rows = slice(start, start + len(out))
        out[:, : self.width] = self.head[rows, : self.width]
        out[:, self.width :] = self.tail[rows]

    def original(self, rows: npt.NDArray[np.integer[Any]] | slice) -> F32:
        """Returns (m, d) float32: vectors as they were given, up to rounding."""
        head = self.head[rows, : self.width].astype(np.float32)
        if not self.is_split:
            return head
        full = np.concatenate([head, self.tail[rows].astype(np.float32)], axis=1)
        rotated_back: F32 = full @ self.rotation.T
        return rotated_back

    def save(self, folder: Path) -> None:
        """Writes VECTOR_FILES into an existing folder."""
        faiss.write_index(self.store, str(folder / VECTOR_FILES[0]))
        np.save(folder / VECTOR_FILES[1], self.tail)
        np.save(folder / VECTOR_FILES[2], self.rotation)

    @classmethod
    def load(cls, folder: Path, dtype: IndexDtype, *, mmap: bool = True) -> Self:
        """Returns what `save` wrote; with `mmap` the vectors stay on disk until they are used. Raises OSError,
        RuntimeError or ValueError when a file is missing or damaged.
        """
        store = faiss.read_index(str(folder / VECTOR_FILES[0]), faiss.IO_FLAG_MMAP_IFC if mmap else 0)
        tail = np.load(folder / VECTOR_FILES[1], mmap_mode="r" if mmap else None)
        rotation = np.load(folder / VECTOR_FILES[2])
        vectors = cls(store, _view(store, dtype), tail, rotation)
        if store.ntotal != len(tail) or (vectors.is_split and rotation.shape != (vectors.dimension,) * 2):
            raise ValueError("the shapes of its files do not fit")
        return vectors


def _principal_axes(vectors: F32) -> tuple[F32, int]:
    """Returns the rotation and the width of the head; (0, 0) and d when splitting does not pay."""
    count, dimension = vectors.shape
    whole = np.empty((0, 0), dtype=np.float32), dimension
    if count < MIN_SPLIT_COUNT:
        return whole
    sample = np.asarray(vectors[:: max(1, count // _SAMPLE)], dtype=np.float64)
    energies, axes = np.linalg.eigh(sample.T @ sample / len(sample))
    energies, axes = energies[::-1], np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)
    energies = np.maximum(energies, 0) / energies.sum()
    # The head and its bound together fill whole SIMD registers.
    widths = np.arange(32, int(MAX_HEAD_SHARE * dimension) + 1, 32) - 1
    if not len(widths):
        return whole
    width = int(widths[_search_cost(energies, widths, count).argmin()])
    return (axes, width) if _search_cost(energies, np.array([width]), count)[0] < 1 else whole


def _search_cost(
    energies: npt.NDArray[np.float64], widths: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.float64]:
    """Returns the expected time of a search for each width of the head, 1 = all scores by a matrix product.

    Scores of strangers are taken to be normal, their variance is the sum of the squared energies, and the mean product
    of two tails' lengths is the energy of the tails: so much are the bounds above the scores.
    """
    spread = np.sqrt((energies**2).sum())
    above = 1 - np.cumsum(energies)[widths - 1]
    hits = ndtr(ndtri(_TOP / count) + above / spread)
    cost: npt.NDArray[np.float64] = (widths + 1) / len(energies) + TAIL_COST * hits
    return cost


def _rounded_up(tail: npt.NDArray[np.floating[Any]], dtype: IndexDtype) -> F32:
    """Returns (n,) float32: the lengths of the stored tails, rounded up in the given precision."""
    exact = np.sqrt(np.einsum("ij,ij->i", tail, tail, dtype=np.float64))
    stored = exact.astype(dtype)
    lengths: F32 = np.where(stored < exact, np.nextafter(stored, np.array(np.inf, dtype=dtype)), stored)
    return lengths.astype(np.float32)


def _empty_store(width: int, dtype: IndexDtype) -> Any:
    if dtype == "float32":
        return faiss.IndexFlatIP(width)
    return faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _view(store: Any, dtype: IndexDtype) -> npt.NDArray[np.floating[Any]]:
    """Returns the vectors that FAISS holds, without a copy; the store must outlive the view."""
    if not store.ntotal:
        return np.empty((0, store.d), dtype=dtype)
    codes: npt.NDArray[np.uint8] = faiss.rev_swig_ptr(store.codes.data(), store.codes.size())
    return codes.view(dtype).reshape(store.ntotal, store.d)
