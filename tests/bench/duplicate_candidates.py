"""Candidates for duplicate scenes in a large library: time, memory, growth, and whether what was planted is found.

The library is invented: a phash for every scene and a second one for every fifth, near pairs of 0 to 10 bits; 60 frame
hashes a scene whose bands are equal as often as those of real unrelated scenes (1.8e-4 for one of four, measured
2026-11-22), three in a row alike as within a shot; copies (some mirrored) that share a fifth of their frames with up to
three bits of noise; openings that hundreds of scenes of a studio have; studios, performers and dates, with 5,000 scenes
of one studio on one day. Frames are read from a Parquet file like those of scans.

`whole_run_*` is what a run of `duplicate_scenes` does beside listing and decoding: columns of scenes, frames from disk,
all candidates, proofs from the store, scores, groups. Each size runs in a process of its own; its memory is the peak
above what the process had before.

`naive_ratio` compares with the loop over all pairs that Stash and the old system use, on the phashes of 10,000 scenes.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.duplicates.calibration import duplicate_probability
from pipelines.duplicates.candidates import Candidates, find_candidates
from pipelines.duplicates.candidates_frames import frame_pairs
from pipelines.duplicates.candidates_phash import phash_pairs
from pipelines.duplicates.frame_table import COLUMNS, FrameTable
from pipelines.duplicates.groups import Edge, group_scenes
from pipelines.duplicates.proof import PROOF_VERSION
from pipelines.duplicates.proof_store import ProofStore
from pipelines.duplicates.scene_table import Links, SceneTable
from pipelines.duplicates.score import score_pair
from pipelines.duplicates.types import Alignment, Proof
from pipelines.machine import cores
from pipelines.stash.records import Fingerprint, PerformerRef, Scene, StashId, StudioRef, VideoFile
from pipelines.store.scan_schema import FRAME_SCHEMA
from pipelines.store.sql import open_store
from tests.bench.report import Options, Report

SIZES = (25_000, 100_000)
QUICK_SIZES = (500, 2_000)
NAIVE, QUICK_NAIVE = 10_000, 1_000
FRAMES = 60
SHARED = 12
COPIES_SHARE = 0.02
NEAR_SHARE = 0.05
ONE_DAY = 0.05
SCENES_A_STUDIO = 500
BIASED = 0.632
"""A bit is 1 (or, for half of the bits, 0) this often: then two of 16 bits are equal in 4.5e-5 of all pairs."""
ODD = np.uint64(0x5555_5555_5555_5555)
BOX = "https://stashbox.example/graphql"


def run(report: Report, options: Options) -> None:
    context = multiprocessing.get_context("spawn")
    figures: dict[int, dict[str, float]] = {}
    sizes = QUICK_SIZES if options.quick else SIZES
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=context) as process:
            figures[size] = process.submit(measure, size, options.workdir).result()
        for metric, value in figures[size].items():
            unit = "s" if metric.endswith("_s") else "MB" if metric.endswith("_mb") else ""
            report.add(f"{metric}_{size}", value, unit)
    small, large = sizes
    for metric in ("phash_s", "frames_s", "whole_run_s", "whole_run_mb"):
        growth = figures[large][metric] / max(figures[small][metric], 1e-9)
        report.add(f"growth_{metric}", growth, f"for {large / small:g} times the scenes")
    naive(report, QUICK_NAIVE if options.quick else NAIVE)


def naive(report: Report, size: int) -> None:
    random = np.random.default_rng(3)
    table = SceneTable.of(_scenes(random, size)[0])
    began = time.perf_counter()
    ours = len(phash_pairs(table, threads=cores()).code)
    ours_s = time.perf_counter() - began
    values, owners = table.phash.tolist(), table.phash_scene.tolist()
    found = set()
    began = time.perf_counter()
    for i, value in enumerate(values):
        for j in range(i):
            if (value ^ values[j]).bit_count() <= 10 and owners[i] != owners[j]:
                found.add((owners[j], owners[i]))
    naive_s = time.perf_counter() - began
    if len(found) != ours:
        raise AssertionError(f"{ours} pairs, the pair loop finds {len(found)}")
    report.add(f"naive_phash_s_{size}", ours_s, "s", baseline=naive_s, ratio=naive_s / ours_s)


def measure(size: int, workdir: Path) -> dict[str, float]:
    """Runs in a process of its own. Returns figures by metric."""
    random = np.random.default_rng(size)
    frames_path = workdir / f"duplicate-frames-{size}.parquet"
    copies = _write_frames(frames_path, random, size)
    scenes, near = _scenes(random, size)
    before = _peak_mb()
    figures: dict[str, float] = {}
    began = whole = time.perf_counter()
    table = SceneTable.of(scenes)
    figures["columns_s"] = time.perf_counter() - began
    del scenes

    began = time.perf_counter()
    phash = phash_pairs(table, threads=cores())
    figures["phash_s"] = time.perf_counter() - began
    figures["phash_mb"] = _peak_mb() - before
    figures["phash_hashes"] = len(table.phash)
    figures["phash_planted"] = len(near)
    figures["phash_recall"] = float(np.isin(near, phash.code).mean())
    whole += time.perf_counter() - began  # it is done again below, as a part of the whole run

    began = time.perf_counter()
    frames = FrameTable.from_batches(pq.ParquetFile(frames_path).iter_batches(8000, columns=list(COLUMNS)), table)
    figures["read_frames_s"] = time.perf_counter() - began

    began = time.perf_counter()
    found = find_candidates(table, frames, _people(random, size), threads=cores())
    figures["candidates_s"] = time.perf_counter() - began
    code = found.a * len(table) + found.b
    figures["candidate_pairs"] = len(found)
    figures["frames_recall"] = float(np.isin(copies, code[found.frame_votes > 0]).mean())
    figures["frame_pairs"] = found.counts.frames
    figures["stopped_frames"] = found.counts.stopped_frames
    figures["metadata_pairs"] = found.counts.metadata
    figures["metadata_capped"] = found.counts.capped.get("metadata", 0)

    figures |= _known(workdir / f"duplicate-proofs-{size}.db", table, found, whole)
    figures["whole_run_mb"] = _peak_mb() - before

    began = time.perf_counter()
    frame_pairs(frames, len(table), threads=cores())
    figures["frames_s"] = time.perf_counter() - began
    return figures


def _known(path: Path, table: SceneTable, found: Candidates, whole: float) -> dict[str, float]:
    """Keeps a proof for every pair, off the clock, then looks all of them up, scores and groups them."""
    path.unlink(missing_ok=True)
    store = open_store(f"sqlite:///{path}")
    began = time.perf_counter()
    where = Alignment(0.0, 1.0, False, (0.0, 600.0), (0.0, 600.0))
    yes = Proof("copy", 12.0, 0.95, 600.0, where, version=PROOF_VERSION)
    no = Proof("different", 120.0, None, 20.0, version=PROOF_VERSION)
    files = [(table.fingerprints[a], table.fingerprints[b]) for a, b in zip(found.a, found.b, strict=True)]
    kept = ProofStore(store, PROOF_VERSION)
    likely = (found.phash_distance <= 4) | (found.frame_votes >= 6)
    rows = list(zip(files, likely.tolist(), strict=True))
    for start in range(0, len(rows), 2000):
        kept.put({pair: yes if sure else no for pair, sure in rows[start : start + 2000]})
    whole += time.perf_counter() - began

    began = time.perf_counter()
    proofs = kept.get(files)
    edges = []
    shown = 0
    for row, pair in enumerate(files):
        proof = proofs[pair]
        probability = duplicate_probability(proof)
        shown += score_pair(found.signals(row), proof, probability) is not None
        edges.append(Edge(table.ids[found.a[row]], table.ids[found.b[row]], probability if proof.duplicate else 0.0))
    groups = len(set(group_scenes(edges).values()))
    ended = time.perf_counter()
    store.close()
    return {"known_proofs_s": ended - began, "shown": shown, "groups": groups, "whole_run_s": ended - whole}


def _scenes(random: np.random.Generator, size: int) -> tuple[list[Scene], np.ndarray]:
    """Returns scenes, and the codes of the pairs with near phashes."""
    hashes = random.integers(0, 2**64, size, dtype=np.uint64)
    second = random.integers(0, 2**64, size // 5, dtype=np.uint64)
    near = max(10, int(NEAR_SHARE * size))
    one, two = random.permutation(size)[: 2 * near].reshape(2, near)
    order = np.argsort(random.random((near, 64)), axis=1)
    bits = np.where(np.arange(64) < (np.arange(near) % 11)[:, None], np.uint64(1) << order.astype(np.uint64), 0)
    hashes[two] = hashes[one] ^ np.bitwise_or.reduce(bits.astype(np.uint64), axis=1)
    one_day, studios = int(ONE_DAY * size), max(2, size // SCENES_A_STUDIO)
    scenes = []
    for number in range(size):
        same = number < one_day
        phashes = [int(hashes[number]), *([int(second[number // 5])] if number % 5 == 0 else [])]
        prints = (Fingerprint("oshash", f"{number:016x}"), *(Fingerprint("phash", f"{h:x}") for h in phashes))
        day = 1 + int(random.integers(28))
        date = "2020-01-01" if same else f"20{random.integers(10, 24)}-{random.integers(1, 13):02}-{day:02}"
        scenes.append(
            Scene(
                str(number + 1),
                date=date,
                studio=StudioRef("0" if same else str(1 + number % studios)),
                performers=tuple(PerformerRef(str(p)) for p in ([0] if same else random.integers(1, size // 10, 2))),
                files=(VideoFile(str(number), "", duration_s=float(random.integers(300, 3000)), fingerprints=prints),),
                stash_ids=(StashId(BOX, str(number if number % 1000 else number + 1)),) if number % 2 == 0 else (),
            )
        )
    codes = np.minimum(one, two).astype(np.int64) * size + np.maximum(one, two)
    return scenes, codes


def _people(random: np.random.Generator, size: int) -> Links:
    scene = np.repeat(np.arange(0, size, 2), 2)
    return Links(scene, random.integers(0, 1000, len(scene)))


def _write_frames(path: Path, random: np.random.Generator, size: int) -> np.ndarray:
    """Writes frames of all scenes; returns the codes of the pairs that share some."""
    flipped = random.integers(0, 2, 64)
    copies = max(10, int(COPIES_SHARE * size))
    one, two = random.permutation(size)[: 2 * copies].reshape(2, copies)
    source = np.full(size, -1, np.int64)
    source[two] = one
    phash = np.concatenate([_hashes(random, flipped, part) for part in _blocks(size)])
    time_s = np.sort(random.random((size, FRAMES), np.float32), axis=1) * np.float32(1500)
    pdq_seed = random.integers(0, 2**63, (size, FRAMES), dtype=np.uint64)
    studio = np.arange(size) % max(2, size // SCENES_A_STUDIO)
    phash[:, 0] = _hashes(random, flipped, int(studio.max()) + 1)[studio, 0]  # everybody's opening
    places = np.argsort(random.random((copies, FRAMES - 1)), axis=1)[:, :SHARED] + 1
    mirrored = np.arange(copies) % 4 == 0
    noise = np.bitwise_or.reduce(np.uint64(1) << random.integers(0, 64, (copies, SHARED, 3)).astype(np.uint64), axis=2)
    rows = two[:, None]
    phash[rows, places] = phash[one[:, None], places] ^ noise ^ np.where(mirrored, ODD, np.uint64(0))[:, None]
    time_s[rows, places] = time_s[one[:, None], places] + (random.random(copies) * 60).astype(np.float32)[:, None]
    pdq_seed[rows, places] = pdq_seed[one[:, None], places]
    turned = np.zeros((size, FRAMES), np.bool_)
    turned[rows, places] = mirrored[:, None]
    schema = pa.schema([FRAME_SCHEMA.field(name) for name in COLUMNS])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, size, 5000):
            writer.write_table(_rows(slice(start, min(size, start + 5000)), phash, time_s, pdq_seed, turned, schema))
    return np.minimum(one, two).astype(np.int64) * size + np.maximum(one, two)


def _blocks(size: int) -> Iterator[int]:
    for start in range(0, size, 10_000):
        yield min(10_000, size - start)


def _hashes(random: np.random.Generator, flipped: np.ndarray, size: int) -> np.ndarray:
    """Returns (size, FRAMES) hashes; three in a row are of one shot."""
    shots = (random.random((size, FRAMES // 3, 64), np.float32) < BIASED) ^ flipped.astype(np.bool_)
    packed = np.packbits(shots, axis=2).view(">u8")[..., 0].astype(np.uint64)
    hashes = np.repeat(packed, 3, axis=1)
    return hashes ^ (np.uint64(1) << random.integers(0, 64, hashes.shape).astype(np.uint64))


def _rows(which: slice, phash: Any, time_s: Any, pdq_seed: Any, turned: Any, schema: Any) -> pa.Table:
    numbers = np.repeat(np.arange(which.start, which.stop), FRAMES)
    seed = pdq_seed[which].reshape(-1)
    words = np.stack([seed * np.uint64(2 * k + 1) ^ (seed >> np.uint64(17 + k)) for k in range(4)], axis=1)
    words ^= np.where(turned[which].reshape(-1), ODD, np.uint64(0))[:, None]
    pdq = pa.Array.from_buffers(pa.binary(32), len(words), [None, pa.py_buffer(words.tobytes())])
    ids = pa.array(numbers + 1).cast(pa.string())
    prints = pa.array([f"oshash:{number:016x}" for number in range(which.start, which.stop)])
    columns = {
        "kind": pa.array(["scene"]).take(pa.array(np.zeros(len(numbers), np.int64))),
        "content_id": ids,
        "file_fingerprint": prints.take(pa.array(numbers - which.start)),
        "time_s": pa.array(time_s[which].reshape(-1)),
        "phash": pa.array(phash[which].reshape(-1)),
        "pdq": pdq,
        "pdq_quality": pa.array(np.full(len(numbers), 100, np.uint8)),
    }
    return pa.Table.from_arrays([columns[f.name].cast(f.type) for f in schema], schema=schema)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
