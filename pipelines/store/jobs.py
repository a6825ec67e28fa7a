"""The rows of the jobs: every change of state in one transaction, with the event that says so.

    queued ──claim──▶ running ──finish──▶ done
      ▲  │              │  │ └───fail────▶ failed
      │  └─cancel▶      │  └─request_stop▶ stopping ──finish, lose──▶ stopped
      └──release, lose──┘  (a lost job that may not or must not be resumed: failed)

Who claims a job gets a lease in the name of a token. Every later change by the runner names the token, so whoever lost
the lease can change nothing any more. Lives here: rows only; types of jobs are `pipelines.jobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer

from pipelines.errors import JobConflict, JobUnknown
from pipelines.store.schema import ENDED_STATES, LIVE_STATES, JobEventRow, JobRow
from pipelines.store.sql import Store

MAX_ATTEMPTS = 3
"""Runs of one job that may end without its doing, by a crash, before it counts as failed."""
HEALTHY_S = 3600.0
"""A run of at least an hour is no crash loop: after it the attempts are counted anew."""
KEPT_EVENTS = 5000
PRUNE_EVERY = 100
RETRIED_STATES = ("failed", "stopped", "cancelled")
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it is now.

    Attributes:
        attempts: runs that were begun; counted anew after a run of an hour.
        done, total, counts: progress; `total` is None while it is not known, `counts` are by reason.
        waiting_for: why a queued job does not run yet; empty when nothing is known to be in the way.
        error_code, error_message: why it failed, or why it was put back in the queue.
        triggered_by: user, schedule or change.
    """

    id: int
    type: str
    state: str
    priority: int
    params: dict[str, Any]
    triggered_by: str
    retry_of: int | None
    attempts: int
    done: int
    total: int | None
    counts: dict[str, int]
    rate_per_s: float | None
    eta_s: float | None
    waiting_for: str
    result: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    stop_requested_at: datetime | None
    ended_at: datetime | None

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a running job is; see Job."""

    done: int = 0
    total: int | None = None
    counts: Mapping[str, int] | None = None
    rate_per_s: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What happened.

    Attributes:
        job_id: None when jobs were removed from the history.
        data: the job as it was then, without its parameters and result; or how many jobs were removed.
    """

    id: int
    job_id: int | None
    kind: str
    at: datetime
    data: dict[str, Any]


def utc_now() -> datetime:
    """Returns the time, aware."""
    return datetime.now(UTC)


