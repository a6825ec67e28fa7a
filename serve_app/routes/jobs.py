"""The queue of jobs: submit, watch, stop, cancel, try again, clear, schedule; and a stream of what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import StreamingResponse
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from pipelines.errors import InputError
from pipelines.jobs import REGISTRY, JobType, job_type
from serve_app.job_queue import JOBS_APPLICATION
from serve_app.job_schemas import (
    Cleared,
    Interval,
    JobAnswer,
    JobList,
    JobRequest,
    JobState,
    JobTypeAnswer,
    JobTypes,
    QueueStatus,
    ScheduleAnswer,
    ScheduleRequest,
    Schedules,
)
from serve_app.schemas import ErrorAnswer
from serve_app.services import ServicesDep

LARGEST_ID = 2**63 - 1
SUPERVISOR_TIMEOUT_S = 2.0
LONGEST_STREAM_S = 600.0
"""A stream ends before Serve's own limit of a request cuts it; browsers connect again by themselves."""
LIVE: tuple[JobState, ...] = ("running", "stopping", "queued")

router = APIRouter(
    prefix="/queue",
    tags=["jobs"],
    responses={
        401: {"model": ErrorAnswer, "description": "API key missing or wrong"},
        503: {"model": ErrorAnswer, "description": "the SQL store does not answer"},
    },
)
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "no such job or type"}}
CONFLICT: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    409: {"model": ErrorAnswer, "description": "not possible in the state that it is in"},
}
JobId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


@router.get("")
async def jobs(
    services: ServicesDep,
    state: Annotated[list[JobState] | None, Query(description="Only jobs in these states.")] = None,
    type: Annotated[str | None, Query(description="Only jobs of this type.")] = None,  # noqa: A002 - the field's name
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only jobs with smaller ids.")] = None,
) -> JobList:
    """Jobs, newest first."""
    found = await services.jobs.ask(lambda jobs: jobs.list(state or (), type, limit=limit, before_id=before))
    return JobList(jobs=[answer(job) for job in found])


@router.post("", status_code=201, responses=CONFLICT)
async def submit(request: JobRequest, services: ServicesDep) -> JobAnswer:
    """Put a job into the queue. Of each type one job is queued or running at a time."""
    kind = job_type(request.type)
    params = kind.parse(request.params).model_dump(mode="json", exclude_unset=True)
    priority = kind.priority if request.priority is None else request.priority
    return answer(await services.jobs.ask(lambda jobs: jobs.submit(kind.id, params, priority=priority)))


@router.get("/status")
async def status(services: ServicesDep) -> QueueStatus:
    """What runs and waits now, with how far it is or why it waits."""
    live, supervising = await asyncio.gather(services.jobs.ask(lambda jobs: jobs.list(LIVE, limit=500)), _supervising())
    live.sort(key=lambda job: (LIVE.index(job.state), job.priority, job.id))
    counts = {state: sum(job.state == state for job in live) for state in LIVE}
    return QueueStatus(supervising=supervising, jobs=[answer(job) for job in live], **counts)


@router.get("/types")
async def types() -> JobTypes:
    """What jobs there are, with the JSON schema of their parameters."""
    return JobTypes(types=[describe(kind) for kind in REGISTRY.values()])


@router.get("/schedules")
async def schedules(services: ServicesDep) -> Schedules:
    """When jobs run by themselves; those that were never set are off."""
    kept = await services.jobs.ask_schedules(lambda schedules: schedules.all())
    return Schedules(schedules=[schedule(kind, kept.get(kind.id)) for kind in REGISTRY.values() if kind.schedulable])


@router.put("/schedules/{type}", responses=UNKNOWN)
async def set_schedule(type: str, request: ScheduleRequest, services: ServicesDep) -> ScheduleAnswer:  # noqa: A002 - the field's name
    """Set when a type of job runs by itself: the first time one interval from now."""
    kind = job_type(type)
    hours = request.interval_hours or kind.default_interval_hours or 0
    if hours not in kind.intervals:
        allowed = ", ".join(map(str, kind.intervals))
        raise InputError(
            f"A {kind.id} job cannot run every {hours} hours.",
            f"interval_hours is one of {allowed}." if allowed else "This type has no schedule.",
        )
    return schedule(
        kind,
        await services.jobs.ask_schedules(
            lambda all_: all_.set(kind.id, enabled=request.enabled, interval_hours=hours)
        ),
    )


