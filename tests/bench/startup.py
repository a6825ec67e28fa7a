"""From the start of `stash-sense up` in a process of its own until `GET /ready` says 200.

Rows:

- sample_s: with the people of the test data enrolled; the first start of a run warms the page cache and is not counted
- released_s: with as many performers and faces as the released database of February 2026 beside them (invented, in
  templates of the pack `open`); the sample as baseline
- index_mb: memory of the vectors of that database; index_process_mb: proportional set size of the process that has them
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np

from pipelines.enroll.folder import enroll_folder
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import FaceEngine
from pipelines.faces.gallery import Performer
from pipelines.faces.templates import unit
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase, SourceInfo
from pipelines.store.tables import face_table
from serve_app.keys import load_or_create_key
from serve_app.ray_env import free_port
from tests.bench.report import Options, Report
from tests.bench.swap import PEOPLE, index_mb

PERFORMERS, FACES = 108_001, 366_794
STARTS = 3
LIMIT_S = 300.0


def run(report: Report, options: Options) -> None:
    performers, faces, starts = (2_000, 5_000, 1) if options.quick else (PERFORMERS, FACES, STARTS)
    with tempfile.TemporaryDirectory(prefix="bu-") as folder:
        settings = Settings(data_dir=Path(folder), models_dir=options.models.parent, port=free_port())
        database = PerformerDatabase(settings.database_path)
        enroll_folder(PEOPLE, FaceEngine(OPEN, options.models), database)
        started(settings)
        sample_s = statistics.median(started(settings)[0] for _ in range(starts))
        put_invented(database, performers, faces)
        answers = [started(settings) for _ in range(starts)]
    released_s = statistics.median(seconds for seconds, _, _ in answers)
    report.add("sample_s", sample_s, "s")
    report.add("released_s", released_s, "s", baseline=sample_s, ratio=released_s / sample_s)
    report.add("released_longest_s", max(seconds for seconds, _, _ in answers), "s")
    report.add("index_mb", answers[-1][1], "MB")
    report.add("index_process_mb", answers[-1][2], "MB")


def started(settings: Settings) -> tuple[float, float, float]:
    """Starts and ends a server; returns seconds to its first answer, MB of its index, MB of the index's process."""
    headers = {"ApiKey": load_or_create_key(settings)}
    began = time.perf_counter()
    with server(settings) as process, httpx.Client(base_url=f"http://127.0.0.1:{settings.port}") as client:
        while True:
            if process.poll() is not None or time.perf_counter() - began > LIMIT_S:
                raise SystemExit(f"the server did not start: exit code {process.poll()}")
            with suppress(httpx.HTTPError):
                if client.get("/ready", headers=headers).status_code == httpx.codes.OK:
                    break
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        info = client.get("/database/info", headers=headers).raise_for_status().json()
        return seconds, info["index_bytes"] / 1e6, index_mb()


@contextmanager
def server(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`stash-sense up` in a process of its own, ended by Ctrl-C."""
    environment = os.environ | {
        "STASH_SENSE_DATA_DIR": str(settings.data_dir),
        "STASH_SENSE_MODELS_DIR": str(settings.models_path),
        "STASH_SENSE_PORT": str(settings.port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "serve_app", "up"], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def put_invented(database: PerformerDatabase, performers: int, faces: int) -> None:
    """Adds a source of invented performers with invented faces."""
    random = np.random.default_rng(5)
    owners = np.sort(np.concatenate([np.arange(performers), random.integers(0, performers, faces - performers)]))
    columns = {
        "universal_id": [f"example.org:{number}" for number in owners],
        "source": [f"{number}.jpg" for number in range(faces)],
        "source_sha256": [f"{number}" for number in range(faces)],
        "quality": np.full(faces, 0.5),
        "yaw_deg": np.zeros(faces),
        "detection_score": np.full(faces, 0.9),
    }
    templates = unit(random.standard_normal((faces, OPEN.template_dim), dtype=np.float32))
    people = [Performer(f"example.org:{number}", f"Nobody {number}") for number in range(performers)]
    source = SourceInfo(id="example.org", kind="stashbox", updated=datetime.now(UTC))
    database.put(OPEN, source, people, face_table(columns, templates))
