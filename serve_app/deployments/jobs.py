"""The supervisor of the jobs: takes them from the queue, starts a process for each, watches it, says why one waits.

Each job runs in a Ray actor of its own (`pipelines.job_runner`), with the resources of its type. All that must last is
in the SQL store: a supervisor that starts anew, or a second one, finds there what to do, and the lease of each run
keeps two of them from running one job twice. SQL and Ray's state are asked in threads; the event loop only waits.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError

from pipelines.errors import JobConflict, StashSenseError, StoreError
from pipelines.job_runner import LEASE_S, JobRunner
from pipelines.jobs import REGISTRY, JobType, named_function
from pipelines.settings import SettingLayers, Settings, resolve_settings
from pipelines.store.jobs import Job, JobStore
from pipelines.store.schedules import ScheduleStore
from pipelines.store.sql import open_store
from serve_app.deployments.job_room import Room
from serve_app.deployments.loopback import confine_inner_port

logger = logging.getLogger("ray.serve")

TICK_S = 1.0
WATCH_S = 0.5
STOP_GRACE_S = 3.5
"""How long a job may take to return once its stop is noticed; with the watch and the kill it is over within 5 s."""
DUE_EVERY_S = 5.0
PLACING_S = 10.0
"""A process usually comes up within this time; after it the job says that it waits for Ray."""
ENDED_S = 10.0
"""How long a runner that wrote down its end may take to return."""
STUCK_S = 60.0
"""A tick waits for SQLite's writers for 30 s at most; a loop that was silent for twice that hangs."""


@dataclass(slots=True)
class Run:
    """A job that this supervisor has a process for."""

    job: Job
    kind: JobType
    token: str
    actor: Any
    task: asyncio.Task[None] | None = None
    claimed_at: float | None = None


