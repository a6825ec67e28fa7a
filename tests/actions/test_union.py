"""The union of metadata loses nothing, whatever is united."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.actions.union import by_age, dropped, oldest, single_fields, union

IDS = st.lists(st.integers(1, 9).map(str), max_size=5, unique=True)
TEXTS = st.none() | st.sampled_from(["a", "b", "c"])
LINKS = st.lists(
    st.fixed_dictionaries(
        {"endpoint": st.sampled_from(["https://x", "https://y"]), "stash_id": st.sampled_from("pqr")}
    ),
    max_size=4,
)
GROUPS = st.lists(
    st.fixed_dictionaries({"group_id": st.sampled_from("123"), "scene_index": st.none() | st.integers(0, 3)}),
    max_size=3,
)
DATES = st.none() | st.sampled_from(["2014", "2014-05", "2014-05-01", "2013-12-31", "2020"])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("title", "code", "details", "director", "studio_id"), TEXTS),
    **dict.fromkeys(("urls", "performer_ids", "tag_ids", "gallery_ids"), IDS),
    "rating100": st.none() | st.integers(1, 100),
    "organized": st.booleans(),
    "date": DATES,
    "stash_ids": LINKS,
    "groups": GROUPS,
    "play_duration": st.none() | st.floats(0, 1e5),
    "custom_fields": st.dictionaries(st.sampled_from("uvw"), st.integers(0, 3)),
    "created_at": st.integers(10, 28).map(lambda day: f"2024-01-{day}T00:00:00Z"),
}
SCENES = st.lists(st.fixed_dictionaries(FIELDS), min_size=2, max_size=4).map(
    lambda rows: [{"kind": "scene", "id": str(n), **row} for n, row in enumerate(rows, 1)]
)


def result(keeper: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what the keeper is once the union is written."""
    values = union(keeper, others)
    custom = {**keeper["custom_fields"], **values.pop("custom_fields", {"partial": {}})["partial"]}
    return {**keeper, **values, "custom_fields": custom}


@given(SCENES)
def test_every_list_is_a_superset_and_every_value_is_kept_or_named(scenes: list[dict[str, Any]]):
    keeper, *others = scenes
    after, lost = result(keeper, others), dropped(keeper, others, union(keeper, others))
    for one in scenes:
        for field in ("urls", "performer_ids", "tag_ids", "gallery_ids"):
            assert set(one[field]) <= set(after[field])
        links = {(s["endpoint"], s["stash_id"]) for s in after["stash_ids"]}
        assert {(s["endpoint"], s["stash_id"]) for s in one["stash_ids"]} <= links
        assert {g["group_id"] for g in one["groups"]} <= {g["group_id"] for g in after["groups"]}
        assert one["custom_fields"].keys() <= after["custom_fields"].keys()
        assert not (one["organized"] and not after["organized"])
        for field in single_fields("scene"):
            assert one[field] is None or one[field] == after[field] or one[field] in lost[field]
    assert after["play_duration"] or pytest.approx(sum(one["play_duration"] or 0.0 for one in scenes)) == 0.0


@given(SCENES)
def test_the_keeper_keeps_its_own_values_and_the_oldest_date_wins(scenes: list[dict[str, Any]]):
    keeper, *others = scenes
    after = result(keeper, others)
    for field in single_fields("scene") - {"date"}:
        first = next((one[field] for one in (keeper, *by_age(others)) if one[field] is not None), None)
        assert after[field] == first
    assert after["date"] == oldest(one["date"] for one in scenes)
    for group in keeper["groups"]:
        if group["scene_index"] is not None and sum(g["group_id"] == group["group_id"] for g in keeper["groups"]) == 1:
            assert group in after["groups"]


@given(SCENES)
def test_a_union_is_complete_after_it_was_written(scenes: list[dict[str, Any]]):
    keeper, *others = scenes
    again = union(result(keeper, others), others)
    assert again.keys() <= {"play_duration"}  # a sum grows; it is written once, by the merge


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (["2014", "2014-05-01"], "2014-05-01"),
        (["2014-05", "2014-05-09", "2015"], "2014-05-09"),
        (["2013", "2014-01-01"], "2013"),
        ([None, ""], None),
    ],
)
def test_of_dates_the_oldest_and_most_exact_is_taken(dates: list[str | None], expected: str | None):
    assert oldest(dates) == expected


NAMES = st.sampled_from(["Ada", "ada", "Bela", "Cleo"])
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {
            "name": NAMES,
            "alias_list": st.lists(NAMES, max_size=3, unique=True),
            "urls": IDS,
            "tag_ids": IDS,
            "stash_ids": LINKS,
            "country": TEXTS,
            "favorite": st.booleans(),
            "created_at": FIELDS["created_at"],
        }
    ),
    min_size=2,
    max_size=4,
).map(lambda rows: [{"kind": "performer", "id": str(n), **row} for n, row in enumerate(rows, 1)])


@given(PEOPLE)
def test_every_name_of_merged_performers_stays_once(people: list[dict[str, Any]]):
    keeper, *others = people
    after = {**keeper, **union(keeper, others)}
    names = {after["name"].casefold(), *(alias.casefold() for alias in after["alias_list"])}
    assert {n.casefold() for one in people for n in (one["name"], *one["alias_list"])} == names
    if "alias_list" in union(keeper, others):
        assert len({a.casefold() for a in after["alias_list"]}) == len(after["alias_list"])
        assert after["name"].casefold() not in {a.casefold() for a in after["alias_list"]}
    assert after["name"] == keeper["name"]
