"""Who is not in a scene, image or gallery, whatever their face says: rejected once, never suggested there again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import DatabaseError, PersonUnknown
from serve_app.schemas import StashNumber, UniversalId
from serve_app.services import Services, ServicesDep

if TYPE_CHECKING:
    from pipelines.store.rejections import RejectionStore
    from pipelines.store.sql import Store

Kind = Literal["scene", "image", "gallery"]

router = APIRouter(prefix="/people/rejections", tags=["people"])


class RejectionRequest(BaseModel):
    """Who is not in what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    content_id: StashNumber
    universal_id: UniversalId


class RejectionAnswer(RejectionRequest):
    """One rejection; it counts for every id of the person."""

    ids: list[str]
    name: str


class RejectionPage(BaseModel):
    """Some rejections, newest first."""

    total: int
    rejections: list[RejectionAnswer]


class Forgotten(BaseModel):
    """How many rejections were forgotten."""

    removed: int = Field(description="0 when there was none.")


@router.get("")
async def rejections(
    services: ServicesDep,
    kind: Annotated[Kind | None, Query(description="Only of scenes, images or galleries.")] = None,
    content_id: Annotated[StashNumber | None, Query(description="Only of this one.")] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RejectionPage:
    """What was rejected, newest first."""
    page = await services.jobs.ask_store(lambda store: kept(store).page(kind, content_id, offset=offset, limit=limit))
    return RejectionPage(total=page.total, rejections=[answer(one) for one in page.rejections])


@router.post("", status_code=201)
async def reject(request: RejectionRequest, services: ServicesDep) -> RejectionAnswer:
    """Never suggest somebody here again, under none of their ids; a recommendation that did is closed."""
    ids, name = await known(services, request.universal_id)

    def keep(store: Store) -> Any:
        rejection = kept(store).add(request.kind, request.content_id, request.universal_id, ids, name)
        settle(store, "close", request.kind, request.content_id, rejection.ids)
        return rejection

    return answer(await services.jobs.ask_store(keep))


@router.delete("")
async def unreject(
    services: ServicesDep,
    kind: Annotated[Kind, Query()],
    content_id: Annotated[StashNumber, Query()],
    universal_id: Annotated[UniversalId, Query()],
) -> Forgotten:
    """Forget a rejection, by any id of the person; the recommendation that it closed is open again."""
    ids, _ = await known(services, universal_id)

    def forget(store: Store) -> int:
        removed = kept(store).remove(kind, content_id, universal_id)
        if removed:
            settle(store, "open", kind, content_id, {universal_id, *ids})
        return removed

    return Forgotten(removed=await services.jobs.ask_store(forget))


def settle(store: Store, what: Literal["close", "open"], kind: Kind, content_id: str, ids: Iterable[str]) -> None:
    """Closes the recommendation of somebody who was rejected, or opens it again. There are some for scenes only."""
    from pipelines.analyzers.people_details import seen_finding
    from pipelines.analyzers.unidentified_scene import UnidentifiedScene
    from pipelines.store.recommendations import RecommendationStore

    recommendations = RecommendationStore(store)
    change = recommendations.close_findings if what == "close" else recommendations.open_findings
    change(UnidentifiedScene.id, (kind, content_id), [seen_finding(one) for one in ids], REJECTED)


async def without_rejected(services: Services, kind: Kind, content_id: str, answer: dict[str, Any]) -> None:
    """Takes rejected people out of an answer: who was named by one of their ids is unknown; they are no candidates."""
    ids = await services.jobs.ask_store(lambda store: kept(store).ids(kind, content_id))
    if not ids:
        return
    for person in (*answer["people"], *answer["unknown"]):
        person["candidates"] = [one for one in person["candidates"] if one["universal_id"] not in ids]
    named = [person for person in answer["people"] if person["universal_id"] in ids]
    answer["people"] = [person for person in answer["people"] if person["universal_id"] not in ids]
    for person in named:
        for name in NAMING:
            person.pop(name, None)
        answer["unknown"].append(person)


REJECTED = "The person was rejected there."
NAMING = ("universal_id", "name", "confidence", "score", "distance", "already_tagged", "country", "image_url")
"""What an answer says of a named person and not of an unknown one."""


async def known(services: Services, universal_id: str) -> tuple[list[str], str]:
    """Returns every id and the name of somebody; nobody need be enrolled to be rejected."""
    try:
        person = await services.ask(services.index.person.remote(universal_id))
    except (PersonUnknown, DatabaseError):
        return [], ""
    return list(person["ids"]), str(person["name"])


def kept(store: Store) -> RejectionStore:
    """Returns the rejections of a store; SQL is imported when they are first asked for."""
    from pipelines.store.rejections import RejectionStore

    return RejectionStore(store)


def answer(rejection: Any) -> RejectionAnswer:
    """Returns a rejection as the routes show it."""
    return RejectionAnswer(
        kind=rejection.kind,
        content_id=rejection.content_id,
        universal_id=rejection.universal_id,
        ids=list(rejection.ids),
        name=rejection.name,
    )
