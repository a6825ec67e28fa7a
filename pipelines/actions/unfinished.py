"""Whether an action was left in the middle; the supervisor of jobs asks every few seconds, so this is light."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.settings import Settings
from pipelines.store.actions import ActionStore
from pipelines.store.sql import open_store

UNFINISHED_FOR = timedelta(seconds=60)
"""An action takes some seconds; one that nobody has touched for longer was left by a process that died."""


def due(settings: Settings) -> str | None:
    """Returns why the job finish_actions should run now, None when nothing was left in the middle."""
    store = open_store(settings.store_url)
    try:
        since = ActionStore(store).oldest_unfinished()
    finally:
        store.close()
    if since is None or datetime.now(UTC) - since < UNFINISHED_FOR:
        return None
    return f"An action was left in the middle at {since.isoformat()}."
