"""Scans with a real Ray, real models and real media; the library is a fake Stash."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.errors import ModelMissing, NotWritable
from pipelines.jobs import JobContext
from pipelines.scan import ScanProgress, ScanRequest, compact_job, run_job, scan
from pipelines.scan_listing import list_contents
from pipelines.scan_worker import ContentScanner
from pipelines.settings import Settings
from pipelines.store.templates import ScanDataset
from tests.fakes.stash import FakeStash, bench_library, sample_library
from tests.store.scans import as_rows

pytestmark = pytest.mark.timeout(600)
CLIPS = ("asl_again.mkv", "asl_bird.mkv", "asl_book.mkv")
STOP_WITHIN_S = 5.0


@pytest.fixture(scope="module")
def busy_cluster(ray_cluster: None) -> object:
    """Ray of whose two CPUs other work has reserved both: a scan needs none of them."""
    import ray

    reserved = ray.remote(num_cpus=2)(_Reserved).remote()
    ray.get(reserved.ready.remote())
    return reserved  # it lives as long as somebody has it


class _Reserved:
    def ready(self) -> bool:
        return True


@pytest.fixture
def links(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


@pytest.fixture
def stash(data: Path, links: Path) -> Iterator[FakeStash]:
    """Six scenes: three short clips under two names each."""
    with FakeStash(bench_library(links, [data / "video" / "real" / name for name in CLIPS], scenes=6)) as stash:
        yield stash


def settings_for(stash: FakeStash, folder: Path, models_dir: Path, path_map: str, **more: Any) -> Settings:
    more = {"scan_niceness": 0, "scan_workers": 2, "frames_per_scene": 5, "stash_requests_per_s": 100, **more}
    return Settings(data_dir=folder, models_dir=models_dir, stash_url=stash.url, path_map=(path_map,), **more)


@pytest.fixture
def settings(stash: FakeStash, tmp_path: Path, links: Path, models_dir: Path, open_models: Path) -> Settings:
    return settings_for(stash, tmp_path / "data", models_dir, f"/library={links}")


def rows(settings: Settings) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {(s.key.kind, s.key.content_id): as_rows(s) for s in ScanDataset(settings.scans_path).scans()}


def rows_without_ray(settings: Settings) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Returns what a scan of all scenes must leave: the same work in this process, with a dataset of its own."""
    apart = settings.model_copy(update={"data_dir": settings.data_dir.with_name("apart")})
    listing = list_contents(apart, ScanRequest(), apart.data_dir.with_name("manifest.parquet"))
    scanner = ContentScanner(settings)
    scans = [scanner.scan(entry) for entry in listing.manifest.entries()]
    return {(s.key.kind, s.key.content_id): as_rows(s) for s in scans}


def left_in(settings: Settings) -> list[str]:
    return [p.name for p in settings.scans_path.glob(".*.partial")]


def scan_workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "ScanWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_new_changed_and_failed_scenes_and_nothing_else(busy_cluster, settings, stash, links, data):
    said: list[ScanProgress] = []
    paths = {row: Path(stash.library.local_file(stash.library.scenes.one(row))) for row in map(str, range(1, 7))}
    paths["6"].unlink()  # a link to the clip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.scan.COMPACT_FROM", 3)
        first = scan(settings, ScanRequest(), on_progress=said.append)
    assert (first.total, first.done, first.workers, first.stopped) == (6, 6, 2, False)
    assert first.by_status == {"ok": 5, "failed": 1}
    assert first.failed == {"media_not_found": 1}
    assert first.faces == ScanDataset(settings.scans_path).counts().faces > 0
    assert said[-1].done == said[-1].total == 6
    assert {p.step for p in said} >= {"listing", "scanning", "compacting", "matching"}
    assert any(p.failed == {"media_not_found": 1} for p in said)
    assert ScanDataset(settings.scans_path).counts().parts == 1
    assert not left_in(settings)
    json.dumps(first.to_dict())
    before = rows(settings)

    failing = scan(settings, ScanRequest(retry_failed=False))
    assert (failing.total, failing.settled) == (0, 6)

    paths["6"].symlink_to(data / "video" / "real" / CLIPS[2])
    changed = stash.library.scenes.one("1")
    file = stash.library.primary_file(changed)
    file.fingerprints = (("oshash", "0123456789abcdef"),)
    again = scan(settings, ScanRequest())
    assert (again.total, again.settled, again.by_status) == (2, 4, {"ok": 2})
    after = rows(settings)
    assert {key for key in after if after[key] != before[key]} == {("scene", "1"), ("scene", "6")}
    assert after["scene", "6"][8:] == after["scene", "3"][8:]  # the same clip under another name

    nothing = scan(settings, ScanRequest())
    assert (nothing.total, nothing.settled, nothing.workers) == (0, 6, 0)
    assert rows(settings) == after


