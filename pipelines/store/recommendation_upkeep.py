"""Recommendations as analyzers and jobs keep them: findings come in, what is not found closes, what is old goes.

Lives here: these writes as methods of `RecommendationStore`. What becomes of each finding is `findings`; reading, and
what people decide, is `recommendations`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select

from pipelines.store.findings import Tally, close, close_missing, count_of, entity_ids, parts, upsert
from pipelines.store.jobs import Clock, utc_now
from pipelines.store.recommendation_query import about_entities
from pipelines.store.recommendation_records import Finding, Status
from pipelines.store.schema import DismissalRow, RecommendationRow
from pipelines.store.sql import Store


class RecommendationUpkeep:
    """The recommendations of a store, as far as nobody decides about them."""

    def __init__(self, store: Store, now: Clock = utc_now) -> None:
        self._store = store
        self._now = now

    def apply(
        self,
        type_id: str,
        run_id: int,
        findings: Collection[Finding],
        *,
        logic_version: int = 1,
    ) -> Tally:
        """Keeps findings of one run; see `findings` for what becomes of each. A kill keeps each whole or not at all."""
        tally = Tally()
        for part in parts(findings):
            with self._store.session() as session:
                tally.add(upsert(session, type_id, logic_version, run_id, part, self._now()))
        return tally

    def close_missing(
        self,
        type_id: str,
        run_id: int,
        reason: str,
        *,
        about: tuple[str, Sequence[str]] | None = None,
        spare: tuple[str, Sequence[str]] | None = None,
    ) -> int:
        """Closes what the run did not find; returns how many.

        Args:
            about: a kind and ids; only what is about these. Everything of the type by default.
            spare: a kind and ids; what is about these stays as it is.
        """
        closed, scopes = 0, [None] if about is None else [(about[0], part) for part in parts(about[1])]
        for scope in scopes:
            with self._store.session() as session:
                closed += close_missing(session, type_id, run_id, reason, self._now(), about=scope, spare=spare)
        return closed

    def count_closed(self, before: datetime) -> int:
        """Returns how many are closed since before a time and were never dismissed."""
        with self._store.reading() as session:
            return count_of(session, _forgettable(before))

    def remove_closed(self, before: datetime) -> int:
        """Removes those that are closed since before a time and were never dismissed; returns how many."""
        with self._store.session() as session:
            gone: Any = session.execute(
                delete(RecommendationRow).where(*_forgettable(before)), execution_options={"synchronize_session": False}
            )
            return int(gone.rowcount)

    def close_findings(self, type_id: str, target: tuple[str, str], named: Collection[str], reason: str) -> list[int]:
        """Closes pending findings about a target, kind and id, by their `finding`; returns their ids."""
        with self._store.session() as session:
            ids = list(session.scalars(select(RecommendationRow.id).where(*_about(type_id, target, named, "pending"))))
            close(session, [RecommendationRow.id.in_(ids)], reason, self._now())
            return ids

    def open_findings(self, type_id: str, target: tuple[str, str], named: Collection[str], reason: str) -> list[int]:
        """Opens again what `close_findings` has closed for that reason; returns the ids."""
        with self._store.session() as session:
            where = [*_about(type_id, target, named, "closed"), RecommendationRow.reason == reason]
            rows = list(session.scalars(select(RecommendationRow).where(*where)))
            for row in rows:
                row.status, row.found, row.reason, row.updated_at = "pending", True, "", self._now()
            return [row.id for row in rows]

    def entities(self, type_id: str, kind: str, *, missed_by: int | None = None) -> set[str]:
        """Returns the ids of a kind that recommendations of a type are about, of those that are not closed.

        Args:
            missed_by: a run; only of what it has not found.
        """
        with self._store.reading() as session:
            return entity_ids(session, type_id, kind, missed_by=missed_by)

    def close_gone(self, type_id: str, kind: str, reasons: Mapping[str, str]) -> int:
        """Closes what is about ids of a kind that do not exist any more, each with its reason; returns how many."""
        closed = 0
        for part in parts(sorted(reasons)):
            with self._store.session() as session:
                for gone in part:
                    about = [RecommendationRow.type == type_id, about_entities(kind, [gone])]
                    closed += close(session, about, reasons[gone], self._now())
        return closed


def _about(type_id: str, target: tuple[str, str], named: Collection[str], status: Status) -> list[ColumnElement[bool]]:
    row = RecommendationRow
    return [
        row.type == type_id,
        row.target_type == target[0],
        row.target_id == target[1],
        row.finding.in_(named),
        row.status == status,
    ]


def _forgettable(before: datetime) -> list[ColumnElement[bool]]:
    row = RecommendationRow
    dismissed = select(DismissalRow.recommendation_id).where(DismissalRow.recommendation_id == row.id).exists()
    return [row.status == "closed", row.updated_at < before, ~dismissed]
