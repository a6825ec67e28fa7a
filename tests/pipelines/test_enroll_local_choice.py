"""Which places are believed: rules over invented people, whose faces score what they are told to."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.enroll.local_choice import GATES, MOST_FACES, choose
from pipelines.enroll.local_known import KnownPeople
from pipelines.enroll.local_people import LocalPerformer
from pipelines.enroll.local_pictures import Picture
from pipelines.enroll.local_places import Judged, Place
from pipelines.enroll.report import GateReport
from tests.fakes.people import PACK, People, face

PEOPLE = People(6)


def place(number: int, performer_id: str, person: int, faces: int = 2) -> tuple[Place, Judged]:
    templates = np.stack([PEOPLE.template(person, 0.3) for _ in range(faces)]).astype(np.float16)
    ones = np.ones(faces, np.float32)
    sources = tuple(f"scene/{number}@{n}" for n in range(faces))
    judged = Judged("s", "", "", sources, 0.8 * ones, 0 * ones, 0.9 * ones, templates)
    return Place("scene", str(number), performer_id), judged


def chosen(pictures: dict[str, int], own: dict[str, int], places: list[tuple[str, int]]):
    """Returns the scenes that are enrolled and the report; people are numbers, scenes are numbered in order."""
    ids = {*pictures, *own, *(i for i, _ in places)}
    performers = {i: LocalPerformer(i, "2024", f"P{i}") for i in ids}
    known = KnownPeople(PACK)
    known.own = {i: PEOPLE.centres[person] for i, person in own.items()}
    seen = {i: Picture("sha", "", "", 500, (face(PEOPLE.template(p, 0.3)),)) for i, p in pictures.items()}
    report = GateReport()
    listed = [place(n, i, person) for n, (i, person) in enumerate(places)]
    found = choose(performers, seen, listed, known, GATES, report, {})
    sources = [] if found.faces is None else found.faces["source"].to_pylist()
    return {int(s.split("/")[1].split("@")[0]) for s in sources if s.startswith("scene")}, report.counts, found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=7), st.sampled_from([None, 0, 1]), st.booleans())
def test_places_of_one_performer(people: list[int], anchor: int | None, by_picture: bool):
    pictures = {"1": anchor} if anchor is not None and by_picture else {}
    own = {"1": anchor} if anchor is not None and not by_picture else {}
    kept, counts, _ = chosen(pictures, own, [("1", person) for person in people])
    ranked = Counter(people).most_common()
    if anchor is not None:
        expected = {n for n, person in enumerate(people) if person == anchor}
    elif len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        expected = set()
    else:
        expected = {n for n, person in enumerate(people) if person == ranked[0][0]}
    assert kept == expected
    assert counts.get("enrolled", 0) == len(expected) + len(pictures)
    undecided = anchor is None and not expected
    assert counts.get("undecided" if undecided else "outlier", 0) == len(people) - len(expected)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("123"), st.integers(0, 3)), min_size=1, max_size=8))
def test_nobody_gets_the_face_of_somebody_whose_picture_is_known(places: list[tuple[str, int]]):
    """The pictures of 7 and 8 show the people 0 and 1; of 1, 2 and 3 only scenes are known."""
    kept, counts, found = chosen({"7": 0, "8": 1}, {}, places)
    for number in kept:
        assert places[number][1] not in {0, 1}
    assert counts.get("other_person", 0) == sum(person in {0, 1} for _, person in places)
    faces: dict[int, set[str]] = {}
    for number in kept:
        faces.setdefault(places[number][1], set()).add(places[number][0])
    assert all(len(owners) == 1 for owners in faces.values())
    assert {p.universal_id for p in found.performers} >= {"stash:7", "stash:8"}


def test_twenty_faces_at_most_from_as_many_places_as_there_are():
    places = [("1", 0)] * 30
    kept, counts, found = chosen({"1": 0}, {}, places)
    assert len(found.faces) == MOST_FACES
    assert len(kept) == MOST_FACES - 1
    assert found.faces["source"][0].as_py() == "performer/1/image"
    assert counts == {"enrolled": MOST_FACES, "surplus": 30 - (MOST_FACES - 1)}


def test_a_picture_and_what_others_know_must_agree():
    kept, counts, found = chosen({"1": 2}, {"1": 0}, [("1", 0), ("1", 2)])
    assert (kept, counts) == ({0}, {"outlier": 2, "enrolled": 1})
    assert [p.universal_id for p in found.performers] == ["stash:1"]


def test_the_same_person_under_two_unlinked_performers_keeps_both_pictures():
    kept, counts, found = chosen({"1": 0, "2": 0}, {}, [])
    assert (kept, counts, len(found.performers)) == (set(), {"enrolled": 2}, 2)
