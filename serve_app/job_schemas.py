"""What the job routes take and give back, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.jobs import Priority

JobState = Literal["queued", "running", "stopping", "done", "failed", "stopped", "cancelled"]


class JobRequest(BaseModel):
    """A job to put into the queue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(max_length=64, examples=["scan"])
    params: dict[str, Any] = Field({}, description="As `params` of the type says; see GET /queue/types.")
    priority: Priority | None = Field(None, description="0 is the most urgent; that of the type when unset.")


class ScheduleRequest(BaseModel):
    """When a type of job is to run by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool
    interval_hours: int | None = Field(None, description="One of the intervals of the type; its default when unset.")


class JobProgress(BaseModel):
    """How far one job is."""

    id: int
    type: str
    state: JobState
    priority: int
    triggered_by: str = Field(description="user, schedule, or change: something that it depends on has changed.")
    retry_of: int | None = Field(description="The job that this one tries again.")
    attempts: int = Field(description="Runs that were begun; after a crash a job goes on, three times at most.")
    done: int
    total: int | None = Field(description="Null while it is not known.")
    counts: dict[str, int] = Field(description="Results by reason.")
    rate_per_s: float | None = Field(description="Of the last minute.")
    eta_s: float | None = Field(description="Seconds that are left at that rate.")
    waiting_for: str = Field(description="Why a queued job does not run yet.")
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None = Field(description="Of the newest attempt.")
    stop_requested_at: datetime | None
    ended_at: datetime | None


class JobAnswer(JobProgress):
    """One job as it is now."""

    params: dict[str, Any]
    result: dict[str, Any] | None


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobAnswer]


class QueueStatus(BaseModel):
    """What goes on now."""

    supervising: bool = Field(description="False while the part of the server that runs jobs is starting again.")
    queued: int
    running: int
    stopping: int
    jobs: list[JobAnswer] = Field(description="The jobs that are counted here.")


class Interval(BaseModel):
    """A preset of a schedule."""

    hours: int
    label: str


class JobTypeAnswer(BaseModel):
    """One type of job."""

    id: str
    title: str
    description: str
    priority: Priority
    resources: dict[str, float] = Field(description="What Ray reserves for the process of the job.")
    workers: dict[str, float] = Field(description="What must be free beside that when it starts.")
    resumable: bool
    schedulable: bool
    default_interval_hours: int | None
    intervals: list[Interval]
    params: dict[str, Any] = Field(description="JSON schema of the parameters.")


class JobTypes(BaseModel):
    """All types of jobs."""

    types: list[JobTypeAnswer]


class ScheduleAnswer(BaseModel):
    """When a type of job runs by itself."""

    type: str
    enabled: bool
    interval_hours: int
    next_run_at: datetime | None
    last_run_at: datetime | None
    intervals: list[Interval]


class Schedules(BaseModel):
    """The schedules of all types that can have one."""

    schedules: list[ScheduleAnswer]


class Cleared(BaseModel):
    """What was removed."""

    removed: int