class JobStore:
    """All jobs of a store. Thread-safe; every method blocks, so call it in a thread.

    Args:
        now: the clock; leases of several machines need clocks that agree within a few seconds.
    """

    def __init__(self, store: Store, now: Clock = utc_now) -> None:
        self._store = store
        self._now = now

    def submit(
        self,
        type_id: str,
        params: Mapping[str, Any] | None = None,
        *,
        priority: int = 50,
        triggered_by: str = "user",
        retry_of: int | None = None,
    ) -> Job:
        """Returns the new, queued job. Raises JobConflict while another job of the type is queued or running."""
        row = JobRow(
            type=type_id,
            state="queued",
            priority=priority,
            params=dict(params or {}),
            triggered_by=triggered_by,
            retry_of=retry_of,
            attempts=0,
            done=0,
            counts={},
            waiting_for="",
            created_at=self._now(),
        )
        try:
            with self._store.session() as session:
                session.add(row)
                session.flush()
                self._note(session, row, "submitted")
                return _job(row)
        except IntegrityError as error:
            raise self._conflict(type_id) from error

    def get(self, job_id: int) -> Job:
        """Returns one job. Raises JobUnknown."""
        with self._store.reading() as session:
            return _job(_row(session, job_id))

    def list(
        self,
        states: Collection[str] = (),
        type_id: str | None = None,
        *,
        limit: int = 50,
        before_id: int | None = None,
    ) -> list[Job]:
        """Returns jobs, newest first: of these states (any when empty) and this type, with smaller ids than given."""
        query = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        if states:
            query = query.where(JobRow.state.in_(states))
        if type_id is not None:
            query = query.where(JobRow.type == type_id)
        if before_id is not None:
            query = query.where(JobRow.id < before_id)
        with self._store.reading() as session:
            return [_job(row) for row in session.scalars(query)]

    def newest(self, type_ids: Collection[str]) -> dict[str, Job]:
        """Returns the newest job of each of these types that has any."""
        last = select(func.max(JobRow.id)).where(JobRow.type.in_(type_ids)).group_by(JobRow.type)
        with self._store.reading() as session:
            return {row.type: _job(row) for row in session.scalars(select(JobRow).where(JobRow.id.in_(last)))}

    def queued(self) -> Sequence[Job]:
        """Returns the jobs that wait, in the order in which they are to begin: by priority, then by age."""
        query = select(JobRow).where(JobRow.state == "queued").order_by(JobRow.priority, JobRow.id)
        with self._store.reading() as session:
            return [_job(row) for row in session.scalars(query)]

    def state_counts(self) -> dict[str, int]:
        """Returns how many jobs there are in each state, zeros included."""
        with self._store.reading() as session:
            found = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).tuples()
            return dict.fromkeys((*LIVE_STATES, *ENDED_STATES), 0) | dict(found.all())

    def claim(self, job_id: int, token: str, lease_s: float) -> Job | None:
        """Returns the job, running from now on in the name of the token; None when it is not queued any more."""
        with self._store.session() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job_id, JobRow.state == "queued"))
            if row is None:
                return None
            row.state, row.attempts, row.waiting_for = "running", row.attempts + 1, ""
            row.started_at = self._now()
            row.lease_token, row.lease_until = token, self._until(lease_s)
            self._note(session, row, "started")
            return _job(row)

    def heartbeat(self, job_id: int, token: str, lease_s: float) -> str | None:
        """Keeps the lease; returns running or stopping, None when the job is no longer this run's."""
        held = (JobRow.id == job_id, JobRow.lease_token == token)
        renew = update(JobRow).where(*held).values(lease_until=self._until(lease_s)).returning(JobRow.state)
        with self._store.session() as session:
            return session.scalar(renew)

    def progress(self, job_id: int, token: str, progress: JobProgress) -> None:
        """Notes how far the run is, when it still is this run's."""
        with self._store.session() as session:
            row = _held(session, job_id, token)
            if row is None:
                return
            row.done, row.total, row.counts = progress.done, progress.total, dict(progress.counts or {})
            row.rate_per_s, row.eta_s = progress.rate_per_s, progress.eta_s
            self._note(session, row, "progress")

    def finish(self, job_id: int, token: str, result: Mapping[str, Any]) -> bool:
        """Ends a run that returned: done, or stopped when that was asked for. False when it is not this run's."""
        with self._store.session() as session:
            row = _held(session, job_id, token)
            if row is None:
                return False
            row.result = dict(result)
            row.error_code = row.error_message = None
            self._end(session, row, "stopped" if row.state == "stopping" else "done")
            return True

    def fail(self, job_id: int, token: str, code: str, message: str) -> bool:
        """Ends a run that raised: failed, or stopped when that was asked for. False when it is not this run's."""
        with self._store.session() as session:
            row = _held(session, job_id, token)
            if row is None:
                return False
            row.error_code, row.error_message = code, message
            self._end(session, row, "stopped" if row.state == "stopping" else "failed")
            return True

    def release(self, job_id: int, token: str) -> bool:
        """Puts a job back that is ended because the server stops; that is no attempt. False when not this run's."""
        with self._store.session() as session:
            row = _held(session, job_id, token)
            if row is None:
                return False
            if row.state == "stopping":
                self._end(session, row, "stopped")
            else:
                row.attempts -= 1
                self._requeue(session, row)
            return True

    def lose(self, job_id: int, token: str, reason: str, *, resumable: bool) -> bool:
        """Notes that the process of a run is gone: queued again, failed or stopped. False when not this run's."""
        with self._store.session() as session:
            row = _held(session, job_id, token)
            if row is None:
                return False
            self._lost(session, row, reason, resumable=resumable)
            return True

    def recover(self, resumable: Callable[[str], bool], *, own: Collection[str] = ()) -> Sequence[int]:
        """Finds running jobs whose lease has ended, but for the `own` tokens; returns their ids.

        Args:
            resumable: whether jobs of a type may be started again.
        """
        expired = select(JobRow).where(
            JobRow.state.in_(("running", "stopping")),
            JobRow.lease_until < self._now(),
            JobRow.lease_token.not_in(own),
        )
        with self._store.reading() as session:
            if session.scalar(expired.limit(1)) is None:
                return []
        with self._store.session() as session:
            rows = list(session.scalars(expired))
            for row in rows:
                self._lost(session, row, "The server ended while it ran.", resumable=resumable(row.type))
            return [row.id for row in rows]

    def wait(self, job_id: int, reason: str) -> None:
        """Notes why a queued job does not begin."""
        with self._store.session() as session:
            row = session.scalar(_light().where(JobRow.id == job_id, JobRow.state == "queued"))
            if row is not None and row.waiting_for != reason:
                row.waiting_for = reason
                self._note(session, row, "waiting")

    def request_stop(self, job_id: int) -> Job:
        """Returns the job, stopping. Raises JobUnknown, JobConflict when it does not run."""
        with self._store.session() as session:
            row = _row(session, job_id)
            if row.state == "running":
                row.state, row.stop_requested_at = "stopping", self._now()
                self._note(session, row, "stopping")
            elif row.state != "stopping":
                raise JobConflict(
                    f"Job {job_id} is {row.state}, so it cannot be stopped.", "A queued job can be cancelled."
                )
            return _job(row)

    def cancel(self, job_id: int) -> Job:
        """Returns the job, cancelled. Raises JobUnknown, JobConflict when it does not wait in the queue."""
        with self._store.session() as session:
            row = _row(session, job_id)
            if row.state == "queued":
                self._end(session, row, "cancelled")
            elif row.state != "cancelled":
                raise JobConflict(
                    f"Job {job_id} is {row.state}, so it cannot be cancelled.", "A running job can be stopped."
                )
            return _job(row)

    def retry(self, job_id: int) -> Job:
        """Returns a new job with the parameters of one that failed, was stopped or cancelled.

        Raises JobUnknown, and JobConflict when it is in another state or a job of its type is queued or running.
        """
        job = self.get(job_id)
        if job.state not in RETRIED_STATES:
            raise JobConflict(
                f"Job {job_id} is {job.state}, so it cannot be tried again.", f"Only {', '.join(RETRIED_STATES)} can."
            )
        return self.submit(job.type, job.params, priority=job.priority, retry_of=job_id)

    def clear(self, type_id: str | None = None) -> int:
        """Removes the jobs that have ended, of one type or all; returns how many."""
        ended = delete(JobRow).where(JobRow.state.in_(ENDED_STATES))
        if type_id is not None:
            ended = ended.where(JobRow.type == type_id)
        with self._store.session() as session:
            removed = len(session.scalars(ended.returning(JobRow.id)).all())
            if removed:
                self._add_event(session, None, "cleared", {"removed": removed, "type": type_id})
            return removed

    def events(self, after_id: int, limit: int = 200) -> Sequence[JobEvent]:
        """Returns what happened after an event, oldest first."""
        query = select(JobEventRow).where(JobEventRow.id > after_id).order_by(JobEventRow.id).limit(limit)
        with self._store.reading() as session:
            return [JobEvent(row.id, row.job_id, row.kind, row.at, row.data) for row in session.scalars(query)]

    def event_ids(self) -> tuple[int, int]:
        """Returns the ids of the oldest and of the newest event that are kept; zeros when there is none."""
        with self._store.reading() as session:
            first, last = session.execute(select(func.min(JobEventRow.id), func.max(JobEventRow.id))).one().tuple()
            return first or 0, last or 0

    def _lost(self, session: Session, row: JobRow, reason: str, *, resumable: bool) -> None:
        started = row.started_at or self._now()
        if (self._now() - started).total_seconds() >= HEALTHY_S:
            row.attempts = 1
        row.error_code, row.error_message = "job_lost", reason
        if row.state == "stopping":
            row.error_code = row.error_message = None
            self._end(session, row, "stopped")
        elif not resumable:
            self._end(session, row, "failed")
        elif row.attempts >= MAX_ATTEMPTS:
            row.error_message = f"{reason} That was attempt {row.attempts} of {MAX_ATTEMPTS}."
            self._end(session, row, "failed")
        else:
            self._requeue(session, row)

    def _requeue(self, session: Session, row: JobRow) -> None:
        row.state, row.rate_per_s, row.eta_s = "queued", None, None
        row.lease_token = row.lease_until = None
        self._note(session, row, "requeued")

    def _end(self, session: Session, row: JobRow, state: str) -> None:
        row.state, row.ended_at, row.eta_s, row.waiting_for = state, self._now(), None, ""
        row.lease_token = row.lease_until = None
        self._note(session, row, state)

    def _note(self, session: Session, row: JobRow, kind: str) -> None:
        """Adds an event with the job as it is now."""
        self._add_event(session, row.id, kind, _snapshot(row))

    def _add_event(self, session: Session, job_id: int | None, kind: str, data: dict[str, Any]) -> None:
        """Adds an event; now and then drops the oldest ones."""
        event = JobEventRow(job_id=job_id, kind=kind, at=self._now(), data=data)
        session.add(event)
        session.flush()
        if event.id % PRUNE_EVERY == 0:
            session.execute(delete(JobEventRow).where(JobEventRow.id <= event.id - KEPT_EVENTS))

    def _until(self, lease_s: float) -> datetime:
        return self._now() + timedelta(seconds=lease_s)

    def _conflict(self, type_id: str) -> JobConflict:
        live = self.list(LIVE_STATES, type_id, limit=1)
        which = f"job {live[0].id} is {live[0].state}" if live else "another one was submitted at the same moment"
        return JobConflict(f"One {type_id} job at a time: {which}.", "Wait for it, or stop or cancel it first.")


SNAPSHOT_LEFT_OUT = {"params", "result"}
JOB_FIELDS = tuple(f.name for f in fields(Job))


def as_json(job: Job) -> dict[str, Any]:
    """Returns a job with its times as ISO text."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(job).items()}


def _snapshot(row: JobRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in JOB_FIELDS if name not in SNAPSHOT_LEFT_OUT}
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}


def _job(row: JobRow) -> Job:
    return Job(**{name: getattr(row, name) for name in JOB_FIELDS})


def _light() -> Any:
    """Selects jobs without their parameters, which may be long and are not needed for a change of state."""
    return select(JobRow).options(defer(JobRow.params), defer(JobRow.result))


def _row(session: Session, job_id: int) -> JobRow:
    row = session.get(JobRow, job_id)
    if row is None:
        raise JobUnknown(f"There is no job {job_id}.", "GET /queue lists the jobs.")
    return row


def _held(session: Session, job_id: int, token: str) -> JobRow | None:
    held: JobRow | None = session.scalar(_light().where(JobRow.id == job_id, JobRow.lease_token == token))
    return held
