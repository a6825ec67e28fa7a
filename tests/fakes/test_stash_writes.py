"""Mutations: what they change, what they leave, what they refuse, and that a refused one changes nothing."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.fakes.conftest import Asker
from tests.fakes.stash import FANSDB, STASHDB, FakeStash, Library
from tests.fakes.stash.library import NIL_POINTER

SCENE_UPDATE = "mutation($i: SceneUpdateInput!) { sceneUpdate(input: $i) { id title performers { id } } }"
BULK = "mutation($i: BulkSceneUpdateInput!) { bulkSceneUpdate(input: $i) { id } }"
PERFORMER_UPDATE = "mutation($i: PerformerUpdateInput!) { performerUpdate(input: $i) { id } }"
PERFORMER_CREATE = "mutation($i: PerformerCreateInput!) { performerCreate(input: $i) { id } }"
MERGE = "mutation($i: SceneMergeInput!) { sceneMerge(input: $i) { id files { id } } }"
PERFORMER_MERGE = "mutation($i: PerformerMergeInput!) { performerMerge(input: $i) { id name } }"


def state(library: Library) -> list[Any]:
    """All rows that writes may change, as plain values."""
    tables = (library.scenes, library.images, library.galleries, library.performers, library.files, library.markers)
    return [(t.name, [tuple(getattr(row, s, None) for s in _slots(row)) for row in t.values()]) for t in tables]


def _slots(row: object) -> list[str]:
    return [name for kind in type(row).__mro__ for name in getattr(kind, "__slots__", ())]


@pytest.fixture
def old(library: Library) -> Library:
    """The library, last written long ago."""
    library.clock = lambda: 1_800_000_000.0
    return library


class TestPartialUpdates:
    def test_only_named_keys_change(self, ask: Asker, old: Library) -> None:
        scene = old.scenes[2]
        before = (scene.performer_ids, scene.tag_ids, scene.stash_ids, scene.organized, scene.urls)
        ask(SCENE_UPDATE, i={"id": "2", "title": "New"})
        assert scene.title == "New"
        assert (scene.performer_ids, scene.tag_ids, scene.stash_ids, scene.organized, scene.urls) == before
        assert scene.updated_at == old.text_time(1_800_000_000)

    def test_null_clears_and_lists_replace(self, ask: Asker, library: Library) -> None:
        scene = library.scenes[1]
        assert scene.date is not None
        ask(SCENE_UPDATE, i={"id": 1, "date": None, "title": None, "studio_id": None, "performer_ids": ["3", "3", "4"]})
        assert (scene.date, scene.title, scene.studio_id, scene.performer_ids) == (None, "", None, (3, 4))
        ask(SCENE_UPDATE, i={"id": 1, "performer_ids": []})
        assert scene.performer_ids == ()

    def test_stash_ids_of_other_boxes_are_lost_when_not_sent(self, ask: Asker, library: Library) -> None:
        performer = library.performers[3]
        assert {one.endpoint for one in performer.stash_ids} == {STASHDB, FANSDB}
        ask(PERFORMER_UPDATE, i={"id": "3", "stash_ids": [{"endpoint": STASHDB, "stash_id": "new"}]})
        assert [(one.endpoint, one.stash_id) for one in performer.stash_ids] == [(STASHDB, "new")]

    def test_custom_fields(self, ask: Asker, library: Library) -> None:
        for given, expected in (
            ({"full": {"a": 1, "b": 2}}, {"a": 1, "b": 2}),
            ({"partial": {"b": 3, "c": 4}}, {"a": 1, "b": 3, "c": 4}),
            ({"remove": ["a"]}, {"b": 3, "c": 4}),
        ):
            ask(PERFORMER_UPDATE, i={"id": "1", "custom_fields": given})
            assert library.performers[1].custom_fields == expected

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"id": "999", "title": "x"}, "scene with id 999 not found"),
            ({"id": "1", "title": "x", "performer_ids": ["999"]}, "FOREIGN KEY constraint failed"),
            ({"id": "1", "title": "x", "date": "yesterday"}, 'converting date: failed to parse date "yesterday"'),
            ({"id": "1", "title": "x", "primary_file_id": "2"}, "file with id 2 not associated with scene"),
        ],
    )
    def test_refused_updates_change_nothing(
        self, ask: Asker, library: Library, given: dict[str, Any], message: str
    ) -> None:
        before = state(library)
        assert ask.failure(SCENE_UPDATE, i=given) == message
        assert state(library) == before

    def test_partial_dates_since_0_30(self, stash: FakeStash, ask: Asker) -> None:
        ask(SCENE_UPDATE, i={"id": "1", "date": "2020-05"})
        stash.knobs.version = "0.29"
        assert "failed to parse date" in ask.failure(SCENE_UPDATE, i={"id": "1", "date": "2020"})

    def test_many_scenes_are_one_transaction(self, ask: Asker, library: Library) -> None:
        query = "mutation($i: [SceneUpdateInput!]!) { scenesUpdate(input: $i) { id } }"
        before = state(library)
        assert "not found" in ask.failure(query, i=[{"id": "1", "title": "x"}, {"id": "999", "title": "y"}])
        assert state(library) == before
        ask(query, i=[{"id": "1", "title": "x"}, {"id": "2", "title": "y"}])
        assert (library.scenes[1].title, library.scenes[2].title) == ("x", "y")

    def test_cover_is_a_data_uri(self, ask: Asker) -> None:
        picture = base64.b64encode(b"\xff\xd8picture").decode()
        ask(SCENE_UPDATE, i={"id": "1", "cover_image": f"data:image/jpeg;base64,{picture}"})
        assert ask.http.get("/scene/1/screenshot").content == b"\xff\xd8picture"
        assert "data URIs only" in ask.failure(SCENE_UPDATE, i={"id": "1", "cover_image": "https://example.org/x.jpg"})

    def test_images_and_galleries(self, ask: Asker, library: Library) -> None:
        ask("mutation { imageUpdate(input: {id: 4, performer_ids: [2]}) { id } }")
        ask("mutation { galleryUpdate(input: {id: 1, performer_ids: [5], scene_ids: [8, 9]}) { id } }")
        assert library.images[4].performer_ids == (2,)
        assert library.galleries[1].performer_ids == (5,)
        assert library.members(1, "scenes") == [8, 9]
        ask("mutation { galleryUpdate(input: {id: 1, scene_ids: [9, 10]}) { id } }")
        assert library.members(1, "scenes") == [9, 10]


class TestBulk:
    def test_add_remove_and_set(self, ask: Asker, library: Library) -> None:
        library.scenes[1].performer_ids, library.scenes[2].performer_ids = (1,), (2, 3)
        for mode, ids, expected in (
            ("ADD", ["3"], [(1, 3), (2, 3)]),
            ("REMOVE", ["3", "77"], [(1,), (2,)]),
            ("SET", ["9"], [(9,), (9,)]),
        ):
            ask(BULK, i={"ids": ["1", "2"], "performer_ids": {"ids": ids, "mode": mode}})
            assert [library.scenes[i].performer_ids for i in (1, 2)] == expected

    def test_one_missing_id_fails_all(self, ask: Asker, library: Library) -> None:
        before = state(library)
        added = {"ids": ["3"], "mode": "ADD"}
        assert "FOREIGN KEY" in ask.failure(BULK, i={"ids": ["1", "999"], "performer_ids": added})
        assert "FOREIGN KEY" in ask.failure(BULK, i={"ids": ["1"], "performer_ids": {**added, "ids": ["999"]}})
        assert state(library) == before

    def test_plain_values_and_urls(self, ask: Asker, library: Library) -> None:
        library.scenes[1].urls = ("https://a",)
        ask(BULK, i={"ids": ["1", "2"], "organized": True, "urls": {"values": ["https://b"], "mode": "ADD"}})
        assert library.scenes[1].urls == ("https://a", "https://b")
        assert library.scenes[2].organized

    def test_images_and_galleries(self, ask: Asker, library: Library) -> None:
        added = "performer_ids: {ids: [7], mode: ADD}"
        ask(f"mutation {{ bulkImageUpdate(input: {{ids: [1, 2], {added}}}) {{ id }} }}")
        ask(f"mutation {{ bulkGalleryUpdate(input: {{ids: [1], {added}}}) {{ id }} }}")
        assert all(7 in row.performer_ids for row in (library.images[1], library.images[2], library.galleries[1]))


class TestSceneMerge:
    def merge(self, ask: Asker, **given: Any) -> Any:
        return ask(MERGE, i={"source": ["2", "3"], "destination": "1", **given})["sceneMerge"]

    def test_files_and_markers_move_and_metadata_stays_behind(self, ask: Asker, library: Library) -> None:
        library.scenes[1].performer_ids, library.scenes[2].performer_ids = (1,), (2,)
        library.add_marker(2, "Start", 1.5, 1)
        files = [library.scenes[i].file_ids[0] for i in (1, 2, 3)]
        merged = self.merge(ask, play_history=True)
        assert [int(file["id"]) for file in merged["files"]] == files
        assert library.scenes[1].performer_ids == (1,)
        assert [marker.scene_id for marker in library.markers.values()] == [1]
        assert {2, 3}.isdisjoint(library.scenes)

    def test_values_and_histories(self, ask: Asker, library: Library) -> None:
        library.scenes[2].play_history = library.scenes[2].o_history = ("2024-01-01T00:00:00-05:00",)
        self.merge(ask, o_history=True, values={"id": "1", "performer_ids": ["1", "2"]})
        assert library.scenes[1].performer_ids == (1, 2)
        assert (library.scenes[1].o_history, library.scenes[1].play_history) == (("2024-01-01T00:00:00-05:00",), ())

    def test_primary_file_in_values_is_ignored(self, ask: Asker, library: Library) -> None:
        first, second = library.scenes[1].file_ids[0], library.scenes[2].file_ids[0]
        self.merge(ask, values={"id": "1", "primary_file_id": str(second)})
        assert library.scenes[1].file_ids[0] == first
        ask(SCENE_UPDATE, i={"id": "1", "primary_file_id": str(second)})
        assert library.scenes[1].file_ids[:2] == (second, first)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"source": ["1"]}, "destination scene cannot be in source list"),
            ({"source": ["2", "999"]}, "finding source scenes: scene with id 999 not found"),
            ({"destination": "999"}, NIL_POINTER),
        ],
    )
    def test_refused(self, ask: Asker, library: Library, given: dict[str, Any], message: str) -> None:
        before = state(library)
        assert ask.failure(MERGE, i={"source": ["2"], "destination": "1", **given}) == message
        assert state(library) == before


class TestDeleting:
    def test_scenes_go_together_or_not_at_all(self, ask: Asker, library: Library) -> None:
        query = "mutation($ids: [ID!]!) { scenesDestroy(input: {ids: $ids}) }"
        assert ask.failure(query, ids=["1", "999"]) == "scene with id 999 not found"
        assert 1 in library.scenes
        file_id = library.scenes[1].file_ids[0]
        assert ask(query, ids=["1", "2"]) == {"scenesDestroy": True}
        assert {1, 2}.isdisjoint(library.scenes)
        assert file_id in library.files

    def test_file_goes_with_its_last_scene(self, ask: Asker, library: Library) -> None:
        shared = library.scenes[1].file_ids[0]
        library.scenes[2].file_ids += (shared,)
        ask("mutation { sceneDestroy(input: {id: 1, delete_file: true}) }")
        assert shared in library.files
        ask("mutation { sceneDestroy(input: {id: 2, delete_file: true}) }")
        assert shared not in library.files

    def test_files(self, ask: Asker, library: Library) -> None:
        primary, other = library.scenes[1].file_ids[0], library.scenes[2].file_ids[0]
        ask(MERGE, i={"source": ["2"], "destination": "1"})
        query = "mutation($ids: [ID!]!) { deleteFiles(ids: $ids) }"
        message = ask.failure(query, ids=[str(other), str(primary)])
        assert message == f"cannot delete primary file {library.files[primary].path}"
        assert other in library.files
        assert ask(query, ids=[str(other)]) == {"deleteFiles": True}
        assert other not in library.files
        assert library.scenes[1].file_ids == (primary,)

    def test_assigned_file_leaves_its_scene(self, ask: Asker, library: Library) -> None:
        primary, other = library.scenes[1].file_ids[0], library.scenes[2].file_ids[0]
        ask(MERGE, i={"source": ["2"], "destination": "1"})
        query = "mutation($f: ID!) { sceneAssignFile(input: {scene_id: 3, file_id: $f}) }"
        assert ask.failure(query, f=str(primary)) == "assigning file to scene: cannot reassign primary file"
        ask(query, f=str(other))
        assert library.scenes[1].file_ids == (primary,)
        assert library.scenes[3].file_ids[-1] == other

    def test_fingerprints(self, ask: Asker, library: Library) -> None:
        query = "mutation($f: [SetFingerprintsInput!]!) { fileSetFingerprints(input: {id: 1, fingerprints: $f}) }"
        ask(query, f=[{"type": "faces", "value": "v1"}, {"type": "phash", "value": "00ab"}])
        file = library.files[1]
        assert (file.fingerprint("faces"), file.fingerprint("phash")) == ("v1", "ab")
        ask(query, f=[{"type": "faces", "value": None}])
        assert file.fingerprint("faces") is None
        assert ask.failure(query, f=[{"type": "oshash", "value": "0"}]) == "cannot modify oshash fingerprint"


class TestPerformers:
    def test_created_with_all_that_was_sent(self, ask: Asker, library: Library) -> None:
        given = {
            "name": " New Person ",
            "alias_list": ["Newbie"],
            "gender": "FEMALE",
            "stash_ids": [{"endpoint": STASHDB, "stash_id": "1"}],
        }
        created = int(ask(PERFORMER_CREATE, i=given)["performerCreate"]["id"])
        row = library.performers[created]
        assert (row.name, row.alias_list, row.gender) == ("New Person", ("Newbie",), "FEMALE")
        assert (row.stash_ids[0].endpoint, row.stash_ids[0].stash_id) == (STASHDB, "1")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"name": " "}, "performer name must not be blank"),
            ({"name": "ada abel"}, "performer with name 'ada abel' already exists"),
            ({"name": "New", "alias_list": ["A", "a"]}, "performer contains duplicate alias 'a'"),
            ({"name": "New", "alias_list": ["new"]}, "performer contains duplicate alias 'new'"),
            (
                {"name": "New", "birthdate": "1990-01-01", "death_date": "1980-01-01"},
                "death date 1980-01-01 should be after birthdate 1990-01-01",
            ),
        ],
    )
    def test_refused(self, ask: Asker, library: Library, given: dict[str, Any], message: str) -> None:
        assert ask.failure(PERFORMER_CREATE, i=given) == message
        assert len(library.performers) == 20

    def test_disambiguation_tells_names_apart(self, ask: Asker) -> None:
        ask(PERFORMER_CREATE, i={"name": "Ada Abel", "disambiguation": "second"})
        message = ask.failure(PERFORMER_CREATE, i={"name": "Ada Abel", "disambiguation": "second"})
        assert message == "performer with name 'Ada Abel' and disambiguation 'second' already exists"
        ask(PERFORMER_UPDATE, i={"id": "1", "name": "Ada Abel"})

    def test_destroyed_performers_leave_all_content(self, ask: Asker, library: Library) -> None:
        library.images[1].performer_ids = (1, 2)
        ask("mutation { performerDestroy(input: {id: 1}) }")
        assert library.images[1].performer_ids == (2,)
        assert all(1 not in scene.performer_ids for scene in library.scenes.values())
        assert ask.failure("mutation { performerDestroy(input: {id: 1}) }") == "id 1 does not exist in performers"

    def test_merge_moves_links_and_nothing_else(self, ask: Asker, library: Library) -> None:
        library.scenes[1].performer_ids = (2, 1, 3)
        library.galleries[1].performer_ids = (3,)
        library.performers[2].alias_list = ("Kept nowhere",)
        own = library.performers[1].stash_ids
        merged = ask(
            PERFORMER_MERGE, i={"source": ["2", "3"], "destination": "1", "values": {"id": "1", "name": "One"}}
        )
        assert merged["performerMerge"]["name"] == "Ada Abel"
        row = library.performers[1]
        assert (row.name, row.alias_list, row.stash_ids) == ("One", (), own)
        assert (library.scenes[1].performer_ids, library.galleries[1].performer_ids) == ((1,), (1,))
        assert {2, 3}.isdisjoint(library.performers)

    def test_merge_is_refused(self, ask: Asker, library: Library) -> None:
        before = state(library)
        for given, message in (
            ({"source": ["1"], "destination": "1"}, "destination performer cannot be in source list"),
            ({"source": ["999"], "destination": "1"}, "finding source performers: performer with id 999 not found"),
        ):
            assert ask.failure(PERFORMER_MERGE, i=given) == message
        assert state(library) == before

    def test_counts_follow(self, ask: Asker, library: Library) -> None:
        query = "{ findPerformer(id: 5) { scene_count } }"
        library.scenes[1].performer_ids = ()
        library.touch(library.scenes[1])
        before = ask(query)["findPerformer"]["scene_count"]
        ask(BULK, i={"ids": ["1"], "performer_ids": {"ids": ["5"], "mode": "ADD"}})
        assert ask(query)["findPerformer"]["scene_count"] == before + 1


def test_studios_and_tags(ask: Asker, library: Library) -> None:
    studio = "mutation($i: StudioCreateInput!) { studioCreate(input: $i) { id parent_studio { id } } }"
    created = ask(studio, i={"name": "New Pictures", "parent_id": "1", "aliases": ["NP"]})["studioCreate"]
    assert created["parent_studio"] == {"id": "1"}
    assert ask.failure(studio, i={"name": "np"}) == "name 'np' is used as alias for 'New Pictures'"
    assert ask.failure(studio, i={"name": "X", "parent_id": "999"}) == "studio with id 999 not found"
    ask("mutation($i: TagCreateInput!) { tagCreate(input: $i) { id } }", i={"name": "outdoor", "parent_ids": ["1"]})
    update = "mutation($i: TagUpdateInput!) { tagUpdate(input: $i) { id } }"
    assert ask.failure(update, i={"id": "2", "name": "OUTDOOR"}) == "tag with name 'OUTDOOR' already exists"
    ask(update, i={"id": "2", "description": "seen outside"})
    assert library.tags[2].description == "seen outside"
