"""Exact search against brute force and against Voyager, the approximate index of the old way.

`recall_at_10`, `batch64`, `single_f32_ms` and `single_f16_ms` are for the pack's dimension, the same names with `_1024`
for 1024 numbers; 366,794 vectors each, as many faces as the largest released database of the old system holds.

The vectors are invented and like those of faces: people with 3.4 photos each, most of the length in a few directions.
How many is set by the spread of the scores of different people (for the `open` pack measured on 90 photos of 27 people:
0.10; for 1024 numbers, two joined embeddings of 512, assumed: 0.06), the likeness of photos of one person by the score
of a photo with another (measured: median 0.75). Queries are further, poorer photos of enrolled people.

Voyager is tuned here: first M and ef_construction on a tenth of the vectors, then the query ef on all of them until
its recall reaches 0.99. Its indices are built once, on all cores, and kept in the work folder; building the larger one
takes long. Both sides use the same vectors and as many threads as there are cores.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import voyager

from pipelines.faces.catalogue import OPEN
from pipelines.faces.index import FaceIndex
from pipelines.machine import cores
from tests.bench.report import Options, Report

ENROLLED = 366_794
QUICK_ENROLLED = {OPEN.template_dim: 21_000, 1024: 4_000}
QUERIES = 512
BATCH = 64
K = 10
SPREADS = {OPEN.template_dim: 0.10, 1024: 0.06}
PHOTO_NOISE = 0.58
QUERY_NOISE = 1.0
WANTED_RECALL = 0.99
DEFAULTS = (12, 200)
"""Voyager's own M and ef_construction."""
TRIALS = ((12, 200), (24, 200), (16, 400))
EFS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 1000, 1600, 2500, 4000, 6400, 10_000)


def run(report: Report, options: Options) -> None:
    for dimension, spread in SPREADS.items():
        suffix = "" if dimension == OPEN.template_dim else f"_{dimension}"
        count = QUICK_ENROLLED[dimension] if options.quick else ENROLLED
        vectors, queries = like_faces(count, dimension, spread)
        _measure(report, options, vectors, queries, suffix)


def like_faces(count: int, dimension: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns (count, dimension) enrolled vectors and (QUERIES, dimension) queries, float32, unit length."""
    random = np.random.default_rng(7)
    # The variance of scores is 1 / the effective number of directions; for exp(-i / t), that is 2 t of them.
    scale = np.maximum(np.exp(-np.arange(dimension) * spread**2), 0.02).astype(np.float32)
    turn = np.linalg.qr(random.standard_normal((dimension, dimension)))[0].astype(np.float32)

    def draw(rows: int) -> np.ndarray:
        values = random.standard_normal((rows, dimension), dtype=np.float32) * scale
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    def near(people: np.ndarray, noise: float) -> np.ndarray:
        values = people + noise * draw(len(people))
        return (values / np.linalg.norm(values, axis=1, keepdims=True)) @ turn

    people = draw(max(1, round(count / 3.4)))
    owner = random.integers(0, len(people), count)
    vectors = np.empty((count, dimension), dtype=np.float32)
    for start in range(0, count, 50_000):
        vectors[start : start + 50_000] = near(people[owner[start : start + 50_000]], PHOTO_NOISE)
    return vectors, near(people[random.integers(0, len(people), QUERIES)], QUERY_NOISE)


def _measure(report: Report, options: Options, vectors: np.ndarray, queries: np.ndarray, suffix: str) -> None:
    count, dimension = vectors.shape
    report.add(f"score_spread{suffix}", float((queries @ vectors[::101].T).std()), f"{count} x {dimension}")
    truth = brute_force(vectors, queries)
    recalls = []
    for dtype, short in (("float32", "f32"), ("float16", "f16")):
        started = time.perf_counter()
        index = FaceIndex.build(vectors, template_id="bench", dtype=dtype)
        report.add(f"build_{short}_s{suffix}", time.perf_counter() - started, "s")
        stored = index._vectors.original(slice(None))
        recalls.append(recall(index.search(queries, K).performers, brute_force(stored, queries)))
        report.add(
            f"recall_at_10_{short}_against_float32{suffix}", recall(index.search(queries, K).performers, truth), ""
        )
        del stored
        report.add(f"head_share_{short}{suffix}", index._vectors.head.shape[1] / dimension, "of the numbers")
        report.add(f"memory_{short}_mb{suffix}", index.size_bytes / 1e6, "MB")
        report.add(f"single_{short}_ms{suffix}", _single_ms(lambda q, i=index: i.search(q, K), queries), "ms, p50")
        ours = _batch_ms(lambda q, i=index: i.search(q, K), queries)
        if dtype == "float32":
            batch_ms = ours
        else:
            report.add(f"batch64_{short}{suffix}", ours, "ms a query")
        del index
    report.add(f"recall_at_10{suffix}", min(recalls), "against brute force on the stored values")
    _compare_with_voyager(report, options, vectors, queries, truth, batch_ms, suffix)


def _compare_with_voyager(
    report: Report,
    options: Options,
    vectors: np.ndarray,
    queries: np.ndarray,
    truth: np.ndarray,
    batch_ms: float,
    suffix: str,
) -> None:
    default = _voyager(options.workdir, vectors, *DEFAULTS)
    found = default.query(queries, k=K, num_threads=cores())[0]
    report.add(f"voyager_defaults_recall{suffix}", recall(found, truth), "")
    default_ms = _batch_ms(lambda q: default.query(q, k=K, num_threads=cores()), queries)
    report.add(
        f"voyager_defaults_batch64{suffix}", default_ms, "ms a query", baseline=batch_ms, ratio=default_ms / batch_ms
    )
    shape = DEFAULTS if options.quick else _best_shape(vectors, queries)
    tuned = default if shape == DEFAULTS else _voyager(options.workdir, vectors, *shape)
    ef, reached = _smallest_ef(tuned, queries, truth)
    report.add(f"voyager_tuned_m{suffix}", shape[0], f"ef_construction {shape[1]}, query ef {ef}")
    report.add(f"voyager_tuned_recall{suffix}", reached, "")
    tuned_ms = _batch_ms(lambda q: tuned.query(q, k=K, query_ef=ef, num_threads=cores()), queries)
    report.add(f"batch64{suffix}", batch_ms, "ms a query", baseline=tuned_ms, ratio=tuned_ms / batch_ms)
    single_ms = _single_ms(lambda q: tuned.query(q, k=K, query_ef=ef), queries)
    report.add(f"voyager_tuned_single_ms{suffix}", single_ms, "ms, p50")


def brute_force(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Returns (q, K): the best vectors of each query, by plain matrix products."""
    best = []
    for start in range(0, len(queries), BATCH):
        some = queries[start : start + BATCH]
        scores = np.concatenate([some @ vectors[i : i + 20_000].T for i in range(0, len(vectors), 20_000)], axis=1)
        best.append(np.argpartition(scores, len(vectors) - K, axis=1)[:, -K:])
    return np.concatenate(best)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(f) & set(t)) / K for f, t in zip(found.tolist(), truth.tolist(), strict=True)]))


