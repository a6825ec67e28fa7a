"""A stash-box: its performers as typed calls, asked politely.

Every request waits for a permit of the one limiter that the cluster has for this box; a box that says it is asked too
often is left alone by everybody for a while. Nothing is asked for that the box's version does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.errors import StashNotFound
from pipelines.stash.answers import Peer
from pipelines.stash.asking import Asking, Query
from pipelines.stash.features import Features
from pipelines.stash.fields import Selection
from pipelines.stash.graphql import StashClient
from pipelines.stash.limiter import Limiter, Priority
from pipelines.stash.records import StashBox
from pipelines.stash.retries import Retries, TryAgain
from pipelines.stash.stashbox_records import BOX_OUTLINE, BOX_PERFORMER, BoxPage, BoxPerformer, performer_of

PAGE_SIZE = 100
"""Hosted boxes answer no more a page, whatever is asked for."""
IDS_AT_ONCE = 50
"""Performers that are looked up by id in one request."""


def peer_of(box: StashBox) -> Peer:
    """Returns how messages call a box."""
    name = box.name or domain_of(box)
    return Peer(
        name,
        "Check the stash-box's endpoint, such as https://stashdb.org/graphql.",
        "Check the API key of this stash-box in Stash, or in the setting stashboxes.",
        "Lower stashbox_requests_share: others may be asking with the same key.",
    )


def domain_of(box: StashBox) -> str:
    """Returns the host of a box in lower case, the domain of its universal ids. Raises StashUnreachable."""
    from urllib.parse import urlsplit

    from pipelines.stash.graphql import stash_address

    return urlsplit(stash_address(box.endpoint)).hostname or ""


class BoxConnection(StashClient):
    """The connection to one box. A 429 makes all users of the limiter wait, not this request alone."""

    def __init__(self, box: StashBox, *, limiter: Limiter, pause_s: float, retries: Retries | None = None) -> None:
        """
        Args:
            pause_s: how long nobody asks after a 429 that names no time.
        """
        super().__init__(box.endpoint, box.api_key, limiter=limiter, retries=retries, peer=peer_of(box))
        self._pause_s = pause_s

    async def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await super()._post(body)
        except TryAgain as error:
            if not error.too_often:
                raise
            pause_s = error.after_s or self._pause_s
            await asyncio.to_thread(self.limiter.pause, pause_s)
            raise TryAgain(error.error, carried_out=False, after_s=pause_s, too_often=True) from error


class StashBoxClient:
    """The performers of one box, on one event loop; `stashbox_connect.open_box` makes it.

    All calls raise the StashError leaves of `StashClient.execute`.

    Attributes:
        domain: of the universal ids of its performers.
    """

    def __init__(self, box: StashBox, connection: BoxConnection) -> None:
        self.domain = domain_of(box)
        self._asking = Asking(connection)

    async def page(self, number: int, *, per_page: int = PAGE_SIZE, priority: Priority = Priority.BATCH) -> BoxPage:
        """Returns a page of all performers, counted from 1, the last changed first. Deleted ones are in none."""
        sort = {"page": number, "per_page": min(per_page, PAGE_SIZE), "sort": "UPDATED_AT", "direction": "DESC"}
        text = "query Page($input: PerformerQueryInput!) {{ queryPerformers(input: $input) {{ count performers {} }} }}"
        return await self._page("queryPerformers", text, {"input": sort}, priority)

    async def search(
        self, term: str, *, limit: int = 25, priority: Priority = Priority.INTERACTIVE
    ) -> tuple[BoxPerformer, ...]:
        """Returns the performers that the box finds for a text, best first."""
        text = (
            "query Search($term: String!, $limit: Int) "
            "{{ searchPerformers(term: $term, limit: $limit) {{ count performers {} }} }}"
        )
        return (await self._page("searchPerformers", text, {"term": term, "limit": limit}, priority)).performers

    async def performers(
        self, ids: Iterable[str], *, outline: bool = False, priority: Priority = Priority.BATCH
    ) -> dict[str, BoxPerformer]:
        """Returns those performers of `ids` that the box knows, deleted ones as well, IDS_AT_ONCE a request.

        Args:
            outline: only names, whether they were deleted, and what they were merged into.
        """
        wanted = list(dict.fromkeys(i.lower() for i in ids))
        found: dict[str, BoxPerformer] = {}
        for start in range(0, len(wanted), IDS_AT_ONCE):
            found |= await self._found(wanted[start : start + IDS_AT_ONCE], outline=outline, priority=priority)
        return found

    async def _page(self, field: str, text: str, variables: Mapping[str, Any], priority: Priority) -> BoxPage:
        def query(known: Features) -> Query:
            known.check("Query", (field,))
            return text.format(BOX_PERFORMER.render(known)), dict(variables)

        found = (await self._asking.ask(query, priority))[field]
        return BoxPage(int(found["count"]), tuple(performer_of(p) for p in found["performers"]))

    async def _found(self, ids: Sequence[str], *, outline: bool, priority: Priority) -> dict[str, BoxPerformer]:
        selected = BOX_OUTLINE if outline else BOX_PERFORMER
        try:
            data = await self._asking.ask(lambda known: _by_ids(ids, selected, known), priority)
        except StashNotFound:  # some versions answer so when one of them does not exist
            if len(ids) == 1:
                return {}
            half = len(ids) // 2
            first = await self._found(ids[:half], outline=outline, priority=priority)
            return first | await self._found(ids[half:], outline=outline, priority=priority)
        return {p.id: p for p in (performer_of(one) for one in data.values() if one)}


def _by_ids(ids: Sequence[str], selected: Selection, known: Features) -> Query:
    declared = ", ".join(f"$i{n}: ID!" for n in range(len(ids)))
    wanted = " ".join(f"p{n}: findPerformer(id: $i{n}) {selected.render(known)}" for n in range(len(ids)))
    return f"query Performers({declared}) {{ {wanted} }}", {f"i{n}": one for n, one in enumerate(ids)}
