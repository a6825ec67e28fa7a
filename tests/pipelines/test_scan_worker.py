import os
import pickle
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from pipelines.scan_isolated import scan_isolated
from pipelines.scan_manifest import NO_FILE, SCHEMA, ScanEntry, recipes
from pipelines.scan_worker import ContentScanner, ScanRun, ScanStopped, ScanWorker, grouped, ungrouped
from pipelines.settings import Settings
from pipelines.store.templates import ScanDataset
from tests.fakes.stash import FakeStash, sample_library
from tests.store.scans import as_rows


@pytest.fixture(scope="module")
def stash(data):
    with FakeStash(sample_library(data), api_key="secret-key") as stash:
        yield stash


@pytest.fixture
def settings(stash, tmp_path, models_dir, open_models) -> Settings:
    return Settings(
        data_dir=tmp_path,
        models_dir=models_dir,
        stash_url=stash.url,
        stash_api_key="secret-key",
        stash_requests_per_s=100,
        frames_per_scene=5,
        scan_niceness=0,
    )


@pytest.fixture
def run(tmp_path) -> ScanRun:
    folder = tmp_path / "run"
    folder.mkdir()
    return ScanRun(folder, datetime.now(UTC))


def entry_of(stash: FakeStash, name: str, kind="scene", **more) -> ScanEntry:
    rows = stash.library.table(kind).between(0, 10**6)
    found = next(i for i in rows if name in str(stash.library.local_file(stash.library.table(kind).one(i))))
    path = stash.library.local_file(stash.library.table(kind).one(found))
    url = f"{stash.url}/{kind}/{found}/{'stream' if kind == 'scene' else 'image'}"
    facts = {"file_fingerprint": f"oshash:{found}", "path": f"/data/{path.name}", "url": url, **more}
    return ScanEntry(kind, str(found), **facts)


def given(*entries: ScanEntry):
    from dataclasses import asdict

    import pyarrow as pa

    return grouped(pa.Table.from_pylist([asdict(e) for e in entries], SCHEMA))


def test_files_come_from_the_path_map_or_from_stash_with_the_key(stash, settings, data, engine):
    mapped = settings.model_copy(update={"path_map": (f"/data={data / 'video' / 'real'}",)})
    entry = entry_of(stash, "asl_bird.mkv")
    before = len(stash.requests)
    local = ContentScanner(mapped, engine).scan(entry)
    assert len(stash.requests) == before
    remote = ContentScanner(settings, engine).scan(entry)
    assert len(stash.requests) > before
    assert as_rows(local) == as_rows(remote)
    assert local.status == "ok"


def test_a_stash_that_comes_back_is_waited_for(stash, settings, engine):
    entry = entry_of(stash, "asl_bird.mkv")
    stash.knobs.fail_next(4, 503)
    assert ContentScanner(settings, engine).scan(entry).status == "ok"


def test_a_file_that_cannot_be_fetched_is_a_row_for_another_day(stash, settings, engine, monkeypatch):
    monkeypatch.setattr("pipelines.scan_worker.WAITS_S", (0.01, 0.01))
    entry = entry_of(stash, "asl_bird.mkv")
    stash.knobs.set(refuse=True)
    try:
        scan = ContentScanner(settings, engine).scan(entry)
    finally:
        stash.knobs.set(refuse=False)
    assert (scan.status, scan.retryable) == ("failed", True)
    assert scan.reason.startswith("media_unreachable:")
    assert "secret-key" not in scan.reason


def test_contents_without_a_file_or_gone_from_stash(stash, settings, engine):
    scanner = ContentScanner(settings, engine)
    nothing = scanner.scan(ScanEntry("scene", "1", NO_FILE, "", ""))
    assert (nothing.reason.split(":")[0], nothing.retryable) == ("media_not_found", False)
    gone = scanner.scan(entry_of(stash, "asl_bird.mkv", url=f"{stash.url}/scene/999999/stream"))
    assert (gone.status, gone.reason.split(":")[0]) == ("failed", "media_not_found")


def test_an_engine_that_fails_is_a_row_and_not_the_end(stash, settings):
    class Broken:
        def analyze(self, _images, **_options):
            raise ZeroDivisionError("on purpose")

    scan = ContentScanner(settings, Broken()).scan(entry_of(stash, "asl_bird.mkv"))
    assert (scan.status, scan.retryable) == ("failed", True)
    assert scan.reason == "internal: ZeroDivisionError: on purpose"


def test_a_worker_writes_each_content_and_answers_with_rows(stash, settings, run):
    worker = ScanWorker(settings, run)
    entries = [entry_of(stash, "asl_bird.mkv"), entry_of(stash, "signer_a", "image", galleries=("5",))]
    rows = ungrouped(worker(given(*entries))).to_pylist()
    assert [(r["kind"], r["content_id"], r["status"]) for r in rows] == [(e.kind, e.content_id, "ok") for e in entries]
    dataset = ScanDataset(settings.scans_path)
    stored = [dataset.read(e.kind, e.content_id) for e in entries]
    assert [len(s.faces) for s in stored] == [r["faces"] for r in rows]
    assert [s.key for s in stored] == [e.key(recipes(settings)) for e in entries]
    assert stored[1].galleries == ("5",)
    assert not list(run.folder.iterdir())


