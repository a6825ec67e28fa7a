"""The supervisor without Ray: types that say themselves that they are due."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.settings import Settings
from pipelines.store.jobs import Job, JobStore
from pipelines.store.sql import open_store
from serve_app.deployments.jobs import Run, Supervisor
from tests.serve_app.job_types import TYPES

LEASE_S = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def jobs(settings: Settings) -> JobStore:
    return JobStore(open_store(settings.store_url))


def test_what_is_due_runs_once_for_a_reason_that_it_failed_for(settings: Settings, jobs: JobStore):
    supervisor = Supervisor(lambda: settings, {"when_due": TYPES["when_due"]})

    def ask(reason: str | None) -> int:
        due = settings.data_dir / "due"
        due.unlink(missing_ok=True)
        if reason:
            due.write_text(reason)
        asyncio.run(supervisor._submit_due(jobs))
        return len(jobs.list())

    def end(state: str) -> None:
        job = jobs.queued()[0]
        jobs.claim(job.id, "a", LEASE_S)
        if state == "done":
            jobs.finish(job.id, "a", {})
        else:
            jobs.fail(job.id, "a", "stash_unreachable", "Gone.")

    assert ask(None) == 0
    assert ask("new database") == 1
    assert jobs.list()[0].triggered_by == "change"
    assert ask("new database") == 1, "one is queued already"
    end("failed")
    assert ask("new database") == 1, "it failed for that reason"
    assert ask("another database") == 2
    end("done")
    assert ask("another database") == 3, "it is due again after it was done"
    jobs.cancel(jobs.queued()[0].id)
    assert ask("another database") == 3, "somebody does not want it"


def test_a_type_that_cannot_say_whether_it_is_due_stops_nobody(settings: Settings, jobs: JobStore):
    absent = replace(TYPES["when_due"], id="absent", due="no.such.module:due")
    supervisor = Supervisor(lambda: settings, {"absent": absent, "when_due": TYPES["when_due"]})
    (settings.data_dir / "due").write_text("a reason")
    asyncio.run(supervisor._submit_due(jobs))
    assert [job.type for job in jobs.list()] == ["when_due"]


def test_types_that_share_a_question_are_asked_once_and_come_last(settings: Settings, jobs: JobStore):
    supervisor = Supervisor(lambda: settings, TYPES)
    asyncio.run(supervisor._submit_due(jobs))
    asyncio.run(supervisor._submit_due(jobs))
    assert [(job.type, job.priority) for job in jobs.queued()] == [("polite", 100), ("polite_too", 100)]
    assert (settings.data_dir / "asked").read_text() == "xx"


def test_what_nobody_asked_for_waits_for_what_it_would_disturb(settings: Settings, jobs: JobStore):
    supervisor = Supervisor(lambda: settings, TYPES)
    asyncio.run(supervisor._submit_due(jobs))
    first, second = jobs.queued()

    def waits(job: Job) -> str:
        return supervisor._stands_back(job, TYPES[job.type], list(jobs.queued()))

    assert waits(first) == ""
    supervisor._runs[first.id] = Run(first, TYPES[first.type], "token", None)
    assert waits(second) == "Waits for the end of: polite", "one after the other"
    del supervisor._runs[first.id]
    jobs.submit("stubborn")
    assert waits(first) == waits(second) == "Waits for the end of: Ignores its stop", "it is queued and comes first"
    assert waits(jobs.queued()[0]) == ""
    assert waits(replace(first, triggered_by="user")) == "", "somebody wants it now"
