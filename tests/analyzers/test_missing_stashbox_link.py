"""Links that performers lack: by ids, faces, scenes and names; real faces where faces decide."""

from __future__ import annotations

import pytest

from pipelines.analyzers.box_links import (
    FACE_AND_SCENES,
    HIGHEST,
    OTHER_ENTRY,
    SCENES,
    SHARED_ID,
    MissingLink,
    SeenTogether,
    missing_links,
)
from pipelines.analyzers.household import Household
from pipelines.analyzers.missing_stashbox_link import MissingStashboxLink
from pipelines.faces.gallery import Performer as Person
from pipelines.faces.gallery import performer_table
from pipelines.stash.records import Performer, StashId
from tests.analyzers.people_home import PeopleHome
from tests.fakes.stash import FANSDB, STASHDB
from tests.fakes.stash import StashId as BoxId

ENDPOINTS = {"stashdb.org": STASHDB, "fansdb.cc": FANSDB}
ANN = Person("stashdb.org:ann", "Ann Berg", ("Annie",), ids=("fansdb.cc:ann2", "unknown.example:9"))
BEA = Person("stashdb.org:bea", "Bea Dahl")
NOTHING = SeenTogether({})


def household(*performers: Performer, excluded: frozenset[str] = frozenset()) -> Household:
    return Household({p.id: p for p in performers}, performer_table([ANN, BEA]), excluded)


def linked(own: str, name: str, *links: tuple[str, str]) -> Performer:
    return Performer(own, name, stash_ids=tuple(StashId(*one) for one in links))


def links(known: Household, together: SeenTogether = NOTHING) -> list[MissingLink]:
    return list(missing_links(known, ENDPOINTS, None, together))


def together(known: Household, scenes: dict[str, tuple[list[str], list[str]]]) -> SeenTogether:
    """Scenes as id to (tagged performers, people seen)."""
    named = [(scene, one, 0.99, 20) for scene, (_, people) in scenes.items() for one in people]
    return SeenTogether.of(named, {scene: tagged for scene, (tagged, _) in scenes.items()}, known)


def test_a_face_finds_the_entry_and_linking_closes_it(people_home: PeopleHome):
    home = people_home
    home.enrol_box({ANN: "signer_a/01.jpg", BEA: "signer_b/01.jpg"})
    ann = home.performer("annie", "signer_a/02.jpg")
    home.performer("Carla", "headpose_female/01.jpg")
    home.matched()
    found = home.looked(MissingStashboxLink)
    assert {(r.target_id, r.details["universal_id"]) for r in found} == {
        (ann, "stashdb.org:ann"),
        (ann, "fansdb.cc:ann2"),
    }
    one = next(r for r in found if r.details["universal_id"] == "stashdb.org:ann")
    assert one.confidence > 90
    assert one.details["face_similarity"] > 0.5
    assert one.details["actions"] == {
        "link_stash_id": {"entity": "performer", "entity_id": ann, "endpoint": STASHDB, "stash_id": "ann"}
    }
    with home.stash.library.lock:
        home.stash.library.performers[int(ann)].stash_ids = (BoxId(STASHDB, "ann"),)
    home.touch("performer", ann)
    (left,) = home.looked(MissingStashboxLink)
    assert (left.details["universal_id"], left.confidence) == ("fansdb.cc:ann2", SHARED_ID)
    on = home.settings
    home.settings = on.model_copy(update={"stashbox_off": (FANSDB,)})
    assert home.looked(MissingStashboxLink) == []
    home.settings = on
    assert [one.id for one in home.looked(MissingStashboxLink)] == [left.id]


def test_nobody_enrolled_is_no_error(people_home: PeopleHome):
    people_home.performer("Ann")
    assert people_home.looked(MissingStashboxLink) == []


def test_an_id_in_common_names_the_others_at_known_boxes():
    (found,) = links(household(linked("1", "Whoever", (STASHDB, "ann"))))
    assert (found.endpoint, found.stash_id, found.confidence) == (FANSDB, "ann2", SHARED_ID)


def test_another_entry_of_the_same_box_is_stated():
    (found,) = links(household(linked("1", "Ann", (STASHDB, "ann"), (FANSDB, "other"))))
    assert found.others == ("other",)
    assert found.confidence == pytest.approx(SHARED_ID * OTHER_ENTRY, abs=0.1)
    assert "another entry" in found.reasons()[-1]


def test_entries_of_other_performers_and_of_excluded_people_are_left_out():
    both = household(linked("1", "Ann", (STASHDB, "ann")), linked("2", "Ann", (FANSDB, "ann2")))
    assert links(both) == []
    assert links(household(linked("1", "Ann", (STASHDB, "ann")), excluded=frozenset({"fansdb.cc:ann2"}))) == []


def test_a_name_alone_says_nothing_and_raises_what_scenes_say():
    known = household(linked("1", "Bea Dahl"), linked("2", "Somebody"))
    assert links(known) == []
    scenes = {
        str(n): ([one], ["stashdb.org:bea"]) for one, start in (("1", 0), ("2", 10)) for n in range(start, start + 3)
    }
    by_performer = {one.performer.id: one for one in links(known, together(known, scenes))}
    assert by_performer["2"].confidence == SCENES
    assert by_performer["1"].confidence == min(HIGHEST, SCENES + 10)
    assert by_performer["1"].scene_ids == ("0", "1", "2")
    assert SCENES < FACE_AND_SCENES < HIGHEST


def test_scenes_count_only_where_the_performer_is_not_seen_herself():
    known = household(linked("1", "Ann", (STASHDB, "ann"), (FANSDB, "ann2")))
    partner = {str(n): (["1"], ["stashdb.org:ann", "stashdb.org:bea"]) for n in range(6)}
    assert links(known, together(known, partner)) == []
    few = {str(n): (["1"], ["stashdb.org:bea"]) for n in range(2)}
    assert links(known, together(known, few)) == []
    rare = {str(n): (["1"], ["stashdb.org:bea"] if n < 3 else ["stashdb.org:ann"]) for n in range(10)}
    assert links(known, together(known, rare)) == []
