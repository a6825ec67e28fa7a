"""Unknown people in several scenes: real clips and templates, and the names of groups from run to run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.analyzers.unknown_faces import UnknownFace, groups_in_scenes, kept_names, stable_names
from pipelines.analyzers.unknown_people import UnknownPeople
from pipelines.settings import Settings
from pipelines.store.matches import ContentPerson
from tests.analyzers.people_home import PeopleHome

HERS = ("real/asl_again.mkv", "derived/signers_mix1__vp9.webm", "derived/signers_mix1__360p_low.mp4")
SOMEBODY_ELSE = "real/asl_bird.mkv"  # in the same room, alike by 0.40


def test_a_face_in_three_scenes_is_one_person_until_named(people_home: PeopleHome):
    home = people_home
    home.performer("Somebody", "headpose_male/01.jpg")
    first = [home.scene(video) for video in HERS[:2]]
    home.scene(SOMEBODY_ELSE)
    home.matched()
    assert home.looked(UnknownPeople) == []
    third = home.scene(HERS[2])
    home.matched()
    found = home.looked(UnknownPeople)
    scenes = {r.target_id: {s["id"] for s in r.details["scenes"]} for r in found}
    (hers,) = [r for r in found if scenes[r.target_id] == {*first, third}]
    assert hers.target_type == "person"
    assert hers.confidence > 50
    assert len(hers.details["best"]) == 3
    assert all(face["file_fingerprint"] == f"md5:{face['scene_id']}" for face in hers.details["best"])
    assert hers.details["near"][0]["name"] == "Somebody"
    assert {tag["entity_id"] for tag in hers.details["actions"]["create_performer"]["tag"]} == {*first, third}

    fourth = home.scene(HERS[0])
    home.matched()
    (again,) = [r for r in home.looked(UnknownPeople) if r.target_id == hers.target_id]
    assert again.id == hers.id
    assert {s["id"] for s in again.details["scenes"]} == {*first, third, fourth}

    ann = home.performer("Ann", "signer_a/01.jpg")
    home.matched()
    assert ann
    assert hers.id not in {r.id for r in home.looked(UnknownPeople)}
    closed = {r.id: r.reason for r in home.found(UnknownPeople, "closed")}
    assert closed[hers.id] == UnknownPeople.closing


def test_nobody_enrolled_is_no_error(people_home: PeopleHome):
    people_home.scene(HERS[0])
    assert people_home.looked(UnknownPeople) == []


def test_several_scenes_are_different_scenes():
    assert groups_in_scenes([0, 0, 0, 1, 1, 1, 2], ["a", "a", "b", "a", "b", "c", "d"], 3) == [[3, 4, 5]]


def face(scene: int, time_s: float = 1.0) -> UnknownFace:
    person = ContentPerson(None, None, 5, 5, 0.5, None, None, (), (), time_s, (1.0, 2.0, 3.0, 4.0))
    return UnknownFace(str(scene), f"md5:{scene}", person)


def test_names_survive_new_members_lost_members_and_new_scans(tmp_path):
    settings = Settings(data_dir=tmp_path)
    (one, two) = kept_names(settings, [[face(1), face(2), face(3)], [face(4), face(5), face(6)]])
    assert one != two
    assert kept_names(settings, [[face(n) for n in (4, 5, 6, 7)], [face(n) for n in (2, 3, 8, 9)]]) == [two, one]
    assert kept_names(settings, []) == []
    rescanned = [[face(n, time_s=7.5) for n in (2, 3, 8, 9)]]
    assert kept_names(settings, rescanned) == [one]
    larger, smaller = kept_names(settings, [[face(4), face(5), face(6)], [face(7)]])
    assert larger == two
    assert smaller not in {one, two}
    (settings.matches_path / "unknown" / "people.parquet").write_bytes(b"damaged")
    assert len(set(kept_names(settings, [[face(1)], [face(2)]]))) == 2


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True), max_size=6), st.integers(0, 5))
def test_no_two_groups_have_one_name(groups, people):
    faces = [[face(n, time_s=place) for n in group] for place, group in enumerate(groups)]
    known = {one.member: f"p{int(one.scene_id) % (people + 1)}" for group in faces for one in group}
    names = stable_names(known, {}, faces)
    assert len(set(names)) == len(names) == len(groups)
    assert stable_names(known, {}, faces) == names
