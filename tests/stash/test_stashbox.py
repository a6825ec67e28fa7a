"""The client of a stash-box against the strict fake: what it asks, how often, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.errors import InputError, StashRejected, StashUnauthorized, StashUnknownField, StashUnreachable
from pipelines.settings import Settings
from pipelines.stash.limiter import RateLimiter
from pipelines.stash.records import StashBox
from pipelines.stash.retries import Retries
from pipelines.stash.stashbox import IDS_AT_ONCE, StashBoxClient
from pipelines.stash.stashbox_connect import chosen_boxes, configured_boxes, open_box, requests_per_s
from pipelines.stash.stashbox_records import BoxPage, BoxPerformer, performer_of
from pipelines.stash.stashbox_walk import WalkState, walk
from tests.fakes.stash import FANSDB, STASHDB, FakeStash, Library
from tests.fakes.stashbox import KEY, FakeStashBox, World, box_uuid, sample_world

T = TypeVar("T")
QUICK = Retries(first_wait_s=0.01, longest_wait_s=0.02)


@pytest.fixture
def box(data: Path) -> Iterator[FakeStashBox]:
    with FakeStashBox(sample_world(data)) as box:
        yield box


def using(
    box: FakeStashBox,
    use: Callable[[StashBoxClient], Awaitable[T]],
    *,
    key: str = KEY,
    per_second: float = 1e6,
    pause_s: float = 0.1,
) -> T:
    async def run() -> T:
        limiter = RateLimiter(per_second)
        chosen = Settings(stashbox_pause_s=pause_s)
        async with open_box(chosen, StashBox(box.endpoint, key), limiter=limiter, retries=QUICK) as client:
            return await use(client)

    return asyncio.run(asyncio.wait_for(run(), 60))


def listed(box: FakeStashBox, per_page: int = 100, **given: Any) -> tuple[list[BoxPerformer], WalkState]:
    state = WalkState()

    async def use(client: StashBoxClient) -> list[BoxPerformer]:
        pages = walk(lambda number: client.page(number, per_page=per_page), state, set(), **given)
        return [p async for page in pages for p in page]

    return using(box, use), state


def test_a_performer_with_everything(box):
    obama = box.world.named("barack_obama")
    box.world.change(
        obama.id,
        merged_ids=[box_uuid("older")],
        career_start_year=1997,
        birth_date="1961-08",
        disambiguation="the 44th",
    )
    found = using(box, lambda client: client.performers([obama.id.upper()]))[obama.id]
    assert (found.name, found.aliases, found.gender, found.country) == (
        "barack_obama",
        ("barack_obama a",),
        "FEMALE",
        "US",
    )
    assert (found.birth_date, found.disambiguation, found.career_start) == ("1961-08", "the 44th", 1997)
    assert found.merged_ids == (box_uuid("older"),)
    assert [i.url for i in found.images] == [f"{box.url}/images/{i.id}" for i in obama.images]
    assert all(i.width >= 100 for i in found.images)
    assert all(r.keyed == "header" for r in box.requests)


@pytest.mark.parametrize("missing_is_error", [False, True])
def test_many_ids_go_into_one_request(box, missing_is_error):
    box.knobs.missing_is_error = missing_is_error
    for number in range(IDS_AT_ONCE):
        box.world.add(f"another {number}")
    gone = box.world.named("another 3").id
    box.world.merge(gone, box.world.named("another 4").id)
    ids = [p.id for p in box.world]
    found = using(box, lambda client: client.performers([*ids, box_uuid("nobody")], outline=True))
    assert set(found) == set(ids)
    assert found[gone].deleted
    assert found[gone].merged_into_id == box.world.named("another 4").id
    if not missing_is_error:
        assert len(box.requests.named("findPerformer")) == 2


def test_a_search(box):
    found = using(box, lambda client: client.search("obama"))
    assert [p.name for p in found] == ["barack_obama"]


@pytest.mark.parametrize("wrong", ["../../etc/cron.d/x", "a/b", "", "a.b", "x" * 65])
def test_an_id_that_could_be_a_path_is_refused(wrong):
    good = {"id": "AB-1_2", "name": " x ", "images": [{"id": "C", "url": "u"}]}
    assert (performer_of(good).id, performer_of(good).images[0].id, performer_of(good).name) == ("ab-1_2", "c", "x")
    for bad in (
        {**good, "id": wrong},
        {**good, "images": [{"id": wrong, "url": "u"}]},
        {**good, "merged_ids": [wrong]},
    ):
        with pytest.raises(StashRejected, match="id"):
            performer_of(bad)


def test_an_older_box_is_asked_for_what_it_knows(box):
    box.knobs.without = ("Performer.merged_ids", "Performer.merged_into_id", "Performer.birth_date")
    obama = box.world.named("barack_obama")
    box.world.change(obama.id, birth_date="1961")
    found = using(box, lambda client: client.performers([obama.id]))[obama.id]
    assert (found.birth_date, found.merged_ids) == ("1961", ())
    box.knobs.without = ("Query.searchPerformers",)
    with pytest.raises(StashUnknownField, match="searchPerformers"):
        using(box, lambda client: client.search("obama"))


def test_the_fake_refuses_what_a_box_would(box):
    def post(query: str, key: str = KEY) -> httpx.Response:
        return httpx.post(box.endpoint, json={"query": query}, headers={"ApiKey": key} if key else {})

    assert post('{ findPerformer(id: "1") { id nose } }').status_code == 422
    assert post("{ queryPerformers(input: {updated: 1}) { count } }").status_code == 422
    assert post("{ queryPerformers(input: {per_page: 1000}) { performers { id } } }").status_code == 200
    assert post('{ findPerformer(id: "1") { id } }', "").json()["errors"][0]["message"] == "not authorized"


@pytest.mark.parametrize("key", ["wrong", ""])
def test_a_wrong_key_is_named_and_never_shown(box, key, caplog):
    with pytest.raises(StashUnauthorized, match=r"127\.0\.0\.1") as caught:
        using(box, lambda client: client.page(1), key=key)
    assert "API key" in caught.value.message
    assert "wrong" not in str(caught.value) + caplog.text


def test_too_often_makes_everybody_wait_as_long_as_the_box_says(box):
    box.knobs.retry_after = "0.4"
    box.knobs.fail_next(1, 429)
    began = time.monotonic()
    using(box, lambda client: client.page(1), pause_s=30)
    assert 0.4 <= time.monotonic() - began < 10
    box.knobs.retry_after = ""
    box.knobs.fail_next(1, 429)
    began = time.monotonic()

    async def two(client: StashBoxClient) -> None:
        await client.page(1)  # the introspection before it is the one that is refused
        await asyncio.gather(client.page(1), client.page(2))

    using(box, two, pause_s=0.5)
    assert time.monotonic() - began >= 0.5
    refused = next(r for r in list(box.requests)[::-1] if r.status == 429)
    assert not [r for r in box.requests if refused.at_s < r.at_s < refused.at_s + 0.5]


def test_a_box_that_is_down_is_named_after_all_tries(box):
    box.knobs.fail_rate, box.knobs.fail_status = 1.0, 502
    with pytest.raises(StashUnreachable, match="502"):
        using(box, lambda client: client.page(1))
    assert len(box.requests) == 10
    with box.down(), pytest.raises(StashUnreachable, match="cannot be reached"):
        using(box, lambda client: client.page(1))


def test_everybody_is_listed_once_newest_first_and_only_changes_later(box):
    performers, state = listed(box, per_page=10)
    newest_first = sorted(box.world, key=lambda p: p.updated, reverse=True)
    assert [p.id for p in performers] == [p.id for p in newest_first]
    assert state.newest == performers[0].updated
    watermark = newest_first[0].updated
    box.world.change(newest_first[-1].id, name="someone else")
    box.world.add("new")
    found, _ = listed(box, per_page=3, since=watermark)
    assert [p.name for p in found[:2]] == ["new", "someone else"]
    assert len(found) == 6  # two pages: the third one is as old as the watermark, the sixth one an hour older
    assert len(box.requests.named("queryPerformers")) == -(-len(performers) // 10) + 2


@given(
    removed=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 11)), max_size=8),
    changed=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 11)), max_size=4),
    size=st.integers(1, 5),
    resume=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_nobody_is_missed_or_doubled_while_rows_move(removed, changed, size, resume):
    """Those that are there before and after and are not touched meanwhile are found once."""
    rows = [BoxPerformer(str(i), str(i), updated=f"2025-01-01T00:00:{59 - i:02}Z") for i in range(12)]
    touched = {str(i) for _, i in [*removed, *changed]}
    asked = 0

    async def fetch(number: int) -> BoxPage:
        nonlocal rows, asked
        for _, gone in (r for r in removed if r[0] == asked):
            rows = [r for r in rows if r.id != str(gone)]
        for _, moved in (c for c in changed if c[0] == asked):
            front = [r for r in rows if r.id == str(moved)]
            rows = front + [r for r in rows if r.id != str(moved)]
        asked += 1
        return BoxPage(len(rows), tuple(rows[(number - 1) * size : number * size]))

    async def run() -> list[str]:
        state, seen, found = WalkState(), set(), []
        while not state.done:
            async for page in walk(fetch, state, seen):
                found += [p.id for p in page]
                if resume:
                    break
        return found

    found = asyncio.run(run())
    assert len(found) == len(set(found))
    assert {str(i) for i in range(12)} - touched <= set(found)


def test_a_box_that_gives_small_pages_is_walked_to_the_end(box):
    box.knobs.most_per_page = 4
    performers, _ = listed(box)
    assert {p.id for p in performers} == {p.id for p in box.world}


def test_boxes_come_from_stash_and_from_the_settings():
    library = Library()
    with FakeStash(library) as stash:
        theirs = asyncio.run(configured_boxes(Settings(stash_url=stash.url)))
        own = "https://box.example/graphql=key=with=signs"
        chosen = Settings(stash_url=stash.url, stashboxes=(own,))
        boxes = asyncio.run(configured_boxes(chosen))
    assert theirs
    assert boxes[:-1] == theirs
    assert boxes[-1] == StashBox("https://box.example/graphql", "key=with=signs")
    assert "key=with" not in repr(boxes) + repr(chosen)
    assert chosen_boxes(boxes, "BOX.example") == [boxes[-1]]
    assert chosen_boxes(boxes, None) == boxes
    with pytest.raises(InputError, match="no stash-box 'nowhere'"):
        chosen_boxes(boxes, "nowhere")
    with pytest.raises(InputError, match="No stash-box is set up"):
        chosen_boxes([], None)
    assert asyncio.run(configured_boxes(Settings(stash_url="http://127.0.0.1:1", stashboxes=(own,)))) == [boxes[-1]]


def test_boxes_are_used_in_the_order_and_as_far_as_the_settings_say():
    own = "https://box.example/graphql"
    chosen = Settings(stashboxes=(f"{own}=key",), stashbox_order=(f"{own}/", FANSDB), stashbox_off=(STASHDB,))
    with FakeStash(Library()) as stash:
        with_stash = chosen.model_copy(update={"stash_url": stash.url})
        boxes = asyncio.run(configured_boxes(with_stash))
        nothing = with_stash.model_copy(update={"stashbox_off": (STASHDB, FANSDB, own)})
        assert asyncio.run(configured_boxes(nothing)) == []
    assert [box.endpoint for box in boxes] == [own, FANSDB]
    with pytest.raises(InputError, match="There is no stash-box") as caught:
        chosen_boxes(boxes, "stashdb.org")
    assert "switched on are: box.example, fansdb.cc" in caught.value.hint
    for bad in ("stashdb.org", "https://user:word@stashdb.org/graphql", "https://stashdb.org/graphql?x"):
        with pytest.raises(ValidationError):
            Settings(stashbox_off=(bad,))


@pytest.mark.parametrize(
    ("limit", "share", "per_s"), [(0, 0.5, 2.0), (240, 0.5, 2.0), (300, 1.0, 5.0), (30, 0.1, 0.05)]
)
def test_a_share_of_what_the_box_allows_is_used(limit, share, per_s):
    box = StashBox("https://box.example/graphql", "", max_requests_per_minute=limit)
    assert requests_per_s(Settings(stashbox_requests_share=share), box) == pytest.approx(per_s)


def test_no_request_comes_above_the_rate():
    with FakeStashBox(World()) as box:

        async def use(client: StashBoxClient) -> None:
            await client.page(1)
            await asyncio.gather(*(client.page(1) for _ in range(25)))

        using(box, use, per_second=20)
        times = sorted(r.at_s for r in box.requests)
    assert len(times) == 27
    assert times[-1] - times[0] >= 26 / 20 - 0.05
