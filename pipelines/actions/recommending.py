"""What the end of an action means for recommendations, in the very transaction that ends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from pipelines.store.actions import ActionRecord
from pipelines.store.findings import close
from pipelines.store.recommendation_query import about_entities
from pipelines.store.schema import DismissalRow, RecommendationRow


def settle(session: Session, record: ActionRecord) -> None:
    """Resolves the recommendation that an action was about, and closes the findings on what is gone."""
    now = record.ended_at or datetime.now(UTC)
    row = session.get(RecommendationRow, record.recommendation_id) if record.recommendation_id else None
    if row is not None and row.status != "resolved":
        row.status, row.action_id, row.reason, row.updated_at = "resolved", record.id, record.title, now
        session.execute(delete(DismissalRow).where(DismissalRow.recommendation_id == row.id))
        session.flush()
    for kind, one_id, reason in record.gone:
        close(session, [about_entities(kind, [one_id])], reason, now)


def reopen(session: Session, record: ActionRecord) -> None:
    """Makes pending again what an action resolved, when its undo put anything back."""
    if not (record.undo_report or {}).get("restored"):
        return
    row = RecommendationRow
    pending: dict[str, Any] = {
        "status": "pending",
        "reason": "",
        "action_id": None,
        "updated_at": record.undone_at or datetime.now(UTC),
    }
    own = update(row).where(row.action_id == record.id, row.status == "resolved").values(**pending)
    session.execute(own, execution_options={"synchronize_session": False})
