"""The limiter of a cluster: two Ray actors and the driver share one rate and one write turn, whoever dies."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import ray
from tenacity import Retrying, stop_after_attempt

from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.limiter import Priority, RateLimiter
from pipelines.stash.shared_limiter import ACTOR, NAMESPACE, SharedLimiter, limiter_for
from serve_app.ray_env import LOOPBACK, environment_set, ray_environment
from tests.fakes.stash import FakeStash, generate_library

BATCH = Priority.BATCH


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    from serve_app.local import START_ATTEMPTS, processes_ended, temporary_folder

    with temporary_folder() as folder, processes_ended():
        variables = ray_environment(folder, haproxy=False) | {"PYTHONPATH": str(Path(__file__).parents[2])}
        with environment_set(variables):
            try:
                for attempt in Retrying(stop=stop_after_attempt(START_ATTEMPTS), after=lambda _: ray.shutdown()):
                    with attempt:
                        start_ray(folder)
                yield
            finally:
                ray.shutdown()


def start_ray(folder: Path) -> None:
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=LOOPBACK,
        _temp_dir=str(folder),
    )


@ray.remote(num_cpus=0)
class Worker:
    """A process that asks the cluster's limiter, and notes when it was let through."""

    def acquire(self, per_second: float, count: int) -> list[float]:
        limiter, times = limiter_for(Settings(stash_requests_per_s=per_second)), []
        for _ in range(count):
            limiter.wait(BATCH)
            times.append(time.time())
        return times

    def write(self, count: int, seconds: float) -> list[tuple[float, float]]:
        async def run() -> list[tuple[float, float]]:
            limiter, spans = limiter_for(Settings(stash_requests_per_s=100)), []
            for _ in range(count):
                async with limiter.writing(BATCH):
                    began = time.time()
                    await asyncio.sleep(seconds)
                    spans.append((began, time.time()))
            return spans

        return asyncio.run(run())

    def count_scenes(self, url: str, per_second: float, times: int) -> None:
        async def run() -> None:
            async with open_library(Settings(stash_url=url, stash_requests_per_s=per_second)) as library:
                for _ in range(times):
                    await library.count_scenes()

        asyncio.run(run())

    def make_limiter(self, lease_s: float) -> None:
        SharedLimiter(100, lease_s=lease_s).wait(BATCH)

    def write_and_die(self) -> None:
        async def run() -> None:
            async with SharedLimiter(100).writing(BATCH):
                os._exit(1)

        asyncio.run(run())


@pytest.fixture(scope="module")
def workers(cluster: None) -> list[Any]:
    made = [Worker.remote() for _ in range(2)]
    ray.get([worker.acquire.remote(100, 1) for worker in made])
    return made


def actor() -> Any:
    return ray.get_actor(ACTOR, NAMESPACE)


def actor_pid() -> int:
    return ray.get(actor().__ray_call__.remote(lambda _self: os.getpid()))


async def acquired(limiter: Any, count: int) -> list[float]:
    times = []
    for _ in range(count):
        await limiter.acquire(BATCH)
        times.append(time.time())
    return times


def test_two_actors_and_the_driver_share_one_rate(workers: list[Any]):
    pending = [worker.acquire.remote(20, 12) for worker in workers]
    own = asyncio.run(acquired(limiter_for(Settings(stash_requests_per_s=20)), 12))
    times = sorted([*own, *(t for found in ray.get(pending) for t in found)])
    assert len(times) == 36
    assert times[-1] - times[0] >= 35 / 20 - 0.2  # one rate of 20/s, not three


def test_requests_of_several_processes_reach_stash_at_one_rate(workers: list[Any]):
    with FakeStash(generate_library(3)) as stash:
        ray.get([worker.count_scenes.remote(stash.url, 10, 8) for worker in workers])
        times = sorted(one.at_s for one in stash.requests)
    assert len(times) == 18  # with one introspection each
    assert times[-1] - times[0] >= 17 / 10 - 0.2


def test_writes_take_turns_over_processes(workers: list[Any]):
    found = ray.get([worker.write.remote(4, 0.03) for worker in workers])
    spans = sorted(span for own in found for span in own)
    assert len(spans) == 8
    assert all(later[0] >= earlier[1] for earlier, later in pairwise(spans))


def test_a_killed_limiter_is_started_again():
    limiter = SharedLimiter(50)
    asyncio.run(acquired(limiter, 1))
    before = actor_pid()

    async def scenario() -> None:
        waiting = [asyncio.create_task(limiter.acquire(BATCH)) for _ in range(40)]
        await asyncio.sleep(0.1)
        os.kill(before, signal.SIGKILL)
        await asyncio.wait_for(asyncio.gather(*waiting), 30)

    asyncio.run(scenario())
    assert actor_pid() != before


def test_a_cancelled_writer_leaves_its_place():
    limiter = SharedLimiter(100)

    async def scenario() -> None:
        async def write(seconds: float) -> None:
            async with limiter.writing(BATCH):
                await asyncio.sleep(seconds)

        first, second = asyncio.create_task(write(0.3)), None
        await asyncio.sleep(0.1)
        second = asyncio.create_task(write(60))
        await asyncio.sleep(0.05)
        second.cancel()
        await first
        await asyncio.wait_for(write(0), 5)

    asyncio.run(scenario())


def test_a_new_rate_holds_from_the_next_opening_on():
    async def scenario() -> float:
        slow = limiter_for(Settings(stash_requests_per_s=2))
        assert slow is limiter_for(Settings(stash_requests_per_s=2))
        await slow.acquire(BATCH)
        fast = limiter_for(Settings(stash_requests_per_s=100))
        began = time.monotonic()
        await acquired(fast, 20)
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 5


def test_without_ray_a_process_has_one_limiter(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    found = limiter_for(Settings(stash_requests_per_s=7))
    assert isinstance(found, RateLimiter)
    assert found is limiter_for(Settings(stash_requests_per_s=7))


def test_a_removed_limiter_is_made_again_and_outlives_a_maker_that_dies_writing(workers: list[Any]):
    limiter = SharedLimiter(100)
    asyncio.run(acquired(limiter, 1))
    ray.kill(actor(), no_restart=True)
    ray.get(workers[0].make_limiter.remote(1.0))
    limiter.wait(BATCH)  # the handle of the removed one is given up
    made = actor_pid()
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(workers[0].write_and_die.remote())

    async def write() -> None:
        async with limiter.writing(BATCH):
            pass

    asyncio.run(asyncio.wait_for(write(), 10))  # a lease of 1 s is over
    assert actor_pid() == made


def test_limiters_of_other_names_have_rates_and_pauses_of_their_own(workers: list[Any]):
    box, other = (SharedLimiter(50, name=f"limiter {name}") for name in "ab")
    for limiter in (box, other):
        limiter.wait(BATCH)
    began = time.monotonic()
    box.pause(1.5)
    other.wait(BATCH)
    assert time.monotonic() - began < 1.4
    SharedLimiter(40, name="limiter a").wait(BATCH)  # another rate does not end the pause
    assert time.monotonic() - began >= 1.5
    for name in "ab":
        ray.kill(ray.get_actor(f"limiter {name}", NAMESPACE))
