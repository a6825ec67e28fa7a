"""Walking through the performers of a box, the last changed first, while others change them.

Pages are counted by offset, so rows move under the walk. What is changed or added meanwhile moves to the front, and all
others towards the end: some are seen twice. What is deleted lets the rest move towards the front, out of sight: the
count tells, and the walk steps back. What was changed after the walk began is for the next one, whose beginning is the
newest change that this one found first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.stash.stashbox_records import BoxPage, BoxPerformer, instant

OVERLAP = timedelta(minutes=10)
"""A change is dated before it is seen: so far beyond the watermark the walk goes on."""
PASSES = 3
"""Walks over a list of which not as many were seen as it counts."""


@dataclass(slots=True)
class WalkState:
    """Where a walk is; kept together with what it found, another process goes on there.

    Attributes:
        page: the next one to ask for.
        count: length of the list when it was last asked, -1 before.
        size: performers of a full page; a box may give fewer than it is asked for.
        newest: time of the newest change when the walk began.
        passes: walks over the whole list that came to its end.
        done: nothing is left to ask.
    """

    page: int = 1
    count: int = -1
    size: int = 1
    newest: str = ""
    passes: int = 0
    done: bool = False


async def walk(
    fetch: Callable[[int], Awaitable[BoxPage]],
    state: WalkState,
    seen: set[str],
    *,
    since: datetime | None = None,
) -> AsyncIterator[list[BoxPerformer]]:
    """Yields the performers of each page that are not in `seen`, and adds them; `state` is kept up to date.

    Args:
        since: ends at what was not changed since; None walks to the end.
    """
    while not state.done:
        page = await fetch(state.page)
        removed = state.count - page.count
        state.count = page.count
        state.size = max(state.size, len(page.performers))
        if removed > 0 and state.page > 1:
            state.page = max(1, state.page - 1 - removed // state.size)
            continue
        if not state.newest and page.performers:
            state.newest = page.performers[0].updated
        fresh = list({p.id: p for p in page.performers if p.id not in seen}.values())
        seen.update(p.id for p in fresh)
        known = since is not None and any(instant(p.updated) < since - OVERLAP for p in page.performers)
        if known or not page.performers or state.page * state.size >= page.count:
            state.passes += 1
            state.done = known or len(seen) >= state.count or state.passes == PASSES
            state.page = 1
        else:
            state.page += 1
        yield fresh
