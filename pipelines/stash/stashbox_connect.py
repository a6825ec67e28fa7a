"""From the settings to the stash-boxes: which there are, how often each may be asked, an open client of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from pipelines.errors import InputError, StashError
from pipelines.stash.boxes import BoxChoice, own_boxes
from pipelines.stash.connect import StashSettings, open_library
from pipelines.stash.graphql import stash_address
from pipelines.stash.limiter import Limiter
from pipelines.stash.records import StashBox
from pipelines.stash.retries import Retries
from pipelines.stash.shared_limiter import named_limiter
from pipelines.stash.stashbox import BoxConnection, StashBoxClient, domain_of

USUAL_PER_MINUTE = 240
"""What a box allows that names no limit: the value that Stash itself uses since 0.29."""


class BoxSettings(StashSettings, Protocol):
    """The part of the settings that says which boxes there are and how they are asked."""

    @property
    def stashboxes(self) -> tuple[str, ...]: ...

    @property
    def stashbox_requests_share(self) -> float: ...

    @property
    def stashbox_pause_s(self) -> float: ...


async def configured_boxes(settings: BoxSettings) -> list[StashBox]:
    """Returns the boxes of Stash and of the settings that are used, each endpoint once, in the order of the settings.

    Raises the StashError leaves when Stash cannot be asked and the settings name no box.
    """
    own = own_boxes(settings.stashboxes)
    theirs: Sequence[StashBox] = ()
    if settings.stash_url:
        try:
            async with open_library(settings) as library:
                theirs = (await library.configuration()).stash_boxes
        except StashError:
            if not own:
                raise
    return BoxChoice.of(settings).used((*theirs, *own))


def chosen_boxes(boxes: Sequence[StashBox], wanted: str | None) -> list[StashBox]:
    """Returns the boxes that are meant: all that are used, or the one of an endpoint, host or name.

    Raises InputError when there is none.
    """
    if not boxes:
        raise InputError(
            "No stash-box is set up, or none is switched on.",
            "Add one in Stash (Settings > Metadata Providers) or in the setting stashboxes; see also stashbox_off.",
        )
    if wanted is None:
        return list(boxes)
    named = wanted.strip().casefold()
    found = [b for b in boxes if named in {b.endpoint.casefold(), b.name.casefold(), domain_of(b)}]
    if not found:
        known = ", ".join(domain_of(b) for b in boxes)
        raise InputError(f"There is no stash-box {wanted[:100]!r}.", f"Set up and switched on are: {known}.")
    return found


def requests_per_s(settings: BoxSettings, box: StashBox) -> float:
    """Returns how often the whole cluster asks a box: its own limit times the share of the settings."""
    return (box.max_requests_per_minute or USUAL_PER_MINUTE) * settings.stashbox_requests_share / 60


def box_limiter(settings: BoxSettings, box: StashBox) -> Limiter:
    """Returns the one limiter of a box, for requests and pictures."""
    return named_limiter(f"stashbox-limiter {stash_address(box.endpoint)}", requests_per_s(settings, box))


@asynccontextmanager
async def open_box(
    settings: BoxSettings, box: StashBox, *, limiter: Limiter | None = None, retries: Retries | None = None
) -> AsyncIterator[StashBoxClient]:
    """A client of a box, for one event loop. Nothing is sent before the first call. Raises StashUnreachable."""
    limiter = limiter or box_limiter(settings, box)
    async with BoxConnection(box, limiter=limiter, pause_s=settings.stashbox_pause_s, retries=retries) as connection:
        yield StashBoxClient(box, connection)
