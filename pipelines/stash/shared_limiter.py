"""One limiter for a whole Ray cluster: a named, detached actor that outlives its users and is made again when it dies.

The only module of `pipelines.stash` that knows Ray. `limiter_for(settings)` is the door for Stash, `named_limiter` for
any other server; without Ray they give the limiter of this process.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import lru_cache
from typing import Any

from tenacity import AsyncRetrying, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from pipelines.errors import StashUnreachable
from pipelines.stash.limiter import LEASE_S, Limiter, Priority, RateLimiter, RateSettings, Ticket, renewed

ACTOR = "stash-limiter"
NAMESPACE = "stash-sense"
WAITERS = 10_000
"""Calls that may wait in the actor at once; each is a coroutine there."""
ATTEMPTS = 8
"""Tries when the actor died: together they wait 12 s, and Ray starts a new one within about one."""


def limiter_for(settings: RateSettings) -> Limiter:
    """Returns the limiter of requests to Stash, of the cluster where Ray runs, else of this process."""
    return named_limiter(ACTOR, settings.stash_requests_per_s)


def named_limiter(name: str, per_second: float) -> Limiter:
    """Returns the limiter of that name: one for the cluster where Ray runs, else one for this process."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return _of_the_cluster(name, per_second, ray.get_runtime_context().gcs_address)
    return _of_this_process(name, per_second)


@lru_cache(maxsize=8)  # looking the actor up costs a request to the cluster; another rate or cluster replaces it
def _of_the_cluster(name: str, per_second: float, _cluster: str) -> SharedLimiter:
    return SharedLimiter(per_second, name=name)


@lru_cache(maxsize=8)
def _of_this_process(_name: str, per_second: float) -> RateLimiter:
    return RateLimiter(per_second)


class LimiterActor:
    """A `RateLimiter` behind Ray calls. Write turns go by a token of the caller, so that it can always end its own."""

    def __init__(self, per_second: float, lease_s: float) -> None:
        self._rates = RateLimiter(per_second)
        self._turns = RateLimiter(per_second, lease_s=lease_s)
        self._tickets: dict[str, Ticket] = {}

    async def configure(self, per_second: float) -> None:
        """Takes over another rate for whoever comes next; a pause goes on."""
        if per_second != self._rates.per_second:
            paused_s = self._rates.paused_s
            self._rates = RateLimiter(per_second)
            self._rates.pause(paused_s)

    async def acquire(self, priority: int) -> None:
        await self._rates.acquire(Priority(priority))

    async def pause(self, seconds: float) -> None:
        self._rates.pause(seconds)

    async def take_turn(self, priority: int, token: str) -> None:
        self._tickets[token] = await self._turns.take_turn(Priority(priority))

    async def renew(self, token: str) -> None:
        if token in self._tickets:
            self._turns.renew(self._tickets[token])

    async def give_back(self, token: str) -> None:
        if token in self._tickets:
            self._turns.give_back(self._tickets.pop(token))


class SharedLimiter:
    """The cluster's limiter as seen from one process; its threads and event loops may share it.

    Raises StashUnreachable when the actor cannot be had again within some seconds.
    """

    def __init__(self, per_second: float, *, lease_s: float = LEASE_S, name: str = ACTOR) -> None:
        """
        Args:
            per_second: the rate that the cluster has from now on.
            lease_s: how long a write turn lasts without being renewed; of the process that makes the actor.
            name: of the actor; limiters of the same name are one.
        """
        self._name = name
        self._per_second = per_second
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._handle: Any = None

    async def acquire(self, priority: Priority) -> None:
        await self._call(lambda actor: actor.acquire.remote(int(priority)))

    def wait(self, priority: Priority) -> None:
        import ray

        try:
            for attempt in Retrying(**_patience()):
                with attempt, self._looked_up_again_on_error():
                    ray.get(self._actor().acquire.remote(int(priority)))
        except ray.exceptions.RayError as error:
            raise _gone(error) from error

    def pause(self, seconds: float) -> None:
        import ray

        with suppress(ray.exceptions.RayError):
            self._actor().pause.remote(seconds)

    @asynccontextmanager
    async def writing(self, priority: Priority) -> AsyncIterator[None]:
        token = uuid.uuid4().hex
        try:
            await self._call(lambda actor: actor.take_turn.remote(int(priority), token))
            async with renewed(lambda: self._tell("renew", token), self._lease_s):
                yield
        finally:
            self._tell("give_back", token)

    async def _call(self, call: Callable[[Any], Any]) -> None:
        import ray

        try:
            async for attempt in AsyncRetrying(**_patience()):
                with attempt, self._looked_up_again_on_error():
                    await _finished(call(await asyncio.to_thread(self._actor)))
        except ray.exceptions.RayError as error:
            raise _gone(error) from error

    def _tell(self, method: str, token: str) -> None:
        """Calls without waiting; a dead actor has no turns to renew or give back."""
        import ray

        with suppress(ray.exceptions.RayError):
            getattr(self._actor(), method).remote(token)

    def _actor(self) -> Any:
        import ray

        with self._lock:
            if self._handle is None:
                actor_class: Any = ray.remote(LimiterActor)
                made = actor_class.options(
                    name=self._name,
                    namespace=NAMESPACE,
                    lifetime="detached",
                    get_if_exists=True,
                    num_cpus=0,
                    max_restarts=-1,
                    max_concurrency=WAITERS,
                )
                handle = made.remote(self._per_second, self._lease_s)
                handle.configure.remote(self._per_second)
                self._handle = handle
            return self._handle

    @contextmanager
    def _looked_up_again_on_error(self) -> Iterator[None]:
        """After an error the next call looks for the actor by name, and makes one if there is none."""
        try:
            yield
        except BaseException:
            with self._lock:
                self._handle = None
            raise


async def _finished(reference: Any) -> None:
    """Waits for a call; one whose waiter was cancelled is cancelled too."""
    import ray

    try:
        await reference
    except asyncio.CancelledError:
        ray.cancel(reference)
        raise


def _patience() -> dict[str, Any]:
    import ray

    return {
        "stop": stop_after_attempt(ATTEMPTS),
        "wait": wait_exponential(multiplier=0.1, max=4.0),
        "retry": retry_if_exception_type(ray.exceptions.RayActorError),
        "reraise": True,
    }


def _gone(error: Exception) -> StashUnreachable:
    return StashUnreachable(
        f"The limiter of requests to Stash cannot be reached ({type(error).__name__}).",
        "It is an actor of the Ray cluster; check that the cluster runs.",
    )
