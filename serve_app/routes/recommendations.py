"""Recommendations: lists, counts, one of them; dismiss, restore; what types there are; everything as a file.

Accepting one is `actions`; finding them are the jobs `analyze_<type>`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse

from pipelines.analyzers.registry import ANALYZERS, INFORMATIONAL
from serve_app.recommendation_schemas import (
    LARGEST_ID,
    BulkChanged,
    BulkDismissal,
    BulkRestore,
    DismissRequest,
    ExportQuery,
    OfferedActionAnswer,
    PageQuery,
    RecommendationAnswer,
    RecommendationCounts,
    RecommendationList,
    RecommendationType,
    RecommendationTypes,
    RunAnswer,
    StatusCounts,
)
from serve_app.schemas import ErrorAnswer
from serve_app.services import Services, ServicesDep

if TYPE_CHECKING:  # SQL is imported when something is asked for
    from pipelines.store.recommendations import RecommendationStore

T = TypeVar("T")
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}

router = APIRouter(
    prefix="/recommendations",
    tags=["recommendations"],
    responses={
        401: {"model": ErrorAnswer, "description": "API key missing or wrong"},
        503: {"model": ErrorAnswer, "description": "the SQL store does not answer"},
    },
)
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "no such recommendation"}}
CONFLICT: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    409: {"model": ErrorAnswer, "description": "not possible in the state that it is in"},
}
RecommendationId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


@router.get("")
async def recommendations(services: ServicesDep, wanted: PageQuery) -> RecommendationList:
    """A page of recommendations in a stable order."""
    page = await ask(
        services,
        lambda kept: kept.page(
            wanted.filter(), sort=wanted.sort, limit=wanted.limit, cursor=wanted.cursor, offset=wanted.offset
        ),
    )
    return RecommendationList(
        recommendations=[answer(services, one) for one in page.recommendations],
        total=page.total,
        next_cursor=page.next_cursor,
    )


@router.get("/counts")
async def counts(services: ServicesDep) -> RecommendationCounts:
    """How many there are, by type and status; every type is there. `pending` leaves out types that only inform."""
    found = await ask(services, lambda kept: kept.counts())
    types = {kind.id: StatusCounts() for kind in ANALYZERS}
    types |= {type_id: StatusCounts(**numbers) for type_id, numbers in found.items()}
    pending = sum(one.pending for type_id, one in types.items() if type_id not in INFORMATIONAL)
    return RecommendationCounts(types=types, pending=pending)


@router.get("/types")
async def types(services: ServicesDep) -> RecommendationTypes:
    """What is looked for, what can be done about it, and how far the analyzers are."""

    def question(store: Any) -> tuple[Any, Any, Any]:
        from pipelines.store.analyzers import AnalyzerStore

        kept = AnalyzerStore(store)
        return kept.last_runs(), kept.states(), kept.waiting()

    runs, states, waiting = await services.jobs.ask_store(question)
    return RecommendationTypes(
        types=[describe(kind, runs.get(kind.id), states.get(kind.id), waiting.get(kind.id, 0)) for kind in ANALYZERS]
    )


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()}}},
)
async def export(services: ServicesDep, wanted: ExportQuery) -> StreamingResponse:
    """All that a filter lets through as CSV or Parquet, by id; details are JSON text."""

    def begin(kept: RecommendationStore) -> Any:
        from pipelines.store.recommendation_export import exported

        return exported(kept.all(wanted.filter()), wanted.format)

    name = f"recommendations.{wanted.format}"
    return StreamingResponse(
        await ask(services, begin),
        media_type=MEDIA_TYPES[wanted.format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post("/dismiss")
async def dismiss_many(request: BulkDismissal, services: ServicesDep) -> BulkChanged:
    """Dismiss many at once; `batch` undoes it."""
    changed = await ask(services, lambda kept: kept.dismiss(request.chosen(), request.mode, request.reason))
    return BulkChanged(changed=changed.changed, batch=changed.batch)


@router.post("/restore", responses=UNKNOWN)
async def restore_many(request: BulkRestore, services: ServicesDep) -> BulkChanged:
    """Take dismissals back: one bulk dismissal, or all dismissals of many."""
    batch = request.batch
    if batch is not None:
        changed = await ask(services, lambda kept: kept.restore_batch(batch))
    else:
        changed = await ask(services, lambda kept: kept.restore(request.chosen()))
    return BulkChanged(changed=changed.changed, batch=None)


@router.get("/{recommendation_id}", responses=UNKNOWN)
async def recommendation(recommendation_id: RecommendationId, services: ServicesDep) -> RecommendationAnswer:
    """One recommendation."""
    return answer(services, await ask(services, lambda kept: kept.get(recommendation_id)))


@router.post("/{recommendation_id}/dismiss", responses=CONFLICT)
async def dismiss(
    recommendation_id: RecommendationId, request: DismissRequest, services: ServicesDep
) -> RecommendationAnswer:
    """Dismiss one that is pending, until it changes or for ever."""
    return answer(
        services, await ask(services, lambda kept: kept.dismiss_one(recommendation_id, request.mode, request.reason))
    )


@router.post("/{recommendation_id}/restore", responses=CONFLICT)
async def restore(recommendation_id: RecommendationId, services: ServicesDep) -> RecommendationAnswer:
    """Take the dismissals of one back, or open one that is resolved."""
    return answer(services, await ask(services, lambda kept: kept.restore_one(recommendation_id)))


async def ask(services: Services, question: Callable[[RecommendationStore], T]) -> T:
    """Returns what a question about the recommendations gives, asked in a thread."""

    def in_store(store: Any) -> T:
        from pipelines.store.recommendations import RecommendationStore

        return question(RecommendationStore(store))

    return await services.jobs.ask_store(in_store)


def answer(services: Services, one: Any) -> RecommendationAnswer:
    """Returns a recommendation as the routes show it, with links to the faces in its details."""
    shown = RecommendationAnswer.model_validate(one, from_attributes=True)
    return shown.model_copy(update={"details": services.crops.linked(shown.details)})


def describe(kind: Any, last_run: Any, state: Any, waiting: int) -> RecommendationType:
    """Returns an analyzer as the routes show it."""
    return RecommendationType(
        id=kind.id,
        title=kind.title,
        description=kind.description,
        target_type=kind.target_type,
        job=f"analyze_{kind.id}",
        actions=[OfferedActionAnswer(id=a.id, title=a.title, destructive=a.destructive) for a in kind.actions],
        informational=kind.informational,
        details=kind.details.model_json_schema(),
        logic_version=kind.logic_version,
        last_run=None if last_run is None else RunAnswer.model_validate(last_run, from_attributes=True),
        watermark_at=None if state is None else state.completed_at,
        waiting=waiting,
    )
