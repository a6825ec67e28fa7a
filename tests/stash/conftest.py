"""A library of the fake Stash, opened with a limiter that does not slow the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.library import StashLibrary
from pipelines.stash.limiter import RateLimiter
from pipelines.stash.retries import Retries
from tests.fakes.stash import FakeStash, generate_library

T = TypeVar("T")
Use = Callable[[StashLibrary], Awaitable[T]]

QUICK = Retries(first_wait_s=0.01, longest_wait_s=0.02)


def using(stash: FakeStash, use: Use[T], *, api_key: str | None = None, retries: Retries = QUICK) -> T:
    """Returns what `use` makes of an open library of `stash`."""

    async def run() -> T:
        settings = Settings(stash_url=stash.url, stash_api_key=api_key)
        async with open_library(settings, limiter=RateLimiter(1e6), retries=retries) as library:
            return await use(library)

    return asyncio.run(asyncio.wait_for(run(), 60))


async def listed(items: Any) -> list[Any]:
    return [item async for item in items]


def queries(stash: FakeStash, field: str) -> list[Any]:
    """Returns the requests with a top-level field."""
    return stash.requests.named(field)


@pytest.fixture(scope="module")
def shared_stash():
    """60 scenes, 12 images in 3 galleries, 20 performers; tests of it change nothing."""
    with FakeStash(generate_library(60, images=12, galleries=3, performers=20)) as stash:
        yield stash


@pytest.fixture
def stash():
    """The same, for the test alone."""
    with FakeStash(generate_library(60, images=12, galleries=3, performers=20)) as stash:
        yield stash
