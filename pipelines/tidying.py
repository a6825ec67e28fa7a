"""The job tidy_store: what is kept in the SQL store only for a time goes when that time is over.

    before-images of actions            `undo_days` after the action; its undo says so from then on
    closed recommendations              `closed_days` after they closed; those that somebody dismissed stay, since a
                                        dismissal counts when the same is found again
    proofs of another version           at once: nothing reads them

Proofs about files that left the library go with the next search for duplicates, which knows the library. The job is due
by itself, once a day where there is anything to remove; the question is asked every few seconds and is light.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.jobs import JobContext
from pipelines.settings import Settings
from pipelines.store import action_images
from pipelines.store.jobs import JobStore
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import open_store

JOB = "tidy_store"
ASKED_EVERY = timedelta(days=1)


def due(settings: Settings) -> str | None:
    """Returns why the job should run now, None when nothing is over its time or it ran within a day."""
    now = datetime.now(UTC)
    store = open_store(settings.store_url)
    try:
        newest = JobStore(store).newest([JOB]).get(JOB)
        if newest is not None and now - newest.created_at < ASKED_EVERY:
            return None
        actions = action_images.count_before(store, now - timedelta(days=settings.undo_days))
        closed = RecommendationStore(store).count_closed(now - timedelta(days=settings.closed_days))
    finally:
        store.close()
    return f"{actions} actions and {closed} closed recommendations are over their time" if actions or closed else None


def run_job(context: JobContext) -> dict[str, Any]:
    """Returns what was removed."""
    from pipelines.duplicates.proof import PROOF_VERSION
    from pipelines.duplicates.proof_store import ProofStore

    settings, now = context.settings, datetime.now(UTC)
    store = open_store(settings.store_url)
    try:
        undo_until = now - timedelta(days=settings.undo_days)
        closed_until = now - timedelta(days=settings.closed_days)
        return {
            "actions": action_images.prune(store, undo_until, settings.undo_days),
            "recommendations": RecommendationStore(store).remove_closed(closed_until),
            "proofs": ProofStore(store, PROOF_VERSION).remove_other_versions(),
        }
    finally:
        store.close()
