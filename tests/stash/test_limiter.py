"""The limiter of one process: the rate, who goes first, and one writer at a time."""

from __future__ import annotations

import asyncio
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from pipelines.stash.limiter import Permits, Priority, RateLimiter, Turns

BATCH, INTERACTIVE = Priority.BATCH, Priority.INTERACTIVE


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def served(permits: Permits, clock: FakeClock, waiting: list) -> list[tuple[float, int]]:
    """Returns (time, index of the ticket) as they are served, all asking again and again."""
    order, left = [], dict(enumerate(waiting))
    while left:
        waits = []
        for index, ticket in list(left.items()):
            wait_s = permits.take(ticket)
            if wait_s == 0.0:
                order.append((clock.now, index))
                del left[index]
            else:
                waits.append(wait_s)
        if waits and left:
            clock.now += min(waits)
    return order


@given(
    per_second=st.floats(0.1, 100), priorities=st.lists(st.sampled_from([BATCH, INTERACTIVE]), min_size=1, max_size=40)
)
def test_no_window_holds_more_than_the_rate_and_interactive_goes_first(per_second: float, priorities: list[Priority]):
    clock = FakeClock()
    permits = Permits(per_second, clock)
    order = served(permits, clock, [permits.enter(p) for p in priorities])
    times = [at for at, _ in order]
    for first, later in zip(times, times[permits.per_window :], strict=False):
        assert later - first >= permits.window_s - 1e-6
    assert [index for _, index in order] == sorted(range(len(priorities)), key=lambda i: (priorities[i], i))


def test_batch_is_spaced_evenly_and_interactive_comes_at_once_after_a_pause():
    clock = FakeClock()
    permits = Permits(5, clock)
    batch = served(permits, clock, [permits.enter(BATCH) for _ in range(5)])
    assert [round(at - 100, 3) for at, _ in batch] == [0, 0.2, 0.4, 0.6, 0.8]
    interactive = served(permits, clock, [permits.enter(INTERACTIVE)])
    assert interactive[0][0] - batch[-1][0] <= 0.2 + 1e-9
    clock.now += 10
    assert [at for at, _ in served(permits, clock, [permits.enter(INTERACTIVE) for _ in range(5)])] == [clock.now] * 5


def test_a_waiter_that_leaves_does_not_hold_up_the_others():
    clock = FakeClock()
    permits = Permits(1, clock)
    first, gone, last = (permits.enter(BATCH) for _ in range(3))
    assert permits.take(first) == 0.0
    permits.leave(gone)
    clock.now += 1
    assert permits.take(last) == 0.0


def test_a_turn_ends_when_given_back_or_not_renewed():
    clock = FakeClock()
    turns = Turns(lease_s=30, clock=clock)
    batch, other, interactive = turns.enter(BATCH), turns.enter(BATCH), turns.enter(INTERACTIVE)
    assert not turns.take(batch)
    assert turns.take(interactive)
    turns.leave(interactive)
    assert turns.take(batch)
    clock.now += 29
    assert turns.renew(batch)
    clock.now += 29
    assert not turns.take(other)
    clock.now += 2  # its holder died
    assert turns.take(other)
    assert not turns.renew(batch)
    turns.leave(batch)  # the late give-back of another's turn changes nothing
    assert turns.renew(other)


def test_acquire_overtakes_waiting_batch_work():
    async def scenario() -> list[str]:
        limiter, order = RateLimiter(20), []

        async def one(name: str, priority: Priority) -> None:
            await limiter.acquire(priority)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for index in range(6):
                group.create_task(one(f"batch {index}", BATCH))
            await asyncio.sleep(0.06)
            group.create_task(one("interactive", INTERACTIVE))
        return order

    order = asyncio.run(scenario())
    assert order.index("interactive") <= 3
    assert [name for name in order if name != "interactive"] == [f"batch {index}" for index in range(6)]


def test_a_cancelled_acquire_leaves_the_queue():
    async def scenario() -> None:
        limiter = RateLimiter(20)
        await limiter.acquire(BATCH)
        waiting = [asyncio.create_task(limiter.acquire(BATCH)) for _ in range(50)]
        await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.wait_for(limiter.acquire(BATCH), 1.0)  # 50 of them would take 2.5 s

    asyncio.run(scenario())


def test_threads_with_and_without_event_loops_share_one_limiter():
    limiter, times, lock = RateLimiter(50), [], threading.Lock()

    def note() -> None:
        with lock:
            times.append(time.monotonic())

    async def loop() -> None:
        for _ in range(10):
            await limiter.acquire(BATCH)
            note()

    def blocking() -> None:
        for _ in range(10):
            limiter.wait(BATCH)
            note()

    threads = [threading.Thread(target=lambda: asyncio.run(loop())) for _ in range(2)]
    threads += [threading.Thread(target=blocking) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 40
    assert max(times) - min(times) >= 39 / 50 - 0.05


def test_writers_of_several_event_loops_take_turns():
    limiter, inside, most = RateLimiter(1e6), 0, 0

    async def write() -> None:
        nonlocal inside, most
        for _ in range(5):
            async with limiter.writing(BATCH):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.002)
                inside -= 1

    threads = [threading.Thread(target=lambda: asyncio.run(write())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_a_long_write_keeps_its_turn():
    async def scenario() -> list[str]:
        limiter, order = RateLimiter(1e6, lease_s=0.15), []

        async def write(name: str, seconds: float) -> None:
            async with limiter.writing(BATCH):
                order.append(f"{name} begins")
                await asyncio.sleep(seconds)
                order.append(f"{name} ends")

        async with asyncio.TaskGroup() as group:
            group.create_task(write("long", 0.5))
            await asyncio.sleep(0.01)
            group.create_task(write("short", 0.0))
        return order

    assert asyncio.run(scenario()) == ["long begins", "long ends", "short begins", "short ends"]


@given(
    per_second=st.floats(0.5, 50),
    pauses=st.lists(st.floats(0.1, 90), min_size=1, max_size=3),
    priority=st.sampled_from([BATCH, INTERACTIVE]),
)
def test_during_a_pause_nobody_is_served_and_the_longest_one_counts(
    per_second: float, pauses: list[float], priority: Priority
):
    clock = FakeClock()
    permits = Permits(per_second, clock)
    served(permits, clock, [permits.enter(BATCH)])
    began = clock.now
    for seconds in pauses:
        permits.pause(seconds)
    assert permits.paused_s == max(pauses) or abs(permits.paused_s - max(pauses)) < 1e-6
    (first, _), *_ = served(permits, clock, [permits.enter(priority) for _ in range(3)])
    assert first >= began + max(pauses) - 1e-6
    assert permits.paused_s < 1e-6


def test_a_pause_holds_up_those_who_wait_already():
    limiter = RateLimiter(10)
    limiter.wait(BATCH)
    limiter.pause(0.3)
    began = time.monotonic()
    asyncio.run(limiter.acquire(INTERACTIVE))
    assert time.monotonic() - began >= 0.29
