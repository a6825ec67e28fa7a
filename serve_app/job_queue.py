"""The jobs as the HTTP routes see them: the store, asked in threads, and the stream of events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from pipelines.errors import Overloaded

if TYPE_CHECKING:
    from pipelines.store.jobs import JobEvent, JobStore
    from pipelines.store.schedules import ScheduleStore
    from pipelines.store.sql import Store

T = TypeVar("T")
JOBS_APPLICATION = "stash-sense-jobs"
"""Name of the Serve application of `serve_app.app.build_jobs`."""
THREADS = 4
MOST_STREAMS = 16
POLL_S = 0.5
HEARTBEAT_S = 10.0
"""Proxies close what is silent, after 30 s or more; a client that has gone is noticed by the next heartbeat."""
RECONNECT_MS = 2000
BATCH = 200


class JobQueue:
    """The jobs of one store. SQL is imported and the store opened when they are first asked for.

    Args:
        url: SQLAlchemy URL of the store.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = Lock()
        self._stores: tuple[JobStore, ScheduleStore, Store] | None = None
        self._threads = ThreadPoolExecutor(THREADS, "jobs")
        self._streams = 0

    async def ask(self, question: Callable[[JobStore], T]) -> T:
        """Returns what a question about the jobs gives. Raises StoreError, and what the question raises."""
        return await self._in_thread(lambda: question(self._opened()[0]))

    async def ask_schedules(self, question: Callable[[ScheduleStore], T]) -> T:
        """Returns what a question about the schedules gives. Raises StoreError."""
        return await self._in_thread(lambda: question(self._opened()[1]))

    async def ask_store(self, question: Callable[[Store], T]) -> T:
        """Returns what a question to anything else in the same store gives. Raises like `ask`."""
        return await self._in_thread(lambda: question(self._opened()[2]))

    async def stream(self, after_id: int | None, longest_s: float) -> AsyncIterator[str]:
        """Returns the events after an id, or from now on, as text of server-sent events; ends after `longest_s`.

        Raises Overloaded when too many are listening, StoreError; both before the first text.
        """
        if self._streams >= MOST_STREAMS:
            raise Overloaded(f"{MOST_STREAMS} listeners are connected already.", "Close one of them.", retry_after_s=10)
        first, last = await self.ask(lambda jobs: jobs.event_ids())
        return self._texts(after_id, first, last, longest_s)

    async def _texts(self, after_id: int | None, first: int, last: int, longest_s: float) -> AsyncIterator[str]:
        self._streams += 1
        try:
            yield f"retry: {RECONNECT_MS}\n\n"
            position = last if after_id is None else after_id
            if after_id is not None and not first - 1 <= after_id <= last:
                position = last
                yield f"id: {last}\nevent: reset\ndata: {{}}\n\n"
            async for text in self._after(position, longest_s):
                yield text
        finally:
            self._streams -= 1

    async def _after(self, position: int, longest_s: float) -> AsyncIterator[str]:
        end = said = time.monotonic()
        end += longest_s
        while time.monotonic() < end:
            after = position
            events = await self.ask(lambda jobs, after=after: jobs.events(after, BATCH))  # type: ignore[misc]
            for event in events:
                position, said = event.id, time.monotonic()
                yield text_of(event)
            if time.monotonic() >= said + HEARTBEAT_S:
                said = time.monotonic()
                yield ": still here\n\n"
            if len(events) < BATCH:
                await asyncio.sleep(POLL_S)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _opened(self) -> tuple[JobStore, ScheduleStore, Store]:
        from pipelines.store.jobs import JobStore
        from pipelines.store.schedules import ScheduleStore
        from pipelines.store.sql import open_store

        with self._opening:
            if self._stores is None:
                store = open_store(self._url)
                self._stores = JobStore(store), ScheduleStore(store), store
            return self._stores


def text_of(event: JobEvent) -> str:
    """Returns one server-sent event: its id, what happened, and the job as it was then, or how many were removed."""
    about = event.data if event.job_id is None else {"job": event.data}
    data = {"job_id": event.job_id, "at": event.at.isoformat(), **about}
    return f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(data)}\n\n"
