"""Processes that carry out an action and end themselves by SIGKILL: `python -m tests.actions.killed`.

Lines on stdin are JSON: "url" of the Stash, "store" URL, "call": ["perform", action, params] or ["undo", id], "number".
For each a child is forked that does it and dies at the `number`th mark: before and after each write to Stash and each
commit of the store. Its exit status is printed: -9 when it was killed, 0 when it came through.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.actions import keep_preview, perform, preview, undo
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.graphql import StashClient
from pipelines.stash.limiter import RateLimiter
from pipelines.store.sql import Store, open_store


class Countdown:
    """Ends the process at the `number`th mark."""

    def __init__(self, number: int) -> None:
        self._left = number

    def mark(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(number: int) -> None:
    countdown = Countdown(number)
    post, session = StashClient._post, Store.session

    async def counted_post(self: StashClient, body: Any) -> Any:
        if not body["query"].startswith("mutation"):
            return await post(self, body)
        countdown.mark()
        answer = await post(self, body)
        countdown.mark()
        return answer

    @contextmanager
    def counted_session(self: Store) -> Iterator[Any]:
        with session(self) as opened:
            yield opened
            countdown.mark()
        countdown.mark()

    StashClient._post = counted_post  # type: ignore[method-assign]
    Store.session = counted_session  # type: ignore[method-assign,assignment]


async def call(order: dict[str, Any]) -> None:
    store = open_store(order["store"])
    name, *arguments = order["call"]
    async with open_library(Settings(stash_url=order["url"]), limiter=RateLimiter(1e6)) as library:
        if name == "undo":
            arm(order["number"])
            await undo(library, store, arguments[0])
            return
        plan = await preview(library, *arguments)
        await keep_preview(store, plan)
        arm(order["number"])
        await perform(library, store, *arguments, plan.digest)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(call(json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