class Supervisor:
    """Runs the jobs of one store.

    Args:
        settings: gives the settings in force, which a job gets when it starts; called in a thread.
        types: the job types it knows; jobs of others stay in the queue and say so.
    """

    def __init__(self, settings: Callable[[], Settings], types: Mapping[str, JobType] = REGISTRY) -> None:
        self._settings = settings
        self._types = types
        self._runs: dict[int, Run] = {}
        self._jobs: JobStore | None = None
        self._schedules: ScheduleStore | None = None
        self._problem = ""
        self._due_asked_at = 0.0
        self._due_answered: dict[str, str] = {}
        self.last_tick_at = time.monotonic()

    async def run(self) -> None:
        """Goes on until it is cancelled. A store that does not answer is asked again."""
        while True:
            try:
                await self._tick()
                self._problem = ""
            except (StoreError, RayError) as error:
                self._say_once(str(error))
            except Exception:
                logger.exception("jobs: a fault in the supervisor; it goes on")
            self.last_tick_at = time.monotonic()
            await asyncio.sleep(TICK_S)

    async def close(self) -> None:
        """Ends the processes of all jobs and puts the jobs back, to go on when the server starts again."""
        runs = list(self._runs.values())
        for run in runs:
            if run.task is not None:
                run.task.cancel()
        await asyncio.gather(*(run.task for run in runs if run.task), return_exceptions=True)
        for run in runs:
            with suppress(StoreError):
                await asyncio.to_thread(self._put_back, run)

    def _put_back(self, run: Run) -> None:
        if self._jobs is None:
            return
        if run.kind.resumable:
            self._jobs.release(run.job.id, run.token)
        else:
            self._jobs.lose(run.job.id, run.token, "The server was stopped.", resumable=False)

    async def _tick(self) -> None:
        jobs, schedules = await self._stores()
        own = [run.token for run in self._runs.values()]
        for job_id in await asyncio.to_thread(jobs.recover, self._resumable, own=own):
            logger.warning("jobs: job %d was found without a process", job_id)
        for type_id in await asyncio.to_thread(schedules.take_due):
            await self._submit(jobs, type_id, "schedule", None)
        if time.monotonic() >= self._due_asked_at + DUE_EVERY_S:
            self._due_asked_at = time.monotonic()
            await self._submit_due(jobs)
        waiting = [job for job in await asyncio.to_thread(jobs.queued) if job.id not in self._runs]
        if waiting:
            await self._start_all(jobs, waiting)

    async def _stores(self) -> tuple[JobStore, ScheduleStore]:
        if self._jobs is None or self._schedules is None:
            settings = await asyncio.to_thread(self._settings)
            store = await asyncio.to_thread(open_store, settings.store_url)
            self._jobs, self._schedules = JobStore(store), ScheduleStore(store)
        return self._jobs, self._schedules

    def _resumable(self, type_id: str) -> bool:
        return type_id in self._types and self._types[type_id].resumable

    async def _submit(self, jobs: JobStore, type_id: str, by: str, priority: int | None) -> None:
        """Puts a job into the queue unless one of its type is there, which does the same work."""
        if type_id not in self._types:
            return
        if priority is None:
            priority = self._types[type_id].priority
        with suppress(JobConflict):
            await asyncio.to_thread(jobs.submit, type_id, priority=priority, triggered_by=by)

    async def _submit_due(self, jobs: JobStore) -> None:
        """Asks the types that know themselves when they are due; not twice for a reason for which they failed."""
        settings = await asyncio.to_thread(self._settings)
        asked: dict[str, Mapping[str, str] | str | None] = {}
        for kind in self._types.values():
            if kind.due and kind.due not in asked:
                asked[kind.due] = await asyncio.to_thread(_reasons_to_run, kind, settings)
            answer = asked.get(kind.due)
            reason = answer.get(kind.id) if isinstance(answer, Mapping) else answer
            if reason is None:
                continue
            newest = await asyncio.to_thread(jobs.list, (), kind.id, limit=1)
            known = self._due_answered.get(kind.id) == reason
            if newest and (newest[0].live or (known and newest[0].state != "done")):
                continue
            self._due_answered[kind.id] = reason
            logger.info("jobs: %s is due: %s", kind.id, reason)
            await self._submit(jobs, kind.id, "change", kind.due_priority)

    async def _start_all(self, jobs: JobStore, waiting: list[Job]) -> None:
        """Starts what there is room for, in order; says of the others what they wait for."""
        room = await asyncio.to_thread(Room.now)
        for run in self._runs.values():
            room.expect(run.kind, placed=run.claimed_at is not None, age_s=time.monotonic() - (run.claimed_at or 0))
        for job in waiting:
            kind = self._types.get(job.type)
            reason = self._stands_back(job, kind, waiting) if kind else f"This server knows no job type {job.type!r}."
            if kind and not reason:
                reason = room.take(kind)
            if kind is None or reason:
                await asyncio.to_thread(jobs.wait, job.id, reason)
            else:
                await self._start(jobs, job, kind)

    def _stands_back(self, job: Job, kind: JobType, waiting: list[Job]) -> str:
        """Returns what a job that nobody asked for waits for."""
        if job.triggered_by != "change":
            return ""
        others = [run.kind.id for run in self._runs.values()]
        others += [other.type for other in waiting if other.priority < job.priority]
        first = next((self._types[one] for one in others if one in kind.yields_to and one in self._types), None)
        return "" if first is None else f"Waits for the end of: {first.title}"

    async def _start(self, jobs: JobStore, job: Job, kind: JobType) -> None:
        settings = await asyncio.to_thread(self._settings)
        run = Run(job, kind, secrets.token_hex(16), make_runner(kind, settings))
        self._runs[job.id] = run
        run.task = asyncio.create_task(self._attend(jobs, run), name=f"job {job.id}")

    async def _attend(self, jobs: JobStore, run: Run) -> None:
        """The life of one process, from its start to its end."""
        try:
            if await self._placed(jobs, run):
                await self._watch(jobs, run)
        except (StoreError, RayError) as error:
            logger.warning("jobs: job %d: %s", run.job.id, error)
            if run.claimed_at is not None:
                with suppress(StoreError):
                    await asyncio.to_thread(
                        jobs.lose, run.job.id, run.token, reason_of(error), resumable=run.kind.resumable
                    )
        finally:
            ray.kill(run.actor)
            self._runs.pop(run.job.id, None)

    async def _placed(self, jobs: JobStore, run: Run) -> bool:
        """Waits until Ray has started the process, then claims the job. False when it is not to be run any more."""
        ready = asyncio.ensure_future(_result(run.actor.ready.remote()))
        began = time.monotonic()
        while not (await asyncio.wait({ready}, timeout=WATCH_S))[0]:
            if (await asyncio.to_thread(jobs.get, run.job.id)).state != "queued":
                ready.cancel()
                return False
            if time.monotonic() > began + PLACING_S:
                await asyncio.to_thread(jobs.wait, run.job.id, "Waits for Ray to start its process.")
        try:
            await ready
        except RayError as error:
            await asyncio.to_thread(jobs.wait, run.job.id, f"Its process could not be started. {reason_of(error)}")
            await asyncio.sleep(PLACING_S)
            return False
        claimed = await asyncio.to_thread(jobs.claim, run.job.id, run.token, LEASE_S)
        if claimed is None:
            return False
        run.job, run.claimed_at = claimed, time.monotonic()
        return True

    async def _watch(self, jobs: JobStore, run: Run) -> None:
        """Waits for the end of the run; ends it when it was asked to stop and does not."""
        job_id, token = run.job.id, run.token
        running = asyncio.ensure_future(_result(run.actor.run.remote(run.job, token, run.kind)))
        stop_seen_at = None
        while not (await asyncio.wait({running}, timeout=WATCH_S))[0]:
            try:
                state = await asyncio.to_thread(jobs.heartbeat, job_id, token, LEASE_S)
            except StoreError as error:
                self._say_once(str(error))
                continue
            if state is None:
                await asyncio.wait({running}, timeout=ENDED_S)
                break
            stop_seen_at = (stop_seen_at or time.monotonic()) if state == "stopping" else None
            if stop_seen_at and time.monotonic() > stop_seen_at + STOP_GRACE_S:
                logger.warning("jobs: job %d does not stop by itself; its process is ended", job_id)
                ray.kill(run.actor)
                await asyncio.to_thread(jobs.lose, job_id, token, "It was ended.", resumable=False)
                running.cancel()
                return
        if running.done() and (fault := await running):
            logger.error("jobs: job %d (%s) failed\n%s", job_id, run.job.type, fault)

    def _say_once(self, problem: str) -> None:
        if problem != self._problem:
            logger.error("jobs: %s", problem)
        self._problem = problem


