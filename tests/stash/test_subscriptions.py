"""Stash's word that a scan is done, over a web socket that is lost and comes back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

import pytest

from pipelines.errors import StashRejected, StashUnauthorized, StashUnknownField
from pipelines.stash.library import StashLibrary
from pipelines.stash.subscriptions import Reconnects
from tests.fakes.stash import FakeStash, generate_library
from tests.stash.conftest import using

QUICK_AGAIN = Reconnects(first_wait_s=0.05, longest_wait_s=0.1)


async def subscribed(stash: FakeStash, count: int = 1) -> None:
    """Returns when so many listen."""
    async with asyncio.timeout(10):
        while stash.subscribers() < count:  # noqa: ASYNC110 - another thread's state
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("version", ["0.25", "0.31"])
def test_each_scan_is_said_once(stash: FakeStash, version: str):
    stash.knobs.version = version

    async def use(library: StashLibrary) -> int:
        count = 0
        async with aclosing(library.scan_completed(QUICK_AGAIN)) as scans:
            waiting = asyncio.ensure_future(anext(scans))
            await subscribed(stash)
            await library.scan_files()
            await asyncio.wait_for(waiting, 10)
            for _ in range(3):
                stash.complete_scan()
                await asyncio.wait_for(anext(scans), 10)
                count += 1
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(scans), 0.2)
        return count

    assert using(stash, use) == 3


def test_after_a_lost_connection_it_goes_on_and_says_that_something_may_be_missed(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        async with aclosing(library.scan_completed(QUICK_AGAIN)) as scans:
            waiting = asyncio.ensure_future(anext(scans))
            await subscribed(stash)
            await asyncio.to_thread(stash.restart, 0.3)
            await asyncio.wait_for(waiting, 10)  # said without a scan: one may have ended meanwhile
            with suppress(TimeoutError):  # again, if it came back just before the server had gone
                while True:
                    await asyncio.wait_for(asyncio.shield(waiting := asyncio.ensure_future(anext(scans))), 0.5)
            await subscribed(stash)
            stash.complete_scan()
            await asyncio.wait_for(waiting, 10)

    using(stash, use)


def test_a_stash_that_is_away_is_waited_for(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        stash.stop()
        async with aclosing(library.scan_completed(QUICK_AGAIN)) as scans:
            waiting = asyncio.ensure_future(anext(scans))
            await asyncio.sleep(0.3)
            stash.start()
            await subscribed(stash)
            stash.complete_scan()
            await asyncio.wait_for(waiting, 10)

    using(stash, use)


@pytest.mark.parametrize(("wanted", "sent"), [("right", "wrong"), ("right", None), (None, "any")])
def test_a_wrong_key_is_named(wanted: str | None, sent: str | None):
    with FakeStash(generate_library(1), api_key=wanted) as stash, pytest.raises(StashUnauthorized):
        using(stash, lambda library: anext(library.scan_completed(QUICK_AGAIN)), api_key=sent)


def test_the_right_key_opens_the_socket():
    with FakeStash(generate_library(1), api_key="right") as stash:

        async def use(library: StashLibrary) -> None:
            waiting = asyncio.ensure_future(anext(library.scan_completed(QUICK_AGAIN)))
            await subscribed(stash)
            stash.complete_scan()
            await asyncio.wait_for(waiting, 10)

        using(stash, use, api_key="right")
        assert all("right" not in one.path for one in stash.requests)


def test_an_event_that_the_server_does_not_know_is_named(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        async with library.client.subscribe("subscription { nonsense }", QUICK_AGAIN) as events:
            await asyncio.wait_for(anext(events), 10)

    with pytest.raises((StashUnknownField, StashRejected), match="nonsense"):
        using(stash, use)
