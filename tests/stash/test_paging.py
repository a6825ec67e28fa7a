"""Walking through lists that change while they are walked through; no server, only its rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import StashNotFound
from pipelines.stash.paging import beyond, by_id, by_ids, by_offset


class Rows:
    """Ids on a server; `changes` are (after so many requests, ids to remove, ids to add)."""

    def __init__(self, ids: set[int], changes: list[tuple[int, set[int], set[int]]] | None = None) -> None:
        self.ids = set(ids)
        self.requests = 0
        self.counted = 0
        self._changes = changes or []

    def _asked(self) -> None:
        for after, removed, added in self._changes:
            if after == self.requests:
                self.ids = (self.ids - removed) | added
        self.requests += 1

    def keyset(self, page_size: int, *, newest_first: bool) -> Callable:
        async def fetch(criteria: dict) -> list[dict]:
            self._asked()
            key = criteria.get("id")
            found = sorted(self.ids, reverse=newest_first)
            if key:
                found = [i for i in found if (i < key["value"] if newest_first else i > key["value"])]
            return [{"id": str(i)} for i in found[:page_size]]

        return fetch

    def offset(self, page_size: int) -> Callable:
        async def fetch(number: int) -> tuple[int | None, list[dict]]:
            self._asked()
            self.counted += number == 1
            found = sorted(self.ids, reverse=True)[(number - 1) * page_size : number * page_size]
            return (len(self.ids) if number == 1 else None), [{"id": str(i)} for i in found]

        return fetch

    async def listed(self, ids: list[str]) -> list[dict]:
        self._asked()
        for one in ids:
            if int(one) not in self.ids:
                raise StashNotFound(f"Stash: scene with id {one} not found.")
        return [{"id": one} for one in ids]

    async def exists(self, one: str) -> bool:
        return int(one) in self.ids


def walked(pages) -> list[int]:
    async def run() -> list[int]:
        return [int(item["id"]) async for page in pages for item in page]

    return asyncio.run(run())


ids = st.sets(st.integers(1, 60), max_size=40)


@given(ids, ids, ids, st.integers(1, 8), st.booleans())
def test_paging_by_id_neither_repeats_nor_loses_what_stays(
    before: set[int], removed: set[int], added: set[int], page_size: int, newest_first: bool
):
    rows = Rows(before, [(2, removed, added)])
    found = walked(
        by_id(rows.keyset(page_size, newest_first=newest_first), None, page_size=page_size, newest_first=newest_first)
    )
    assert found == sorted(set(found), reverse=newest_first)
    assert before - removed <= set(found) <= before | added


@given(ids, ids, st.integers(1, 8))
def test_paging_by_offset_loses_nothing_to_removals(before: set[int], removed: set[int], page_size: int):
    rows = Rows(before, [(1, removed, set())])
    found = walked(by_offset(rows.offset(page_size), page_size=page_size))
    assert len(found) == len(set(found))
    assert before - removed <= set(found) <= before


@given(ids, ids, st.sets(st.integers(61, 90), max_size=40), st.integers(1, 8), st.integers(1, 4))
def test_paging_by_offset_loses_nothing_when_some_come_and_others_go_at_the_same_moment(
    before: set[int], removed: set[int], added: set[int], page_size: int, after: int
):
    rows = Rows(before, [(after, removed, added)])  # ids only grow: what is added has a larger one
    found = walked(by_offset(rows.offset(page_size), page_size=page_size))
    assert len(found) == len(set(found))
    assert before - removed <= set(found) <= before | added


def test_one_that_comes_does_not_hide_that_one_went():
    rows = Rows({1, 2, 3, 4, 5, 6}, [(1, {5}, {7}), (2, {6, 4}, {8})])
    assert set(walked(by_offset(rows.offset(2), page_size=2))) >= {1, 2, 3}


def test_an_undisturbed_list_is_walked_once_and_counted_on_page_1_only():
    rows = Rows(set(range(1, 11)))
    assert walked(by_offset(rows.offset(4), page_size=4)) == list(range(10, 0, -1))
    assert (rows.requests, rows.counted) == (3, 1)


@given(ids, st.sets(st.integers(1, 60), max_size=10), st.integers(1, 50))
def test_missing_ids_are_left_out(there: set[int], wanted: set[int], page_size: int):
    rows = Rows(there)
    found = walked(by_ids("scene", rows.listed, rows.exists, map(str, wanted), page_size=page_size))
    assert sorted(found) == sorted(wanted & there)


@given(ids, st.sets(st.integers(1, 60), max_size=10))
def test_missing_ids_are_found_by_halves_when_the_error_names_none(there: set[int], wanted: set[int]):
    rows = Rows(there)

    async def silent(some: list[str]) -> list[dict]:
        try:
            return await rows.listed(some)
        except StashNotFound:
            raise StashNotFound("Stash: not found.") from None

    found = walked(by_ids("scene", silent, rows.exists, map(str, wanted), page_size=50))
    assert sorted(found) == sorted(wanted & there)


def test_an_error_about_another_kind_drops_no_id():
    rows, calls = Rows({5, 7}), []

    async def fetch(some: list[str]) -> list[dict]:
        calls.append(list(some))
        if len(calls) == 1:  # somebody removed a performer that scene 7 names
            raise StashNotFound("Stash: performer with id 5 not found.")
        return await rows.listed(some)

    assert sorted(walked(by_ids("scene", fetch, rows.exists, ["5", "7"], page_size=9))) == [5, 7]


def test_no_ids_ask_for_nothing():
    rows = Rows({1, 2})
    assert walked(by_ids("scene", rows.listed, rows.exists, [], page_size=9)) == []
    assert rows.requests == 0


def test_a_removal_inside_a_page_is_tried_again():
    rows, failures = Rows({1, 2, 3}), [StashNotFound("Stash: tag with id 9 not found.")]
    fetch = rows.keyset(2, newest_first=False)

    async def shaky(criteria: dict) -> list[dict]:
        if failures:
            raise failures.pop()
        return await fetch(criteria)

    assert walked(by_id(shaky, None, page_size=2, newest_first=False)) == [1, 2, 3]


def test_the_filter_of_the_caller_stays_whole():
    key = {"id": {"value": 7, "modifier": "GREATER_THAN"}}
    assert beyond(None, None, newest_first=False) == {}
    assert beyond({"organized": True}, "7", newest_first=False) == {"organized": True, **key}
    own_id = {"id": {"value": 3, "modifier": "NOT_EQUALS"}}
    assert beyond(own_id, "7", newest_first=False) == {**key, "AND": own_id}
    either = {"organized": True, "OR": {"title": {"value": "a", "modifier": "EQUALS"}}}
    assert beyond(either, "7", newest_first=False) == {**key, "AND": either}
    assert beyond(None, "7", newest_first=True) == {"id": {"value": 7, "modifier": "LESS_THAN"}}
