"""What becomes of what an analyzer found: new, unchanged, updated, come back, closed because it is not found any more.

                 found (evidence the same)      found (evidence changed)        not found
    no row       pending                        pending                         -
    pending      pending                        pending                         closed, with the reason
    dismissed    dismissed                      pending, unless for ever        closed, its dismissals are remembered
    closed       pending, or dismissed again    pending, or dismissed again     closed
    resolved     resolved; pending when it had  pending, or dismissed again     resolved, noted as gone
                 been gone in between

The same finding therefore never comes twice, and what somebody decided about it never keeps a later one away. Lives
here: these rules, as writes of one transaction each; whole sets of rows, no loop with a query for each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from pipelines.store.recommendation_query import about_entities
from pipelines.store.recommendation_records import DismissalMode, Finding
from pipelines.store.schema import (
    DismissalBatchRow,
    DismissalRow,
    RecommendationDetailRow,
    RecommendationEntityRow,
    RecommendationRow,
    RecommendationTextRow,
    Table,
)

AT_ONCE = 400
"""Findings, or ids, of one statement: below every limit of parameters, and a transaction stays short."""
TITLE_KEY_LENGTH = 200

_ROWS = Table.metadata.tables[RecommendationRow.__tablename__]
_TEXTS = Table.metadata.tables[RecommendationTextRow.__tablename__]
_DETAILS = Table.metadata.tables[RecommendationDetailRow.__tablename__]
_ENTITIES = Table.metadata.tables[RecommendationEntityRow.__tablename__]

_JUDGED = ("id", "status", "target_type", "target_id", "finding", "evidence", "content", "found", "action_id", "reason")

Dismissals = Sequence[tuple[DismissalMode, str]]
"""Mode and evidence of a recommendation's dismissals, oldest first."""


@dataclass(slots=True)
class Tally:
    """What a run changed.

    Attributes:
        new, updated, unchanged: findings; updated are those of which something that is shown differs.
        reopened: of these, those that are pending again.
        closed: recommendations that were not found any more.
    """

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    reopened: int = 0
    closed: int = 0

    def add(self, other: Tally) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def dismissed(dismissals: Dismissals, evidence: str) -> bool:
    """Whether a finding with this evidence stays away: for ever by the newest word, or dismissed in this very state."""
    if not dismissals:
        return False
    return dismissals[-1][0] == "forever" or any(m == "until_changed" and e == evidence for m, e in dismissals)


def upsert(
    session: Session, type_id: str, logic_version: int, run_id: int, findings: Sequence[Finding], now: datetime
) -> Tally:
    """Writes findings of one type, each in the place of what there was of the same identity; at most AT_ONCE."""
    own = {finding.key: finding for finding in findings}
    known = _known(session, type_id, [finding.target_id for finding in own.values()])
    dismissals = _dismissals(session, [known[key].id for key in own if key in known])
    tally = Tally()
    fresh = [finding for key, finding in own.items() if key not in known]
    _insert(session, type_id, logic_version, run_id, fresh, now)
    tally.new = len(fresh)
    changed: list[tuple[int, Finding]] = []
    moved: list[dict[str, Any]] = []
    for key, finding in own.items():
        if key not in known:
            continue
        row = known[key]
        content = finding.content()
        status = _status(row, finding.evidence, dismissals.get(row.id, ()))
        tally.reopened += status == "pending" != row.status
        if content != row.content:
            changed.append((row.id, finding))
        tally.updated += content != row.content
        tally.unchanged += content == row.content
        if content != row.content or status != row.status:
            moved.append(_moved(row, finding, content, status, now))
    ids = [known[key].id for key in own if key in known]
    if ids:
        seen = {"found": True, "run_id": run_id, "logic_version": logic_version}
        session.execute(update(_ROWS).where(_ROWS.c.id.in_(ids)).values(**seen))
    if moved:
        names = [name for name in moved[0] if name != "own_id"]
        statement = update(_ROWS).where(_ROWS.c.id == bindparam("own_id"))
        session.connection().execute(statement.values({name: bindparam(name) for name in names}), moved)
    _replace_content(session, changed)
    return tally


def close_missing(
    session: Session,
    type_id: str,
    run_id: int,
    reason: str,
    now: datetime,
    *,
    about: tuple[str, Sequence[str]] | None = None,
    spare: tuple[str, Sequence[str]] | None = None,
) -> int:
    """Closes what this run has not found: of everything, or of what is about a kind and (at most AT_ONCE) ids.

    What is about a kind and ids of `spare` stays as it is: these could not be evaluated.
    """
    row = RecommendationRow
    missing: list[ColumnElement[bool]] = [row.type == type_id, row.run_id != run_id]
    if about is not None:
        missing.append(about_entities(*about))
    if spare is not None:
        missing += [~about_entities(spare[0], part) for part in parts(spare[1])]
    return close(session, missing, reason, now)


def close(session: Session, which: Sequence[Any], reason: str, now: datetime) -> int:
    """Closes what is pending or dismissed, notes of what is resolved that it is gone; returns how many were closed."""
    row = RecommendationRow
    quiet = {"synchronize_session": False}
    session.execute(
        update(row).where(*which, row.status == "resolved", row.found).values(found=False), execution_options=quiet
    )
    open_ = row.status.in_(("pending", "dismissed"))
    closed = {"status": "closed", "found": False, "reason": reason, "updated_at": now}
    result: Any = session.execute(update(row).where(*which, open_).values(**closed), execution_options=quiet)
    return int(result.rowcount)


