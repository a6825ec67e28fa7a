"""Where analyzers go on: what they have seen of each source, what they still have to evaluate, and their runs.

A plan is durable before anything of it is evaluated: subjects go into the queue first, then the marks move. So a run
that fails, is stopped or killed leaves the rest in the queue, and no change is seen by a mark without being there.
What failed stays in the queue with its error. Lives here: rows only; what an analyzer is, is `pipelines.analyzers`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from pipelines.store.findings import parts
from pipelines.store.jobs import Clock, utc_now
from pipelines.store.schema import AnalyzerQueueRow, AnalyzerRunRow, AnalyzerStateRow
from pipelines.store.sql import Store

MAX_ATTEMPTS = 5
"""Tries of a subject that fails, before only the next full run tries it again."""
KEPT_RUNS = 100
"""Runs of one analyzer whose record is kept."""
LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class AnalyzerState:
    """Where an analyzer goes on.

    Attributes:
        logic_version: of the rules that everything was evaluated with.
        marks: what was seen of each source, by its name.
        unfinished: an evaluation of everything at once has left something over.
        reconciled_at: when everything was last put up for evaluation.
        completed_at: when a run last evaluated all that was due.
    """

    type: str
    logic_version: int
    marks: dict[str, Any]
    unfinished: bool
    reconciled_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class AnalyzerRun:
    """One run; `counts` by what happened to findings and subjects."""

    id: int
    type: str
    state: str
    full: bool
    logic_version: int
    counts: dict[str, int]
    error: str
    started_at: datetime
    ended_at: datetime | None


class AnalyzerStore:
    """States, queues and runs of all analyzers. Thread-safe; every method blocks and raises StoreUnreachable."""

    def __init__(self, store: Store, now: Clock = utc_now) -> None:
        self._store = store
        self._now = now

    def state(self, type_id: str) -> AnalyzerState | None:
        """Returns where an analyzer goes on, None when it never planned anything."""
        with self._store.reading() as session:
            row = session.get(AnalyzerStateRow, type_id)
            return None if row is None else _record(AnalyzerState, row)

    def states(self) -> dict[str, AnalyzerState]:
        """Returns where every analyzer goes on, by type."""
        with self._store.reading() as session:
            return {row.type: _record(AnalyzerState, row) for row in session.scalars(select(AnalyzerStateRow))}

    def plan(
        self,
        type_id: str,
        subjects: Collection[str],
        marks: Mapping[str, Any],
        *,
        logic_version: int,
        everything: bool,
        unfinished: bool = False,
    ) -> None:
        """Puts subjects into the queue, as never tried, and moves the marks after that.

        Args:
            everything: these are all subjects that are worth a look.
            unfinished: there is something to evaluate that is not in the queue.
        """
        for part in parts(sorted(subjects)):
            with self._store.session() as session:
                self._enqueue(session, [{"type": type_id, "subject_id": s, "attempts": 0, "error": ""} for s in part])
        with self._store.session() as session:
            row = session.get(AnalyzerStateRow, type_id)
            if row is None:
                row = AnalyzerStateRow(type=type_id, unfinished=False)
                session.add(row)
            row.logic_version, row.marks = logic_version, dict(marks)
            row.unfinished = row.unfinished or unfinished
            if everything:
                row.reconciled_at = self._now()

    def due(self, type_id: str) -> list[str]:
        """Returns the subjects to evaluate, those that failed before last; without those that failed too often."""
        row = AnalyzerQueueRow
        query = select(row.subject_id).where(row.type == type_id, row.attempts < MAX_ATTEMPTS)
        with self._store.reading() as session:
            return list(session.scalars(query.order_by(row.attempts, func.length(row.subject_id), row.subject_id)))

    def waiting(self) -> dict[str, int]:
        """Returns how many subjects every analyzer still has to evaluate, those that failed included."""
        row = AnalyzerQueueRow
        with self._store.reading() as session:
            return dict(session.execute(select(row.type, func.count()).group_by(row.type)).tuples().all())

    def failures(self, type_id: str) -> dict[str, tuple[int, str]]:
        """Returns subject -> (attempts, error) of what failed and waits for its next try."""
        row = AnalyzerQueueRow
        query = select(row.subject_id, row.attempts, row.error).where(row.type == type_id, row.attempts > 0)
        with self._store.reading() as session:
            return {subject: (attempts, error) for subject, attempts, error in session.execute(query).tuples()}

    def evaluated(self, type_id: str, done: Collection[str], failed: Mapping[str, str]) -> None:
        """Takes subjects out of the queue; keeps those that failed, with the error."""
        row = AnalyzerQueueRow
        for part in parts(set(done) - failed.keys()):
            with self._store.session() as session:
                session.execute(delete(row).where(row.type == type_id, row.subject_id.in_(part)))
        for part in parts(sorted(failed)):
            with self._store.session() as session:
                rows = [{"type": type_id, "subject_id": s, "attempts": 1, "error": _short(failed[s])} for s in part]
                self._enqueue(session, rows, tried=True)

    def completed(self, type_id: str, *, unfinished: bool) -> None:
        """Notes that a run went through all that was due."""
        done: dict[str, Any] = {"unfinished": unfinished, "completed_at": self._now()}
        with self._store.session() as session:
            session.execute(update(AnalyzerStateRow).where(AnalyzerStateRow.type == type_id).values(**done))

    # --- runs

    def begin(self, type_id: str, *, full: bool, logic_version: int) -> tuple[int, AnalyzerRun | None]:
        """Returns the id of a new run, and the run before when that was cut off, which is noted."""
        row = AnalyzerRunRow
        with self._store.session() as session:
            lost = session.scalars(select(row).where(row.type == type_id, row.state == "running")).all()
            cut_off = _record(AnalyzerRun, lost[-1]) if lost else None
            for one in lost:
                one.state, one.error, one.ended_at = "failed", "The run was cut off.", self._now()
            run = row(type=type_id, state="running", full=full, logic_version=logic_version, counts={}, error="")
            run.started_at = self._now()
            session.add(run)
            session.flush()
            kept = select(row.id).where(row.type == type_id).order_by(row.id.desc()).limit(KEPT_RUNS)
            session.execute(delete(row).where(row.type == type_id, row.id.not_in(kept)))
            return run.id, cut_off

    def end(self, run_id: int, state: str, counts: Mapping[str, int], error: str = "") -> None:
        """Notes how a run ended: done, stopped or failed."""
        row = AnalyzerRunRow
        ended = {"state": state, "counts": dict(counts), "error": _short(error), "ended_at": self._now()}
        with self._store.session() as session:
            session.execute(update(row).where(row.id == run_id, row.state == "running").values(**ended))

    def runs(self, type_id: str | None = None, limit: int = 50) -> list[AnalyzerRun]:
        """Returns runs, newest first: of one type or all."""
        query = select(AnalyzerRunRow).order_by(AnalyzerRunRow.id.desc()).limit(limit)
        if type_id is not None:
            query = query.where(AnalyzerRunRow.type == type_id)
        with self._store.reading() as session:
            return [_record(AnalyzerRun, row) for row in session.scalars(query)]

    def last_runs(self) -> dict[str, AnalyzerRun]:
        """Returns the newest run of every type that ever ran."""
        newest = select(func.max(AnalyzerRunRow.id)).group_by(AnalyzerRunRow.type)
        with self._store.reading() as session:
            rows = session.scalars(select(AnalyzerRunRow).where(AnalyzerRunRow.id.in_(newest)))
            return {row.type: _record(AnalyzerRun, row) for row in rows}

    def _enqueue(self, session: Session, rows: Sequence[dict[str, Any]], *, tried: bool = False) -> None:
        dialect: Any = postgresql if self._store.dialect == "postgresql" else sqlite
        statement = dialect.insert(AnalyzerQueueRow)
        attempts = AnalyzerQueueRow.attempts + 1 if tried else 0
        changed = {"attempts": attempts, "error": statement.excluded.error}
        session.execute(statement.on_conflict_do_update(index_elements=["type", "subject_id"], set_=changed), rows)


def _record(kind: Any, row: Any) -> Any:
    return kind(**{f.name: getattr(row, f.name) for f in fields(kind)})


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 1]}…"
