"""Settings that were changed while the server ran, as JSON values by key, in the SQL store.

What the keys mean and which values count is `pipelines.settings`: this room knows neither.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select

from pipelines.store.schema import SettingOverrideRow
from pipelines.store.sql import Store, open_store


class SettingOverrides:
    """The overrides of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> dict[str, Any]:
        """Returns every override by key. Raises StoreUnreachable."""
        with self._store.reading() as session:
            return {row.key: row.value for row in session.scalars(select(SettingOverrideRow))}

    def put(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps values, all of them or none; returns every override. Raises StoreUnreachable."""
        now = datetime.now(UTC)
        with self._store.session() as session:
            for key, value in values.items():
                session.merge(SettingOverrideRow(key=key, value=value, updated_at=now))
            session.flush()
            return {row.key: row.value for row in session.scalars(select(SettingOverrideRow))}

    def remove(self, keys: Collection[str]) -> dict[str, Any]:
        """Forgets overrides; those that are not there are no error. Returns what is left. Raises StoreUnreachable."""
        with self._store.session() as session:
            session.execute(delete(SettingOverrideRow).where(SettingOverrideRow.key.in_(keys)))
            return {row.key: row.value for row in session.scalars(select(SettingOverrideRow))}


def kept_overrides(url: str) -> dict[str, Any]:
    """Returns the overrides of the store at a URL. Raises like `open_store`."""
    store = open_store(url)
    try:
        return SettingOverrides(store).all()
    finally:
        store.close()
