"""What is done in Stash: previewed, carried out, looked up and undone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query

from pipelines.errors import PersonUnknown
from serve_app.action_schemas import (
    ActionAnswer,
    ActionList,
    ActionRequest,
    ActionSummary,
    ActionTypeAnswer,
    ActionTypes,
    PerformRequest,
    PreviewAnswer,
)
from serve_app.schemas import ErrorAnswer
from serve_app.services import Services, ServicesDep

if TYPE_CHECKING:
    from pipelines.store.sql import Store

LARGEST_ID = 2**63 - 1
ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "no such action, type, or entity in Stash"},
    409: {"model": ErrorAnswer, "description": "an entity is no longer what was seen, or not possible in its state"},
    502: {"model": ErrorAnswer, "description": "Stash does not answer, or refuses"},
}
router = APIRouter(
    prefix="/actions",
    tags=["actions"],
    responses={
        401: {"model": ErrorAnswer, "description": "API key missing or wrong"},
        503: {"model": ErrorAnswer, "description": "the SQL store does not answer"},
    },
)
ActionId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


@router.get("/types")
async def types() -> ActionTypes:
    """What can be done, with the JSON schema of the parameters."""
    found = (await asyncio.to_thread(import_module, "pipelines.actions.registry")).ACTIONS
    return ActionTypes(
        types=[
            ActionTypeAnswer(
                id=one.id,
                title=one.title,
                description=one.description,
                destructive=one.destructive,
                params=one.params.model_json_schema(),
            )
            for one in found.values()
        ]
    )


@router.post("/preview", responses=ERRORS)
async def preview(request: ActionRequest, services: ServicesDep) -> PreviewAnswer:
    """Exactly what an action would do now; nothing is changed."""
    performing = await performing_module()
    params = await completed(services, request.action, request.params)
    plan = await performing.preview(await services.stash.library(), request.action, params)
    await performing.keep_preview(await opened_store(services), plan)
    return PreviewAnswer(**plan.as_json())


@router.post("", responses=ERRORS, status_code=201)
async def perform(request: PerformRequest, services: ServicesDep) -> ActionAnswer:
    """Carry out an action as it was previewed. What is no longer as it was seen is refused and nothing is changed."""
    performing = await performing_module()
    params = await completed(services, request.action, request.params)
    record = await performing.perform(
        await services.stash.library(), await opened_store(services), request.action, params, request.digest
    )
    return answer(record)


@router.get("")
async def actions(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="`next_cursor` of the page before.")] = None,
    action: Annotated[str | None, Query(max_length=64, description="Only actions of this type.")] = None,
) -> ActionList:
    """What was done, newest first."""
    log = await action_log(services)
    found = await asyncio.to_thread(log.newest, limit=limit + 1, before_id=cursor, action=action)
    total = await asyncio.to_thread(log.count, action)
    shown = found[:limit]
    following = shown[-1].id if len(found) > limit else None
    return ActionList(actions=[ActionSummary(**_summary(one)) for one in shown], total=total, next_cursor=following)


@router.get("/{action_id}", responses={404: ERRORS[404]})
async def action(action_id: ActionId, services: ServicesDep) -> ActionAnswer:
    """One action: what was there before, what was changed, and how far it was undone."""
    log = await action_log(services)
    return answer(await asyncio.to_thread(log.get, action_id))


@router.post("/{action_id}/undo", responses=ERRORS)
async def undo(action_id: ActionId, services: ServicesDep) -> ActionAnswer:
    """Put back what can be. `undo_report` says what is as before, what was changed since, and what cannot be."""
    performing = await performing_module()
    return answer(await performing.undo(await services.stash.library(), await opened_store(services), action_id))


async def performing_module() -> Any:
    """Returns `pipelines.actions.performing`, which is imported in a thread at the first action."""
    return await asyncio.to_thread(import_module, "pipelines.actions.performing")


async def opened_store(services: Services) -> Store:
    """Returns the SQL store. Raises StoreError."""
    return await services.jobs.ask_store(lambda store: store)


async def action_log(services: Services) -> Any:
    """Returns the `ActionStore`."""
    store = await opened_store(services)
    return (await asyncio.to_thread(import_module, "pipelines.store.actions")).ActionStore(store)


async def completed(services: Services, action_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters with what the performer database knows of a universal id."""
    accepting = await asyncio.to_thread(import_module, "pipelines.actions.accepting")
    known: dict[str, Any] = await accepting.completed(action_id, params, person_of(services))
    return known


def person_of(services: Services) -> Any:
    """Returns the question who a universal id is."""

    async def person(universal_id: str) -> Any:
        try:
            return await services.ask(services.index.person.remote(universal_id))
        except PersonUnknown:
            return None

    return person


def answer(record: Any) -> ActionAnswer:
    """Returns an action as the routes show it."""
    more = ("params", "changes", "not_undone", "before", "undo_report")
    return ActionAnswer(**_summary(record), **{name: getattr(record, name) for name in more})


def _summary(record: Any) -> dict[str, Any]:
    names = ActionSummary.model_fields.keys() - {"action_id"}
    return {"action_id": record.id, **{name: getattr(record, name) for name in names}}