def run_beside(work: Callable[[Callable[[], bool]], Any]) -> tuple[threading.Event, Callable[[], Any]]:
    """Runs `work(should_stop)` in a thread; returns the wish to stop, and a function that waits for the result."""
    stop, result = threading.Event(), []
    thread = threading.Thread(target=lambda: result.append(work(stop.is_set)), daemon=True)
    thread.start()

    def outcome() -> Any:
        thread.join(240)
        assert result, "the scan did not end"
        return result[0]

    return stop, outcome


def until(condition: Callable[[], Any], timeout_s: float = 240) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_a_stop_ends_soon_with_whole_rows_and_a_worker_that_dies_costs_nothing(busy_cluster, settings, stash):
    """Streams are slow, so that there is something to stop and to kill in the middle of contents."""
    over_http = settings.model_copy(update={"path_map": ()})
    stash.knobs.set(slow_stream_bytes_per_s=60_000)
    seen: list[ScanProgress] = []
    stop, outcome = run_beside(
        lambda should_stop: scan(over_http, ScanRequest(), on_progress=seen.append, should_stop=should_stop)
    )
    until(lambda: seen and seen[-1].done >= 1)
    began = time.monotonic()
    stop.set()
    report = outcome()
    assert time.monotonic() - began < STOP_WITHIN_S
    assert report.stopped
    assert report.matched is None
    assert 1 <= report.done < 6
    until(lambda: not scan_workers(), 30)
    part = rows(over_http)
    assert len(part) >= report.done
    assert not left_in(over_http)

    stash.knobs.set(slow_stream_bytes_per_s=120_000)
    stop, outcome = run_beside(lambda should_stop: scan(over_http, ScanRequest(), should_stop=should_stop))
    marks = over_http.scans_path
    until(lambda: list(marks.glob(".run.*.partial/*.mark")))
    os.kill(until(scan_workers)[0].pid, signal.SIGKILL)
    stash.knobs.set(slow_stream_bytes_per_s=0)
    report = outcome()
    assert report.done == report.total == 6 - len(part)
    assert report.by_status == {"ok": report.total}
    found = rows(over_http)
    assert {key: found[key] for key in part} == part
    assert len(found) == 6

    assert found == rows_without_ray(settings)


def test_a_content_that_kills_its_worker_twice_is_a_failed_row(busy_cluster, settings, stash):
    """Whoever looks at scene 2 is killed, as a decoder that crashes would do. Streams are slow, so it takes long."""
    settings = settings.model_copy(update={"path_map": ()})
    stash.knobs.set(slow_stream_bytes_per_s=60_000)
    over = threading.Event()
    killed: list[str] = []

    def poison() -> None:
        marks = settings.scans_path
        while not over.is_set():
            if list(marks.glob(".run.*.partial/scene.2.mark")):
                for process in (*_isolated(), *(scan_workers() if not killed else ())):
                    killed.append("child" if process in _isolated() else "worker")
                    process.kill()
                    if killed[-1] == "child":
                        stash.knobs.set(slow_stream_bytes_per_s=0)
                    time.sleep(0.2)
                    if killed == ["worker"]:
                        scan_left = scan_workers()
                        for other in scan_left:
                            other.kill()
            time.sleep(0.01)

    thread = threading.Thread(target=poison, daemon=True)
    thread.start()
    report = scan(settings, ScanRequest(ids=("1", "2", "4")))
    over.set()
    thread.join()
    assert report.done == 3
    assert "child" in killed
    assert report.failed == {"worker_killed": report.by_status["failed"]}
    assert ScanDataset(settings.scans_path).read("scene", "2").reason.startswith("worker_killed: ")
    assert scan(settings, ScanRequest(ids=("1", "2", "4"))).total == 0


