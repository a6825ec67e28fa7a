"""Exact search: the performers whose enrolled templates have the largest inner product with a query.

Lives here: `FaceIndex`. How the vectors are arranged is `vectors`. On a CPU, batches are searched by blocks: one matrix
product a block and a running cut per query, which needs no more memory than a block; a few float16 queries are scanned
by FAISS, which widens and multiplies in one pass over the memory; many queries are scanned by FAISS too, a block of
whole vectors at a time, because widening a block once for all of them costs next to nothing. With a GPU build of FAISS
and a device the search runs there (`GpuIndexFlat`, exact as well).

Several rows may belong to one performer; results are pooled per performer (largest score) before any cut, so a
performer with many photos never pushes another one out of the answer. What a vector means is not known here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Self

import faiss
import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from pipelines.errors import DatabaseCorrupt, InputError
from pipelines.faces.types import F32, I32
from pipelines.faces.vectors import BOUND_SLACK, VECTOR_FILES, IndexDtype, SplitQueries, SplitVectors
from pipelines.machine import cores

__all__ = ["FaceIndex", "Hits", "IndexDtype", "file_sha256"]

INDEX_FORMAT = 2
INDEX_FILES = (*VECTOR_FILES, "performers.npy", "index.json")

_BLOCK_BYTES = 4 << 20
"""Float32 bytes of one block of rows: large enough for full speed of the matrix product, near the size of a cache."""
_FIRST_ROWS = 1024
"""Rows of the first block, in which every query has to find a first cut."""
_QUERIES_AT_ONCE = 256
_FEW_QUERIES = 4
_MANY_QUERIES = 1024
"""From here on heads that are most of a vector save less than bounds cost: 4096 queries in 108,000 vectors of 128
numbers (heads of 96) took 0.93 ms of one core each by bounds, 0.41 to 0.46 ms by whole vectors (own measurement,
2026-11-22)."""
_MANY_AT_ONCE = 8192
_SMALL_HEAD_SHARE = 0.6
"""Below it bounds win for any number of queries: at heads of 480 of 1024 numbers both took the same time."""
_FIRST_BOUNDS = 48
"""How many times k vectors FAISS is asked for first."""
_MAX_HIT_SHARE = 0.01
"""When the bounds of a block leave more than this share of it, all its exact scores are computed instead."""
Scan = Callable[[SplitVectors, SplitQueries, int, int, int], tuple[F32, I32]]
"""A search of the rows start..stop: (vectors, queries, k, start, stop) to scores and vector numbers."""
_BLAS = ThreadpoolController()  # type: ignore[no-untyped-call]
_BLAS_LOCK = Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The best performers of each query, best first.

    Attributes:
        scores: (q, k) float32 inner products; -inf where there are fewer than k performers.
        performers: (q, k) int32 performer rows; -1 where there are fewer than k performers.
    """

    scores: F32
    performers: I32


