"""People who are seen and not tagged: real clips, real templates, a fake Stash."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from pipelines.analyzers.household import Household
from pipelines.analyzers.seen_people import (
    CLEAR_CONFIDENCE,
    CLEAR_FRAMES,
    WELL_SCANNED_FRAMES,
    missing_people,
    never_seen,
)
from pipelines.analyzers.unidentified_scene import UnidentifiedScene
from pipelines.faces.gallery import PERFORMER_SCHEMA, performer_table
from pipelines.faces.gallery import Performer as Person
from pipelines.stash.records import Performer, PerformerRef, Scene, StashId
from pipelines.store.matches import ContentMatch, ContentPerson, MatchCandidate, MatchStamp
from pipelines.store.rejections import RejectionStore
from pipelines.store.sql import open_store
from tests.analyzers.people_home import PeopleHome
from tests.fakes.stash import FANSDB, STASHDB
from tests.fakes.stash import StashId as BoxId

SIGNER_A, SIGNER_B, BOTH = "real/asl_again.mkv", "real/asl_bird.mkv", "real/head_pose_female_and_male.mp4"


def test_a_person_without_a_tag_is_found_until_tagged_and_again_when_the_tag_goes(people_home: PeopleHome):
    home = people_home
    ann = home.performer("ann", "signer_a/01.jpg", boxes=[STASHDB, FANSDB])
    bea = home.performer("bea", "signer_b/01.jpg", boxes=[STASHDB])
    scene, tagged = home.scene(SIGNER_A), home.scene(SIGNER_B, bea)
    home.matched()
    (found,) = home.looked(UnidentifiedScene)
    assert (found.target_type, found.target_id) == ("scene", scene)
    (person,) = found.details["people"]
    assert (person["performer_id"], person["name"]) == (ann, "ann")
    assert person["universal_id"] == f"stash:{ann}"
    assert person["frames"] >= CLEAR_FRAMES
    assert person["confidence"] >= CLEAR_CONFIDENCE
    assert found.confidence == pytest.approx(100 * person["confidence"], abs=0.1)
    assert all(0 <= start < end for start, end in person["ranges"])
    assert person["best"]["box"]["width"] > 20
    assert person["best"]["file_fingerprint"] == f"md5:{scene}"
    assert found.details["actions"] == {
        "tag_performers": {"entity": "scene", "entity_id": scene, "performer_ids": [ann]}
    }
    assert found.summary.startswith("ann is seen in ")
    assert tagged != scene

    home.tag(scene, ann)
    assert home.looked(UnidentifiedScene) == []
    (closed,) = home.found(UnidentifiedScene, "closed")
    assert (closed.id, closed.reason) == (found.id, UnidentifiedScene.closing)
    home.tag(scene)
    assert [one.id for one in home.looked(UnidentifiedScene)] == [found.id]


def test_who_was_rejected_never_comes_again(people_home: PeopleHome):
    home = people_home
    ann = home.performer("ann", "signer_a/01.jpg", boxes=[STASHDB])
    scene = home.scene(SIGNER_A)
    home.matched()
    assert len(home.looked(UnidentifiedScene)) == 1
    store = open_store(home.settings.store_url)
    rejections = RejectionStore(store)
    rejections.add("scene", scene, f"stash:{ann}")
    assert home.looked(UnidentifiedScene) == []
    home.touch("scene", scene)
    assert home.looked(UnidentifiedScene, full=True) == []
    rejections.remove("scene", scene, f"stash:{ann}")
    assert len(home.looked(UnidentifiedScene)) == 1
    store.close()


def test_a_performer_of_the_database_alone_is_offered_for_creation(people_home: PeopleHome):
    """Nobody in Stash has the id; once somebody has, the scene is looked at again and tagging is offered."""
    home = people_home
    home.enrol_box({Person(ANN, "Ann Berg"): "signer_a/01.jpg"})
    scene = home.scene(SIGNER_A)
    home.matched()
    (found,) = home.looked(UnidentifiedScene)
    assert found.details["people"][0]["performer_id"] is None
    assert found.details["actions"] == {
        "create_performer": {"universal_id": "stashdb.org:ann", "tag": {"entity": "scene", "entity_id": scene}}
    }
    row = home.stash.library.add("performer", name="Ann", stash_ids=(BoxId(STASHDB, "ann"),))
    (again,) = home.looked(UnidentifiedScene)
    assert again.id == found.id
    assert again.details["actions"] == {
        "tag_performers": {"entity": "scene", "entity_id": scene, "performer_ids": [str(row.id)]}
    }


def test_people_of_one_scene_are_findings_of_their_own(people_home: PeopleHome):
    home = people_home
    her = home.performer("Her", "headpose_female/01.jpg")
    him = home.performer("Him", "headpose_male/01.jpg")
    scene = home.scene(BOTH)
    home.matched()
    found = home.looked(UnidentifiedScene)
    assert {one.details["people"][0]["performer_id"] for one in found} == {her, him}
    assert {one.target_id for one in found} == {scene}
    home.tag(scene, her)
    (left,) = home.looked(UnidentifiedScene)
    assert left.details["people"][0]["performer_id"] == him
    assert left.id in {one.id for one in found}


def test_scenes_are_asked_for_together_and_unchanged_ones_not_at_all(people_home: PeopleHome):
    home = people_home
    home.performer("Ann", "signer_a/01.jpg")
    scenes = [home.scene(SIGNER_A) for _ in range(12)]
    home.matched()
    home.stash.requests.clear()
    assert {one.target_id for one in home.looked(UnidentifiedScene)} == set(scenes)
    asked = [name for one in home.stash.requests for name in one.fields if name == "findScenes"]
    assert len(asked) <= 4
    assert all(
        not name.startswith("findScene") or name == "findScenes" for r in home.stash.requests for name in r.fields
    )
    home.analyze(UnidentifiedScene)  # what Stash wrote in the second before the first look is read once more
    report = home.analyze(UnidentifiedScene)
    assert report.findings.new == 0


# --- the judgement of one scene

ANN, ANN_ELSEWHERE, BEA = "stashdb.org:ann", "fansdb.cc:ann", "stashdb.org:bea"
PEOPLE = performer_table(
    [
        Person(ANN, "Ann Berg", ("Annie",), ids=(ANN_ELSEWHERE,)),
        Person(BEA, "Bea Dahl"),
        Person("stash:7", "Cleo"),
    ]
)


def links(*ids: str) -> tuple[StashId, ...]:
    return tuple(StashId(f"https://{one.split(':')[0]}/graphql", one.split(":")[1]) for one in ids)


def performer(own: str, name: str, *ids: str, **more: Any) -> Performer:
    return Performer(own, name, stash_ids=links(*ids), **more)


def household(*performers: Performer, people: pa.Table = PEOPLE, excluded: frozenset[str] = frozenset()) -> Household:
    return Household({p.id: p for p in performers}, people, excluded)


def seen(universal_id: str | None, confidence: float = 0.99, frames: int = 30, **more: Any) -> ContentPerson:
    named = universal_id is not None
    person = ContentPerson(
        universal_id,
        universal_id,
        frames,
        frames,
        frames / 60,
        confidence if named else None,
        0.3 if named else None,
        ((1.0, 9.0),),
        (),
        4.0,
        (1.0, 2.0, 50.0, 60.0),
    )
    return replace(person, **more)


def match(*people: ContentPerson, frames: int = 60, status: str = "ok") -> ContentMatch:
    now = datetime.now(UTC)
    return ContentMatch("scene", "1", MatchStamp("md5:1", "r", now, "v", "o"), status, 9, frames, 60.0, people, now)


def scene(*tagged: Performer) -> Scene:
    return Scene("1", "A scene", performers=tuple(PerformerRef(p.id, p.name, p.stash_ids) for p in tagged))


def missing(own: Scene, of: ContentMatch, known: Household, rejected: tuple[str, ...] = ()) -> list[str]:
    return [one.universal_id for one in missing_people(own, of, known, rejected)]


def test_clear_means_sure_and_in_several_frames():
    known = household()
    assert missing(scene(), match(seen(ANN), seen(None)), known) == [ANN]
    assert missing(scene(), match(seen(ANN, CLEAR_CONFIDENCE - 0.001)), known) == []
    assert missing(scene(), match(seen(ANN, frames=CLEAR_FRAMES - 1)), known) == []
    assert missing(scene(), match(seen(BEA, 0.95), seen(ANN, 0.97)), known) == [ANN, BEA]


@pytest.mark.parametrize("ids", [(ANN,), (ANN_ELSEWHERE,), ("other.org:x", ANN_ELSEWHERE)])
def test_any_id_of_a_person_counts_as_tagged(ids: tuple[str, ...]):
    ann = performer("1", "Somebody", *ids)
    assert missing(scene(ann), match(seen(ANN)), household(ann)) == []
    (found,) = missing_people(scene(), match(seen(ANN)), household(ann))
    assert found.performer == ann


def test_a_performer_enrolled_from_stash_counts_as_tagged():
    cleo = performer("7", "Cleo")
    assert missing(scene(cleo), match(seen("stash:7")), household(cleo)) == []
    (found,) = missing_people(scene(), match(seen("stash:7")), household(cleo))
    assert found.performer == cleo


def test_a_tagged_namesake_without_a_link_is_the_same_person_unless_told_apart():
    plain = performer("1", "ANNIE")
    assert missing(scene(plain), match(seen(ANN)), household(plain)) == []
    linked = performer("2", "Ann Berg", ANN)
    assert missing(scene(plain), match(seen(ANN)), household(plain, linked)) == [ANN]
    people = performer_table([Person(ANN, "Ann Berg", disambiguation="1990")])
    other = performer("1", "Ann Berg", disambiguation="1960")
    assert missing(scene(other), match(seen(ANN)), household(other, people=people)) == [ANN]


def test_rejected_and_excluded_people_are_left_out_by_any_id():
    assert missing(scene(), match(seen(ANN)), household(), rejected=(ANN_ELSEWHERE,)) == []
    assert missing(scene(), match(seen(ANN)), household(), rejected=(BEA,)) == [ANN]
    assert missing(scene(), match(seen(ANN)), household(excluded=frozenset({ANN_ELSEWHERE}))) == []


def test_of_duplicate_performers_the_one_with_most_scenes_is_tagged():
    one, two = performer("1", "Ann", ANN, scene_count=3), performer("2", "Ann", ANN_ELSEWHERE, scene_count=30)
    (found,) = missing_people(scene(), match(seen(ANN)), household(one, two))
    assert (found.performer, found.others) == (two, (one,))


def test_never_seen_are_tagged_people_whose_face_is_known():
    ann, bea, nobody = performer("1", "Ann", ANN), performer("2", "Bea", BEA), performer("3", "Nobody")
    known = household(ann, bea, nobody)

    def unseen(of: ContentMatch) -> list[str]:
        return [one.id for one in never_seen(scene(ann, bea, nobody), of, known)]

    assert unseen(match(seen(ANN))) == ["2"]
    perhaps = seen(None, candidates=(MatchCandidate(BEA, "Bea", 0.7, 0.2),))
    assert unseen(match(seen(ANN), perhaps)) == []
    assert unseen(match(seen(ANN), frames=WELL_SCANNED_FRAMES - 1)) == []
    assert unseen(match(seen(ANN), status="partial")) == []
    assert unseen(match(seen(ANN_ELSEWHERE))) == ["2"]


def test_without_a_database_ids_stand_for_themselves():
    ann = performer("1", "Ann", ANN)
    known = household(ann, people=PERFORMER_SCHEMA.empty_table())
    assert missing(scene(ann), match(seen(ANN)), known) == []
    assert missing(scene(), match(seen(BEA)), known) == [BEA]
