"""When jobs run by themselves: an interval for each type, and the next time.

After a downtime a job that was due runs once, however many times it was due. Which types and intervals there are is
`pipelines.jobs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from pipelines.store.jobs import Clock, utc_now
from pipelines.store.schema import ScheduleRow
from pipelines.store.sql import Store


@dataclass(frozen=True, slots=True)
class Schedule:
    """When jobs of one type run by themselves."""

    type: str
    enabled: bool
    interval_hours: int
    next_run_at: datetime | None
    last_run_at: datetime | None


class ScheduleStore:
    """All schedules of a store. Thread-safe; every method blocks."""

    def __init__(self, store: Store, now: Clock = utc_now) -> None:
        self._store = store
        self._now = now

    def all(self) -> dict[str, Schedule]:
        """Returns the schedules that were ever set, by type."""
        with self._store.reading() as session:
            return {row.type: _schedule(row) for row in session.scalars(select(ScheduleRow))}

    def set(self, type_id: str, *, enabled: bool, interval_hours: int) -> Schedule:
        """Returns the schedule as it is from now on; the first run is one interval after it was enabled.

        Setting what is set already leaves the next run where it is.
        """
        with self._store.session() as session:
            row = session.get(ScheduleRow, type_id)
            if row is None:
                row = ScheduleRow(type=type_id, enabled=False, interval_hours=interval_hours)
                session.add(row)
            if not enabled:
                row.next_run_at = None
            elif not row.enabled or row.interval_hours != interval_hours:
                row.next_run_at = self._now() + timedelta(hours=interval_hours)
            row.enabled, row.interval_hours = enabled, interval_hours
            return _schedule(row)

    def take_due(self) -> list[str]:
        """Returns the types that are due, each to one caller only; the next run is the next one in the future."""
        now = self._now()
        due = select(ScheduleRow).where(ScheduleRow.enabled, ScheduleRow.next_run_at <= now).order_by(ScheduleRow.type)
        with self._store.reading() as session:
            if session.scalar(due.limit(1)) is None:
                return []
        with self._store.session() as session:
            rows = list(session.scalars(due))
            for row in rows:
                row.last_run_at = now
                row.next_run_at = following(row.next_run_at or now, timedelta(hours=row.interval_hours), now)
            return [row.type for row in rows]


def following(planned: datetime, interval: timedelta, now: datetime) -> datetime:
    """Returns the first time after now that is a whole number of intervals after the planned one."""
    return planned + interval * ((now - planned) // interval + 1)


def _schedule(row: ScheduleRow) -> Schedule:
    return Schedule(row.type, row.enabled, row.interval_hours, row.next_run_at, row.last_run_at)
