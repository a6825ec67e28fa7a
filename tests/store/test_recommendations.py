"""Recommendations in the store: pages, search, counts, dismissals and their undoing; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.errors import InputError, RecommendationConflict, RecommendationUnknown
from pipelines.store.findings import reopen, resolve
from pipelines.store.recommendation_records import Finding, RecommendationFilter, digest
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import Store

TYPE = "duplicate_scenes"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def kept(store: Store) -> RecommendationStore:
    return RecommendationStore(store, FakeClock())


def finding(target_id: str = "1", finding: str = "a", evidence: str = "e", **more: Any) -> Finding:
    facts: dict[str, Any] = {"title": f"Scene {target_id}", "summary": "Because.", "confidence": 50.0} | more
    return Finding("scene", target_id, finding, evidence, **facts)


def statuses(kept: RecommendationStore) -> dict[str, str]:
    found = kept.page(sort="oldest", limit=1000).recommendations
    return {one.target_id: one.status for one in found}


def test_a_finding_comes_back_as_it_went_in(kept: RecommendationStore):
    details = {"scenes": [{"id": "1", "name": "Ä"}], "none": None}
    kept.apply(TYPE, 1, [finding("12:45", details=details, keywords=("Äpfel",))], logic_version=3)
    (one,) = kept.page().recommendations
    assert (one.type, one.target_type, one.target_id, one.status, one.details) == (
        TYPE,
        "scene",
        "12:45",
        "pending",
        details,
    )
    assert (one.logic_version, one.dismissal, one.action_id, one.reason) == (3, None, None, "")
    assert kept.get(one.id) == one


def test_the_same_finding_never_comes_twice(kept: RecommendationStore):
    assert kept.apply(TYPE, 1, [finding(), finding("2")]).new == 2
    again = kept.apply(TYPE, 2, [finding(), finding("2", confidence=60.0)])
    assert (again.new, again.unchanged, again.updated) == (0, 1, 1)
    assert kept.page().total == 2
    other = kept.apply("duplicate_performers", 3, [finding()])
    assert other.new == 1


def test_one_finding_of_a_target_is_closed_and_opened_again(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding("1", "a"), finding("1", "b"), finding("2", "a"), finding("3", "a")])
    kept.dismiss([one.id for one in kept.page().recommendations if one.target_id == "3"], "forever")
    (closed,) = kept.close_findings(TYPE, ("scene", "1"), ["a", "other"], "Rejected.")
    assert (kept.get(closed).status, kept.get(closed).reason) == ("closed", "Rejected.")
    assert kept.close_findings(TYPE, ("scene", "3"), ["a"], "Rejected.") == [], "what is dismissed stays so"
    assert kept.open_findings(TYPE, ("scene", "1"), ["a"], "Another reason.") == []
    kept.close_missing(TYPE, 2, "Not found.")  # a run of the analyzer meanwhile
    assert kept.open_findings(TYPE, ("scene", "1"), ["a", "b"], "Rejected.") == [closed]
    assert (kept.get(closed).status, kept.get(closed).reason) == ("pending", "")


def test_pages_in_a_stable_order(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding(str(n), title=f"T{n % 3}", confidence=float(n % 5)) for n in range(1, 24)])
    for sort in ("confidence", "newest", "oldest", "title"):
        seen: list[str] = []
        cursor = None
        while True:
            page = kept.page(sort=sort, limit=5, cursor=cursor)
            assert page.total == 23
            seen += [one.target_id for one in page.recommendations]
            cursor = page.next_cursor
            if cursor is None:
                break
        everything = [one.target_id for one in kept.page(sort=sort, limit=100).recommendations]
        assert seen == everything
        assert len(set(seen)) == 23
        assert [o.target_id for o in kept.page(sort=sort, limit=5, offset=5).recommendations] == everything[5:10]


def test_a_page_after_a_change_repeats_nothing(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding(str(n)) for n in range(1, 11)])
    pending = RecommendationFilter(statuses=("pending",))
    first = kept.page(pending, limit=4)
    kept.dismiss([one.id for one in first.recommendations], "forever")
    second = kept.page(pending, limit=4, cursor=first.next_cursor)
    assert [one.target_id for one in second.recommendations] == ["5", "6", "7", "8"]


def test_cursors_of_something_else_are_refused(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding(str(n)) for n in range(1, 4)])
    cursor = kept.page(limit=1).next_cursor
    for sort, wrong in (("newest", cursor), ("confidence", "x"), ("confidence", "ÿ"), ("confidence", "WzEsMl0")):
        with pytest.raises(InputError, match="cursor"):
            kept.page(sort=sort, cursor=wrong)  # type: ignore[arg-type]


def test_filters_and_search(kept: RecommendationStore):
    kept.apply(
        TYPE,
        1,
        [
            finding("1:2", title="Summer GARDEN", confidence=90.0, keywords=("/data/one_100%.mp4",)),
            finding("2:3", title="Winter garden", confidence=40.0, keywords=("Zoë",)),
        ],
    )
    kept.apply("unidentified_scene", 2, [finding("2", title="Harbour")])

    def ids(**wanted: Any) -> list[str]:
        found = kept.page(RecommendationFilter(**wanted), sort="oldest").recommendations
        return [one.target_id for one in found]

    assert ids(types=(TYPE,)) == ["1:2", "2:3"]
    assert ids(target_id="2") == ["1:2", "2:3", "2"]
    assert ids(target_type="scene", target_id="2:3") == ["2:3"]
    assert ids(target_type="performer") == []
    assert ids(q="garden summer") == ["1:2"]
    assert ids(q="GARDEN") == ["1:2", "2:3"]
    assert ids(q="ZOË") == ["2:3"]
    assert ids(q="100%") == ["1:2"]
    assert ids(q="1_0") == []
    assert ids(min_confidence=50.0) == ["1:2", "2"]
    with pytest.raises(InputError, match="status"):
        RecommendationFilter(statuses=("open",))  # type: ignore[arg-type]


def test_counts_by_type_and_status(kept: RecommendationStore, store: Store):
    kept.apply(TYPE, 1, [finding(str(n)) for n in range(1, 6)])
    kept.dismiss(kept.ids(RecommendationFilter(target_id="1")), "forever")
    with store.session() as session:
        resolve(session, kept.ids(RecommendationFilter(target_id="2"))[0], 9, "Merged.", NOW)
    assert kept.counts() == {TYPE: {"pending": 3, "resolved": 1, "dismissed": 1, "closed": 0}}


def test_bulk_dismissal_by_filter_and_its_undoing(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding(str(n), confidence=float(n)) for n in range(1, 11)])
    low = kept.dismiss(RecommendationFilter(types=(TYPE,)), "until_changed", "not now")
    assert (low.changed, kept.dismiss(RecommendationFilter(), "until_changed").batch) == (10, None)
    one = kept.page().recommendations[0]
    assert one.dismissal is not None
    assert (one.status, one.dismissal.mode, one.dismissal.reason) == ("dismissed", "until_changed", "not now")
    for_ever = kept.dismiss([one.id], "forever")
    assert for_ever.changed == 1
    assert kept.get(one.id).dismissal.mode == "forever"  # type: ignore[union-attr]
    assert kept.restore_batch(str(low.batch)).changed == 9
    assert kept.get(one.id).status == "dismissed"
    assert kept.restore_batch(str(for_ever.batch)).changed == 1
    assert set(statuses(kept).values()) == {"pending"}
    for gone in (str(low.batch), "0", "x", "-1", "9" * 30):
        with pytest.raises(RecommendationUnknown):
            kept.restore_batch(gone)


def test_undoing_the_later_of_two_dismissals_leaves_the_earlier_one(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding()])
    (own,) = kept.ids(RecommendationFilter())
    kept.dismiss([own], "forever", "first")
    second = kept.dismiss([own], "until_changed", "second")
    kept.restore_batch(str(second.batch))
    one = kept.get(own)
    assert one.dismissal is not None
    assert (one.status, one.dismissal.reason) == ("dismissed", "first")


def test_the_newest_word_counts(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding()])
    (own,) = kept.ids(RecommendationFilter())
    kept.dismiss_one(own, "forever")
    kept.dismiss_one(own, "until_changed")
    kept.apply(TYPE, 2, [finding(evidence="other")])
    assert kept.get(own).status == "pending"


def test_what_is_not_pending_cannot_be_dismissed_one_by_one(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding()])
    (own,) = kept.ids(RecommendationFilter())
    kept.close_missing(TYPE, 2, "It was fixed.")
    with pytest.raises(RecommendationConflict, match=r"closed.*It was fixed"):
        kept.dismiss_one(own, "forever")
    with pytest.raises(RecommendationConflict, match="closed"):
        kept.restore_one(own)
    for unknown in (0, -1, own + 1, 2**70):
        with pytest.raises(RecommendationUnknown):
            kept.dismiss_one(unknown, "forever") if unknown < 2**63 else kept.get(unknown)


def test_an_action_resolves_and_its_undo_opens_again(kept: RecommendationStore, store: Store):
    kept.apply(TYPE, 1, [finding()])
    (own,) = kept.ids(RecommendationFilter())
    with store.session() as session:
        resolve(session, own, 4, "Merged.", NOW)
        resolve(session, own, 5, "Merged again.", NOW)
        resolve(session, own + 1, 6, "There is none.", NOW)
    done = kept.get(own)
    assert (done.status, done.action_id, done.reason) == ("resolved", 4, "Merged.")
    with store.session() as session:
        assert (reopen(session, 5, NOW), reopen(session, 4, NOW)) == (0, 1)
    assert (kept.get(own).status, kept.get(own).action_id) == ("pending", None)


def test_gone_things_close_what_is_about_them(kept: RecommendationStore):
    kept.apply(TYPE, 1, [finding("1:2"), finding("2:3"), finding("4")])
    assert kept.close_gone(TYPE, "scene", {"1": "The scene 1 is gone.", "9": "It never was."}) == 1
    assert statuses(kept) == {"1:2": "closed", "2:3": "pending", "4": "pending"}
    assert kept.page(RecommendationFilter(statuses=("closed",))).recommendations[0].reason == "The scene 1 is gone."
    assert kept.entities(TYPE, "scene") == {"2", "3", "4"}
    kept.apply(TYPE, 2, [finding("4")])
    assert kept.entities(TYPE, "scene", missed_by=2) == {"2", "3"}


def test_everything_comes_in_order_however_much_it_is(kept: RecommendationStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.store.recommendations.EXPORT_AT_ONCE", 3)
    kept.apply(TYPE, 1, [finding(str(n)) for n in range(1, 9)])
    lists = list(kept.all(RecommendationFilter()))
    assert [len(part) for part in lists] == [3, 3, 2]
    assert [one.target_id for part in lists for one in part] == [str(n) for n in range(1, 9)]


def test_digests_do_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2]}, "x") == digest({"b": [2], "a": 1}, "x") != digest({"a": 1, "b": [2]}, "y")


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": 101.0},
        {"confidence": float("nan")},
        {"target_id": ""},
        {"finding": "x" * 65},
        {"entities": ("",)},
    ],
)
def test_findings_that_make_no_sense_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=r"confidence|target_id|finding|id"):
        finding(**wrong)
