"""Identifying a picture over HTTP while the same server scans a library, against the same server at rest.

One client asks for one picture after the other, with a short pause between them, as a person does who looks through a
page. The scan is a job of the server, with its own settings as they are by default (as many workers as cores, niced).

Rows:

- image_p95_ms, image_p50_ms: during the scan, at rest (before and after it) as baseline; at most 3 is wanted of p95
- scenes_while_asked: scenes that the scan finished while it was measured; above 0, or nothing was measured
- stop_s: from the wish to stop the scan until the job is stopped
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.enroll.folder import enroll_folder
from pipelines.parts import open_engine
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from serve_app.client import ServerClient
from tests.bench.http import DATA, SIZES, client, running_server
from tests.bench.report import Options, Report
from tests.bench.scan_library import scene_files
from tests.bench.scan_stash import ROOT, stash_of

PAUSE_S = 0.1
WARM_UP = 10
BEGUN_SCENES = 2
"""The scan counts as under way when so many scenes are done: its workers are up and in the middle of others."""
TIMEOUT_S = 300.0


def run(report: Report, options: Options) -> None:
    """Adds the rows above. `options.quick`: short clips only, 20 pictures."""
    scenes, pictures = (200, 20) if options.quick else (200, 300)
    photos = [p.read_bytes() for p in sorted((DATA / "faces/people").rglob("*.jpg")) if p.stat().st_size in SIZES]
    work = [photos[i % len(photos)] for i in range(pictures)]
    files = scene_files(options.workdir, scenes, quick=options.quick)
    with tempfile.TemporaryDirectory(prefix="bi-") as name, stash_of(files) as stash:
        settings = Settings(data_dir=Path(name), models_dir=options.models.parent)
        enroll_folder(DATA / "faces/people", open_engine(settings), PerformerDatabase(settings.database_path))
        variables = {"STASH_URL": stash.url, "PATH_MAP": f'["{ROOT}={stash.folder}"]'}
        with (
            running_server(settings, **variables) as (port, key),
            ServerClient(f"http://127.0.0.1:{port}", key) as server,
        ):
            measure(report, server, client(port, key), work)


def measure(report: Report, server: ServerClient, ask: Callable[[bytes], object], work: Sequence[bytes]) -> None:
    half = len(work) // 2
    times_ms(ask, work[:WARM_UP])
    rest = times_ms(ask, work[:half])
    job = begin_scan(server)
    begun = server.get(f"/queue/{job}")["done"]
    during = times_ms(ask, work)
    after = server.get(f"/queue/{job}")
    if after["state"] != "running":
        raise SystemExit(f"the scan was {after['state']} before the last picture was answered: {after}")
    report.add("stop_s", seconds_to_stop(server, job), "s")
    rest += times_ms(ask, work[half:])
    for name, of in (("p95", p95), ("p50", statistics.median)):
        report.add(f"image_{name}_ms", of(during), "ms", baseline=of(rest), ratio=of(during) / of(rest))
    report.add("pictures", len(during), "count", baseline=len(rest))
    report.add("scenes_while_asked", after["done"] - begun, "scenes")


def times_ms(ask: Callable[[bytes], object], work: Sequence[bytes]) -> list[float]:
    """Returns the time of each picture, one after another."""
    times = []
    for photo in work:
        began = time.perf_counter()
        ask(photo)
        times.append(1000 * (time.perf_counter() - began))
        time.sleep(PAUSE_S)
    return times


def p95(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def begin_scan(server: ServerClient) -> int:
    """Returns the id of a scan that is under way."""
    job: int = server.post("/queue", {"type": "scan"})["id"]
    wait_for(server, job, lambda row: row["done"] >= BEGUN_SCENES or row["state"] not in {"queued", "running"})
    return job


def seconds_to_stop(server: ServerClient, job: int) -> float:
    began = time.perf_counter()
    server.post(f"/queue/{job}/stop")
    wait_for(server, job, lambda row: row["state"] == "stopped")
    return time.perf_counter() - began


def wait_for(server: ServerClient, job: int, condition: Callable[[dict[str, Any]], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition(row := server.get(f"/queue/{job}")):
        if time.monotonic() > end:
            raise SystemExit(f"the job did not get there within {TIMEOUT_S:.0f} s: {row}")
        time.sleep(0.1)
