"""Each action, and its undo: the whole library before and after."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.actions import preview
from pipelines.actions.base import Plan
from pipelines.errors import InputError
from pipelines.stash.boxes import BoxChoice
from pipelines.stash.library import StashLibrary
from pipelines.store.sql import Store
from tests.actions.conftest import COVER, PORTRAIT, act, everything, run, take_back
from tests.fakes.stash import FANSDB, STASHDB, FakeStash


def test_a_merge_of_scenes_keeps_everything(stash: FakeStash, store: Store):
    record = act(stash, store, "merge_scenes", destination_id="1", source_ids=["2"])
    rows = stash.library
    assert (record.state, sorted(rows.scenes)) == ("done", [1, 3, 4])
    kept = rows.scenes[1]
    assert (kept.title, kept.code, kept.director, kept.date) == ("Harbour", "H-1", "Dora", "2014-05-01")
    assert (kept.rating100, kept.organized, kept.studio_id, kept.details) == (80, True, 1, "A harbour.")
    assert set(kept.performer_ids) == {1, 2, 3}
    assert set(kept.tag_ids) == {1, 2, 3}
    assert set(kept.gallery_ids) == {1, 2}
    assert set(kept.group_places) == {(1, 3), (2, 7)}
    assert {(s.endpoint, s.stash_id) for s in kept.stash_ids} == {(STASHDB, "s-1"), (STASHDB, "s-2"), (FANSDB, "f-2")}
    assert set(kept.urls) == {"https://one.example/1", "https://two.example/2"}
    assert (kept.file_ids, kept.cover, kept.custom_fields) == ((1, 2, 3), COVER, {"shelf": "B"})
    assert len(kept.play_history) == 3
    assert kept.o_history == ("2024-03-02T10:05:00Z",)
    assert kept.play_duration == pytest.approx(30.5)
    assert {m.scene_id for m in rows.markers.values()} == {1}
    assert {c["field"] for c in record.changes if c["destructive"]} == {"title", "studio_id", "exists"}


def test_a_merge_of_scenes_is_undone(stash: FakeStash, store: Store):
    stash.library.scenes[1].cover = b"\xff\xd8 own"
    before = everything(stash.library)
    record = take_back(stash, store, act(stash, store, "merge_scenes", destination_id="1", source_ids=["2"]).id)
    assert record.undo_report is not None
    assert (record.undo_state, record.undo_report["conflicts"], record.undo_report["lost"]) == ("undone", [], [])
    made = int(record.undo_made["scene:2"])
    assert everything(stash.library, {("scenes", made): 2}) == before


def test_a_merge_of_performers_and_its_undo(stash: FakeStash, store: Store):
    before = everything(stash.library)
    record = act(stash, store, "merge_performers", destination_id="1", source_ids=["2"])
    kept = stash.library.performers[1]
    assert 2 not in stash.library.performers
    assert set(kept.alias_list) == {"A. Abel", "Addie"}
    assert (kept.country, kept.height_cm, kept.favorite, kept.rating100) == ("DE", 170, True, 80)
    assert {s.stash_id for s in kept.stash_ids} == {"aaaa", "bbbb", "cccc"}
    assert (kept.custom_fields, kept.image) == ({"agency": "North"}, PORTRAIT)
    assert [set(stash.library.scenes[i].performer_ids) for i in (1, 2, 3, 4)] == [{1, 3}, {1, 3}, {1}, {1}]
    assert stash.library.images[2].performer_ids == (1,)

    undone = take_back(stash, store, record.id)
    assert undone.undo_state == "undone", undone.undo_report
    made = int(undone.undo_made["performer:2"])
    after = everything(stash.library, {("performers", made): 2})
    assert after["performers"][1].pop("image") == PORTRAIT  # Stash cannot take a picture away: the preview says so
    before["performers"][1].pop("image")
    assert after == before


@pytest.mark.parametrize("version", ["0.27", "0.30"])
def test_performers_are_merged_and_separated_by_older_versions(stash: FakeStash, store: Store, version: str):
    stash.knobs.version = version
    if version == "0.27":
        stash.library.performers[2].custom_fields = None
    stash.library.performers[1].image = b"\xff\xd8 own"
    before = everything(stash.library)
    record = act(stash, store, "merge_performers", destination_id="1", source_ids=["2"])
    assert 2 not in stash.library.performers
    undone = take_back(stash, store, record.id)
    made = int(undone.undo_made["performer:2"])
    assert everything(stash.library, {("performers", made): 2}) == before


def test_a_scene_is_deleted_and_made_again(stash: FakeStash, store: Store):
    before = everything(stash.library)
    record = act(stash, store, "delete_scene", scene_id="2", file_ids=["2", "3"])
    assert 2 not in stash.library.scenes
    assert 2 in stash.library.files
    undone = take_back(stash, store, record.id)
    made = int(undone.undo_made["scene:2"])
    marker = max(stash.library.markers)
    assert everything(stash.library, {("scenes", made): 2, ("markers", marker): 2}) == before


def test_deleted_files_are_said_to_be_gone(stash: FakeStash, store: Store):
    record = act(stash, store, "delete_scene_files", scene_id="2", keep_file_id="3", delete_file_ids=["2"])
    assert stash.library.scenes[2].file_ids == (3,)
    assert 2 not in stash.library.files
    assert not record.undoable
    assert "Cannot be undone: /data/film_2.mp4 is deleted" in record.not_undone[0]
    undone = take_back(stash, store, record.id)
    assert (undone.undo_state, undone.undo_report["restored"]) == ("partly", [])
    assert "Cannot be undone" in undone.undo_report["lost"][0]


def test_the_primary_file_is_chosen_and_chosen_back(stash: FakeStash, store: Store):
    before = everything(stash.library)
    record = act(stash, store, "set_primary_file", scene_id="2", file_id="3")
    assert stash.library.scenes[2].file_ids == (3, 2)
    assert take_back(stash, store, record.id).undo_state == "undone"
    assert everything(stash.library) == before


def test_a_link_is_added_beside_others_and_removed(stash: FakeStash, store: Store):
    before = everything(stash.library)
    record = act(stash, store, "link_stash_id", entity="performer", entity_id="1", endpoint=STASHDB, stash_id="another")
    assert [s.stash_id for s in stash.library.performers[1].stash_ids] == ["aaaa", "another"]
    take_back(stash, store, record.id)
    assert everything(stash.library) == before


@pytest.mark.parametrize(("entity", "entity_id"), [("scene", "1"), ("image", "1"), ("gallery", "2")])
def test_performers_are_tagged_and_untagged_everywhere(stash: FakeStash, store: Store, entity: str, entity_id: str):
    before = everything(stash.library)
    record = act(stash, store, "tag_performers", entity=entity, entity_id=entity_id, performer_ids=["4", "3"])
    row = stash.library.table(entity)[int(entity_id)]  # type: ignore[arg-type]
    assert {3, 4} <= set(row.performer_ids)
    take_back(stash, store, record.id)
    assert everything(stash.library) == before
    act(stash, store, "tag_performers", entity=entity, entity_id=entity_id, performer_ids=["4"])
    tagged = everything(stash.library)
    off = act(stash, store, "untag_performers", entity=entity, entity_id=entity_id, performer_ids=["4"])
    assert 4 not in row.performer_ids
    take_back(stash, store, off.id)
    assert everything(stash.library) == tagged


def test_one_naming_tags_many_places_and_one_undo_takes_it_back(stash: FakeStash, store: Store):
    before = everything(stash.library)
    kinds = {"scene": (1, 2, 3), "image": (1, 3), "gallery": (2,)}
    places = [{"entity": kind, "entity_id": str(one)} for kind, ids in kinds.items() for one in ids]
    record = act(stash, store, "tag_performers", places=places, performer_ids=["4"])
    assert record.title == "Tag Cleo Clark on 3 scenes, 2 images and 1 gallery."
    assert [len(stash.requests.named(f"bulk{kind}Update")) for kind in ("Scene", "Image", "Gallery")] == [1, 1, 1]
    rows = [stash.library.table(kind)[one] for kind, ids in kinds.items() for one in ids]  # type: ignore[arg-type]
    assert all(4 in row.performer_ids for row in rows)
    stash.library.scenes[2].performer_ids = (2, 3)  # somebody has taken it off meanwhile
    undone = take_back(stash, store, record.id)
    assert undone.undo_report is not None
    assert len(undone.undo_report["restored"]) == 5
    assert everything(stash.library) == before


def test_duplicate_images_give_what_they_know_to_the_kept_one(stash: FakeStash, store: Store):
    before = everything(stash.library)
    record = act(stash, store, "delete_images", keep_id="1", delete_ids=["2"])
    kept = stash.library.images[1]
    assert sorted(stash.library.images) == [1, 3]
    assert (set(kept.performer_ids), set(kept.tag_ids), kept.rating100, kept.date) == ({2, 3}, {1, 2}, 60, "2014-01-01")
    assert set(kept.gallery_ids) == {1, 2}  # 1 was made by hand; it is in the folder's one anyway

    undone = take_back(stash, store, record.id)
    assert undone.undo_state == "partly"
    assert "let Stash scan" in undone.undo_report["lost"][0]
    again = stash.library.add("image", file_ids=(7,), gallery_ids=(2,))  # as a scan of Stash does
    undone = take_back(stash, store, record.id)
    assert undone.undo_state == "undone", undone.undo_report
    assert everything(stash.library, {("images", again.id): 2}) == before


def test_links_are_made_only_to_boxes_that_are_used_and_in_their_order(stash: FakeStash):
    link = {"entity": "performer", "entity_id": "1", "endpoint": STASHDB, "stash_id": "another"}
    made = {"name": "Dora", "ids": ["stashdb.org:1", "fansdb.cc:2"]}

    async def planned(library: StashLibrary, choice: BoxChoice, action: str, params: dict[str, Any]) -> Plan:
        library.choice = choice
        return await preview(library, action, params)

    def links(choice: BoxChoice) -> list[str]:
        plan = run(stash, lambda library: planned(library, choice, "create_performer", made))
        return [link["endpoint"] for link in plan.steps[0]["values"]["stash_ids"]]

    assert links(BoxChoice()) == [STASHDB, FANSDB]
    assert links(BoxChoice(order=(FANSDB,))) == [FANSDB, STASHDB]
    off = BoxChoice(off=(STASHDB,))
    assert links(off) == [FANSDB]
    with pytest.raises(InputError, match="is switched off"):
        run(stash, lambda library: planned(library, off, "link_stash_id", link))
    assert run(stash, lambda library: planned(library, off, "link_stash_id", {**link, "endpoint": FANSDB})).changes


def test_a_performer_is_made_tagged_and_removed(stash: FakeStash, store: Store):
    before = everything(stash.library)
    params = {
        "universal_id": "stashdb.org:1234",
        "name": "Dora Dahl",
        "aliases": ["Dora", "dora dahl"],
        "birthdate": "1991-01-02",
        "ids": ["stashdb.org:1234", "fansdb.cc:9", "local:x"],
        "tag": [{"entity": "scene", "entity_id": "3"}, {"entity": "image", "entity_id": "3"}],
    }
    record = act(stash, store, "create_performer", **params)
    made = stash.library.performers[int(record.results[0]["id"])]
    assert (made.name, made.alias_list, made.birthdate) == ("Dora Dahl", ("Dora",), "1991-01-02")
    assert [(s.endpoint, s.stash_id) for s in made.stash_ids] == [(STASHDB, "1234"), (FANSDB, "9")]
    assert made.id in stash.library.scenes[3].performer_ids
    assert made.id in stash.library.images[3].performer_ids
    assert take_back(stash, store, record.id).undo_state == "undone"
    assert everything(stash.library) == before
