"""What the end of an action means for recommendations, in the very transaction that ends it."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from pipelines.store import findings
from pipelines.store.actions import ActionRecord
from pipelines.store.recommendation_query import about_entities


def settle(session: Session, record: ActionRecord) -> None:
    """Resolves the recommendation that an action was about, and closes the findings on what is gone."""
    now = record.ended_at or datetime.now(UTC)
    if record.recommendation_id:
        findings.resolve(session, record.recommendation_id, record.id, record.title, now)
    for kind, one_id, reason in record.gone:
        findings.close(session, [about_entities(kind, [one_id])], reason, now)


def reopen(session: Session, record: ActionRecord) -> None:
    """Makes pending again what an action resolved, when its undo put anything back."""
    if (record.undo_report or {}).get("restored"):
        findings.reopen(session, record.id, record.undone_at or datetime.now(UTC))
