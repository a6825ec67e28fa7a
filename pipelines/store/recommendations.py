"""Recommendations: what analyzers found, and what somebody decided about it.

    pending ──dismiss──▶ dismissed ──restore──▶ pending
       │  ╲                  │
       │   ──────resolve─────┴──▶ resolved ──restore, undone, or found again after it had gone──▶ pending
       └──not found any more──▶ closed ──found again──▶ pending or dismissed

Lives here: reading, and what people decide. What analyzers find comes in by `recommendation_upkeep`; what becomes of
findings, and what an action means for them, is `findings`; where analyzers go on is `analyzers`. Thread-safe; every
method blocks, and raises StoreUnreachable when the store is away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from pipelines.errors import InputError, RecommendationConflict, RecommendationUnknown
from pipelines.store.findings import count_of, parts
from pipelines.store.recommendation_query import (
    after,
    checked_sort,
    conditions,
    is_dismissed,
    latest_mode,
    make_cursor,
    ordered,
    was_dismissed_otherwise,
)
from pipelines.store.recommendation_records import (
    MODES,
    STATUSES,
    Changed,
    Dismissal,
    DismissalMode,
    Finding,
    Recommendation,
    RecommendationFilter,
    RecommendationPage,
    Sort,
    Status,
)
from pipelines.store.recommendation_upkeep import RecommendationUpkeep
from pipelines.store.schema import (
    DismissalBatchRow,
    DismissalRow,
    RecommendationDetailRow,
    RecommendationRow,
    RecommendationTextRow,
    Table,
)

__all__ = [
    "Changed",
    "Finding",
    "Recommendation",
    "RecommendationFilter",
    "RecommendationPage",
    "RecommendationStore",
]

LARGEST_ID = 2**63 - 1
EXPORT_AT_ONCE = 1000
Chosen = Collection[int] | RecommendationFilter
_QUIET = {"synchronize_session": False}
_DISMISSALS = Table.metadata.tables[DismissalRow.__tablename__]


class RecommendationStore(RecommendationUpkeep):
    """All recommendations of a store."""

    # --- reading

    def get(self, recommendation_id: int) -> Recommendation:
        """Returns one recommendation. Raises RecommendationUnknown."""
        with self._store.reading() as session:
            return _one(session, recommendation_id)

    def page(
        self,
        wanted: RecommendationFilter | None = None,
        *,
        sort: Sort = "confidence",
        limit: int = 50,
        cursor: str | None = None,
        offset: int = 0,
    ) -> RecommendationPage:
        """Returns a page in a stable order: whatever changes meanwhile, no page repeats what one before it had.

        Args:
            sort: confidence (highest first), newest, oldest, title.
            cursor: `next_cursor` of the page before, of the same filter and sort.

        Raises InputError for a cursor of something else.
        """
        sort = checked_sort(sort)
        which = conditions(wanted or RecommendationFilter())
        page = ordered(select(RecommendationRow.id, RecommendationRow.confidence).where(*which), sort)
        if cursor is not None:
            page = page.where(after(sort, cursor))
        with self._store.reading() as session:
            total = count_of(session, which)
            rows = session.execute(page.limit(limit + 1).offset(offset)).all()
            found = _records(session, [row.id for row in rows[:limit]])
        following = None
        if len(rows) > limit and limit:
            last = rows[limit - 1]
            value = {"confidence": last.confidence, "title": getattr(last, "title_key", None)}.get(sort)
            following = make_cursor(sort, value, last.id)
        return RecommendationPage(found, total, following)

    def ids(self, wanted: RecommendationFilter) -> list[int]:
        """Returns the ids that a filter lets through, in order."""
        query = select(RecommendationRow.id).where(*conditions(wanted)).order_by(RecommendationRow.id)
        with self._store.reading() as session:
            return list(session.scalars(query))

    def many(self, ids: Sequence[int]) -> list[Recommendation]:
        """Returns those of these recommendations that exist, in the order of the ids."""
        with self._store.reading() as session:
            return [one for part in parts(ids) for one in _records(session, part)]

    def all(self, wanted: RecommendationFilter) -> Iterator[list[Recommendation]]:
        """Yields everything that a filter lets through, by id, in lists; each list is of one moment."""
        which, last = conditions(wanted), 0
        while True:
            query = select(RecommendationRow.id).where(*which, RecommendationRow.id > last)
            with self._store.reading() as session:
                ids = list(session.scalars(query.order_by(RecommendationRow.id).limit(EXPORT_AT_ONCE)))
                found = [one for part in parts(ids) for one in _records(session, part)]
            if not ids:
                return
            yield found
            last = ids[-1]

    def counts(self) -> dict[str, dict[Status, int]]:
        """Returns type -> status -> number, zeros included; types without any are left out."""
        row = RecommendationRow
        query = select(row.type, row.status, func.count()).group_by(row.type, row.status).order_by(row.type)
        found: dict[str, dict[Status, int]] = {}
        with self._store.reading() as session:
            for type_id, status, number in session.execute(query).tuples():
                found.setdefault(type_id, dict.fromkeys(STATUSES, 0))[status] = number  # type: ignore[index]
        return found

    # --- what people decide

    def dismiss(self, chosen: Chosen, mode: DismissalMode, reason: str = "") -> Changed:
        """Dismisses recommendations by id or filter: those that are pending, or dismissed in the other mode.

        All in one transaction, undone by `restore_batch`. A filter without statuses means those that are pending.
        """
        if mode not in MODES:
            raise InputError(f"There is no mode {mode!r}.", f"There are {', '.join(MODES)}.")
        row, now = RecommendationRow, self._now()
        open_ = or_(row.status == "pending", and_(row.status == "dismissed", latest_mode() != mode))
        with self._store.session() as session:
            batch = DismissalBatchRow(mode=mode, reason=reason, at=now)
            session.add(batch)
            session.flush()
            for which in _chosen(chosen, ("pending",)):
                rows = select(row.id, literal(batch.id), row.evidence).where(*which, open_)
                names = ["recommendation_id", "batch_id", "evidence"]
                session.connection().execute(insert(_DISMISSALS).from_select(names, rows))
            now_dismissed = {"status": "dismissed", "reason": "", "updated_at": now}
            own = update(row).where(row.id.in_(_of_batch(batch.id))).values(**now_dismissed)
            changed: Any = session.execute(own, execution_options=_QUIET)
            if not changed.rowcount:
                session.delete(batch)
                return Changed(0)
            return Changed(changed.rowcount, str(batch.id))

    def dismiss_one(self, recommendation_id: int, mode: DismissalMode, reason: str = "") -> Recommendation:
        """Returns the recommendation, dismissed. Raises RecommendationUnknown, RecommendationConflict."""
        self.dismiss([recommendation_id], mode, reason)
        one = self.get(recommendation_id)
        if one.status != "dismissed":
            raise RecommendationConflict(
                f"Recommendation {one.id} is {one.status}, so it cannot be dismissed{_because(one)}.",
                "Only what is pending can be dismissed.",
            )
        return one

    def restore(self, chosen: Chosen) -> Changed:
        """Takes all dismissals of recommendations back, and opens again what is resolved.

        A filter without statuses means those that are dismissed. What is closed stays so until it is found again, and
        is pending then.
        """
        row, changed, now = RecommendationRow, 0, self._now()
        again = row.status.in_(("dismissed", "resolved"))
        with self._store.session() as session:
            for which in _chosen(chosen, ("dismissed",)):
                forgotten = DismissalRow.recommendation_id.in_(select(row.id).where(*which, row.status != "pending"))
                # Evaluated before the statuses that the filter may name change.
                session.execute(delete(DismissalRow).where(forgotten), execution_options=_QUIET)
                pending = {"status": "pending", "reason": "", "action_id": None, "updated_at": now}
                opened: Any = session.execute(
                    update(row).where(*which, again).values(**pending), execution_options=_QUIET
                )
                changed += opened.rowcount
        return Changed(changed)

    def restore_one(self, recommendation_id: int) -> Recommendation:
        """Returns the recommendation, pending. Raises RecommendationUnknown, RecommendationConflict when closed."""
        self.restore([recommendation_id])
        one = self.get(recommendation_id)
        if one.status != "pending":
            raise RecommendationConflict(
                f"Recommendation {one.id} is closed{_because(one)}.", "It comes back by itself when it is found again."
            )
        return one

    def restore_batch(self, batch: str) -> Changed:
        """Takes one dismissal back, of everything that it dismissed: earlier dismissals of these count again.

        Raises RecommendationUnknown when there is no such batch, or it was taken back before.
        """
        row = RecommendationRow
        with self._store.session() as session:
            own = session.get(DismissalBatchRow, int(batch)) if _is_id(batch) else None
            if own is None:
                raise RecommendationUnknown(f"There is no dismissal {batch[:40]!r} that could be undone.")
            unsettled = or_(~was_dismissed_otherwise(own.id), ~is_dismissed(without_batch=own.id))
            free = (row.id.in_(_of_batch(own.id)), row.status == "dismissed", unsettled)
            pending = {"status": "pending", "updated_at": self._now()}
            freed: Any = session.execute(update(row).where(*free).values(**pending), execution_options=_QUIET)
            session.execute(delete(DismissalBatchRow).where(DismissalBatchRow.id == own.id), execution_options=_QUIET)
        return Changed(freed.rowcount)


def _of_batch(batch_id: int) -> Any:
    return select(DismissalRow.recommendation_id).where(DismissalRow.batch_id == batch_id)


def _chosen(chosen: Chosen, default: tuple[Status, ...]) -> Iterator[list[ColumnElement[bool]]]:
    """Yields conditions that together choose what is meant."""
    if isinstance(chosen, RecommendationFilter):
        which = conditions(chosen)
        yield which if chosen.statuses else [*which, RecommendationRow.status.in_(default)]
    else:
        for part in parts(sorted(set(chosen))):
            yield [RecommendationRow.id.in_(part)]


def _row(session: Session, recommendation_id: int) -> RecommendationRow:
    row = session.get(RecommendationRow, recommendation_id) if 0 < recommendation_id <= LARGEST_ID else None
    if row is None:
        raise RecommendationUnknown(
            f"There is no recommendation {recommendation_id}.", "GET /recommendations lists them."
        )
    return row


def _one(session: Session, recommendation_id: int) -> Recommendation:
    _row(session, recommendation_id)
    return _records(session, [recommendation_id])[0]


def _records(session: Session, ids: Sequence[int]) -> list[Recommendation]:
    """Returns recommendations in the order of their ids; at most some hundred."""
    if not ids:
        return []
    row, text, detail = RecommendationRow, RecommendationTextRow, RecommendationDetailRow
    query = (
        select(row, text.title, text.summary, detail.details)
        .join(text, text.recommendation_id == row.id)
        .join(detail, detail.recommendation_id == row.id)
        .where(row.id.in_(ids))
        .execution_options(populate_existing=True)
    )
    newest = _newest_dismissals(session, ids)
    found = {r.id: _record(r, title, summary, details, newest) for r, title, summary, details in session.execute(query)}
    return [found[own] for own in ids if own in found]


def _record(
    row: RecommendationRow, title: str, summary: str, details: dict[str, Any], newest: Mapping[int, Dismissal]
) -> Recommendation:
    status: Any = row.status
    target_type: Any = row.target_type
    return Recommendation(
        id=row.id,
        type=row.type,
        status=status,
        target_type=target_type,
        target_id=row.target_id,
        finding=row.finding,
        evidence=row.evidence,
        title=title,
        summary=summary,
        confidence=row.confidence,
        details=details,
        reason=row.reason,
        dismissal=newest.get(row.id) if status == "dismissed" else None,
        action_id=row.action_id,
        logic_version=row.logic_version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _newest_dismissals(session: Session, ids: Sequence[int]) -> dict[int, Dismissal]:
    batch, one = DismissalBatchRow, DismissalRow
    query = select(one.recommendation_id, batch.mode, batch.reason, batch.at).join(batch, batch.id == one.batch_id)
    found = session.execute(query.where(one.recommendation_id.in_(ids)).order_by(one.batch_id)).tuples()
    return {own: Dismissal(mode, reason, at) for own, mode, reason, at in found}  # type: ignore[arg-type]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_ID


def _because(one: Recommendation) -> str:
    return f" ({one.reason.rstrip('.')})" if one.reason else ""
