"""The settings of the running server: what is in force, what counts from the next start, and changing both.

Lives here: `LiveSettings`, of which the ingress has one. Settings that apply "now" are read from it at each request and
travel to the other deployments with the calls; the others wait, kept in the SQL store, for the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.errors import InputError, SettingFixed
from pipelines.setting_specs import SPECS, SettingSpec, checked, shown, spec_of
from pipelines.settings import Resolution, SettingLayers, Settings

if TYPE_CHECKING:
    from pipelines.store.overrides import SettingOverrides
    from pipelines.store.sql import Store


class LiveSettings:
    """One server's settings; changes are serialised, reading never waits.

    Args:
        layers: the settings without overrides.
        started: the settings that the server was started with.
    """

    def __init__(self, layers: SettingLayers, started: Resolution) -> None:
        self._layers = layers
        self._started = started.settings
        self._next = started
        self._now = started.settings
        self._changed: dict[str, Any] = {}
        self._store: Store | None = None
        self._changing = asyncio.Lock()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._now

    @property
    def layers(self) -> SettingLayers:
        """The settings without overrides, for those who lay the overrides over them themselves."""
        return self._layers

    @property
    def changed(self) -> dict[str, Any]:
        """What is in force and differs from the start, by key: what other deployments must be told with each call."""
        return self._changed

    async def put(self, values: Mapping[str, Any]) -> None:
        """Changes settings, all of them or none.

        Raises InputError that names every wrong key with what is allowed, SettingFixed when a key cannot be changed
        here, StoreUnreachable.
        """
        self._check(values)
        await self._change(lambda overrides: overrides.put(values))

    async def reset(self, keys: Collection[str]) -> None:
        """Forgets changes. Raises StoreUnreachable."""
        await self._change(lambda overrides: overrides.remove(keys))

    def record(self, key: str) -> dict[str, Any]:
        """Returns what `system_schemas.SettingAnswer` shows of one setting. Raises SettingUnknown."""
        spec = spec_of(key)
        value, active = getattr(self._next.settings, key), getattr(self._now, key)
        source = self._next.sources[key]
        return {
            **{name: getattr(spec, name) for name in SettingSpec.__dataclass_fields__},
            "value": None if spec.secret else shown(key, value),
            "active": None if spec.secret else shown(key, active),
            "is_set": value is not None or key == "api_key",
            "source": source,
            "restart_needed": value != active,
            "ignored_override": self._next.ignored.get(key),
            "variable": spec.variable,
        }

    def records(self) -> list[dict[str, Any]]:
        """Returns every setting, in the order of the table."""
        return [self.record(key) for key in SPECS]

    def _check(self, values: Mapping[str, Any]) -> None:
        wrong: dict[str, str] = {}
        taken: dict[str, str] = {}
        for key, value in values.items():
            if reason := self._layers.taken(key):
                taken[key] = reason
                continue
            try:
                checked(key, value)
            except ValueError as error:
                (taken if key in SPECS and SPECS[key].fixed else wrong)[key] = str(error)
        if wrong:
            raise InputError(f"Nothing was changed. {said(wrong | taken)}", "GET /settings lists what is allowed.")
        if taken:
            raise SettingFixed(f"Nothing was changed. {said(taken)}", "Change it there and start the server again.")

    async def _change(self, change: Callable[[SettingOverrides], dict[str, Any]]) -> None:
        async with self._changing:
            kept = await asyncio.to_thread(self._in_store, change)
            self._next = self._layers.under(kept)
            live = {k: getattr(self._next.settings, k) for k, spec in SPECS.items() if spec.applies == "now"}
            self._changed = {k: v for k, v in live.items() if v != getattr(self._started, k)}
            self._now = self._started.model_copy(update=self._changed)

    def _in_store(self, change: Callable[[SettingOverrides], dict[str, Any]]) -> dict[str, Any]:
        """SQL is imported when a setting is first changed: it would make every start slower."""
        from pipelines.store.overrides import SettingOverrides
        from pipelines.store.sql import open_store

        if self._store is None:
            self._store = open_store(self._layers.base.store_url)
        return change(SettingOverrides(self._store))


def said(problems: Mapping[str, str]) -> str:
    """Returns problems by key as one text."""
    return " ".join(f"{key[:80]}: {problem}." for key, problem in problems.items())
