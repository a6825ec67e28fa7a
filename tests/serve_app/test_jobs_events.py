"""The stream of job events over a real store: from now on, from an id, gaps, heartbeats, bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipelines.errors import Overloaded, StoreUnreachable
from pipelines.store import jobs as jobs_module
from pipelines.store.jobs import JobProgress, JobStore
from pipelines.store.sql import open_store
from serve_app import job_queue
from serve_app.job_queue import MOST_STREAMS, JobQueue

LONG_S = 30.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def jobs(url: str) -> JobStore:
    return JobStore(open_store(url))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "POLL_S", 0.01)


async def take(stream: AsyncIterator[str], count: int) -> list[tuple[str, str]]:
    """Returns id and kind of the next events; comments and the reconnection time are left out."""
    found = []
    async for text in stream:
        fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
        if "event" in fields:
            json.loads(fields["data"])
            found.append((fields["id"], fields["event"]))
        if len(found) == count:
            break
    return found


def test_a_stream_begins_now_and_goes_on_after_an_id(url: str, jobs: JobStore):
    async def listen() -> None:
        queue = JobQueue(url)
        jobs.submit("before")
        stream = await queue.stream(None, LONG_S)
        first = await anext(stream)
        assert first == "retry: 2000\n\n"
        listening = asyncio.create_task(take(stream, 2))
        await asyncio.sleep(0.1)
        job = jobs.submit("scan")
        jobs.cancel(job.id)
        assert await listening == [("2", "submitted"), ("3", "cancelled")]
        assert await take(await queue.stream(1, LONG_S), 2) == [("2", "submitted"), ("3", "cancelled")]
        assert await take(await queue.stream(2, LONG_S), 1) == [("3", "cancelled")]
        assert await take(await queue.stream(0, LONG_S), 1) == [("1", "submitted")]

    asyncio.run(listen())


def test_every_event_comes_once_whatever_the_size_of_a_batch(url: str, jobs: JobStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_queue, "BATCH", 4)
    job = jobs.submit("scan")
    jobs.claim(job.id, "a", 60)
    for done in range(20):
        jobs.progress(job.id, "a", JobProgress(done))

    async def listen() -> list[tuple[str, str]]:
        return await take(await JobQueue(url).stream(0, LONG_S), 22)

    assert [int(id_) for id_, _ in asyncio.run(listen())] == list(range(1, 23))


@pytest.mark.parametrize("after", [99, 1])
def test_who_missed_events_is_told_to_read_anew(url: str, jobs: JobStore, after: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs_module, "KEPT_EVENTS", 3)
    monkeypatch.setattr(jobs_module, "PRUNE_EVERY", 1)
    for name in "abc":
        jobs.cancel(jobs.submit(name).id)  # events 1 to 3 are gone then

    async def listen() -> list[tuple[str, str]]:
        stream = await JobQueue(url).stream(after, LONG_S)
        found = await take(stream, 1)
        jobs.submit("d")
        return found + await take(stream, 1)

    assert asyncio.run(listen()) == [("6", "reset"), ("7", "submitted")]


def test_clearing_the_history_loses_no_listener(url: str, jobs: JobStore):
    jobs.cancel(jobs.submit("a").id)
    jobs.clear()

    async def listen() -> list[tuple[str, str]]:
        return await take(await JobQueue(url).stream(1, LONG_S), 2)

    assert asyncio.run(listen()) == [("2", "cancelled"), ("3", "cleared")]


def test_silence_is_broken_and_a_stream_ends(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_queue, "HEARTBEAT_S", 0.05)

    async def listen() -> list[str]:
        return [text async for text in await JobQueue(url).stream(None, 0.5)]

    texts = asyncio.run(listen())
    assert texts[0].startswith("retry:")
    assert 3 <= texts.count(": still here\n\n") == len(texts) - 1


def test_listeners_are_bounded_and_make_room_when_they_go(url: str):
    async def listen() -> None:
        queue = JobQueue(url)
        streams = [await queue.stream(None, LONG_S) for _ in range(MOST_STREAMS)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(Overloaded):
            await queue.stream(None, LONG_S)
        await streams[0].aclose()
        assert await anext(await queue.stream(None, LONG_S))
        for stream in streams:
            await stream.aclose()

    asyncio.run(listen())


def test_a_store_that_comes_back_is_found(tmp_path: Path):
    blocked = tmp_path / "folder"
    blocked.write_text("a file where the folder should be")
    queue = JobQueue(f"sqlite:///{blocked / 'state.db'}")

    async def ask() -> None:
        with pytest.raises(StoreUnreachable):
            await queue.ask(lambda jobs: jobs.list())
        blocked.unlink()
        assert await queue.ask(lambda jobs: jobs.list()) == []

    asyncio.run(ask())
