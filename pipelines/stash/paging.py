"""Walking through everything Stash has of one kind, in bounded memory, while it changes.

Scenes, images and galleries are paged by id (each page asks for ids beyond the last one), so nothing is skipped or
repeated whatever is added or removed meanwhile. Performers, studios and tags have no filter by id: they are paged by
offset, newest first, and walked again for what a removal shifted out of sight.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from pipelines.errors import StashNotFound

Item = Mapping[str, Any]
"""One thing as Stash describes it; has "id"."""
Criteria = dict[str, Any]
"""A filter in Stash's own words, such as {"organized": true}."""

PASSES = 3
"""Walks over an offset-paged list that shrinks, before what is left out is left to the next reconcile."""
TRIES = 3
"""A thing that is removed while a page is put together fails the page; the next try does not see it."""

_COMBINERS = {"AND", "OR", "NOT", "id"}


def beyond(criteria: Criteria | None, last_id: str | None, *, newest_first: bool) -> Criteria:
    """Returns the filter for ids beyond `last_id`, and `criteria`."""
    criteria = criteria or {}
    if last_id is None:
        return criteria
    modifier = "LESS_THAN" if newest_first else "GREATER_THAN"
    keyset = {"id": {"value": int(last_id), "modifier": modifier}}
    # A filter's own `id` must not be overwritten, and `id` beside an OR would be one of its alternatives.
    return {**keyset, "AND": criteria} if _COMBINERS & criteria.keys() else {**criteria, **keyset}


async def by_id(
    fetch: Callable[[Criteria], Awaitable[Sequence[Item]]],
    criteria: Criteria | None,
    *,
    page_size: int,
    newest_first: bool,
) -> AsyncIterator[Sequence[Item]]:
    """Yields pages; `fetch` returns the first `page_size` items of a filter, sorted by id."""
    last_id = None
    while True:
        page = await again_when_removed(fetch, beyond(criteria, last_id, newest_first=newest_first))
        if page:
            yield page
        if len(page) < page_size:
            return
        last_id = page[-1]["id"]


async def by_offset(
    fetch: Callable[[int], Awaitable[tuple[int | None, Sequence[Item]]]], *, page_size: int
) -> AsyncIterator[Sequence[Item]]:
    """Yields pages of items not yet seen; `fetch` returns (count on page 1, items) of a page, the largest id first.

    Page 1 tells how many there are and the largest id of them, both of one moment. When fewer of those came, some were
    removed and others may have moved to a page already read: the list is walked again. What is added meanwhile has a
    larger id, so it neither counts nor hides a removal; it moves others to later pages, where they are met again.
    """
    seen: set[str] = set()
    for _ in range(PASSES):
        number, total, newest = 1, 0, 0
        walked: set[str] = set()
        while True:
            count, page = await again_when_removed(fetch, number)
            if count is not None:
                total, newest = count, max((int(item["id"]) for item in page), default=0)
            walked.update(item["id"] for item in page if int(item["id"]) <= newest)
            fresh = [item for item in page if item["id"] not in seen]
            seen.update(item["id"] for item in fresh)
            if fresh:
                yield fresh
            if len(page) < page_size:
                break
            number += 1
        if len(walked) >= total:
            return


async def by_ids(
    kind: str,
    fetch: Callable[[Sequence[str]], Awaitable[Sequence[Item]]],
    exists: Callable[[str], Awaitable[bool]],
    ids: Iterable[str],
    *,
    page_size: int,
) -> AsyncIterator[Sequence[Item]]:
    """Yields pages of those of `ids` that are there. One that is not fails Stash's whole query."""
    wanted = list(dict.fromkeys(ids))
    for start in range(0, len(wanted), page_size):
        page = await _present(kind, fetch, exists, wanted[start : start + page_size])
        if page:
            yield page


async def _present(
    kind: str,
    fetch: Callable[[Sequence[str]], Awaitable[Sequence[Item]]],
    exists: Callable[[str], Awaitable[bool]],
    ids: list[str],
) -> list[Item]:
    while ids:
        try:
            return list(await fetch(ids))
        except StashNotFound as error:
            gone = _named_id(kind, str(error))
            if gone in ids:
                ids = [one for one in ids if one != gone]
            elif len(ids) == 1:
                return list(await again_when_removed(fetch, ids)) if await exists(ids[0]) else []
            else:
                half = len(ids) // 2
                return [
                    *await _present(kind, fetch, exists, ids[:half]),
                    *await _present(kind, fetch, exists, ids[half:]),
                ]
    return []


def _named_id(kind: str, message: str) -> str | None:
    found = re.search(rf"\b{kind} with id (\d+) not found", message)
    return found[1] if found else None


async def again_when_removed(fetch: Callable[[Any], Awaitable[Any]], argument: Any) -> Any:
    """Returns `fetch(argument)`, tried again when something that it names was removed in between."""
    for _ in range(TRIES - 1):
        try:
            return await fetch(argument)
        except StashNotFound:
            continue
    return await fetch(argument)
