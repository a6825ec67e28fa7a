"""Threads in which the engine runs: one lane for pictures, one for videos, so that neither waits behind the other.

Lives here: `EngineLane`, which spreads frames over the threads of a replica, `PixelBudget`, which bounds the pictures
in memory, and the plan that sizes both.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain
from threading import Event, get_native_id

from pipelines import machine
from pipelines.faces.engine import EngineOptions, Face, FaceEngine
from pipelines.faces.types import Frame
from pipelines.parts import engine_options
from pipelines.settings import Settings

VIDEO_NICENESS = 10
"""Threads that work on videos give way to those that work on pictures: somebody waits for a picture. At niceness 10 a
thread gets about a tenth of a contended core, so videos go on slowly rather than not at all."""
CONCURRENT_BATCHES = 2
"""One batch runs while the next one is collected."""
WAITING_VIDEOS = 4
"""Videos that wait for one of `decode_workers`, for each of them; more are answered with 503."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """How one replica uses its machine; follows from the settings and the cores that the process may use.

    On CPUs a model call runs in the thread that makes it, and as many calls run side by side as there are cores:
    frames are independent, so that scales where threads inside one operator do not. On a GPU one call has the whole
    batch.

    Attributes:
        threads: calls of the engine side by side, in each lane.
        batch_size: pictures of different requests in one batch.
        batch_wait_s: how long a batch waits to be filled.
        videos: videos decoded at once.
    """

    threads: int
    batch_size: int
    batch_wait_s: float
    videos: int
    on_gpu: bool

    @classmethod
    def of(cls, settings: Settings, cores: int | None = None) -> EnginePlan:
        """Returns the plan for one of `settings.engine_replicas` on a machine with that many cores."""
        cores = cores or machine.cores()
        on_gpu = settings.gpus_per_replica > 0
        threads = settings.engine_threads or max(1, cores // settings.engine_replicas)
        return cls(
            threads=CONCURRENT_BATCHES if on_gpu else threads,
            batch_size=settings.engine_batch_size if on_gpu else min(settings.engine_batch_size, 2 * threads),
            batch_wait_s=0.002 if on_gpu else 0.0,
            videos=settings.decode_workers,
            on_gpu=on_gpu,
        )

    @property
    def most_videos(self) -> int:
        """Videos that a replica accepts: running and waiting."""
        return self.videos * (1 + WAITING_VIDEOS)

    @property
    def max_ongoing_requests(self) -> int:
        """Enough to fill every batch while all accepted videos are there; a batch never fills with less."""
        return self.batch_size * (CONCURRENT_BATCHES + 1) + self.most_videos

    def engine_options(self, settings: Settings) -> EngineOptions:
        """Returns how the engine is to run: as everywhere, but with one thread inside a model call."""
        return replace(engine_options(settings), threads=1)


class EngineLane:
    """Runs one engine for one kind of work, in threads of its own."""

    def __init__(self, engine: FaceEngine, plan: EnginePlan, *, name: str, niceness: int = 0) -> None:
        self._engine = engine
        self._threads = plan.threads
        self._split = not plan.on_gpu
        self._pool = ThreadPoolExecutor(plan.threads, name, initializer=give_way, initargs=(niceness,))

    def analyze(self, images: Sequence[Frame], *, retry: bool = True) -> list[list[Face]]:
        """Returns the faces of each frame; blocks until they are there. `retry`: see FaceEngine.analyze."""
        return list(chain.from_iterable(part.result() for part in self._submit(images, retry=retry)))

    async def analyze_async(self, images: Sequence[Frame], *, retry: bool = True) -> list[list[Face]]:
        """Returns the faces of each frame; the event loop goes on meanwhile."""
        parts = await asyncio.gather(*map(asyncio.wrap_future, self._submit(images, retry=retry)))
        return list(chain.from_iterable(parts))

    def _submit(self, frames: Sequence[Frame], *, retry: bool) -> list[Future[list[list[Face]]]]:
        """Starts the analysis of the frames and returns its parts, in order."""
        parts = self._threads if self._split else 1
        size = -(-len(frames) // parts) if frames else 1
        return [
            self._pool.submit(self._engine.analyze, frames[start : start + size], retry=retry)
            for start in range(0, len(frames), size)
        ]

    def close(self) -> None:
        """Drops what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def give_way(niceness: int) -> None:
    """Gives the calling thread a niceness of its own, which Linux allows; elsewhere nothing changes."""
    if niceness and os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, get_native_id(), niceness)


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class CancellableEngine:
    """A lane that stops the work on a video, between two blocks, once nobody waits for it."""

    lane: EngineLane
    cancelled: Event

    def analyze(self, images: Sequence[Frame], *, retry: bool = True) -> list[list[Face]]:
        """Returns the faces of each frame. Raises Cancelled."""
        if self.cancelled.is_set():
            raise Cancelled
        return self.lane.analyze(images, retry=retry)


class PixelBudget:
    """Bounds the decoded pictures that are in memory at once, in megapixels; one that exceeds it alone goes alone."""

    def __init__(self, megapixels: float) -> None:
        self._most = megapixels
        self._used = 0.0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, megapixels: float) -> AsyncIterator[None]:
        """Waits for room, and gives it back at the end of the block."""
        megapixels = min(megapixels, self._most)
        async with self._freed:
            await self._freed.wait_for(lambda: self._used + megapixels <= self._most)
            self._used += megapixels
        try:
            yield
        finally:
            async with self._freed:
                self._used -= megapixels
                self._freed.notify_all()