def _isolated() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "pipelines.scan_isolated" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_jobs_and_images(busy_cluster, data, tmp_path, models_dir, open_models):
    with FakeStash(sample_library(data)) as stash:
        settings = settings_for(stash, tmp_path / "data", models_dir, f"/data={data}")
        images = {str(i): stash.library.images.one(i) for i in stash.library.images.between(0, 10**6)}
        gallery = str(min(g for image in images.values() for g in image.gallery_ids))
        said: list[tuple[int, int | None, dict[str, int]]] = []
        context = JobContext(settings, ScanRequest(galleries=(gallery,)), lambda *now: said.append(now), lambda: False)
        result = run_job(context)
    assert result["by_status"] == {"ok": result["total"]}
    assert result["total"] >= 2
    assert said[-1][:2] == (result["total"], result["total"])
    assert said[-1][2]["faces"] == result["faces"] >= 2
    scans = list(ScanDataset(settings.scans_path).scans())
    assert {s.key.kind for s in scans} == {"image"}
    assert all(gallery in s.galleries for s in scans)
    tidied = compact_job(context)
    assert (tidied["folded"], tidied["parts"]) == (result["total"], 1)


def test_what_is_missing_is_named_before_anything_starts(settings, tmp_path):
    with pytest.raises(ModelMissing):
        scan(settings.model_copy(update={"models_dir": tmp_path / "none"}), ScanRequest())
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        scan(settings.model_copy(update={"data_dir": tmp_path / "file"}), ScanRequest())


@pytest.fixture
def short_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


DRIVER = """
import sys
from pipelines.jobs import ScanRequest
from pipelines.settings import Settings
from serve_app.cli.here import ray_here

settings = Settings.model_validate_json(sys.stdin.read())
with ray_here(settings):
    from pipelines.scan import scan
    scan(settings, ScanRequest())
"""


@pytest.mark.slow  # stopping and resuming is tested above; here a second Ray starts
def test_a_killed_driver_is_resumed_to_the_same_rows(busy_cluster, settings, stash, short_dir):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"TMPDIR": str(short_dir)}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    process.stdin.write(settings.model_dump_json().encode())
    process.stdin.close()
    pending = settings.scans_path / "pending"
    try:
        until(lambda: process.poll() is not None or (pending.is_dir() and list(pending.glob("*.parquet"))))
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        tree = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        until(lambda: not [p for p in tree if "ScanWorker" in _title(p)], 60)
        for other in tree:  # agents of the node, which write nothing, live on for a minute
            with suppress(psutil.NoSuchProcess):
                other.kill()
    begun = rows(settings)
    assert begun
    report = scan(settings, ScanRequest())
    assert (report.settled, report.total) == (len(begun), 6 - len(begun))
    assert not left_in(settings)
    found = rows(settings)
    assert {key: found[key] for key in begun} == begun

    assert found == rows_without_ray(settings)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_sample_library(busy_cluster, data, tmp_path, models_dir, open_models):
    with FakeStash(sample_library(data)) as stash:
        settings = settings_for(stash, tmp_path / "data", models_dir, f"/data={data}", frames_per_scene=60)
        report = scan(settings, ScanRequest(kinds=("scene", "image")))
    assert (report.total, report.done, report.failed) == (58, 58, {})
    assert report.by_status == {"ok": 56, "no_face": 2}
    counts = ScanDataset(settings.scans_path).counts()
    assert (counts.scenes, counts.images) == (12, 46)
    assert counts.faces == report.faces >= 450
    assert counts.frames == report.frames >= 450
