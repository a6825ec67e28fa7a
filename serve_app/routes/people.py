"""Who is enrolled: pages, search by name, one person; the exclusion list, and erasing somebody altogether."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath

from pipelines.errors import InputError
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
from serve_app.services import ServicesDep

router = APIRouter(
    prefix="/people",
    tags=["people"],
    responses={503: {"model": ErrorAnswer, "description": "no performer database"}},
)
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "nobody of that id is enrolled"}}
Id = Annotated[UniversalId, InPath()]


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
    return await services.ask(services.index.people.remote(question))


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
    """Everything that is known of one person, by any id."""
    return await services.ask(services.index.person.remote(universal_id))


@router.post("/{universal_id:path}/erase", response_model=Erased, responses=UNKNOWN)
async def erase(universal_id: Id, request: EraseRequest, services: ServicesDep) -> Any:
    """Remove somebody from every version, from scans and matches, for good; says what was removed."""
    if request.confirm != universal_id:
        raise InputError("The erasure is not confirmed.", f"Send {{'confirm': {universal_id!r}}}.")
    removed = await apart.done_apart(apart.erase, services.settings, universal_id, also_exclude=request.exclude)
    await services.ask(services.index.reload.remote())
    return removed
