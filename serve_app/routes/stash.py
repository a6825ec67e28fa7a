"""Stash, as the server sees it: whether it answers, its numbers and boxes; and the pairing, which sets it once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from pipelines.errors import SettingFixed, StashError
from serve_app.schemas import ErrorAnswer
from serve_app.services import Services, ServicesDep
from serve_app.stash_schemas import BoxAnswer, PairingRequest, StashAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.settings import Settings
    from pipelines.stash.library import StashLibrary
    from pipelines.stash.records import StashBox

ERRORS: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorAnswer, "description": "a Stash is set already"},
    502: {"model": ErrorAnswer, "description": "that Stash does not answer, or not with that key; nothing was changed"},
}

router = APIRouter(prefix="/stash", tags=["stash"])


@router.get("")
async def stash(services: ServicesDep) -> StashAnswer:
    """Whether Stash is set and answers, and what it holds."""
    settings = services.settings
    answer = StashAnswer(url=settings.stash_url, can_pair=not why_not(services), why_not=why_not(services))
    if settings.stash_url is None:
        return answer
    try:
        await describe(await services.stash.library(), settings, answer)
    except StashError as error:
        answer.problem = ErrorAnswer(**error.as_dict())
    return answer


@router.post("/pairing", responses=ERRORS)
async def pair(request: PairingRequest, services: ServicesDep) -> StashAnswer:
    """Set the Stash that this server works for, once, after asking it. To pair anew, reset `stash_url` first.

    Raises SettingFixed when one is set, and leaves of StashError when it does not answer or refuses the key.
    """
    if reason := why_not(services):
        raise SettingFixed(
            f"This server is paired already: {reason}.",
            "Reset stash_url and stash_api_key where they are set, then pair again.",
        )
    wanted = services.settings.model_copy(
        update={"stash_url": request.stash_url, "stash_api_key": request.stash_api_key or None}
    )
    answer = StashAnswer(url=request.stash_url, can_pair=False, why_not="stash_url is set")
    from pipelines.stash.connect import open_library

    async with open_library(wanted) as library:
        await describe(library, wanted, answer)
    await services.live.put({"stash_url": wanted.stash_url, "stash_api_key": wanted.stash_api_key})
    return answer


def why_not(services: Services) -> str:
    """Returns why a pairing is refused, "" when it is not."""
    for key in ("stash_url", "stash_api_key"):
        record = services.live.record(key)
        if record["is_set"] or record["source"] in {"env", "argument"}:
            return f"{key} is set ({record['source']})"
    return ""


def boxes(theirs: Sequence[StashBox], settings: Settings) -> list[BoxAnswer]:
    """Returns the stash-boxes of Stash and of the settings, those that are switched off included."""
    from pipelines.stash.boxes import BoxChoice, own_boxes

    choice, own = BoxChoice.of(settings), own_boxes(settings.stashboxes)
    return [
        BoxAnswer(
            endpoint=box.endpoint,
            name=box.name,
            enabled=choice.allows(box.endpoint),
            set_in="settings" if box in own else "stash",
        )
        for box in choice.sorted((*theirs, *own))
    ]


async def describe(library: StashLibrary, settings: Settings, answer: StashAnswer) -> None:
    """Fills in what Stash says of itself. Raises leaves of StashError."""
    version, stats, configuration = await asyncio.gather(library.version(), library.stats(), library.configuration())
    answer.answers, answer.version = True, version
    answer.scenes, answer.images = stats.scenes, stats.images
    answer.galleries, answer.performers = stats.galleries, stats.performers
    answer.stash_boxes = boxes(configuration.stash_boxes, settings)
