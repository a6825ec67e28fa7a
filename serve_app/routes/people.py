"""Who is enrolled: pages, search by name, one person; the exclusion list, and erasing somebody altogether."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath

from pipelines.errors import InputError
from serve_app.crops import CropName, enrolled_face, is_portrait, of_scan
from serve_app.database_schemas import (
    Erased,
    EraseRequest,
    ExcludeRequest,
    Exclusions,
    Ids,
    PeoplePage,
    PersonAnswer,
    SourceId,
)
from serve_app.deployments import apart
from serve_app.schemas import ErrorAnswer, UniversalId
from serve_app.services import Services, ServicesDep

router = APIRouter(
    prefix="/people",
    tags=["people"],
    responses={503: {"model": ErrorAnswer, "description": "no performer database"}},
)
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "nobody of that id is enrolled"}}
Id = Annotated[UniversalId, InPath()]


def with_crop(services: Services, person: dict[str, Any]) -> dict[str, Any]:
    """Returns a person with a link to a face that a picture is kept of."""
    kept = person.pop("kept")
    return {**person, "crop_url": services.crops.link(enrolled_face(*kept)) if kept else None}


def with_picture(services: Services, face: dict[str, Any]) -> dict[str, Any]:
    """Returns an enrolled face with a link to a picture of it: the kept one, else it is cut from where it was seen."""
    seen = face.pop("seen")
    if face.pop("kept"):
        name: CropName | None = enrolled_face(face["origin"], face["universal_id"], face["key"])
    else:
        name = None if seen is None else of_scan(seen)
    return {
        **face,
        "entity": seen and seen.kind,
        "entity_id": seen and seen.content_id,
        "time_s": seen and seen.time_s,
        "crop_url": None if name is None else services.crops.link(name),
    }


@router.get("", response_model=PeoplePage)
async def people(
    services: ServicesDep,
    text: Annotated[str, Query(max_length=200, description="Part of a name or alias, or a universal id.")] = "",
    source: Annotated[SourceId | None, Query(description="Only people of this source.")] = None,
    excluded: Annotated[bool | None, Query(description="Only those on the exclusion list, or only the others.")] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Any:
    """People by name; of a search those first whose name begins with the text."""
    question = {"text": text, "source": source, "excluded": excluded, "offset": offset, "limit": limit}
    page = await services.ask(services.index.people.remote(question))
    return {**page, "people": [with_crop(services, person) for person in page["people"]]}


@router.get("/excluded")
async def excluded(services: ServicesDep) -> Exclusions:
    """Who is never enrolled nor answered."""
    return Exclusions(excluded=await apart.done_apart(apart.excluded, services.settings))


@router.post("/excluded", status_code=201)
async def exclude(request: ExcludeRequest, services: ServicesDep) -> Exclusions:
    """Never enrol nor answer these people, by any of their ids; they need not be enrolled."""
    entries = await apart.done_apart(apart.exclude, services.settings, request.ids, request.reason)
    await services.ask(services.index.reload.remote())
    return Exclusions(excluded=entries)


@router.delete("/excluded")
async def include(
    services: ServicesDep,
    id: Annotated[Ids, Query(description="Repeated: ?id=a&id=b.")],  # noqa: A002
) -> Exclusions:
    """Take people off the exclusion list; whom a version was written without comes back with the next enrolment."""
    await apart.done_apart(apart.include, services.settings, id)
    await services.ask(services.index.reload.remote())
    return Exclusions(excluded=await apart.done_apart(apart.excluded, services.settings))


@router.get("/{universal_id:path}", response_model=PersonAnswer, responses=UNKNOWN)
async def person(universal_id: Id, services: ServicesDep) -> Any:
    """Everything that is known of one person, by any id, with pictures of enrolled faces as far as there are any."""
    person = with_crop(services, await services.ask(services.index.faces.remote(universal_id)))
    pictures = [with_picture(services, face) for face in person["pictures"]]
    portrait = CropName("portrait", person["universal_id"])
    named = is_portrait(person["image_url"], services.settings.stash_url)
    return {
        **person,
        "pictures": pictures,
        "portrait_url": services.crops.link(portrait) if named else None,
        "portrait_kept": named and await services.crops.get(portrait) is not None,
    }


@router.post("/{universal_id:path}/erase", response_model=Erased, responses=UNKNOWN)
async def erase(universal_id: Id, request: EraseRequest, services: ServicesDep) -> Any:
    """Remove somebody from every version, from scans and matches, for good; says what was removed."""
    if request.confirm != universal_id:
        raise InputError("The erasure is not confirmed.", f"Send {{'confirm': {universal_id!r}}}.")
    removed = await apart.done_apart(apart.erase, services.settings, universal_id, also_exclude=request.exclude)
    await services.ask(services.index.reload.remote())
    return removed
