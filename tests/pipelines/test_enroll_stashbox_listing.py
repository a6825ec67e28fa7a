"""Listing what a stash-box has, cut off at every moment: nobody is lost, nobody is listed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.enroll.stashbox_ledger import Ledger, SeenPicture
from pipelines.enroll.stashbox_listing import BoxLister, BoxListing, watermark, work_rows, write_work
from pipelines.errors import StashUnreachable
from pipelines.settings import Settings
from pipelines.stash.limiter import RateLimiter
from pipelines.stash.records import StashBox
from pipelines.stash.retries import Retries
from pipelines.stash.stashbox_connect import open_box
from tests.fakes.stashbox import KEY, FakeStashBox, sample_world

QUICK = Retries(first_wait_s=0.001, longest_wait_s=0.001)


@pytest.fixture
def box(data: Path) -> Iterator[FakeStashBox]:
    with FakeStashBox(sample_world(data)) as box:
        box.knobs.most_per_page = 5
        yield box


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, 4)


def list_box(box: FakeStashBox, ledger: Ledger, folder: Path, listing: BoxListing, **given) -> BoxListing:
    folder.mkdir(exist_ok=True)

    async def run() -> None:
        stash_box = StashBox(box.endpoint, KEY)
        async with open_box(Settings(), stash_box, limiter=RateLimiter(1e6), retries=QUICK) as client:
            await BoxLister(client, folder, listing, ledger, seen=ledger.performers(), **given).ask()

    asyncio.run(run())
    return listing


def work(folder: Path) -> list[str]:
    return [row["performer"] for row in work_rows(folder) if row["facts"]]


def newest_first(box: FakeStashBox) -> list[str]:
    return [p.id for p in sorted(box.world.living(), key=lambda p: p.updated, reverse=True)]


def seen(ledger: Ledger, box: FakeStashBox, run: int = 1) -> None:
    for performer in box.world.living():
        updated = performer.updated.isoformat().replace("+00:00", "Z")
        ledger.write(run, performer.id, [SeenPicture("i", "u", reason="no_face")], updated=updated, facts={"name": "x"})


@pytest.mark.parametrize("requests", range(1, 6))
def test_a_listing_that_was_cut_off_goes_on(box, ledger, tmp_path, requests):
    folder = tmp_path / "run"

    def cut(number: int) -> None:
        box.knobs.refuse = number > requests

    box.knobs.before = cut
    try:
        list_box(box, ledger, folder, BoxListing(1, 1))
    except StashUnreachable:
        assert not BoxListing.read(folder) or not BoxListing.read(folder).asked
    box.knobs.before, box.knobs.refuse = None, False
    done = list_box(box, ledger, folder, BoxListing.read(folder) or BoxListing(1, 1))
    assert work(folder) == newest_first(box)
    assert done.walk.done
    assert watermark(done, folder, {}, None) == min(p.updated for p in box.world).isoformat().replace("+00:00", "Z")
    seen(ledger, box)
    assert watermark(done, folder, ledger.performers(), None) == done.walk.newest


def test_an_answer_that_was_kept_before_the_state_was_is_not_lost(box, ledger, tmp_path):
    folder = tmp_path / "run"
    states = []
    write = BoxListing.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            BoxListing, "write", lambda self, to: (write(self, to), states.append((to / "run.json").read_text()))
        )
        list_box(box, ledger, folder, BoxListing(1, 1))
    assert len(states) >= 4
    for state in states[:-1]:
        (folder / "run.json").write_text(state)
        list_box(box, ledger, folder, BoxListing.read(folder))
        assert work(folder) == newest_first(box)


def test_what_changed_is_listed_and_what_is_gone_is_noted(box, ledger, tmp_path):
    world = box.world
    seen(ledger, box)
    newest = max(p.updated for p in world).isoformat().replace("+00:00", "Z")
    nothing = list_box(box, ledger, tmp_path / "a", BoxListing(2, 2, since=newest))
    assert work(tmp_path / "a") == []
    assert (nothing.gone, len(box.requests.named("findPerformer"))) == (0, 0)

    ids = [p.id for p in world]
    world.merge(ids[0], ids[1])
    world.delete(ids[2])
    world.change(ids[3], name="another")
    new = world.add("new")
    changed = list_box(box, ledger, tmp_path / "b", BoxListing(2, 2, since=newest))
    assert work(tmp_path / "b") == [new.id, ids[3], ids[1]]
    assert changed.gone == 2
    now = ledger.performers()
    assert (now[ids[0]].state, now[ids[0]].merged_into, now[ids[2]].state) == ("gone", ids[1], "gone")

    # a target that was merged before the watermark is looked up by id
    world.merge(ids[4], ids[5])
    since = max(p.updated for p in world).isoformat().replace("+00:00", "Z")
    world.performers[ids[5]].updated = world.performers[ids[6]].updated
    list_box(box, ledger, tmp_path / "c", BoxListing(3, 3, since=since))
    assert ids[5] in work(tmp_path / "c")


def test_no_more_than_asked_for_and_the_excluded_are_not_among_them(box, ledger, tmp_path):
    order = newest_first(box)
    excluded = {f"127.0.0.1:{order[0]}"}
    listing = list_box(box, ledger, tmp_path / "run", BoxListing(1, 1, limit=3), excluded=excluded)
    assert work(tmp_path / "run") == order[1:4]
    assert listing.left_out == {"excluded": 1}
    assert len(box.requests.named("queryPerformers")) == 1
    assert watermark(listing, tmp_path / "run", {}, "before") == "before"
    assert ledger.performers()[order[0]].state == "left_out"
    assert write_work(tmp_path / "run", {order[1]}, ())[1] == 2
    # who is not excluded any more is looked up, though nothing changed
    seen_before = {p.id for p in box.world.living()} - {order[0]}
    for performer in seen_before:
        updated = box.world.performers[performer].updated.isoformat().replace("+00:00", "Z")
        ledger.write(2, performer, [], updated=updated, facts={"name": "x"})
    newest = "2030-01-01T00:00:00Z"
    list_box(box, ledger, tmp_path / "later", BoxListing(3, 3, since=newest))
    assert work(tmp_path / "later") == [order[0]]