def make_runner(kind: JobType, settings: Settings) -> Any:
    """Returns the actor of a job, which Ray starts when its resources are free."""
    resources = dict(kind.resources)
    return (
        ray.remote(JobRunner)
        .options(
            num_cpus=resources.pop("CPU", 0),
            num_gpus=resources.pop("GPU", 0),
            resources=resources or None,
            max_restarts=0,
            max_task_retries=0,
        )
        .remote(settings)
    )


def reason_of(error: Exception) -> str:
    """Returns in one sentence why a process is gone."""
    if isinstance(error, RayActorError):
        return "The process of the job ended unexpectedly."
    return f"The process of the job failed: {' '.join(str(error).split())[:500]}"


def _reasons_to_run(kind: JobType, settings: Settings) -> Mapping[str, str] | str | None:
    """Asks a type whether it is due. A fault of its own, such as an unreadable file, must not stop the others."""
    try:
        answer: Mapping[str, str] | str | None = named_function(kind.due)(settings)
    except (StashSenseError, ImportError, OSError) as error:
        logger.debug("jobs: %s cannot say whether it is due: %s", kind.id, error)
        return None
    return answer


async def _result(reference: Any) -> Any:
    """Returns what a call of an actor gives; `asyncio.wait` wants coroutines."""
    return await reference


class Jobs:
    """The one replica that supervises.

    Args:
        layers: the settings without overrides; each job gets the ones that are in force when it starts.
    """

    def __init__(self, layers: SettingLayers, types: Mapping[str, JobType] = REGISTRY) -> None:
        confine_inner_port()
        self._supervisor = Supervisor(lambda: resolve_settings(layers).settings, types)
        self._loop = asyncio.get_running_loop().create_task(self._supervisor.run(), name="supervisor")

    async def supervising(self) -> bool:
        """Whether jobs are being started and watched."""
        return not self._loop.done() and time.monotonic() < self._supervisor.last_tick_at + STUCK_S

    async def check_health(self) -> None:
        """Raises when the loop has ended or hangs; Serve starts a new replica then."""
        if not await self.supervising():
            raise RuntimeError("the supervisor of the jobs does not go on")

    async def __del__(self) -> None:
        """Serve's call at the end of a replica that is stopped, not killed."""
        self._loop.cancel()
        await self._supervisor.close()


JobsDeployment: serve.Deployment = serve.deployment(name="Jobs")(Jobs)
