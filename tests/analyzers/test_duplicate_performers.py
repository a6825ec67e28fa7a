"""Performers who are one person: real faces for those with pictures, a fake Stash for all."""

from __future__ import annotations

import pytest

from pipelines.analyzers.duplicate_performers import DuplicatePerformers
from pipelines.analyzers.household import Household
from pipelines.analyzers.names import agreement
from pipelines.analyzers.performer_pairs import (
    OTHER_FACE_MOST,
    SAME_LINK,
    SAME_PERSON,
    PerformerPair,
    keeper_reasons,
    performer_pairs,
)
from pipelines.faces.gallery import Performer as Person
from pipelines.faces.gallery import performer_table
from pipelines.stash.records import Performer, StashId
from tests.analyzers.people_home import PeopleHome
from tests.fakes.stash import FANSDB, STASHDB
from tests.fakes.stash import StashId as BoxId

ANN, FANS_ANN = StashId(STASHDB, "ann"), StashId(FANSDB, "ann")


def test_a_face_and_a_similar_name_make_a_pair_and_a_name_alone_does_not(people_home: PeopleHome):
    home = people_home
    ann = home.performer("Ann Berg", "signer_a/01.jpg")
    again = home.performer("Anne Berg", "signer_a/02.jpg")
    home.performer("Zelda Quist", "signer_a/03.jpg")  # her face under a name of its own
    home.performer("Ann Berg", "signer_b/01.jpg", disambiguation="the other")  # her name on another face
    home.performer("Ann Berg", disambiguation="without a picture")
    scenes = [home.scene("real/asl_again.mkv", again) for _ in range(2)]
    home.matched()
    (found,) = home.looked(DuplicatePerformers)
    assert found.target_id == f"{ann}:{again}"
    assert found.confidence > 80
    assert found.details["face_similarity"] > 0.5
    assert found.details["keeper"]["id"] == again
    assert found.details["actions"] == {"merge_performers": {"destination_id": again, "source_ids": [ann]}}
    assert len(scenes) == 2
    with home.stash.library.lock:
        home.stash.library.performers[int(again)].name = "Vera Moss"
    home.touch("performer", again)
    assert home.looked(DuplicatePerformers) == []


def test_links_make_pairs_without_faces_and_a_merged_one_closes(people_home: PeopleHome):
    home = people_home
    one, two, three = (
        str(home.stash.library.add("performer", name=name, stash_ids=(BoxId(box, "ann"),)).id)
        for name, box in (("Ann", STASHDB), ("Somebody", STASHDB), ("Nobody", FANSDB))
    )
    found = {r.target_id: r.confidence for r in home.looked(DuplicatePerformers)}
    assert found == {f"{one}:{two}": SAME_LINK}
    home.enrol_box({Person("stashdb.org:ann", "Ann", ids=("fansdb.cc:ann",)): "signer_a/01.jpg"})
    found = {r.target_id: r.confidence for r in home.looked(DuplicatePerformers)}
    assert found == {f"{one}:{two}": SAME_LINK, f"{two}:{three}": SAME_PERSON}
    with home.stash.library.lock:
        home.stash.library.performers.remove(int(three))
    assert {r.target_id for r in home.looked(DuplicatePerformers, full=True)} == {f"{one}:{two}"}


def household(*performers: Performer, people: tuple[Person, ...] = ()) -> Household:
    return Household({p.id: p for p in performers}, performer_table(people))


def test_of_many_with_one_link_each_is_a_pair_with_the_next():
    performers = [Performer(str(n), "Ann", stash_ids=(ANN,)) for n in range(1, 101)]
    found = performer_pairs(household(*performers), None)
    assert [(p.keeper.id, p.other.id) for p in found] == [(str(n), str(n + 1)) for n in range(1, 100)]


def test_the_keeper_has_most_to_lose():
    rich = Performer("2", "Ann", scene_count=9, stash_ids=(ANN, FANS_ANN), image_url="/p?x", favorite=True)
    poor = Performer("1", "Ann", scene_count=2, stash_ids=(ANN,))
    (pair,) = performer_pairs(household(poor, rich), None)
    assert (pair.keeper.id, pair.other.id) == ("2", "1")
    assert len(keeper_reasons(rich, poor)) == 4
    twin = Performer("3", "Ann", scene_count=2, stash_ids=(ANN,))
    (pair,) = performer_pairs(household(poor, twin), None)
    assert (pair.keeper.id, keeper_reasons(poor, twin)) == ("1", ["was there first"])


@pytest.mark.parametrize(
    ("link", "score", "other_name", "least", "most"),
    [
        (ANN, 0.9, "Zoe", SAME_LINK, SAME_LINK),
        (ANN, 0.0, "Ann", OTHER_FACE_MOST, OTHER_FACE_MOST),
        (None, 0.9, "Ann", 95, 98),
        (None, 0.9, "Zoe", 0, 0),
    ],
)
def test_confidence(link: StashId | None, score: float, other_name: str, least: float, most: float):
    one, two = Performer("1", "Ann"), Performer("2", other_name)
    named = agreement(*(_called(p) for p in (one, two)))
    pair = PerformerPair(one, two, link, None, score, 0.99 if score > 0.5 else 0.0, named)
    assert least <= pair.confidence <= most
    assert len(pair.reasons()) >= 1


def test_namesakes_told_apart_are_no_sure_thing():
    one, two = Performer("1", "Ann", disambiguation="I"), Performer("2", "Ann", disambiguation="II")
    pair = PerformerPair(one, two, None, None, 0.8, 0.99, agreement(*(_called(p) for p in (one, two))))
    assert pair.confidence < 60
    assert "disambiguations differ" in pair.reasons()[-1]


def _called(performer: Performer):
    from pipelines.analyzers.household import called

    return called(performer)
