"""Whole jobs of `duplicate_scenes` through the queue, against a fake Stash: listing included, decoding aside.

The library is that of `duplicate_candidates`, as scenes of a fake Stash and as a dataset of scans; every pair has a
proof already. The supervisor and its Ray run in a process of their own, as on a server. Four jobs one after the other:
the first one ever; one without any change; one after a title has changed, which lists and does not search; one after a
file has changed, which searches. Stash is asked with the default limit of 5 requests a second. Memory is the largest of
the job's process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.duplicates.candidates import find_candidates
from pipelines.duplicates.frame_table import FrameTable
from pipelines.duplicates.proof import PROOF_VERSION
from pipelines.duplicates.proof_store import ProofStore
from pipelines.duplicates.scene_table import Links, SceneTable
from pipelines.duplicates.types import Alignment, Proof
from pipelines.faces.catalogue import OPEN
from pipelines.machine import cores
from pipelines.settings import Settings
from pipelines.stash.records import Scene
from pipelines.store.jobs import Job, JobStore
from pipelines.store.scan_files import DatasetFiles, DatasetList
from pipelines.store.scan_parts import PartWriter
from pipelines.store.scan_schema import CONTENT_SCHEMA, FRAME_SCHEMA, face_schema
from pipelines.store.sql import Store, open_store
from pipelines.store.templates import ScanDataset
from tests.bench.duplicate_candidates import FRAMES, _scenes, _write_frames
from tests.bench.report import Options, Report
from tests.fakes.stash import FakeStash, Library, StashId
from tests.serve_app.conftest import server_environment

SIZE, QUICK_SIZE = 100_000, 1_000
SCENES_A_BLOCK = 5_000
JOB = "analyze_duplicate_scenes"
LONGEST_S = 1800.0
NOBODY = Links(np.zeros(0, np.int64), np.zeros(0, np.int64))


def run(report: Report, options: Options) -> None:
    size = QUICK_SIZE if options.quick else SIZE
    folder = options.workdir / f"duplicate-run-{size}"
    random = np.random.default_rng(size)
    frames_path = options.workdir / f"duplicate-frames-{size}.parquet"
    _write_frames(frames_path, random, size)
    scenes, _ = _scenes(random, size)
    settings = Settings(data_dir=folder)
    write_scans(settings.scans_path, frames_path, size)
    store = open_store(settings.store_url)
    report.add("search_s", _prove(store, settings, scenes), "s, beside nothing else")
    with FakeStash(library_of(scenes)) as stash, serving(folder, stash.url):
        jobs = JobStore(store)

        def title() -> None:
            stash.library.scenes[1].title = "Another title"
            stash.library.touch(stash.library.scenes[1])

        def file() -> None:
            scene = stash.library.scenes[2]
            stash.library.files[scene.file_ids[0]].fingerprints = (("oshash", "f" * 16),)
            stash.library.touch(scene)

        changes: dict[str, Callable[[], None]] = {"first": lambda: None, "no_change": lambda: None}
        for name, change in (changes | {"title": title, "file": file}).items():
            change()
            stash.requests.clear()
            job, peak_mb = measured(jobs)
            counts = job.result or {}
            report.add(f"{name}_s", (job.ended_at - job.started_at).total_seconds(), "s")  # type: ignore[operator]
            report.add(f"{name}_mb", peak_mb, "MB")
            report.add(f"{name}_requests", len(stash.requests), "of Stash")
            report.add(f"{name}_findings", counts["new"] + counts["updated"] + counts["unchanged"], "")
    store.close()


def measured(jobs: JobStore) -> tuple[Job, float]:
    """Returns a job that has ended, and the largest memory of its process in MB."""
    own = jobs.submit(JOB)
    peak_mb, until = 0.0, time.monotonic() + LONGEST_S
    while (job := jobs.get(own.id)).live and time.monotonic() < until:
        for process in psutil.process_iter(["name", "cmdline"]):
            if "JobRunner.run" in " ".join(process.info["cmdline"] or ()):
                peak_mb = max(peak_mb, _peak_mb(process.pid))
        time.sleep(0.2)
    if job.state != "done":
        raise RuntimeError(f"the job is {job.state}: {job.error_message or job.waiting_for}")
    return job, peak_mb


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


@contextmanager
def serving(data_dir: Path, stash_url: str) -> Iterator[None]:
    """A supervisor with its Ray, in a process of its own."""
    environment = server_environment(data_dir, 1, data_dir, STASH_URL=stash_url, ANALYZE_AFTER_SCAN="false")
    command = [sys.executable, "-m", "tests.serve_app.jobs_server", "--real"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "supervising":
            raise RuntimeError("the supervisor did not start")
        yield
    finally:
        process.communicate("", timeout=60)


def library_of(scenes: list[Scene]) -> Library:
    """Returns scenes as a fake Stash has them, under the same ids."""
    library = Library()
    library.roots["/data"] = None
    studios, performers = ({} for _ in range(2))  # type: dict[str, int], dict[str, int]
    for scene in scenes:
        if scene.studio is not None and scene.studio.id not in studios:
            studios[scene.studio.id] = library.add("studio", name=f"Studio {scene.studio.id}").id
        for one in scene.performers:
            if one.id not in performers:
                performers[one.id] = library.add("performer", name=f"Performer {one.id}").id
    for scene in scenes:
        given = scene.files[0]
        file = library.add_file(
            kind="video",
            path=f"/data/{scene.id}.mp4",
            size=10_000_000,
            duration=given.duration_s,
            fingerprints=tuple((one.type, one.value) for one in given.fingerprints),
        )
        library.add(
            "scene",
            title=f"Scene {scene.id}",
            date=scene.date,
            studio_id=None if scene.studio is None else studios[scene.studio.id],
            performer_ids=tuple(dict.fromkeys(performers[one.id] for one in scene.performers)),
            stash_ids=tuple(StashId(one.endpoint, one.stash_id) for one in scene.stash_ids),
            file_ids=(file.id,),
        )
    return library


def write_scans(root: Path, frames_path: Path, size: int) -> None:
    """Writes the frames as one compacted part of a dataset, with a scan without faces for each scene."""
    files = DatasetFiles(root)
    files.prepare()
    frames = pq.read_table(frames_path)
    numbers = np.array(sorted(range(size), key=lambda n: str(n + 1)))
    faces = face_schema(OPEN.template_dim).empty_table()
    with PartWriter(files, OPEN.template_id) as writer:
        for start in range(0, size, SCENES_A_BLOCK):
            block = numbers[start : start + SCENES_A_BLOCK]
            rows = frames.take(pa.array((block[:, None] * FRAMES + np.arange(FRAMES)).ravel()))
            repeated = {
                "pack": pa.array([OPEN.template_id] * len(rows)),
                "sampling": pa.array(["invented"] * len(rows)),
                "frame": pa.array(np.tile(np.arange(FRAMES, dtype=np.int32), len(block))),
            }
            columns = [repeated[f.name] if f.name in repeated else rows[f.name].cast(f.type) for f in FRAME_SCHEMA]
            writer.add(_contents(block), faces, pa.table(columns, schema=FRAME_SCHEMA))
        files.write_list(DatasetList(parts=(writer.finish(),)))


def _contents(block: np.ndarray) -> pa.Table:
    n = len(block)
    same = {
        "kind": "scene",
        "recipe": "invented",
        "pack": OPEN.template_id,
        "sampling": "invented",
        "hashes": "1",
        "status": "no_face",
        "reason": "",
        "retryable": False,
        "scanned_at": datetime(2026, 1, 1, tzinfo=UTC),
        "duration_s": 1500.0,
        "width": 1920,
        "height": 1080,
        "galleries": [],
        "face_count": 0,
        "frame_count": FRAMES,
    }
    own = {
        "content_id": [str(number + 1) for number in block],
        "file_fingerprint": [f"oshash:{number:016x}" for number in block],
    }
    arrays = [pa.array(own.get(f.name) or [same[f.name]] * n, f.type) for f in CONTENT_SCHEMA]
    return pa.table(arrays, schema=CONTENT_SCHEMA)


def _prove(store: Store, settings: Settings, scenes: list[Scene]) -> float:
    """Keeps a proof of every pair; returns how long the search for the pairs took."""
    table = SceneTable.of(scenes)
    began = time.perf_counter()
    frames = FrameTable.of(ScanDataset(settings.scans_path), table)
    found = find_candidates(table, frames, NOBODY, threads=cores())
    took_s = time.perf_counter() - began
    where = Alignment(0.0, 1.0, False, (0.0, 600.0), (0.0, 600.0))
    yes = Proof("copy", 12.0, 0.95, 600.0, where, version=PROOF_VERSION)
    no = Proof("different", 120.0, None, 20.0, version=PROOF_VERSION)
    likely = (found.phash_distance <= 4) | (found.frame_votes >= 6)
    pairs = [
        ((table.fingerprints[a], table.fingerprints[b]), yes if sure else no)
        for a, b, sure in zip(found.a, found.b, likely.tolist(), strict=True)
    ]
    kept = ProofStore(store, PROOF_VERSION)
    for start in range(0, len(pairs), 2000):
        kept.put(dict(pairs[start : start + 2000]))
    return took_s
