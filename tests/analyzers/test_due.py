"""Which analyzers start by themselves, from the jobs and runs that are written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.analyzers.due import due
from pipelines.analyzers.registry import ANALYZERS
from pipelines.jobs import REGISTRY
from pipelines.settings import Settings
from pipelines.store.analyzers import AnalyzerStore
from pipelines.store.jobs import JobProgress, JobStore
from pipelines.store.sql import open_store

ALL = {f"analyze_{one.id}" for one in ANALYZERS}
DUPLICATES, SAME_SET = "analyze_duplicate_scenes", "analyze_same_set_scenes"
TOKEN = "t"


class Past:
    """Jobs and runs of a server, one after the other on a clock of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = open_store(settings.store_url)
        self.time = datetime(2026, 11, 26, 12, tzinfo=UTC)
        self.jobs = JobStore(self.store, self.now)
        self.runs = AnalyzerStore(self.store, self.now)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def job(self, type_id: str, *, done: int = 0, ends: str = "done", failed: int = 0) -> None:
        job = self.jobs.submit(type_id)
        self.jobs.claim(job.id, TOKEN, 60.0)
        counts = {"failed.no_media": failed} if failed else {}
        self.jobs.progress(job.id, TOKEN, JobProgress(done, done, counts))
        if ends == "stopped":
            self.jobs.request_stop(job.id)
        if ends == "failed":
            self.jobs.fail(job.id, TOKEN, "stash_unreachable", "Gone.")
        elif ends != "running":
            self.jobs.finish(job.id, TOKEN, {})

    def run(self, type_id: str, *, state: str = "done", worked: int = 0, waiting: int = 0, ends: str = "") -> None:
        """A job of an analyzer, with its run."""
        job = self.jobs.submit(f"analyze_{type_id}")
        self.jobs.claim(job.id, TOKEN, 60.0)
        run, _ = self.runs.begin(type_id, full=False, logic_version=1)
        self.runs.end(run, state, {"worked": worked, "waiting": waiting})
        if ends == "stopped":
            self.jobs.request_stop(job.id)
        self.jobs.finish(job.id, TOKEN, {})

    def everything(self) -> None:
        for one in ANALYZERS:
            self.run(one.id)

    def due(self, **changed: bool) -> set[str]:
        return set(due(self.settings.model_copy(update=changed)))


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    past = Past(Settings(data_dir=tmp_path))
    yield past
    past.store.close()


CASES: dict[str, tuple[Callable[[Past], None], set[str]]] = {
    "nothing was ever scanned": (lambda _: None, set()),
    "a first scan": (lambda p: p.job("scan", done=3), ALL),
    "a re-match": (lambda p: p.job("rematch", done=3), ALL),
    "a stopped scan has changed something too": (lambda p: p.job("scan", done=3, ends="stopped"), ALL),
    "a scan that found nothing new": (lambda p: p.job("scan"), set()),
    "a scan that could read nothing": (lambda p: p.job("scan", done=3, failed=3), set()),
    "a scan in which something failed": (lambda p: p.job("scan", done=3, failed=2), ALL),
    "all have run since": (lambda p: (p.job("scan", done=3), p.everything()), set()),  # type: ignore[dict-item]
    "the library is being scanned again": (
        lambda p: (p.job("scan", done=3), p.jobs.submit("scan")),  # type: ignore[dict-item]
        set(),
    ),
    "one failed and waits for the next scan": (
        lambda p: (p.job("scan", done=3), p.job(DUPLICATES, ends="failed")),  # type: ignore[dict-item]
        ALL - {DUPLICATES},
    ),
    "one failed before the scan": (
        lambda p: (p.job(DUPLICATES, ends="failed"), p.job("scan", done=3)),  # type: ignore[dict-item]
        ALL,
    ),
    "a bounded run that got on": (
        lambda p: (p.everything(), p.run("duplicate_scenes", worked=2000, waiting=5), p.run("same_set_scenes")),  # type: ignore[dict-item]
        {DUPLICATES},
    ),
    "a bounded run that got nowhere": (
        lambda p: (p.everything(), p.run("duplicate_scenes", waiting=5)),  # type: ignore[dict-item]
        set(),
    ),
    "a bounded run that somebody stopped": (
        lambda p: (
            p.everything(),
            p.run("duplicate_scenes", state="stopped", worked=9, waiting=5, ends="stopped"),
            p.run("same_set_scenes"),
        ),  # type: ignore[dict-item]
        set(),
    ),
    "a stop at the very end": (
        lambda p: (p.run("duplicate_scenes", worked=9, waiting=5, ends="stopped"), p.run("same_set_scenes")),  # type: ignore[dict-item]
        set(),
    ),
    "proofs to list": (lambda p: (p.everything(), p.run("duplicate_scenes", worked=9)), {SAME_SET}),  # type: ignore[dict-item]
    "one is queued already": (
        lambda p: (p.job("scan", done=3), p.jobs.submit(DUPLICATES)),  # type: ignore[dict-item]
        ALL - {DUPLICATES},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_due(past: Past, case: str) -> None:
    happened, expected = CASES[case]
    happened(past)
    assert past.due() == expected


def test_the_setting_turns_starts_off_but_what_was_begun_goes_on(past: Past) -> None:
    past.job("scan", done=3)
    past.run("duplicate_scenes", worked=2000, waiting=5)
    assert past.due(analyze_after_scan=False) == {DUPLICATES, SAME_SET}
    past.run("duplicate_scenes", worked=5)
    past.run("same_set_scenes")
    assert past.due(analyze_after_scan=False) == set()


def test_jobs_of_analyzers_ask_this() -> None:
    assert {kind.id for kind in REGISTRY.values() if kind.due == "pipelines.analyzers.due:due"} == ALL
    assert all({"scan", "rematch"} <= set(REGISTRY[one].yields_to) for one in ALL)
