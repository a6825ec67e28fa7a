"""Jobs in real processes under two real supervisors: progress, stop, errors, resources, and kill -9 of everything.

One Ray for most of it; the last test ends it by kill -9 and starts another one on the same store.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from pipelines.settings import Settings
from pipelines.store.jobs import Job, JobStore, utc_now
from pipelines.store.schedules import ScheduleStore
from pipelines.store.sql import open_store
from tests.serve_app.conftest import server_environment, until
from tests.serve_app.job_types import TYPES, lines, notes

START_TIMEOUT_S = 120
END_TIMEOUT_S = 120


@dataclass
class Engine:
    """A running job server and the store that it works on."""

    process: subprocess.Popen[str]
    settings: Settings
    environment: dict[str, str]
    jobs: JobStore

    def submit(self, type_id: str, **params: object) -> Job:
        return self.jobs.submit(type_id, params, priority=TYPES[type_id].priority)

    def in_state(self, job: Job, *states: str) -> Job:
        def reached() -> Job | None:
            now = self.jobs.get(job.id)
            return now if now.state in states else None

        return until(reached, END_TIMEOUT_S, f"{job.type} becoming {states}; it is {self.jobs.get(job.id)}")

    def ended(self, job: Job) -> Job:
        return self.in_state(job, "done", "failed", "stopped", "cancelled")

    def kinds(self, job: Job) -> list[str]:
        """Returns what happened, without what depends on the speed of the machine."""
        left_out = {"progress", "waiting"}
        return [e.kind for e in self.jobs.events(0, 10_000) if e.job_id == job.id and e.kind not in left_out]

    def pid(self, name: str) -> int:
        return int(until(lambda: lines(self.settings, name), END_TIMEOUT_S, f"the start of {name}")[-1])

    def supervisors(self) -> list[psutil.Process]:
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                found += [process] if ":Jobs" in "".join(process.cmdline()) else []
        return found


def launch(environment: dict[str, str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serve_app.jobs_server"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "supervising\n"
    return process


def session_pids(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for other in psutil.process_iter():
        try:
            if os.getsid(other.pid) == process.pid and other.status() != psutil.STATUS_ZOMBIE:
                found.append(other)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="jb-"))
    environment = server_environment(folder, 1, folder)
    settings = Settings(data_dir=folder)
    store = open_store(settings.store_url)
    running = Engine(launch(environment), settings, environment, JobStore(store))
    try:
        yield running
        tree = session_pids(running.process)
        running.process.communicate("", timeout=END_TIMEOUT_S)
        assert running.process.returncode == 0
        assert not psutil.wait_procs(tree, 10)[1]
    finally:
        for process in session_pids(running.process):
            process.kill()
        store.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _fresh_notes(engine: Engine) -> None:
    for path in engine.settings.data_dir.glob("*.notes"):
        path.unlink()


def test_a_job_runs_once_with_progress_in_a_process_of_its_own(engine: Engine):
    job = engine.ended(engine.submit("count", to=30, step_s=0.1))
    assert (job.state, job.done, job.total, job.counts) == ("done", 30, 30, {"even": 15})
    assert job.result == {"counted": 30}
    assert job.attempts == 1
    assert engine.kinds(job) == ["submitted", "started", "done"]
    reports = [e.data for e in engine.jobs.events(0, 10_000) if e.job_id == job.id and e.kind == "progress"]
    assert [r["done"] for r in reports] == sorted(r["done"] for r in reports)
    assert 2 <= len(reports) <= 6, "about one report a second"
    assert any(r["rate_per_s"] and r["eta_s"] is not None for r in reports)
    assert lines(engine.settings, "numbers") == [str(n) for n in range(30)]
    (pid,) = lines(engine.settings, "runs")
    assert int(pid) not in {p.pid for p in engine.supervisors()}
    until(lambda: not psutil.pid_exists(int(pid)), 10, "the end of its process")


def test_a_job_that_asks_stops_by_itself(engine: Engine):
    job = engine.submit("count", to=1000)
    until(lambda: lines(engine.settings, "numbers"), END_TIMEOUT_S, "the first number")
    asked = time.monotonic()
    engine.jobs.request_stop(job.id)
    stopped = engine.ended(job)
    assert time.monotonic() - asked < 5
    assert stopped.state == "stopped"
    assert stopped.result == {"stopped_at": len(lines(engine.settings, "numbers"))}


def test_a_job_that_ignores_its_stop_is_ended_within_5_s(engine: Engine):
    job = engine.submit("stubborn")
    pid = engine.pid("stubborn")
    asked = time.monotonic()
    engine.jobs.request_stop(job.id)
    stopped = engine.ended(job)
    assert time.monotonic() - asked < 5.5  # the poll of this test included
    assert stopped.state == "stopped"
    until(lambda: not psutil.pid_exists(pid), 5, "the end of its process")
    assert engine.kinds(job) == ["submitted", "started", "stopping", "stopped"]


def test_errors_are_kept_with_their_names(engine: Engine):
    submitted = {name: engine.submit(name) for name in ("broken", "fault", "unwritable", "absent")}
    ended = {name: engine.ended(job) for name, job in submitted.items()}
    assert {job.state for job in ended.values()} == {"failed"}
    assert {job.attempts for job in ended.values()} == {1}
    assert (ended["broken"].error_code, ended["broken"].error_message) == (
        "stash_unreachable",
        "Stash does not answer. Start it.",
    )
    assert ended["fault"].error_message == "ZeroDivisionError: cannot divide by zero"
    assert {ended[name].error_code for name in ("fault", "unwritable", "absent")} == {"internal"}
    assert "no_such_function" in str(ended["absent"].error_message)


def test_parameters_that_are_not_valid_fail_by_name(engine: Engine):
    job = engine.ended(engine.submit("count", nonsense=1))
    assert (job.state, job.error_code) == ("failed", "bad_input")
    assert "nonsense" in str(job.error_message)


def test_a_crashed_job_goes_on_where_it_was(engine: Engine):
    job = engine.ended(engine.submit("count", to=10, crashes=1))
    assert (job.state, job.attempts, job.error_message) == ("done", 2, None)
    assert engine.kinds(job) == ["submitted", "started", "requeued", "started", "done"]
    assert lines(engine.settings, "numbers") == [str(n) for n in range(10)]


def test_a_job_that_always_crashes_fails_with_the_reason(engine: Engine):
    jobs = [engine.submit("crash"), engine.submit("once")]
    crash, once = map(engine.ended, jobs)
    assert (crash.state, crash.attempts, crash.error_code) == ("failed", 3, "job_lost")
    assert "attempt 3 of 3" in str(crash.error_message)
    assert (once.state, once.attempts) == ("failed", 1)


def test_waiting_says_for_what(engine: Engine):
    giant, hog = engine.submit("giant"), engine.submit("hog")
    engine.in_state(hog, "running")
    small = engine.submit("small")
    until(lambda: engine.jobs.get(small.id).waiting_for, END_TIMEOUT_S, "a reason")
    assert engine.jobs.get(small.id).waiting_for == "Waits for 1 CPU: 0 of 2 are free"
    assert engine.jobs.get(giant.id).waiting_for == "Needs 1000 CPU, and the cluster has 2"
    engine.jobs.cancel(giant.id)
    engine.jobs.request_stop(hog.id)
    assert engine.ended(small).error_code == "stash_unreachable"
    assert engine.ended(small).waiting_for == ""
    assert engine.jobs.get(hog.id).state == "stopped"


def test_schedules_submit_jobs(engine: Engine):
    schedules = ScheduleStore(open_store(engine.settings.store_url), lambda: utc_now() - timedelta(days=1))
    schedules.set("count", enabled=True, interval_hours=1)

    def scheduled() -> Job | None:
        return next((job for job in engine.jobs.list(type_id="count") if job.triggered_by == "schedule"), None)

    job = until(scheduled, END_TIMEOUT_S, "the scheduled job")
    assert engine.ended(job).state == "done"
    schedules.set("count", enabled=False, interval_hours=1)
    assert len([j for j in engine.jobs.list(type_id="count") if j.triggered_by == "schedule"]) == 1


def test_a_type_that_is_due_runs_by_itself(engine: Engine):
    due = engine.settings.data_dir / "due"
    due.write_text("the database changed")
    job = until(lambda: engine.jobs.list(type_id="when_due"), END_TIMEOUT_S, "the job")[-1]
    due.unlink()
    assert engine.ended(job).triggered_by == "change"


def test_a_killed_supervisor_is_replaced_and_its_job_goes_on(engine: Engine):
    job = engine.submit("count", to=200, step_s=0.1)
    until(lambda: len(lines(engine.settings, "numbers")) > 3, END_TIMEOUT_S, "some numbers")
    (before,) = lines(engine.settings, "runs")
    supervisors = engine.supervisors()
    assert len(supervisors) == 2
    for process in supervisors:
        process.kill()
    again = until(lambda: lines(engine.settings, "runs")[1:], END_TIMEOUT_S, "the second run")
    assert not psutil.pid_exists(int(before)), "both runs at once"
    assert len(again) == 1
    running = engine.in_state(job, "running")
    assert running.attempts == 2
    engine.jobs.request_stop(job.id)
    assert engine.ended(job).state == "stopped"
    numbers = lines(engine.settings, "numbers")
    assert numbers == [str(n) for n in range(len(numbers))]


def test_a_stop_that_nobody_heard_ends_stopped(engine: Engine):
    """The process and both supervisors are gone when the wish is noted; nothing stays in `stopping`."""
    job = engine.submit("stubborn")
    pid = engine.pid("stubborn")
    for process in [*engine.supervisors(), psutil.Process(pid)]:
        process.kill()
    engine.jobs.request_stop(job.id)
    assert engine.ended(job).state == "stopped"


def test_the_whole_tree_is_killed_and_started_again(engine: Engine):
    counting, hog = engine.submit("count", to=60, step_s=0.1), engine.submit("hog")
    waiting = engine.submit("small")
    engine.in_state(hog, "running")
    until(lambda: len(lines(engine.settings, "numbers")) > 3, END_TIMEOUT_S, "some numbers")
    for process in session_pids(engine.process):
        process.send_signal(signal.SIGKILL)
    engine.process.wait()
    notes(engine.settings, "stubborn").unlink()
    engine.jobs.request_stop(hog.id)
    engine.process = launch(engine.environment)
    assert engine.ended(hog).state == "stopped"
    assert engine.ended(counting).state == "done"
    assert engine.jobs.get(counting.id).attempts == 2
    assert lines(engine.settings, "numbers") == [str(n) for n in range(60)]
    assert engine.ended(waiting).error_code == "stash_unreachable"
    assert not {job.state for job in engine.jobs.list()} & {"running", "stopping"}


def test_a_stop_in_order_puts_jobs_back_without_an_attempt(engine: Engine):
    job = engine.submit("stubborn")
    engine.pid("stubborn")
    engine.process.communicate("", timeout=END_TIMEOUT_S)
    now = engine.jobs.get(job.id)
    assert (now.state, now.attempts) == ("queued", 0)
    engine.jobs.cancel(job.id)
