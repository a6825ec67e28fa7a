"""Importing a released bundle as large as the largest one: seconds, memory, and that every face comes back.

The bundle is invented, in the format of the first Stash Sense: 366,794 faces of 108,001 performers, 512 numbers of
FaceNet and 512 of ArcFace each, in two indices that the real Voyager library writes. People are random directions,
their photos lie around them. Building the indices takes minutes (with little care, ef_construction 8: only the vectors
are read back) and is not measured; the bundle stays in the work folder.

The import runs in a process of its own; `import_peak_mb` is the most memory of that process and its children together,
above what it had before it began. Beside it the successor's format: a full bundle of 150,000 faces and three deltas.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from pipelines.faces.catalogue import get_pack
from pipelines.machine import cores
from pipelines.releases import ImportStep, import_release
from pipelines.store.performers import PerformerDatabase
from tests.bench.process_memory import tree_memory_mb, watch_memory
from tests.bench.report import Options, Report
from tests.releases import bundles

FACES, PERFORMERS = 366_794, 108_001
SUCCESSOR_FACES, SUCCESSOR_PERFORMERS = 150_000, 60_000
QUICK = (3_000, 900)
DIMENSION = 512
PHOTO_NOISE = 0.58
CHUNK = 20_000
DELTAS, CHANGED = 3, 2_000
SAMPLE = 2_000
SUCCESSOR = "2026.09.01"


def run(report: Report, options: Options) -> None:
    faces, performers = QUICK if options.quick else (FACES, PERFORMERS)
    folder = stash_sense_bundle(options.workdir, faces, performers)
    owners = photo_owners(faces, performers)
    vectors = np.concatenate([photos(owners, performers, seed)[:SAMPLE] for seed in (1, 2)], axis=1)
    _measure(report, options, "", [zipped(folder)], "stash-sense-2026", owners, vectors)

    faces, performers = QUICK if options.quick else (SUCCESSOR_FACES, SUCCESSOR_PERFORMERS)
    folder = successor_bundle(options.workdir, faces, performers)
    owners = photo_owners(faces, performers)
    vectors = photos(owners, performers, seed=1)[:SAMPLE]
    deltas = successor_deltas(options.workdir, faces, performers)
    database = _measure(report, options, "successor_", [zipped(folder)], "buffalo_l", owners, vectors)
    result = _import_apart(deltas, database, "buffalo_l", options.workdir)
    report.add("successor_deltas_s", result.seconds, f"s, {DELTAS} deltas of {CHANGED} faces, one version")
    report.add("successor_deltas_peak_mb", result.peak_mb, "MB above the start")
    report.add("successor_deltas_faces", result.faces, "")
    shutil.rmtree(database.parent)


@dataclass
class Result:
    """What an import in a process of its own took.

    Attributes:
        stages: seconds until the next stage began, by stage.
        peak_mb: most memory of the process and its children, above what it had before.
    """

    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    performers: int = 0
    faces: int = 0
    peak_mb: float = 0.0


def _measure(
    report: Report,
    options: Options,
    prefix: str,
    paths: list[Path],
    pack_id: str,
    owners: np.ndarray,
    vectors: np.ndarray,
) -> Path:
    """Imports bundles, reports figures and returns the database's folder.

    Args:
        vectors: (SAMPLE, template_dim): what the first faces must come back as.
    """
    root = options.workdir / f"{prefix}import-database" / "performer-db"
    shutil.rmtree(root.parent, ignore_errors=True)
    result = _import_apart(paths, root, pack_id, options.workdir)
    templates_mb = result.faces * get_pack(pack_id).template_dim * 2 / 1e6
    sizes = f"{result.faces} faces of {result.performers} performers, zip of {paths[0].stat().st_size / 1e6:.0f} MB"
    report.add(f"{prefix}import_s", result.seconds, f"s, {sizes}")
    for stage, seconds in result.stages.items():
        report.add(f"{prefix}import_{stage}_s", seconds, "s")
    report.add(f"{prefix}templates_mb", templates_mb, "MB of templates, float16")
    report.add(f"{prefix}import_peak_mb", result.peak_mb, "MB above the start")
    report.add(f"{prefix}import_over_templates_mb", result.peak_mb - templates_mb, "MB, at most 3000")
    database = PerformerDatabase(root)
    on_disk = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    report.add(f"{prefix}database_mb", on_disk / 1e6, "MB on disk")
    started = time.perf_counter()
    gallery = database.load()
    report.add(f"{prefix}load_s", time.perf_counter() - started, "s")
    report.add(f"{prefix}index_mb", gallery.index.size_bytes / 1e6, "MB in memory")
    hits = gallery.search(vectors, 1)
    names = gallery.names(hits.performers[:, 0])
    found = [names[row][0] for row in hits.performers[:, 0].tolist()]
    own = [f"stashdb.org:{bundles.uuid(owner + 1)}" for owner in owners[:SAMPLE].tolist()]
    right = float(np.mean([a == b for a, b in zip(found, own, strict=True)]))
    report.add(f"{prefix}self_retrieval", right, f"of {len(own)} faces find their performer")
    keys = successor_keys(SAMPLE) if prefix else np.arange(SAMPLE)
    report.add(f"{prefix}template_error", _template_error(database, vectors, keys), "largest difference of a number")
    if not prefix:
        shutil.rmtree(root.parent)
    return root


def _template_error(database: PerformerDatabase, vectors: np.ndarray, keys: np.ndarray) -> float:
    """Returns the largest difference between a stored number and the one that was written into the bundle as `keys`."""
    (source,) = database.manifest().sources
    numbers = {bundles.face_url(key): i for i, key in enumerate(keys.tolist())}
    worst, seen = 0.0, 0
    faces = database.source_faces(source, columns=["source", "template"])
    assert faces is not None
    for batch in faces.to_batches(CHUNK):
        places = [numbers.get(text.partition("#")[0]) for text in batch["source"].to_pylist()]
        rows = [row for row, place in enumerate(places) if place is not None]
        if rows:
            values = batch["template"].flatten().to_numpy(zero_copy_only=False).reshape(len(batch), -1)[rows]
            wanted = vectors[[place for place in places if place is not None]]
            worst, seen = max(worst, float(np.abs(values.astype(np.float32) - wanted).max())), seen + len(rows)
    assert seen == len(vectors), f"{seen} of {len(vectors)} faces came back"
    return worst


def _import_apart(paths: list[Path], root: Path, pack_id: str, workdir: Path) -> Result:
    """Imports bundles in a process of its own and returns what that took."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_import, args=(theirs, paths, root, pack_id, workdir / "import-work"))
    process.start()
    try:
        ours.recv()
        before_mb, _ = tree_memory_mb(process.pid)
        with watch_memory(process.pid) as memory:
            ours.send("go")
            result: Result = ours.recv()
    finally:
        process.join(10)
        process.kill()
    result.peak_mb = memory.peak_mb - before_mb
    return result


