"""Accepting recommendations: one at once, many by a preview and a job."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib import import_module
from typing import Annotated, Any

from fastapi import APIRouter, Path

from pipelines.store.recommendation_records import RecommendationFilter
from serve_app.action_schemas import Accepted, AcceptManyRequest, AcceptRequest, ChangeAnswer, ManyPreview
from serve_app.routes.actions import ERRORS, LARGEST_ID, opened_store, person_of
from serve_app.routes.recommendations import answer, ask
from serve_app.schemas import ErrorAnswer
from serve_app.services import Services, ServicesDep

router = APIRouter(
    prefix="/recommendations",
    tags=["recommendations"],
    responses={
        401: {"model": ErrorAnswer, "description": "API key missing or wrong"},
        503: {"model": ErrorAnswer, "description": "the SQL store does not answer"},
    },
)


@router.post("/accept/preview", responses=ERRORS)
async def accept_preview(request: AcceptManyRequest, services: ServicesDep) -> ManyPreview:
    """Exactly what accepting these would change, and what cannot be done and why; nothing is changed.

    Then POST /queue with type accept_recommendations and params ids, action, params and digest.
    """
    store, accepting = await opened_store(services), await accepting_module()
    chosen = request.chosen()
    ids = chosen if isinstance(chosen, list) else await _ids(services, chosen)
    many = await accepting.preview_many(
        await services.stash.library(), store, ids, request.action, request.params, person_of(services)
    )
    return ManyPreview(**many.as_json())


@router.post("/{recommendation_id}/accept", responses=ERRORS)
async def accept(
    recommendation_id: Annotated[int, Path(ge=1, le=LARGEST_ID)], request: AcceptRequest, services: ServicesDep
) -> Accepted:
    """Do what a recommendation offers; it is resolved by that, and findings on what is gone are closed."""
    store, accepting = await opened_store(services), await accepting_module()
    record = await accepting.accept(
        await services.stash.library(),
        store,
        recommendation_id,
        request.action,
        request.params,
        seen=request.seen,
        digest=request.digest,
        person=person_of(services),
    )
    return Accepted(
        action_id=record.id,
        recommendation=answer(services, await ask(services, lambda kept: kept.get(recommendation_id))),
        changes=[ChangeAnswer(**change) for change in record.changes],
        undoable=record.undoable,
        not_undone=record.not_undone,
    )


async def accepting_module() -> Any:
    """Returns `pipelines.actions.accepting`, which is imported in a thread at the first question."""
    return await asyncio.to_thread(import_module, "pipelines.actions.accepting")


async def _ids(services: Services, wanted: RecommendationFilter) -> list[int]:
    """Returns the ids that a filter lets through; of pending ones when it names no status."""
    pending = wanted if wanted.statuses else replace(wanted, statuses=("pending",))
    return await ask(services, lambda kept: kept.ids(pending))
