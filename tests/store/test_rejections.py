"""Who is not in which content: kept once, for every id, forgotten by any of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.store.rejections import RejectionStore
from pipelines.store.sql import open_store

ANN, ANN_ELSEWHERE, BEA = "stashdb.org:ann", "fansdb.cc:ann", "stashdb.org:bea"


@pytest.fixture
def rejections(tmp_path: Path) -> Iterator[RejectionStore]:
    store = open_store(f"sqlite:///{tmp_path / 'state.db'}")
    yield RejectionStore(store)
    store.close()


def test_a_rejection_counts_for_every_id_in_its_content_alone(rejections: RejectionStore):
    kept = rejections.add("scene", "1", ANN, [ANN_ELSEWHERE], "Ann")
    assert (kept.ids, kept.name) == ((ANN_ELSEWHERE, ANN), "Ann")
    assert rejections.ids("scene", "1") == {ANN, ANN_ELSEWHERE}
    assert rejections.ids("scene", "2") == rejections.ids("image", "1") == frozenset()
    rejections.add("scene", "3", BEA)
    assert rejections.by_content("scene", ["1", "2", "3"]) == {"1": {ANN, ANN_ELSEWHERE}, "3": {BEA}}
    assert rejections.by_content("scene", []) == {}


def test_the_same_rejection_is_kept_once_and_gains_ids(rejections: RejectionStore):
    first = rejections.add("scene", "1", ANN, name="Ann")
    again = rejections.add("scene", "1", ANN, [ANN_ELSEWHERE])
    assert (again.created_at, again.name) == (first.created_at, "Ann")
    assert again.ids == (ANN_ELSEWHERE, ANN)
    page = rejections.page()
    assert (page.total, page.rejections) == (1, [again])


def test_any_id_takes_a_rejection_back(rejections: RejectionStore):
    rejections.add("scene", "1", ANN, [ANN_ELSEWHERE])
    rejections.add("image", "1", ANN)
    assert rejections.remove("scene", "1", BEA) == 0
    assert rejections.remove("scene", "1", ANN_ELSEWHERE) == 1
    assert rejections.ids("scene", "1") == frozenset()
    assert rejections.ids("image", "1") == {ANN}


def test_pages_are_newest_first_and_filtered(rejections: RejectionStore):
    for number in range(5):
        rejections.add("scene", str(number), ANN)
    rejections.add("gallery", "9", BEA)
    page = rejections.page(limit=2)
    assert (page.total, [r.content_id for r in page.rejections]) == (6, ["9", "4"])
    assert [r.content_id for r in rejections.page("scene", offset=3).rejections] == ["1", "0"]
    assert [r.kind for r in rejections.page(content_id="9").rejections] == ["gallery"]


def test_somebody_is_forgotten_everywhere(rejections: RejectionStore):
    rejections.add("scene", "1", ANN, [ANN_ELSEWHERE])
    rejections.add("scene", "1", BEA)
    rejections.add("image", "2", ANN_ELSEWHERE)
    assert len(rejections.forget_people([ANN_ELSEWHERE])) == 2
    assert [r.universal_id for r in rejections.page().rejections] == [BEA]


def test_what_changes_is_seen(rejections: RejectionStore):
    rejections.add("scene", "1", ANN)
    before = rejections.counted("scene")
    rejections.add("scene", "1", BEA)
    rejections.add("scene", "2", BEA)
    after = rejections.counted("scene")
    assert set(before) == {"1"}
    assert set(after) == {"1", "2"}
    assert before["1"] != after["1"]
    assert rejections.counted("image") == {}


@pytest.mark.parametrize(("kind", "universal_id"), [("performer", ANN), ("scene", "ann"), ("scene", "a: b")])
def test_what_is_no_rejection_is_refused(rejections: RejectionStore, kind, universal_id):
    with pytest.raises(InputError):
        rejections.add(kind, "1", universal_id)
    assert rejections.page().total == 0
