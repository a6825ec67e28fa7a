"""From the settings to an open library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from pipelines.errors import StashUnreachable
from pipelines.stash.boxes import BoxChoice, BoxSettings
from pipelines.stash.graphql import StashClient
from pipelines.stash.library import StashLibrary
from pipelines.stash.limiter import Limiter, RateSettings
from pipelines.stash.retries import Retries
from pipelines.stash.shared_limiter import limiter_for


class StashSettings(RateSettings, BoxSettings, Protocol):
    """The part of the settings that says where Stash is, and which of its stash-boxes are used."""

    @property
    def stash_url(self) -> str | None: ...

    @property
    def stash_api_key(self) -> str | None: ...


@asynccontextmanager
async def open_library(
    settings: StashSettings, *, limiter: Limiter | None = None, retries: Retries | None = None
) -> AsyncIterator[StashLibrary]:
    """The Stash of the settings, for one event loop. Nothing is sent before the first call.

    Args:
        limiter: by default the one of the cluster, or of this process where Ray does not run.
        retries: how patient it is.

    Raises StashUnreachable when no address is set, or it is none.
    """
    if not settings.stash_url:
        raise StashUnreachable(
            "No Stash is set.", "Set stash_url, such as STASH_SENSE_STASH_URL=http://127.0.0.1:9999."
        )
    limiter = limiter or limiter_for(settings)
    async with StashClient(settings.stash_url, settings.stash_api_key, limiter=limiter, retries=retries) as client:
        yield StashLibrary(client, BoxChoice.of(settings))
