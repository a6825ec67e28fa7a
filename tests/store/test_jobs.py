"""The rows of jobs: states and their events, one live job a type, leases, recovery, history; on both databases."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from pipelines.errors import JobConflict, JobUnknown
from pipelines.store import jobs as jobs_module
from pipelines.store.jobs import HEALTHY_S, Job, JobProgress, JobStore
from pipelines.store.schema import JobRow
from pipelines.store.sql import Store, open_store

LEASE_S = 10.0


class FakeClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_s(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def jobs(store: Store, clock: FakeClock) -> JobStore:
    return JobStore(store, clock)


def running(jobs: JobStore, type_id: str = "scan", token: str = "a") -> Job:  # noqa: S107 - of a lease
    job = jobs.claim(jobs.submit(type_id).id, token, LEASE_S)
    assert job is not None
    return job


def kinds(jobs: JobStore) -> list[str]:
    return [event.kind for event in jobs.events(0)]


def test_a_job_from_submission_to_end(jobs: JobStore, clock: FakeClock):
    job = jobs.submit("scan", {"ids": ["1"]}, priority=10)
    assert (job.state, job.params, job.priority, job.attempts, job.live) == ("queued", {"ids": ["1"]}, 10, 0, True)
    clock.pass_s(5)
    claimed = jobs.claim(job.id, "a", LEASE_S)
    assert claimed is not None
    assert (claimed.state, claimed.attempts, claimed.started_at) == ("running", 1, clock())
    jobs.progress(job.id, "a", JobProgress(3, 10, {"media_corrupt": 1}, 0.5, 14.0))
    assert jobs.finish(job.id, "a", {"scenes": 10})
    ended = jobs.get(job.id)
    assert (ended.state, ended.result, ended.done, ended.total) == ("done", {"scenes": 10}, 3, 10)
    assert (ended.counts, ended.ended_at, ended.live) == ({"media_corrupt": 1}, clock(), False)
    assert kinds(jobs) == ["submitted", "started", "progress", "done"]
    assert jobs.events(0)[2].data["counts"] == {"media_corrupt": 1}
    assert "params" not in jobs.events(0)[0].data


def test_one_live_job_a_type(jobs: JobStore):
    job = jobs.submit("scan")
    jobs.submit("rematch")
    for state in ("queued", "running", "stopping"):
        with pytest.raises(JobConflict, match=f"job {job.id} is {state}"):
            jobs.submit("scan")
        if state == "queued":
            jobs.claim(job.id, "a", LEASE_S)
        elif state == "running":
            jobs.request_stop(job.id)
    jobs.finish(job.id, "a", {})
    assert jobs.submit("scan").id > job.id


def test_the_database_itself_refuses_a_second_live_job(store: Store, jobs: JobStore):
    job = jobs.submit("scan")
    with store.reading() as session:
        values = {c.key: getattr(session.get_one(JobRow, job.id), c.key) for c in JobRow.__table__.columns}
    del values["id"]
    with pytest.raises(IntegrityError), store.session() as session:
        session.add(JobRow(**values | {"state": "running"}))
    with pytest.raises(IntegrityError), store.session() as session:
        session.add(JobRow(**values | {"state": "nonsense", "type": "other"}))


def test_of_many_submissions_at_once_one_wins(store_url: str, jobs: JobStore):
    script = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from pipelines.errors import JobConflict\n"
        "from pipelines.store.jobs import JobStore; from pipelines.store.sql import open_store\n"
        "jobs = JobStore(open_store(sys.argv[1]))\n"
        "def submit(_):\n"
        "    try: return jobs.submit('scan').id > 0\n"
        "    except JobConflict: return False\n"
        "sys.stdin.readline()\n"
        "with ThreadPoolExecutor(8) as pool: print(sum(pool.map(submit, range(8))))\n"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", script, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert sum(int(other.communicate(b"go\n", timeout=60)[0]) for other in others) == 1
    assert len(jobs.list()) == 1


def test_of_many_claims_at_once_one_wins(jobs: JobStore):
    job = jobs.submit("scan")
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: jobs.claim(job.id, f"token {n}", LEASE_S), range(16)))
    assert sum(claim is not None for claim in claims) == 1
    assert jobs.get(job.id).attempts == 1


def test_the_queue_is_in_order_of_priority_then_age(jobs: JobStore):
    ids = {name: jobs.submit(name, priority=p).id for name, p in [("a", 100), ("b", 50), ("c", 0), ("d", 50)]}
    assert [job.id for job in jobs.queued()] == [ids[name] for name in "cbda"]


def test_listing(jobs: JobStore):
    first, second, third = (jobs.submit(name).id for name in "abc")
    jobs.cancel(second)
    assert [job.id for job in jobs.list()] == [third, second, first]
    assert [job.id for job in jobs.list(["cancelled"])] == [second]
    assert [job.id for job in jobs.list(type_id="a")] == [first]
    assert [job.id for job in jobs.list(limit=1, before_id=third)] == [second]
    assert jobs.state_counts() == {
        "queued": 2, "running": 0, "stopping": 0, "done": 0, "failed": 0, "stopped": 0, "cancelled": 1
    }  # fmt: skip


def test_a_stopped_run_ends_stopped_however_it_ends(jobs: JobStore):
    for end in (
        lambda job: jobs.finish(job.id, "a", {"kept": 1}),
        lambda job: jobs.fail(job.id, "a", "stash_unreachable", "Gone."),
        lambda job: jobs.lose(job.id, "a", "Killed.", resumable=True),
        lambda job: jobs.release(job.id, "a"),
    ):
        job = running(jobs)
        assert jobs.request_stop(job.id).state == "stopping"
        assert jobs.heartbeat(job.id, "a", LEASE_S) == "stopping"
        assert jobs.request_stop(job.id).state == "stopping"
        assert end(job)
        assert jobs.get(job.id).state == "stopped"


def test_who_lost_the_lease_changes_nothing(jobs: JobStore):
    job = running(jobs)
    assert jobs.heartbeat(job.id, "b", LEASE_S) is None
    jobs.progress(job.id, "b", JobProgress(5))
    assert not jobs.finish(job.id, "b", {})
    assert not jobs.fail(job.id, "b", "x", "y")
    assert not jobs.lose(job.id, "b", "x", resumable=True)
    assert not jobs.release(job.id, "b")
    now = jobs.get(job.id)
    assert (now.state, now.done) == ("running", 0)
    assert jobs.finish(job.id, "a", {})
    assert not jobs.finish(job.id, "a", {})
    assert jobs.heartbeat(job.id, "a", LEASE_S) is None


def test_a_job_whose_lease_has_ended_is_found(jobs: JobStore, clock: FakeClock):
    job = running(jobs)
    clock.pass_s(LEASE_S - 1)
    assert jobs.recover(lambda _: True) == []
    assert jobs.heartbeat(job.id, "a", LEASE_S) == "running"
    clock.pass_s(LEASE_S - 1)
    assert jobs.recover(lambda _: True) == []
    clock.pass_s(2)
    assert jobs.recover(lambda _: True, own=["a"]) == []
    assert jobs.recover(lambda _: True) == [job.id]
    found = jobs.get(job.id)
    assert (found.state, found.error_code) == ("queued", "job_lost")
    assert found.error_message
    assert jobs.heartbeat(job.id, "a", LEASE_S) is None
    assert jobs.recover(lambda _: True) == []
    again = jobs.claim(job.id, "b", LEASE_S)
    assert again is not None
    assert again.attempts == 2
    assert jobs.finish(job.id, "b", {})
    assert jobs.get(job.id).error_message is None


def test_a_lost_job_is_begun_three_times_at_most(jobs: JobStore):
    job = jobs.submit("scan")
    for attempt in (1, 2, 3):
        assert jobs.claim(job.id, "a", LEASE_S)
        assert jobs.lose(job.id, "a", "Its process ended.", resumable=True)
        assert jobs.get(job.id).state == ("failed" if attempt == 3 else "queued")
    assert jobs.get(job.id).error_message == "Its process ended. That was attempt 3 of 3."


def test_a_run_of_an_hour_is_no_crash_loop(jobs: JobStore, clock: FakeClock):
    job = jobs.submit("scan")
    for _ in range(5):
        assert jobs.claim(job.id, "a", LEASE_S)
        clock.pass_s(HEALTHY_S)
        jobs.lose(job.id, "a", "Its process ended.", resumable=True)
        assert jobs.get(job.id).state == "queued"
    assert jobs.get(job.id).attempts == 1


def test_a_lost_job_that_cannot_go_on_has_failed(jobs: JobStore, clock: FakeClock):
    job = running(jobs)
    clock.pass_s(LEASE_S + 1)
    jobs.recover(lambda _: False)
    assert jobs.get(job.id).state == "failed"


def test_a_server_that_stops_in_order_costs_no_attempt(jobs: JobStore):
    job = jobs.submit("scan")
    for _ in range(5):
        assert jobs.claim(job.id, "a", LEASE_S)
        assert jobs.release(job.id, "a")
    assert (jobs.get(job.id).state, jobs.get(job.id).attempts) == ("queued", 0)


def test_cancel_and_stop_and_retry_where_they_make_sense(jobs: JobStore):
    job = jobs.submit("scan", {"ids": ["1"]}, priority=10)
    with pytest.raises(JobConflict, match="queued"):
        jobs.request_stop(job.id)
    with pytest.raises(JobConflict, match="queued"):
        jobs.retry(job.id)
    assert jobs.cancel(job.id).state == "cancelled"
    assert jobs.cancel(job.id).state == "cancelled"
    assert jobs.claim(job.id, "a", LEASE_S) is None
    again = jobs.retry(job.id)
    assert (again.state, again.params, again.priority, again.retry_of) == ("queued", {"ids": ["1"]}, 10, job.id)
    with pytest.raises(JobConflict, match="One scan job"):
        jobs.retry(job.id)
    jobs.claim(again.id, "a", LEASE_S)
    with pytest.raises(JobConflict, match="running"):
        jobs.cancel(again.id)
    jobs.finish(again.id, "a", {})
    for change in (jobs.retry, jobs.cancel, jobs.request_stop):
        with pytest.raises(JobConflict, match="done"):
            change(again.id)


def test_unknown_jobs(jobs: JobStore):
    for change in (jobs.get, jobs.retry, jobs.cancel, jobs.request_stop):
        with pytest.raises(JobUnknown, match="77"):
            change(77)


def test_clearing_keeps_what_lives_and_never_reuses_an_id(jobs: JobStore):
    running(jobs, "live")
    jobs.submit("queued")
    ended = running(jobs, "scan")
    jobs.fail(ended.id, "a", "stash_unreachable", "Gone.")
    other = running(jobs, "rematch")
    jobs.finish(other.id, "a", {})
    assert jobs.clear("scan") == 1
    assert jobs.clear() == 1
    assert {job.type for job in jobs.list()} == {"live", "queued"}
    assert [event.data for event in jobs.events(0) if event.kind == "cleared"] == [
        {"removed": 1, "type": "scan"},
        {"removed": 1, "type": None},
    ]
    assert jobs.clear() == 0
    assert jobs.events(0)[-1].kind == "cleared"
    assert jobs.submit("scan").id > other.id


def test_why_a_job_waits_is_said_once(jobs: JobStore):
    job = jobs.submit("scan")
    for _ in range(3):
        jobs.wait(job.id, "Waits for 1 CPU.")
    assert jobs.get(job.id).waiting_for == "Waits for 1 CPU."
    assert kinds(jobs) == ["submitted", "waiting"]
    jobs.claim(job.id, "a", LEASE_S)
    jobs.wait(job.id, "Too late.")
    assert jobs.get(job.id).waiting_for == ""


def test_events_go_on_after_an_id_and_are_bounded(jobs: JobStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs_module, "KEPT_EVENTS", 20)
    monkeypatch.setattr(jobs_module, "PRUNE_EVERY", 5)
    assert jobs.event_ids() == (0, 0)
    job = running(jobs)
    for done in range(48):
        jobs.progress(job.id, "a", JobProgress(done))
    first, last = jobs.event_ids()
    assert (first, last) == (31, 50)
    assert [event.id for event in jobs.events(45)] == [46, 47, 48, 49, 50]
    assert [event.id for event in jobs.events(45, limit=2)] == [46, 47]
    assert jobs.events(last) == []


def test_events_of_several_writers_become_visible_in_order(store_url: str, jobs: JobStore):
    """A reader that continues after the last id it saw must not miss one that is committed later."""
    others = [JobStore(open_store(store_url)) for _ in range(4)]
    started = [running(jobs, f"type {n}", f"token {n}") for n in range(4)]
    seen: list[int] = [event.id for event in jobs.events(0)]

    def report(n: int) -> None:
        for done in range(25):
            others[n].progress(started[n].id, f"token {n}", JobProgress(done))

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(report, n) for n in range(4)]
        while not all(w.done() for w in writing):
            seen += [event.id for event in jobs.events(seen[-1])]
    for w in writing:
        w.result()
    seen += [event.id for event in jobs.events(seen[-1])]
    assert seen == [event.id for event in jobs.events(0)]
    assert len(seen) == 108
