"""Limits of bodies, with an app that holds each body until it is told to answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from serve_app.limits import BodyLimit


class Holding:
    """Reads the whole body, then waits for `answers` before it says how long it was."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.reading = 0

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        length, more = 0, True
        while more:
            message = await receive()
            length, more = length + len(message["body"]), message["more_body"]
        self.reading += 1
        await self.answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(length).encode()})


async def ask(limit: BodyLimit, pieces: Sequence[int], *, stated: int | None = None) -> tuple[int, Any, int]:
    """Returns status, JSON and how many pieces were read of a request with a body in pieces of so many bytes."""
    left = [{"type": "http.request", "body": b"x" * n, "more_body": i + 1 < len(pieces)} for i, n in enumerate(pieces)]
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if stated is None else [(b"content-length", str(stated).encode())]
    await limit({"type": "http", "headers": headers, "method": "POST"}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"]), len(pieces) - len(left)


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def limited(max_body_mb: int = 2, max_bodies_mb: int = 5) -> tuple[BodyLimit, Holding]:
    app = Holding()
    return BodyLimit(app, lambda: max_body_mb, lambda: max_bodies_mb), app


def test_all_bodies_under_way_together_have_a_limit_that_is_free_again_when_they_are_answered():
    async def run() -> None:
        limit, app = limited()
        held = [asyncio.create_task(ask(limit, [2_000_000], stated=2_000_000)) for _ in range(2)]
        await settled()
        status, error, read = await ask(limit, [2_000_000], stated=2_000_000)
        assert (status, error["error"], read) == (503, "overloaded", 0)
        assert "max_bodies_mb" in error["message"]
        small = asyncio.create_task(ask(limit, [900_000], stated=900_000))
        await settled()
        assert app.reading == 3
        app.answers.set()
        assert [answer[:2] for answer in await asyncio.gather(*held, small)] == [
            (200, 2_000_000),
            (200, 2_000_000),
            (200, 900_000),
        ]
        assert (await ask(limit, [2_000_000], stated=2_000_000))[0] == 200

    asyncio.run(run())


def test_bodies_of_unknown_length_are_counted_as_they_come():
    async def run() -> None:
        limit, app = limited()
        held = [asyncio.create_task(ask(limit, [500_000] * 4)) for _ in range(2)]
        await settled()
        status, error, read = await ask(limit, [500_000] * 4)
        assert (status, error["error"], read) == (503, "overloaded", 3)
        app.answers.set()
        await asyncio.gather(*held)
        assert (await ask(limit, [500_000] * 4))[:2] == (200, 2_000_000)

    asyncio.run(run())


def test_a_refused_body_gives_its_room_back():
    async def run() -> None:
        limit, app = limited()
        app.answers.set()
        for _ in range(5):
            assert (await ask(limit, [1_500_000, 1_500_000]))[0] == 413
        assert (await ask(limit, [2_000_000], stated=2_000_000))[0] == 200

    asyncio.run(run())


def test_a_body_that_is_alone_has_room_whatever_the_sum_may_be():
    async def run() -> None:
        limit, app = limited(max_body_mb=4, max_bodies_mb=1)
        app.answers.set()
        assert (await ask(limit, [3_000_000], stated=3_000_000))[:2] == (200, 3_000_000)
        assert (await ask(limit, [1_500_000] * 2))[:2] == (200, 3_000_000)

    asyncio.run(run())


def test_one_body_has_its_own_limit_and_a_length_that_is_a_number():
    async def run() -> None:
        limit, _ = limited()
        assert (await ask(limit, [1], stated=2_000_001))[::2] == (413, 0)
        scope = {"type": "http", "headers": [(b"content-length", b"many")], "method": "POST"}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await limit(scope, None, send)
        assert sent[0]["status"] == 413

    asyncio.run(run())