def _import(pipe: Connection, paths: list[Path], root: Path, pack_id: str, workdir: Path) -> None:
    pipe.send("ready")
    pipe.recv()
    result, began = Result(), {}
    started = time.perf_counter()

    def progress(step: ImportStep) -> None:
        began.setdefault(step.stage, time.perf_counter())

    done = import_release(paths, PerformerDatabase(root), get_pack(pack_id), workdir=workdir, progress=progress)
    ended = time.perf_counter()
    edges = [*began.values(), ended]
    result.seconds = ended - started
    result.stages = {stage: edges[i + 1] - edges[i] for i, stage in enumerate(began)}
    result.performers, result.faces = done.performers, done.faces
    pipe.send(result)


def invented_people(count: int) -> list[bundles.Person]:
    """Returns performers with aliases, and every third with an id of a second stash-box."""
    return [
        bundles.Person(
            n,
            f"Person {n}",
            {"stashdb": bundles.uuid(n)} | ({"theporndb": bundles.uuid(1_000_000 + n)} if n % 3 == 0 else {}),
            aliases=tuple(f"Alias {a} of {n}" for a in range(n % 4)),
            country="GB",
            gender="FEMALE",
            birth_date=f"{1960 + n % 40}-01-01",
            career=(1990, None),
        )
        for n in range(1, count + 1)
    ]