def test_what_this_run_wrote_before_its_worker_died_is_not_done_again(stash, settings, run):
    entry = entry_of(stash, "asl_bird.mkv")
    dataset = ScanDataset(settings.scans_path)
    dataset.write(ContentScanner(settings).scan(entry))
    first = dataset.read("scene", entry.content_id).scanned_at
    assert ungrouped(ScanWorker(settings, run)(given(entry))).to_pylist()[0]["faces"] > 0
    assert dataset.read("scene", entry.content_id).scanned_at == first
    later = ScanRun(run.folder, datetime.now(UTC) + timedelta(seconds=1))
    ScanWorker(settings, later)(given(entry))
    assert dataset.read("scene", entry.content_id).scanned_at > first


def test_a_run_whose_folder_is_gone_is_over(stash, settings, tmp_path):
    worker = ScanWorker(settings, ScanRun(tmp_path / "gone", datetime.now(UTC)))
    assert len(ungrouped(worker(given(entry_of(stash, "asl_bird.mkv"))))) == 0
    assert len(ScanDataset(settings.scans_path).done()) == 0


def test_a_stop_in_the_middle_of_a_content_keeps_nothing_of_it(stash, settings, run):
    settings = settings.model_copy(update={"frames_per_scene": 60})
    stash.knobs.set(slow_stream_bytes_per_s=20_000)
    try:
        worker = ScanWorker(settings, run)
        threading.Timer(1.0, run.folder.rmdir).start()
        marks = threading.Timer(0.9, lambda: [p.unlink() for p in run.folder.iterdir()])
        marks.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipelines.scan_worker.GRACE_S", 60)
            rows = worker(given(entry_of(stash, "short_hamilton_clip.mp4")))
    finally:
        stash.knobs.set(slow_stream_bytes_per_s=0)
    assert len(ungrouped(rows)) == 0
    assert len(ScanDataset(settings.scans_path).done()) == 0


def test_a_content_whose_worker_died_is_looked_at_in_a_process_of_its_own(stash, settings, run):
    entry = entry_of(stash, "asl_bird.mkv")
    run.mark(entry).touch()
    alone = ContentScanner(settings).scan(entry)
    (row,) = ungrouped(ScanWorker(settings, run)(given(entry))).to_pylist()
    assert row["status"] == "ok"
    assert as_rows(ScanDataset(settings.scans_path).read("scene", entry.content_id)) == as_rows(alone)


def killed_child(signal_number: int, happened: list[int]) -> threading.Thread:
    """Kills the first child that looks at a content."""

    def watch() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for child in psutil.Process().children():
                if any("scan_isolated" in word for word in child.cmdline()):
                    os.kill(child.pid, signal_number)
                    happened.append(child.pid)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_content_that_ends_its_second_process_too_is_a_failed_row(stash, settings, run):
    entry = entry_of(stash, "asl_bird.mkv")
    run.mark(entry).touch()
    killed: list[int] = []
    thread = killed_child(signal.SIGSEGV, killed)
    (row,) = ungrouped(ScanWorker(settings, run)(given(entry))).to_pylist()
    thread.join()
    assert killed
    assert (row["status"], row["reason"].split(":")[0]) == ("failed", "worker_killed")
    assert "SIGSEGV" in row["reason"]
    assert not ScanDataset(settings.scans_path).read("scene", entry.content_id).retryable


def test_a_child_ends_when_the_scan_is_stopped(stash, settings):
    began = time.monotonic()

    def checkpoint() -> None:
        if time.monotonic() - began > 0.5:
            raise ScanStopped

    with pytest.raises(ScanStopped):
        scan_isolated(settings, entry_of(stash, "asl_bird.mkv"), checkpoint)
    assert not [c for c in psutil.Process().children() if any("scan_isolated" in w for w in c.cmdline())]


def test_no_key_is_in_the_command_line_of_the_child(stash, settings):
    said: list[str] = []

    def checkpoint() -> None:
        said.extend(" ".join(c.cmdline()) + str(c.environ()) for c in psutil.Process().children())
        if said:
            raise ScanStopped

    with pytest.raises(ScanStopped):
        scan_isolated(settings, entry_of(stash, "asl_bird.mkv"), checkpoint)
    assert said
    assert "secret-key" not in str(said)


def test_groups_are_one_row_and_come_apart_again():
    import pyarrow as pa

    table = pa.table({"a": [1, 2, 3], "b": [["x"], [], ["y", "z"]]})
    assert len(grouped(table)) == 1
    assert ungrouped(grouped(table)).to_pylist() == table.to_pylist()
    both = pa.concat_tables([grouped(table), grouped(table.slice(1))])
    assert len(ungrouped(both)) == 5


def test_a_run_travels_between_processes(tmp_path):
    run = ScanRun(Path(tmp_path), datetime.now(UTC))
    assert pickle.loads(pickle.dumps(run)) == run  # noqa: S301
