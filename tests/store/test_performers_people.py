"""The same person under several ids is one person: `combine` against a plain reading of its rules, entry by entry."""

from __future__ import annotations

import random
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.faces.gallery import PERFORMER_SCHEMA, Performer, performer_table
from pipelines.store.domains import domain_of, domain_order, source_folder
from pipelines.store.people import combine, having

DOMAINS = ("stashdb.org", "theporndb.net", "zzz.example", "aaa.example", "stash", "local")
IDS = [f"{domain}:{number}" for domain in DOMAINS for number in range(3)]
NAMES = ("Ann", "Bea", "Cid", "Dot")


@st.composite
def shards(draw: st.DrawFn) -> dict[str, list[Performer]]:
    found: dict[str, list[Performer]] = {}
    for source in draw(st.sets(st.sampled_from(["folder", "stashdb.org", "release:a", "release:b"]))):
        own = draw(st.lists(st.sampled_from(IDS), max_size=6, unique=True))
        found[source] = [
            Performer(
                universal_id,
                draw(st.sampled_from(NAMES)),
                tuple(draw(st.lists(st.sampled_from(NAMES), max_size=2))),
                country=draw(st.sampled_from([None, "NL", "FR"])),
                career_start=draw(st.sampled_from([None, 1999, 2004])),
                ids=tuple(draw(st.lists(st.sampled_from(IDS), max_size=2))),
            )
            for universal_id in own
        ]
    return found


def slowly(found: dict[str, list[Performer]]) -> list[dict[str, object]]:
    """The people, by merging whatever shares an id until nothing does."""
    groups: list[list[tuple[str, Performer]]] = [[(s, p)] for s, own in found.items() for p in own]
    merged = True
    while merged:
        merged = False
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                if {i for _, p in groups[a] for i in p.ids} & {i for _, p in groups[b] for i in p.ids}:
                    groups[a] += groups.pop(b)
                    merged = True
                    break
            if merged:
                break
    order = domain_order(map(domain_of, IDS))
    people = []
    for group in groups:
        ranked = sorted(
            group,
            key=lambda e: (order.index(domain_of(e[1].universal_id)), e[1].universal_id, e[0][:8] == "release:", e[0]),
        )
        members = [p for _, p in ranked]
        others = [n for p in members for n in (p.name, *p.aliases) if n != members[0].name]
        people.append(
            {
                "universal_id": members[0].universal_id,
                "name": members[0].name,
                "aliases": list(dict.fromkeys(others)),
                "country": next((p.country for p in members if p.country), None),
                "career_start": next((p.career_start for p in members if p.career_start), None),
                "ids": sorted({i for p in members for i in p.ids}),
            }
        )
    return sorted(people, key=lambda p: str(p["universal_id"]))


@settings(deadline=None, max_examples=60)
@given(shards(), st.randoms(use_true_random=False))
def test_people_are_what_a_slow_reading_of_the_rules_gives(found, chance):
    expected = slowly(found)
    mixed = [(source, chance.sample(own, len(own))) for source, own in found.items()]
    chance.shuffle(mixed)
    people = combine({source: performer_table(own) for source, own in mixed})
    rows = people.table.select(["universal_id", "name", "aliases", "country", "career_start", "ids"]).to_pylist()
    assert rows == expected
    members = people.members.to_pylist()
    assert sorted((m["source"], m["universal_id"]) for m in members) == sorted(
        (source, p.universal_id) for source, own in found.items() for p in own
    )
    for member in members:
        assert member["universal_id"] in rows[member["row"]]["ids"]
    for source, own in mixed:
        assert all(p.universal_id in rows[r]["ids"] for r, p in zip(people.rows_of(source), own, strict=True))


@settings(deadline=None, max_examples=25)
@given(shards(), st.sets(st.sampled_from(IDS), max_size=3))
def test_people_who_are_taken_out_leave_the_others_as_they_are(found, wanted):
    people = combine({source: performer_table(own) for source, own in found.items()})
    gone = having(people.table, wanted)
    assert gone.tolist() == [bool(wanted & set(p["ids"])) for p in people.table.to_pylist()]
    kept = people.without(gone)
    assert kept.table.to_pylist() == [p for p, g in zip(people.table.to_pylist(), gone, strict=True) if not g]
    for member in kept.members.to_pylist():
        assert member["universal_id"] in kept.table["ids"][member["row"]].as_py()


def test_links_are_followed_over_entries_that_share_nothing_themselves():
    first = performer_table([Performer("stashdb.org:1", "Ann", ids=("theporndb.net:1",))])
    second = performer_table([Performer("local:ann", "Annie", ids=("stash:7",))])
    third = performer_table([Performer("stash:7", "A.", ids=("theporndb.net:1",))])
    assert len(combine({"a": first, "b": second})) == 2
    (person,) = combine({"b": second, "c": third, "a": first}).table.to_pylist()
    assert (person["universal_id"], person["name"], person["aliases"]) == ("stashdb.org:1", "Ann", ["A.", "Annie"])
    assert person["ids"] == ["local:ann", "stash:7", "stashdb.org:1", "theporndb.net:1"]


def test_the_same_entry_of_a_release_and_of_a_box_is_shown_as_the_box_has_it():
    release = performer_table([Performer("stashdb.org:1", "Old", country="NL")])
    built = performer_table([Performer("stashdb.org:1", "New")])
    (person,) = combine({"release:a": release, "stashdb.org": built}).table.to_pylist()
    assert (person["name"], person["aliases"], person["country"]) == ("New", ["Old"], "NL")


def test_nobody_is_nobody():
    people = combine({"folder": PERFORMER_SCHEMA.empty_table()})
    assert (len(people), len(people.members), len(combine({}))) == (0, 0, 0)


@pytest.mark.slow
def test_a_quarter_million_performers_are_combined_in_seconds():
    chance = random.Random(0)

    def table(domain: str, count: int, others: list[str]) -> pa.Table:
        own = [f"{domain}:{uuid.UUID(int=chance.getrandbits(128))}" for _ in range(count)]
        columns = {name: [None] * count for name in PERFORMER_SCHEMA.names}
        known = {"universal_id": own, "name": own, "aliases": [[]] * count}
        links = [[i, *others[n : n + 1]] for n, i in enumerate(own)]
        return pa.table(columns | known | {"ids": links}, schema=PERFORMER_SCHEMA)

    box = table("stashdb.org", 150_000, [])
    other = table("theporndb.net", 100_000, box["universal_id"].to_pylist()[:60_000])
    people = combine({"a": box, "b": other})
    assert len(people) == 190_000
    assert np.bincount(people.members["row"].to_numpy()).tolist().count(2) == 60_000


def test_domains_are_ordered_and_sources_have_folder_names():
    assert domain_order(["local", "zzz.example", "theporndb.net", "stash", "aaa.example", "stashdb.org", "stash"]) == [
        "stashdb.org",
        "theporndb.net",
        "aaa.example",
        "zzz.example",
        "stash",
        "local",
    ]
    assert source_folder("release:stash-sense2") == "release@stash-sense2"
    for bad in ("", "..", "a/b", "Folder", ".hidden", "a@b"):
        with pytest.raises(InputError):
            source_folder(bad)