def photo_owners(faces: int, performers: int) -> np.ndarray:
    """Returns (faces,) performer of each face; everybody has one at least."""
    random = np.random.default_rng(1)
    owners = np.concatenate([np.arange(performers), random.integers(0, performers, faces - performers)])
    random.shuffle(owners)
    return owners


def photos(owners: np.ndarray, performers: int, seed: int) -> np.ndarray:
    """Returns (faces, 512) float32, unit length: photos around random people."""
    random = np.random.default_rng(seed)
    centres = bundles.vectors(performers, DIMENSION, seed)
    values = np.empty((len(owners), DIMENSION), dtype=np.float32)
    for start in range(0, len(owners), CHUNK):
        some = owners[start : start + CHUNK]
        noise = random.standard_normal((len(some), DIMENSION), dtype=np.float32) * np.float32(DIMENSION**-0.5)
        near = centres[some] + PHOTO_NOISE * noise
        values[start : start + CHUNK] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return values


def stash_sense_bundle(workdir: Path, faces: int, performers: int) -> Path:
    """Returns the folder of the invented bundle of that size, made once."""
    folder = workdir / f"bundle-{faces}-{performers}-v1"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    owners = photo_owners(faces, performers)
    bundles.write_stash_sense(
        partial,
        invented_people(performers),
        owners.tolist(),
        photos(owners, performers, seed=1),
        photos(owners, performers, seed=2),
        ef_construction=8,
        threads=cores(),
    )
    return partial.rename(folder)


def successor_bundle(workdir: Path, faces: int, performers: int) -> Path:
    """Returns the folder of an invented full bundle of the successor, made once; every fourth number is a hole."""
    folder = workdir / f"successor-{faces}-{performers}-v1"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    owners = photo_owners(faces, performers)
    keys = successor_keys(faces)
    bundles.write_stash_sense2(
        partial,
        invented_people(performers),
        dict(zip(keys.tolist(), owners.tolist(), strict=True)),
        (keys, photos(owners, performers, seed=1)),
        version=SUCCESSOR,
        threads=cores(),
    )
    return partial.rename(folder)


def successor_keys(faces: int) -> np.ndarray:
    """Returns (faces,) ascending numbers, three of each four."""
    rank = np.arange(faces)
    return rank // 3 * 4 + rank % 3


def successor_deltas(workdir: Path, faces: int, performers: int) -> list[Path]:
    """Returns a chain of deltas: each adds and removes faces of known and of new performers."""
    folder = workdir / f"successor-deltas-{faces}-{performers}"
    shutil.rmtree(folder, ignore_errors=True)
    top = int(successor_keys(faces)[-1]) + 1
    versions = [SUCCESSOR, *(f"2026.09.{8 + 7 * n:02d}" for n in range(DELTAS))]
    paths = []
    for n, (start, end) in enumerate(pairwise(versions)):
        vectors = bundles.vectors(CHANGED, seed=50 + n)
        owners = [(n * CHANGED + i) % (performers + 500) + 1 for i in range(CHANGED)]
        rows = {
            "performers": [
                {"id": o, "endpoint": "stashdb", "stashbox_id": bundles.uuid(o), "action": "upsert", "name": f"P {o}"}
                for o in sorted(set(owners))
            ],
            "faces": [
                {
                    "embedding_index": top + n * CHANGED + i,
                    "endpoint": "stashdb",
                    "stashbox_id": bundles.uuid(owner),
                    "image_url": "https://cdn.invalid/new.jpg",
                    "embedding": vectors[i].tobytes(),
                }
                for i, owner in enumerate(owners)
            ],
            "removed_faces": [{"embedding_index": 4 * (n * 200 + i)} for i in range(200)],
        }
        paths.append(bundles.write_delta(folder, start, end, rows))
    return paths


def zipped(folder: Path) -> Path:
    """Returns the bundle as a zip beside its folder, made once."""
    path = folder.with_suffix(".zip")
    if not path.exists():
        bundles.zip_folder(folder, path.with_suffix(".partial")).rename(path)
    return path
