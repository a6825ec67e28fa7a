"""Stash's job queue: one job at a time, first come first served, forgotten at a restart. And who is told about it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.fakes.stash.knobs import Knobs
from tests.fakes.stash.library import Library
from tests.fakes.stash.scans import Tell

Topic = Literal["jobs", "scans"]
KEPT_FINISHED = 10
"""Finished jobs that findJob still knows."""


@dataclass(slots=True)
class Job:
    """Fields as in Stash's GraphQL; `progress` is None until there is one."""

    id: int
    status: str
    description: str
    addTime: str  # noqa: N815
    startTime: str | None = None  # noqa: N815
    endTime: str | None = None  # noqa: N815
    subTasks: list[str] | None = None  # noqa: N815
    progress: float | None = None
    error: str | None = None


class Broadcast:
    """Hands events of any thread to every subscriber of a topic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[Topic, list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[Any]]]] = {
            "jobs": [],
            "scans": [],
        }

    def publish(self, topic: Topic, event: Any) -> None:
        with self._lock:
            listeners = list(self._queues[topic])
        for loop, queue in listeners:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, event)

    def subscribers(self, topic: Topic) -> int:
        with self._lock:
            return len(self._queues[topic])

    async def events(self, topic: Topic) -> AsyncIterator[Any]:
        """Yields what is published from now on."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        listener = (asyncio.get_running_loop(), queue)
        with self._lock:
            self._queues[topic].append(listener)
        try:
            while True:
                yield await queue.get()
        finally:
            with self._lock:
                self._queues[topic].remove(listener)


@dataclass(slots=True)
class _Entry:
    job: Job
    work: Callable[[Tell], None]
    scan: bool
    stopping: bool = False


class JobQueue:
    """Runs jobs in a thread of its own, one after another."""

    def __init__(self, library: Library, knobs: Knobs, broadcast: Broadcast) -> None:
        self._library, self._knobs, self._broadcast = library, knobs, broadcast
        self._lock = threading.Lock()
        self._live: list[_Entry] = []
        self._finished: list[Job] = []
        self._last = 0
        self._worker: threading.Thread | None = None

    def submit(self, description: str, work: Callable[[Tell], None], *, scan: bool = False) -> int:
        """Adds a job and returns its id. A scan that ends by itself is told to the subscribers of scans."""
        with self._lock:
            self._last += 1
            entry = _Entry(Job(self._last, "READY", description, self._library.now()), work, scan)
            self._live.append(entry)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._run, name="fake-stash-jobs", daemon=True)
                self._worker.start()
        self._tell("ADD", entry.job)
        return entry.job.id

    def stop(self, job_id: int) -> None:
        """Asks a running job to stop; a waiting one is cancelled at once; an unknown one is nobody's loss."""
        with self._lock:
            entry = next((one for one in self._live if one.job.id == job_id), None)
            if entry is None:
                return
            entry.stopping = True
            if entry.job.status == "RUNNING":
                entry.job.status = "STOPPING"
                update = "UPDATE"
            else:
                self._end(entry, "CANCELLED")
                update = "REMOVE"
        self._tell(update, entry.job)

    def stop_all(self) -> None:
        for job in self.queue():
            self.stop(job.id)

    def queue(self) -> list[Job]:
        """Returns copies of the live jobs, in their order."""
        with self._lock:
            return [replace(entry.job) for entry in self._live]

    def find(self, job_id: int) -> Job | None:
        with self._lock:
            known = [entry.job for entry in self._live] + self._finished
            found = next((job for job in known if job.id == job_id), None)
            return replace(found) if found else None

    def forget(self) -> None:
        """As after a restart: nothing is known any more, ids begin anew."""
        with self._lock:
            for entry in self._live:
                entry.stopping = True
            self._live.clear()
            self._finished.clear()
            self._last = 0

    def wait(self, job_id: int, timeout_s: float = 20.0) -> Job | None:
        """Returns the job once it is over; raises TimeoutError."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            job = self.find(job_id)
            if job is None or job.status in {"FINISHED", "CANCELLED", "FAILED"}:
                return job
            time.sleep(0.01)
        raise TimeoutError(f"job {job_id} is not over after {timeout_s:g} s")

    def _run(self) -> None:
        while True:
            with self._lock:
                entry = next((one for one in self._live if one.job.status == "READY"), None)
                if entry is None:
                    self._worker = None
                    return
                entry.job.status, entry.job.startTime = "RUNNING", self._library.now()
            self._tell("UPDATE", entry.job)
            self._work(entry)

    def _work(self, entry: _Entry) -> None:
        error: str | None = None
        try:
            entry.work(lambda progress: self._step(entry, progress))
        except Exception as caught:  # noqa: BLE001  a job that breaks is a FAILED job
            error = f"{type(caught).__name__}: {caught}"
        with self._lock:
            status = "FAILED" if error else "CANCELLED" if entry.stopping else "FINISHED"
            entry.job.error = error
            self._end(entry, status)
        self._tell("REMOVE", entry.job)
        if entry.scan and status == "FINISHED":
            self._broadcast.publish("scans", True)

    def _step(self, entry: _Entry, progress: float) -> bool:
        entry.job.progress = progress
        self._tell("UPDATE", entry.job)
        end = time.monotonic() + self._knobs.job_step_s
        while time.monotonic() < end and not entry.stopping:
            time.sleep(0.01)
        return entry.stopping

    def _end(self, entry: _Entry, status: str) -> None:
        entry.job.status, entry.job.endTime = status, self._library.now()
        if entry in self._live:
            self._live.remove(entry)
            self._finished = [*self._finished, entry.job][-KEPT_FINISHED:]

    def _tell(self, kind: str, job: Job) -> None:
        self._broadcast.publish("jobs", {"type": kind, "job": replace(job)})