def _best_shape(vectors: np.ndarray, queries: np.ndarray) -> tuple[int, int]:
    """Returns M and ef_construction of the fastest of TRIALS at the wanted recall, on a tenth of the vectors."""
    some = vectors[: max(3000, len(vectors) // 10)]
    truth = brute_force(some, queries)
    times = {}
    for m, ef_construction in TRIALS:
        index = voyager.Index(voyager.Space.Cosine, some.shape[1], M=m, ef_construction=ef_construction)
        index.add_items(some, num_threads=cores())
        ef, reached = _smallest_ef(index, queries, truth)
        if reached >= WANTED_RECALL:
            search = lambda q, i=index, e=ef: i.query(q, k=K, query_ef=e, num_threads=cores())  # noqa: E731
            times[m, ef_construction] = _batch_ms(search, queries)
    return min(times, key=times.__getitem__) if times else DEFAULTS


def _smallest_ef(index: voyager.Index, queries: np.ndarray, truth: np.ndarray) -> tuple[int, float]:
    for ef in EFS:
        reached = recall(index.query(queries, k=K, query_ef=ef, num_threads=cores())[0], truth)
        if reached >= WANTED_RECALL:
            break
    return ef, reached


def _voyager(workdir: Path, vectors: np.ndarray, m: int, ef_construction: int) -> voyager.Index:
    count, dimension = vectors.shape
    path = workdir / f"search-{count}-{dimension}-m{m}-efc{ef_construction}-v1.voy"
    if path.exists():
        return voyager.Index.load(str(path))
    index = voyager.Index(voyager.Space.Cosine, dimension, M=m, ef_construction=ef_construction, max_elements=count)
    index.add_items(vectors, num_threads=cores())
    partial = path.with_suffix(".partial")
    index.save(str(partial))
    partial.rename(path)
    return index


def _batch_ms(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """Returns the best of several passes, ms a query in batches of BATCH."""
    batches = [queries[i : i + BATCH] for i in range(0, len(queries), BATCH)]
    search(batches[0])
    best = []
    for _ in range(3):
        started = time.perf_counter()
        for batch in batches:
            search(batch)
        best.append((time.perf_counter() - started) * 1e3 / len(queries))
    return min(best)


def _single_ms(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    search(queries[:1])
    times = []
    for i in range(64):
        started = time.perf_counter()
        search(queries[i : i + 1])
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)
