"""How queries are put together from what the server knows, asked, walked page by page and read as records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from pipelines.errors import InputError, StashNotFound, StashUnknownField
from pipelines.stash import parse
from pipelines.stash.boxes import BoxChoice
from pipelines.stash.features import Features
from pipelines.stash.fields import FINDERS, Detail, Finder, Kind
from pipelines.stash.graphql import StashClient
from pipelines.stash.limiter import Priority
from pipelines.stash.paging import Criteria, Item, by_id, by_ids, by_offset

Query = tuple[str, dict[str, Any]]
"""GraphQL and its variables."""


class Asking:
    """Queries of one Stash, by kind of thing.

    Attributes:
        client: the connection; its limiter also counts media files opened over HTTP.
    """

    def __init__(self, client: StashClient, choice: BoxChoice | None = None) -> None:
        self.client = client
        self.choice = choice or BoxChoice()

    async def ask(self, build: Callable[[Features], Query], priority: Priority) -> dict[str, Any]:
        """Returns the data of a query made of what the server knows; made anew when the server has changed."""
        known = await self.client.features(priority)
        try:
            return await self.client.execute(*build(known), priority=priority)
        except StashUnknownField:
            now = await self.client.features(priority, again=True)
            if build(now) == build(known):
                raise
            return await self.client.execute(*build(now), priority=priority)

    async def _one(self, kind: Kind, one_id: str, priority: Priority) -> Any:
        """Returns the record of an id. Raises StashNotFound."""
        found = await self.find(kind, one_id, "full", priority)
        if found is None:
            raise StashNotFound(f"Stash has no {kind} {one_id}.")
        return parse.read(parse.parser_of(kind, "full"), found)

    async def find(self, kind: Kind, one_id: str, detail: Detail, priority: Priority) -> Item | None:
        """Returns what Stash says of an id, None when it has none such."""
        if not (one_id.isascii() and one_id.isdigit()):
            return None
        finder = FINDERS[kind]

        def query(known: Features) -> Query:
            selected = finder.selection(detail).render(known)
            return f"query One($id: ID!) {{ {finder.one}(id: $id) {selected} }}", {"id": one_id}

        return cast("Item | None", (await self.ask(query, priority))[finder.one])

    async def _many(
        self,
        kind: Kind,
        ids: Iterable[str] | None,
        criteria: Criteria | None,
        detail: Detail,
        priority: Priority,
        *,
        page_size: int,
        newest_first: bool = False,
    ) -> AsyncIterator[Any]:
        """Yields records: of those `ids` that exist, or of a filter in Stash's words, or all of the kind."""
        if ids is not None and criteria:
            raise InputError("ids and a filter were given.", "Stash takes one of them.")
        walk = Walk(self, kind, detail, priority, page_size)
        if ids is not None:
            pages = by_ids(kind, walk.listed, walk.exists, ids, page_size=page_size)
        elif (await self.client.features(priority)).knows(FINDERS[kind].criteria_type, "id"):
            pages = by_id(
                lambda beyond: walk.first(beyond, newest_first=newest_first),
                criteria,
                page_size=page_size,
                newest_first=newest_first,
            )
        else:
            pages = by_offset(lambda number: walk.numbered(number, criteria), page_size=page_size)
        parser = parse.parser_of(kind, detail)
        async for page in pages:
            for item in page:
                yield parse.read(parser, item)


class Walk:
    """The pages of one list: what `paging` asks for."""

    def __init__(self, asking: Asking, kind: Kind, detail: Detail, priority: Priority, page_size: int) -> None:
        self._asking = asking
        self._kind: Kind = kind
        self._finder = FINDERS[kind]
        self._detail: Detail = detail
        self._priority = priority
        self._page_size = page_size

    async def listed(self, ids: Sequence[str]) -> Sequence[Item]:
        """Returns the items of `ids`. Raises StashNotFound when one does not exist."""
        return (await self._fetch({"ids": list(ids)}))[1]

    async def exists(self, one_id: str) -> bool:
        return await self._asking.find(self._kind, one_id, "outline", self._priority) is not None

    async def first(self, criteria: Criteria, *, newest_first: bool) -> Sequence[Item]:
        """Returns the first items of a filter by id."""
        page = self._sorted(1, "DESC" if newest_first else "ASC")
        return (await self._fetch({"filter": page, self._finder.criteria: criteria or None}))[1]

    async def numbered(self, number: int, criteria: Criteria | None) -> tuple[int | None, Sequence[Item]]:
        """Returns the count, on page 1 only, and the items of a page, newest first."""
        page = self._sorted(number, "DESC")
        return await self._fetch({"filter": page, self._finder.criteria: criteria or None}, counted=number == 1)

    def _sorted(self, number: int, direction: str) -> dict[str, Any]:
        return {"page": number, "per_page": self._page_size, "sort": "id", "direction": direction}

    async def _fetch(self, arguments: Mapping[str, Any], *, counted: bool = False) -> tuple[int | None, Sequence[Item]]:
        finder = self._finder
        data = await self._asking.ask(
            lambda known: many_query(finder, known, self._detail, arguments, counted=counted), self._priority
        )
        found: Mapping[str, Any] = data[finder.many]
        return found.get("count"), found[finder.items]


def many_query(
    finder: Finder, known: Features, detail: Detail | None, arguments: Mapping[str, Any], *, counted: bool = False
) -> Query:
    """Returns a list query with those `arguments` that are not None; without `detail` it asks for no items."""
    types = {"filter": "FindFilterType", finder.criteria: finder.criteria_type, "ids": "[ID!]"}
    given = {name: value for name, value in arguments.items() if value is not None}
    declared = ", ".join(f"${name}: {types[name]}" for name in given)
    passed = ", ".join(f"{name}: ${name}" for name in given)
    items = f"{finder.items} {finder.selection(detail).render(known)}" if detail else ""
    text = f"query Many({declared}) {{ {finder.many}({passed}) {{ {'count ' if counted else ''}{items} }} }}"
    return text, given