class FaceIndex:
    """Vectors with a performer row each. Immutable and thread-safe; batches of one process run one after another."""

    def __init__(
        self, vectors: SplitVectors, performers: I32, dtype: IndexDtype, template_id: str, threads: int = 0
    ) -> None:
        """Use `build` or `load`.

        Args:
            performers: (n,) int32, performer row of each vector.
            threads: CPU threads of one search; 0 = all that this process may use.
        """
        self._vectors = vectors
        self._all_rows = performers
        self._rows = performers
        self._unique = len(np.unique(performers)) == len(performers)
        self.hidden = 0
        """Number of vectors that are never found."""
        self.dtype: IndexDtype = dtype
        self.template_id = template_id
        self.threads = threads or cores()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="face-index")
        self._gpu = _on_gpu(vectors, dtype)

    @classmethod
    def build(
        cls,
        vectors: F32,
        performers: npt.NDArray[np.integer[Any]] | None = None,
        *,
        template_id: str,
        dtype: IndexDtype = "float16",
        threads: int = 0,
    ) -> Self:
        """Returns an index of (n, d) projected templates; n may be 0.

        Args:
            performers: (n,) performer row of each vector; 0..n-1 when None.
        """
        if vectors.ndim != 2 or vectors.shape[1] == 0:
            raise InputError(f"Vectors have shape {vectors.shape}, must be (n, d).")
        rows = np.arange(len(vectors)) if performers is None else np.asarray(performers)
        if rows.shape != (len(vectors),):
            raise InputError(f"{len(vectors)} vectors need as many performer rows, not {rows.shape}.")
        return cls(SplitVectors.build(vectors, dtype), rows.astype(np.int32), dtype, template_id, threads)

    def hiding(self, performers: npt.NDArray[np.integer[Any]]) -> FaceIndex:
        """Returns an index of the same vectors in which these performer rows are never found, and all others are."""
        other = copy(self)
        away = np.isin(self._all_rows, performers)
        other._rows = np.where(away, np.int32(-1), self._all_rows)  # noqa: SLF001 - of this class
        other.hidden = int(away.sum())
        return other

    @property
    def count(self) -> int:
        """Number of vectors, hidden ones included."""
        return len(self._rows)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._vectors.dimension

    @property
    def size_bytes(self) -> int:
        """Bytes of the vectors and their performer rows."""
        return int(self._vectors.nbytes + self._rows.nbytes)

    @property
    def device(self) -> Literal["cpu", "gpu"]:
        return "cpu" if self._gpu is None else "gpu"

    def search(self, queries: F32, k: int) -> Hits:
        """Returns the k best performers of each of (q, d) queries, pooled per performer; exact."""
        queries = self._checked(queries)
        if k < 1:
            raise InputError(f"k is {k}, must be at least 1.")
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        performers = np.full((len(queries), k), -1, dtype=np.int32)
        todo, depth = np.arange(len(queries)), min(k if self._unique and not self.hidden else 4 * k, self.count)
        while len(todo) and depth:
            found, ids = self._nearest(queries[todo], depth)
            full = _pool(found, self._rows[ids], k, scores, performers, todo)
            if depth == self.count:
                break
            todo, depth = todo[~full], min(4 * depth, self.count)
        return Hits(scores, performers)

    def scores_of(self, queries: F32, performers: npt.NDArray[np.integer[Any]]) -> F32:
        """Returns (q, p) float32: best score of each query with each given performer row; -inf for no vector."""
        queries = self._checked(queries)
        scores = np.full((len(queries), len(performers)), -np.inf, dtype=np.float32)
        for column, performer in enumerate(performers):
            own = self.vectors_of(int(performer))
            if len(own):
                scores[:, column] = (queries @ own.T).max(axis=1)
        return scores

    def vectors_of(self, performer: int) -> F32:
        """Returns (n, d) float32: the stored vectors of one performer row."""
        return self._vectors.original(np.flatnonzero(self._rows == performer))

    def save(self, folder: Path) -> None:
        """Writes `INDEX_FILES` into an existing folder; the caller makes the folder appear at once."""
        self._vectors.save(folder)
        np.save(folder / "performers.npy", self._all_rows)
        header = {
            "format": INDEX_FORMAT,
            "template_id": self.template_id,
            "dtype": self.dtype,
            "dimension": self.dimension,
            "count": self.count,
            "sha256": {name: file_sha256(folder / name) for name in INDEX_FILES[:-1]},
        }
        (folder / "index.json").write_text(json.dumps(header, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path, *, mmap: bool = True, verify: bool = False, threads: int = 0) -> Self:
        """Returns the index saved in a folder.

        Args:
            mmap: map the vectors from disk, so that they are shared between processes and loaded when first used.
            verify: compare the sha256 of the files first (reads them all).

        Raises:
            DatabaseCorrupt: a file is missing, of another format, or disagrees with the header.
        """
        try:
            header = json.loads((folder / "index.json").read_text())
            if header["format"] != INDEX_FORMAT:
                raise _corrupt(folder, f"its format is {header['format']}, this version reads {INDEX_FORMAT}")
            if verify:
                _verify(folder, header["sha256"])
            vectors = SplitVectors.load(folder, header["dtype"], mmap=mmap)
            performers = np.load(folder / "performers.npy")
            found = (vectors.count, vectors.dimension, len(performers))
            if found != (header["count"], header["dimension"], header["count"]):
                raise _corrupt(folder, "the counts of its files differ")
            return cls(vectors, performers, header["dtype"], header["template_id"], threads)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise _corrupt(folder, str(error)) from error

    def _checked(self, queries: F32) -> F32:
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise InputError(f"Queries have shape {queries.shape}, must be (q, {self.dimension}).")
        return np.ascontiguousarray(queries, dtype=np.float32)

    def _nearest(self, queries: F32, k: int) -> tuple[F32, I32]:
        """Returns scores and vector numbers, (q, k) each, best first; k is at most `count`."""
        if self._gpu is not None:
            scores, ids = self._gpu.search(_whole(self._vectors.queries(queries), self._vectors), k)
            return scores, ids.astype(np.int32)
        at_once = _MANY_AT_ONCE if len(queries) >= _MANY_QUERIES else _QUERIES_AT_ONCE
        parts = [
            self._nearest_on_cpu(self._vectors.queries(queries[start : start + at_once]), k)
            for start in range(0, len(queries), at_once)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _nearest_on_cpu(self, queries: SplitQueries, k: int) -> tuple[F32, I32]:
        edges = np.linspace(0, self.count, min(self.threads, self.count) + 1).astype(int)
        scan = self._scan(len(queries))
        # The shares are spread over this pool, so the matrix product itself must not start threads of its own. The
        # limit is one of the whole process, hence the lock.
        with _BLAS_LOCK, _BLAS.limit(limits=1, user_api="blas"):
            futures = [
                self._pool.submit(scan, self._vectors, queries, k, int(start), int(stop))
                for start, stop in pairwise(edges)
            ]
            shares = [future.result() for future in futures]
        return _best(np.concatenate([s[0] for s in shares], axis=1), np.concatenate([s[1] for s in shares], axis=1), k)

    def _scan(self, queries: int) -> Scan:
        """Returns the fastest way to search with that many queries."""
        if self.dtype == "float16" and queries <= _FEW_QUERIES:
            return _scan_with_faiss
        whole = self._vectors.width >= _SMALL_HEAD_SHARE * self.dimension
        return _scan_whole_vectors if queries >= _MANY_QUERIES and whole else _scan_by_blocks


def _scan_whole_vectors(vectors: SplitVectors, queries: SplitQueries, k: int, start: int, stop: int) -> tuple[F32, I32]:
    """Returns the best min(k, stop - start) of rows start..stop: scores and vector numbers, (q, .) each."""
    faiss.omp_set_num_threads(1)  # of the calling thread
    whole = _whole(queries, vectors)
    rows_at_once = max(_FIRST_ROWS, 2 * k, _BLOCK_BYTES // (4 * vectors.dimension))
    buffer = np.empty((min(rows_at_once, stop - start), vectors.dimension), dtype=np.float32)
    best = np.empty((len(whole), 0), dtype=np.float32)
    ids = np.empty((len(whole), 0), dtype=np.int32)
    for first in range(start, stop, rows_at_once):
        block = buffer[: min(rows_at_once, stop - first)]
        vectors.widen(first, block)
        scores, numbers = faiss.knn(whole, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        numbers = numbers.astype(np.int32) + np.int32(first)
        best, ids = _best(np.concatenate([best, scores], axis=1), np.concatenate([ids, numbers], axis=1), k)
    return best, ids


def _scan_with_faiss(vectors: SplitVectors, queries: SplitQueries, k: int, start: int, stop: int) -> tuple[F32, I32]:
    """Returns the best min(k, stop - start) of rows start..stop: scores and vector numbers, (q, .) each.

    Takes ever more vectors in order of their bounds until the next bound is below the k-th exact score.
    """
    faiss.omp_set_num_threads(1)  # of the calling thread
    parameters: Any = faiss.SearchParameters
    share = parameters(sel=faiss.IDSelectorRange(start, stop, True))
    depth = min(_FIRST_BOUNDS * k if vectors.is_split else k, stop - start)
    while True:
        bounds, ids = vectors.store.search(queries.head, depth, params=share)
        ids = ids.astype(np.int32)
        if not vectors.is_split:
            return bounds, ids
        query_rows = np.repeat(np.arange(len(queries)), depth)
        exact = vectors.scores(queries, query_rows, ids.ravel(), bounds.ravel()).reshape(ids.shape)
        best, numbers = _best(exact, ids, k)
        if depth == stop - start or (bounds[:, -1] + BOUND_SLACK < best[:, -1]).all():
            return best, numbers
        depth = min(8 * depth, stop - start)


def _scan_by_blocks(vectors: SplitVectors, queries: SplitQueries, k: int, start: int, stop: int) -> tuple[F32, I32]:
    """Returns the best min(k, stop - start) of rows start..stop: scores and vector numbers, (q, .) each."""
    rows_at_once = max(_FIRST_ROWS, 2 * k, _BLOCK_BYTES // (4 * vectors.head.shape[1]))
    best = np.empty((len(queries), 0), dtype=np.float32)
    ids = np.empty((len(queries), 0), dtype=np.int32)
    edges = [start, *range(min(start + max(_FIRST_ROWS, 2 * k), stop), stop, rows_at_once), stop]
    for first, last in pairwise(edges):
        # Vectors times queries: 1.4 times faster here than queries times vectors (64 x 128 numbers, OpenBLAS, own
        # measurement, 2026-11-22).
        bounds = vectors.head[first:last].astype(np.float32, copy=False) @ queries.head.T
        if best.shape[1] < k:
            # The cut that the exact scores of the likeliest few give.
            cut = _largest(bounds, min(2 * k, last - first))
            best, ids = _merge(vectors, queries, best, ids, bounds, bounds >= cut, first, k)
            bounds[bounds >= cut] = -np.inf
        hits = bounds >= best[:, -1] - BOUND_SLACK if best.shape[1] == k else np.isfinite(bounds)
        best, ids = _merge(vectors, queries, best, ids, bounds, hits, first, k)
    return best, ids


def _largest(bounds: F32, k: int) -> F32:
    """Returns (q,): the k-th largest of each column."""
    columns = np.ascontiguousarray(bounds.T)
    cut: F32 = np.partition(columns, columns.shape[1] - k, axis=1)[:, columns.shape[1] - k]
    return cut


def _merge(
    vectors: SplitVectors,
    queries: SplitQueries,
    best: F32,
    ids: I32,
    bounds: F32,
    hits: npt.NDArray[np.bool_],
    first: int,
    k: int,
) -> tuple[F32, I32]:
    """Returns the k best of `best` (with `ids`) and of the hits (m, q) of a block whose row 0 is vector `first`."""
    found = np.flatnonzero(hits)
    if not len(found):
        return best, ids
    rows, query_rows = np.divmod(found, hits.shape[1])
    if not vectors.is_split:
        exact = bounds[rows, query_rows]
    elif len(found) > _MAX_HIT_SHARE * hits.size:
        exact = vectors.block_scores(queries, first, first + len(hits))[query_rows, rows]
    else:
        exact = vectors.scores(queries, query_rows, rows + first, bounds[rows, query_rows])
    order = np.argsort(query_rows, kind="stable")
    query_rows, rows, exact = query_rows[order], rows[order], exact[order]
    place = np.arange(len(found)) - np.searchsorted(query_rows, query_rows)
    shape = len(best), int(place.max()) + 1
    scores, numbers = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, -1, dtype=np.int32)
    scores[query_rows, place] = exact
    numbers[query_rows, place] = rows + first
    return _best(np.concatenate([best, scores], axis=1), np.concatenate([ids, numbers], axis=1), k)


def _best(scores: F32, ids: I32, k: int) -> tuple[F32, I32]:
    """Returns the k best columns of each row, best first; equal scores in order of id."""
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)


def _pool(
    found: F32, rows: I32, k: int, scores: F32, performers: I32, targets: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Writes each query's first k different performers to its target row; returns which queries have k of them.

    Rows below 0 are hidden.
    """
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    repeated = np.zeros_like(ordered, dtype=bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    first = np.empty_like(repeated)
    np.put_along_axis(first, order, ~repeated & (ordered >= 0), axis=1)
    place = np.cumsum(first, axis=1) - 1
    queries, columns = np.nonzero(first & (place < k))
    scores[targets[queries], place[queries, columns]] = found[queries, columns]
    performers[targets[queries], place[queries, columns]] = rows[queries, columns]
    full: npt.NDArray[np.bool_] = first.sum(axis=1) >= k
    return full


def _whole(queries: SplitQueries, vectors: SplitVectors) -> F32:
    """Returns (q, d): rotated queries without the lengths of their tails."""
    return np.ascontiguousarray(np.concatenate([queries.head[:, : vectors.width], queries.tail], axis=1))


def _on_gpu(vectors: SplitVectors, dtype: IndexDtype) -> Any | None:
    """Returns a flat index of the whole vectors on the first GPU, or None when this FAISS has none."""
    if not vectors.count or not getattr(faiss, "get_num_gpus", lambda: 0)():
        return None
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = dtype == "float16"
    index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), vectors.dimension, config)
    step = max(1, (64 << 20) // (4 * vectors.dimension))
    for start in range(0, vectors.count, step):
        rows = slice(start, start + step)
        whole = np.concatenate([vectors.head[rows, : vectors.width], vectors.tail[rows]], axis=1)
        index.add(np.ascontiguousarray(whole, dtype=np.float32))
    return index


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(folder: Path, expected: dict[str, str]) -> None:
    for name, sha256 in expected.items():
        if file_sha256(folder / name) != sha256:
            raise _corrupt(folder, f"the sha256 of {name} is not that of its header")


def _corrupt(folder: Path, reason: str) -> DatabaseCorrupt:
    return DatabaseCorrupt(f"The face index in {folder} cannot be used: {reason}.", "Enrol again or restore a backup.")