@router.delete("/history")
async def clear(
    services: ServicesDep,
    type: Annotated[str | None, Query(description="Only jobs of this type.")] = None,  # noqa: A002 - the field's name
) -> Cleared:
    """Remove the jobs that have ended."""
    return Cleared(removed=await services.jobs.ask(lambda jobs: jobs.clear(type)))


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    services: ServicesDep,
    after: Annotated[int | None, Query(ge=0, le=LARGEST_ID, description="Begin after this event.")] = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=LARGEST_ID, description="As `after`; goes first.")] = None,
) -> StreamingResponse:
    """What happens to jobs, as server-sent events: id, kind, and the job as JSON; without an id, from now on.

    Kinds: submitted, waiting, started, progress, stopping, requeued, done, failed, stopped, cancelled; `cleared` says
    that jobs were removed, `reset` that events since the given one are no longer kept: read the list anew.
    """
    longest_s = min(LONGEST_STREAM_S, services.settings.request_timeout_s)
    texts = await services.jobs.stream(last_event_id if last_event_id is not None else after, longest_s)
    return StreamingResponse(
        texts, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


@router.get("/{job_id}", responses=UNKNOWN)
async def job(job_id: JobId, services: ServicesDep) -> JobAnswer:
    """One job."""
    return answer(await services.jobs.ask(lambda jobs: jobs.get(job_id)))


@router.post("/{job_id}/stop", responses=CONFLICT)
async def stop(job_id: JobId, services: ServicesDep) -> JobAnswer:
    """Ask a running job to stop; it is over within 5 s."""
    return answer(await services.jobs.ask(lambda jobs: jobs.request_stop(job_id)))


@router.post("/{job_id}/cancel", responses=CONFLICT)
@router.delete("/{job_id}", responses=CONFLICT)
async def cancel(job_id: JobId, services: ServicesDep) -> JobAnswer:
    """Take a job that waits out of the queue."""
    return answer(await services.jobs.ask(lambda jobs: jobs.cancel(job_id)))


@router.post("/{job_id}/retry", status_code=201, responses=CONFLICT)
async def retry(job_id: JobId, services: ServicesDep) -> JobAnswer:
    """Put a job with the same parameters into the queue, after one that failed, was stopped or cancelled."""
    return answer(await services.jobs.ask(lambda jobs: jobs.retry(job_id)))


async def _supervising() -> bool:
    """Whether the supervisor is there, answers and goes on."""
    try:
        async with asyncio.timeout(SUPERVISOR_TIMEOUT_S):
            handle = await asyncio.to_thread(serve.get_deployment_handle, "Jobs", JOBS_APPLICATION)
            return bool(await handle.supervising.remote())
    except (TimeoutError, KeyError, RayError, RayServeException):
        return False  # it is starting, or starting again


def answer(job: Any) -> JobAnswer:
    """Returns a job as the routes show it."""
    return JobAnswer(**{name: getattr(job, name) for name in JobAnswer.model_fields})


def describe(kind: JobType) -> JobTypeAnswer:
    """Returns a type as the routes show it."""
    return JobTypeAnswer(
        id=kind.id,
        title=kind.title,
        description=kind.description,
        priority=kind.priority,
        resources=dict(kind.resources),
        workers=dict(kind.workers),
        resumable=kind.resumable,
        schedulable=kind.schedulable,
        default_interval_hours=kind.default_interval_hours,
        intervals=presets(kind),
        params=kind.params.model_json_schema(),
    )


def schedule(kind: JobType, kept: Any) -> ScheduleAnswer:
    """Returns the schedule of a type as it was set, or as it is before that."""
    default: Mapping[str, Any] = {"enabled": False, "interval_hours": kind.default_interval_hours}
    names = ("enabled", "interval_hours", "next_run_at", "last_run_at")
    return ScheduleAnswer(
        type=kind.id,
        intervals=presets(kind),
        **{name: getattr(kept, name) if kept else default.get(name) for name in names},
    )


def presets(kind: JobType) -> list[Interval]:
    """Returns the intervals that a schedule may have, with words for them."""
    return [Interval(hours=hours, label=label(hours)) for hours in kind.intervals]


def label(hours: int) -> str:
    """Returns an interval in words: every hour, every 6 hours, every day, every 3 days, every week."""
    for size, name in ((168, "week"), (24, "day"), (1, "hour")):
        if hours % size == 0:
            count = hours // size
            return f"every {name}" if count == 1 else f"every {count} {name}s"
    raise AssertionError("every number of hours is a multiple of one")
