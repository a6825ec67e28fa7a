"""How often Stash may be asked, and one write at a time: for one process, any number of its threads and event loops.

The whole cluster shares one of these through `shared_limiter`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import IntEnum
from typing import Protocol

Clock = Callable[[], float]
Ticket = tuple[int, int]
"""(priority, order of arrival): the smallest is next."""

LEASE_S = 30.0
"""A write turn that is not renewed for so long is free again: its holder died."""
LOOK_AGAIN_S = 0.01
"""How often a waiting writer looks whether it is its turn; a write takes Stash longer than that."""
SHORTEST_SLEEP_S = 0.001


class Priority(IntEnum):
    """Who is served first; the smaller value is."""

    INTERACTIVE = 0
    BATCH = 50


class Limiter(Protocol):
    """What the client asks before each request."""

    async def acquire(self, priority: Priority) -> None:
        """Returns when one more request may be sent."""
        ...

    def wait(self, priority: Priority) -> None:
        """`acquire` for a thread without an event loop."""
        ...

    def writing(self, priority: Priority) -> AbstractAsyncContextManager[None]:
        """Inside the block nobody else writes."""
        ...

    def pause(self, seconds: float) -> None:
        """Lets nobody send a request for so long: the server said that it is asked too often."""
        ...


class RateSettings(Protocol):
    """The part of the settings that a limiter needs."""

    @property
    def stash_requests_per_s(self) -> float: ...


class Queue:
    """Who waits, in order of priority, then of arrival."""

    def __init__(self) -> None:
        self._waiting: list[Ticket] = []
        self._arrivals = itertools.count()

    def enter(self, priority: Priority) -> Ticket:
        """Returns the place in the queue."""
        ticket = (int(priority), next(self._arrivals))
        heapq.heappush(self._waiting, ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Gives the place up; nothing happens when it was served."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)


class Permits(Queue):
    """The rate: any stretch of `window_s` holds at most `per_window` permits, and batch work is spaced evenly.

    Even spacing keeps the wait of an interactive request below one step, while an idle limiter gives it as many
    permits at once as fit in the window. Not thread-safe; `RateLimiter` locks.
    """

    def __init__(self, per_second: float, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self.per_window = max(1, int(per_second))
        self.window_s = self.per_window / per_second
        self.step_s = 1 / per_second
        self._clock = clock
        self._given: deque[float] = deque(maxlen=self.per_window)
        self._paused_until = -1.0

    def pause(self, seconds: float) -> None:
        """Gives nobody a permit for so long; a pause that lasts longer already stays."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    @property
    def paused_s(self) -> float:
        """Seconds that the pause still lasts."""
        return max(0.0, self._paused_until - self._clock())

    def take(self, ticket: Ticket) -> float:
        """Returns 0.0 when the permit is given, else the seconds after which to ask again."""
        head = self._waiting[0]
        left_s = self._free_at(head) - self._clock()
        if left_s > 0:
            return left_s
        if head != ticket:
            return SHORTEST_SLEEP_S  # the head is waking up
        heapq.heappop(self._waiting)
        self._given.append(self._clock())
        return 0.0

    def _free_at(self, ticket: Ticket) -> float:
        if not self._given:
            return self._paused_until
        full = len(self._given) == self.per_window
        free_at = max(self._paused_until, self._given[0] + self.window_s if full else -1.0)
        return max(free_at, self._given[-1] + self.step_s) if ticket[0] > Priority.INTERACTIVE else free_at


class Turns(Queue):
    """One writer at a time, in order of priority. A turn is a lease: it ends when given back or not renewed.

    Not thread-safe; `RateLimiter` locks.
    """

    def __init__(self, lease_s: float = LEASE_S, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self.lease_s = lease_s
        self._clock = clock
        self._holder: Ticket | None = None
        self._until = 0.0

    def leave(self, ticket: Ticket) -> None:
        """Gives back a turn or a place in the queue."""
        if ticket == self._holder:
            self._holder = None
        super().leave(ticket)

    def take(self, ticket: Ticket) -> bool:
        """Whether the turn is now the ticket's."""
        if self._holder is not None and self._clock() < self._until:
            return False
        if not self._waiting or self._waiting[0] != ticket:
            return False
        heapq.heappop(self._waiting)
        self._holder = ticket
        self.renew(ticket)
        return True

    def renew(self, ticket: Ticket) -> bool:
        """Prolongs the lease; False when the turn is no longer the ticket's."""
        if ticket != self._holder:
            return False
        self._until = self._clock() + self.lease_s
        return True


class RateLimiter:
    """The limiter of one process: `per_second` requests, interactive before batch, one write at a time."""

    def __init__(self, per_second: float, *, lease_s: float = LEASE_S, clock: Clock = time.monotonic) -> None:
        """
        Args:
            per_second: above 0; below 1 it is one request in 1 / per_second seconds.
            lease_s: how long a write turn lasts without being renewed.
        """
        self.per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._permits = Permits(per_second, clock)
        self._turns = Turns(lease_s, clock)

    async def acquire(self, priority: Priority) -> None:
        permits = self._permits
        with self._lock:
            ticket = permits.enter(priority)
        try:
            while left_s := self._try(permits, ticket):  # noqa: ASYNC110 - waiters may be on different event loops
                await asyncio.sleep(left_s)
        finally:
            self._leave(permits, ticket)

    def wait(self, priority: Priority) -> None:
        permits = self._permits
        with self._lock:
            ticket = permits.enter(priority)
        try:
            while left_s := self._try(permits, ticket):
                time.sleep(left_s)
        finally:
            self._leave(permits, ticket)

    @property
    def paused_s(self) -> float:
        """Seconds that the pause still lasts."""
        with self._lock:
            return self._permits.paused_s

    def pause(self, seconds: float) -> None:
        """Gives nobody a permit for so long."""
        with self._lock:
            self._permits.pause(seconds)

    async def take_turn(self, priority: Priority) -> Ticket:
        """Returns when it is the caller's turn to write; `give_back` ends it, `renew` keeps it alive."""
        with self._lock:
            ticket = self._turns.enter(priority)
        try:
            while not self._try_turn(ticket):  # noqa: ASYNC110 - as above
                await asyncio.sleep(LOOK_AGAIN_S)
        except BaseException:
            self.give_back(ticket)
            raise
        return ticket

    def renew(self, ticket: Ticket) -> bool:
        with self._lock:
            return self._turns.renew(ticket)

    def give_back(self, ticket: Ticket) -> None:
        with self._lock:
            self._turns.leave(ticket)

    @asynccontextmanager
    async def writing(self, priority: Priority) -> AsyncIterator[None]:
        ticket = await self.take_turn(priority)
        try:
            async with renewed(lambda: self.renew(ticket), self._turns.lease_s):
                yield
        finally:
            self.give_back(ticket)

    def _try(self, permits: Permits, ticket: Ticket) -> float:
        with self._lock:
            return permits.take(ticket)

    def _leave(self, permits: Permits, ticket: Ticket) -> None:
        with self._lock:
            permits.leave(ticket)

    def _try_turn(self, ticket: Ticket) -> bool:
        with self._lock:
            return self._turns.take(ticket)


@asynccontextmanager
async def renewed(renew: Callable[[], object], lease_s: float) -> AsyncIterator[None]:
    """Inside the block `renew` is called three times in a lease."""

    async def again() -> None:
        while True:
            await asyncio.sleep(lease_s / 3)
            renew()

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