def resolve(session: Session, recommendation_id: int, action_id: int, reason: str, now: datetime) -> None:
    """Notes that an action resolved a recommendation; its dismissals are forgotten. A resolved one stays."""
    row = session.get(RecommendationRow, recommendation_id)
    if row is not None and row.status != "resolved":
        row.status, row.action_id, row.reason, row.updated_at = "resolved", action_id, reason, now
        session.execute(delete(DismissalRow).where(DismissalRow.recommendation_id == row.id))
        session.flush()


def reopen(session: Session, action_id: int, now: datetime) -> int:
    """Makes pending again what an action resolved, after it was undone; returns how many."""
    row = RecommendationRow
    pending: dict[str, Any] = {"status": "pending", "reason": "", "action_id": None, "updated_at": now}
    own = update(row).where(row.action_id == action_id, row.status == "resolved").values(**pending)
    opened: Any = session.execute(own, execution_options={"synchronize_session": False})
    return int(opened.rowcount)


def entity_ids(session: Session, type_id: str, kind: str, *, missed_by: int | None = None) -> set[str]:
    """Returns the ids of a kind that recommendations of a type are about, of those that are not closed.

    Args:
        missed_by: a run; only of what it has not found.
    """
    row, entity = RecommendationRow, RecommendationEntityRow
    query = select(entity.entity_id).join(row, row.id == entity.recommendation_id).distinct()
    if missed_by is not None:
        query = query.where(row.run_id != missed_by)
    return set(session.scalars(query.where(row.type == type_id, row.status != "closed", entity.kind == kind)))


def parts(items: Iterable[Any], size: int = AT_ONCE) -> Iterator[list[Any]]:
    """Yields the items in lists of at most `size`."""
    waiting = iter(items)
    while part := list(islice(waiting, size)):
        yield part


def _known(session: Session, type_id: str, target_ids: Collection[str]) -> dict[tuple[str, str, str], Any]:
    query = select(*(_ROWS.c[name] for name in _JUDGED))
    found = session.execute(query.where(_ROWS.c.type == type_id, _ROWS.c.target_id.in_(target_ids)))
    return {(row.target_type, row.target_id, row.finding): row for row in found}


def _dismissals(session: Session, ids: Sequence[int]) -> Mapping[int, Dismissals]:
    if not ids:
        return {}
    query = (
        select(DismissalRow.recommendation_id, DismissalBatchRow.mode, DismissalRow.evidence)
        .join(DismissalBatchRow, DismissalBatchRow.id == DismissalRow.batch_id)
        .where(DismissalRow.recommendation_id.in_(ids))
        .order_by(DismissalRow.batch_id)
    )
    found: dict[int, list[tuple[Any, str]]] = {}
    for recommendation_id, mode, evidence in session.execute(query):
        found.setdefault(recommendation_id, []).append((mode, evidence))
    return found


def _status(row: Any, evidence: str, dismissals: Dismissals) -> str:
    if row.status == "resolved" and row.found and evidence == row.evidence:
        return "resolved"
    return "dismissed" if dismissed(dismissals, evidence) else "pending"


def _moved(row: Any, finding: Finding, content: str, status: str, now: datetime) -> dict[str, Any]:
    kept = status == row.status
    return {
        "own_id": row.id,
        "status": status,
        "evidence": finding.evidence,
        "content": content,
        "confidence": finding.confidence,
        "reason": row.reason if kept else "",
        "action_id": row.action_id if kept else None,
        "updated_at": now,
    }


def _insert(
    session: Session, type_id: str, logic_version: int, run_id: int, findings: Sequence[Finding], now: datetime
) -> None:
    if not findings:
        return
    rows = [
        {
            "type": type_id,
            "status": "pending",
            "target_type": finding.target_type,
            "target_id": finding.target_id,
            "finding": finding.finding,
            "evidence": finding.evidence,
            "content": finding.content(),
            "confidence": finding.confidence,
            "logic_version": logic_version,
            "found": True,
            "run_id": run_id,
            "reason": "",
            "created_at": now,
            "updated_at": now,
        }
        for finding in findings
    ]
    statement = insert(RecommendationRow).returning(RecommendationRow.id, sort_by_parameter_order=True)
    ids = session.scalars(statement, rows).all()
    _write_content(session, list(zip(ids, findings, strict=True)))


def _replace_content(session: Session, changed: Sequence[tuple[int, Finding]]) -> None:
    if not changed:
        return
    ids = [own for own, _ in changed]
    for table in (_TEXTS, _DETAILS, _ENTITIES):
        session.execute(delete(table).where(table.c.recommendation_id.in_(ids)))
    _write_content(session, changed)


def _write_content(session: Session, owned: Sequence[tuple[int, Finding]]) -> None:
    connection = session.connection()
    texts = [
        {
            "recommendation_id": own,
            "title": finding.title,
            "title_key": finding.title.casefold()[:TITLE_KEY_LENGTH],
            "summary": finding.summary,
            "search": finding.search,
        }
        for own, finding in owned
    ]
    connection.execute(insert(_TEXTS), texts)
    connection.execute(
        insert(_DETAILS), [{"recommendation_id": own, "details": dict(finding.details)} for own, finding in owned]
    )
    entities = [
        {"recommendation_id": own, "kind": finding.target_type, "entity_id": entity}
        for own, finding in owned
        for entity in finding.about
    ]
    connection.execute(insert(_ENTITIES), entities)


def count_of(session: Session, which: Sequence[Any]) -> int:
    """Returns how many recommendations fulfil all conditions."""
    return int(session.scalar(select(func.count()).select_from(RecommendationRow).where(*which)) or 0)
