"""What is no longer what was seen is refused, by name; what was changed later is left alone by an undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.actions import keep_preview, perform, preview
from pipelines.errors import ActionConflict, ActionUnknown, InputError, StashNotFound, StashUnknownField
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionStore
from pipelines.store.sql import Store
from tests.actions.conftest import act, everything, run, take_back
from tests.fakes.stash import STASHDB, FakeStash, Library
from tests.fakes.stash import StashId as Link

MERGE = {"destination_id": "1", "source_ids": ["2"]}
FILES = {"scene_id": "2", "delete_file_ids": ["2"]}


def add_file(rows: Library) -> None:
    file = rows.add_file(kind="video", path="/data/new.mp4", size=5)
    rows.scenes[2].file_ids = (*rows.scenes[2].file_ids, file.id)


def retitle(rows: Library) -> None:
    rows.scenes[1].title = "Port"


def another_primary(rows: Library) -> None:
    rows.scenes[2].file_ids = (3, 2)


def new_link(rows: Library) -> None:
    rows.scenes[1].stash_ids = (*rows.scenes[1].stash_ids, Link(STASHDB, "late"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (retitle, "scene 1: title was 'Harbour' and is 'Port'"),
        (add_file, "scene 2: file /data/new.mp4 is new"),
        (another_primary, "another is the primary one"),
        (new_link, "scene 1: stash_ids have changed"),
        (lambda rows: rows.drop_scene(2), "Stash has no scene 2"),
        (lambda rows: rows.drop_scene(1), "Stash has no scene 1"),
    ],
)
def test_a_merge_of_what_has_changed_is_refused(
    stash: FakeStash, store: Store, change: Callable[[Library], None], said: str
):
    async def use(library: StashLibrary) -> None:
        plan = await preview(library, "merge_scenes", MERGE)
        await keep_preview(store, plan)
        change(stash.library)
        stash.library.revision += 1
        with pytest.raises(ActionConflict) as caught:
            await perform(library, store, "merge_scenes", MERGE, plan.digest)
        assert said in caught.value.message

    run(stash, use)
    assert stash.requests.named("sceneMerge") == []
    assert ActionStore(store).count() == 0


def test_playing_or_opening_a_scene_is_no_change(stash: FakeStash, store: Store):
    async def use(library: StashLibrary) -> None:
        plan = await preview(library, "delete_scene", {"scene_id": "3"})
        stash.library.scenes[3].resume_time = 12.0
        stash.library.touch(stash.library.scenes[3])
        assert (await perform(library, store, "delete_scene", {"scene_id": "3"}, plan.digest)).state == "done"

    run(stash, use)


@pytest.mark.parametrize(
    ("action", "params", "error", "said"),
    [
        ("merge_scenes", {"destination_id": "1", "source_ids": ["1"]}, InputError, "named twice"),
        ("merge_scenes", {**MERGE, "fields": {"title": "3"}}, InputError, "not merged"),
        ("merge_scenes", {**MERGE, "extra": 1}, InputError, "params.extra"),
        ("delete_scene", {"scene_id": "2", "delete_file": True, "file_ids": ["2"]}, InputError, "has the files 2, 3"),
        (
            "delete_scene_files",
            {"scene_id": "1", "keep_file_id": "1", "delete_file_ids": ["2"]},
            InputError,
            "no file 2",
        ),
        ("delete_scene_files", {"scene_id": "2", "keep_file_id": "2", "delete_file_ids": ["2"]}, InputError, "twice"),
        ("set_primary_file", {"scene_id": "1", "file_id": "2"}, InputError, "no file 2"),
        ("delete_images", {"keep_id": "1", "delete_ids": ["99"]}, StashNotFound, "no image 99"),
        ("tag_performers", {"entity": "scene", "entity_id": "x", "performer_ids": ["1"]}, StashNotFound, "no scene"),
        (
            "tag_performers",
            {"places": [{"entity": "scene", "entity_id": one} for one in ("1", "99")], "performer_ids": ["1"]},
            StashNotFound,
            "no scene '99'",
        ),
        ("tag_performers", {"entity": "scene", "entity_id": "1", "performer_ids": []}, InputError, "Nobody"),
        ("tag_performers", {"entity": "scene", "performer_ids": ["1"]}, InputError, "or places"),
        ("create_performer", {"name": "ada abel"}, InputError, "has this performer already: 1"),
        (
            "create_performer",
            {"name": "Somebody", "stash_ids": [{"endpoint": STASHDB, "stash_id": "bbbb"}]},
            InputError,
            "already: 2",
        ),
        ("burn_everything", {}, ActionUnknown, "merge_scenes"),
    ],
)
def test_what_is_not_listed_or_does_not_fit_is_refused(
    stash: FakeStash, store: Store, action: str, params: dict[str, Any], error: type[Exception], said: str
):
    before = everything(stash.library)
    with pytest.raises(error, match=said):
        act(stash, store, action, **params)
    assert everything(stash.library) == before


def test_nothing_destructive_is_done_unseen(stash: FakeStash, store: Store):
    async def use(library: StashLibrary) -> None:
        with pytest.raises(InputError, match="no preview was seen"):
            await perform(library, store, "merge_scenes", MERGE)
        with pytest.raises(ActionConflict, match="not known here"):
            await perform(library, store, "merge_scenes", MERGE, "0" * 32)
        plan = await preview(library, "delete_scene", {"scene_id": "3"})
        await keep_preview(store, plan)
        with pytest.raises(ActionConflict, match="another action"):
            await perform(library, store, "delete_scene", {"scene_id": "4"}, plan.digest)

    run(stash, use)
    assert sorted(stash.library.scenes) == [1, 2, 3, 4]


def test_a_stash_with_movies_merges_no_scenes(stash: FakeStash, store: Store):
    stash.knobs.version = "0.26"
    with pytest.raises(StashUnknownField, match="movies"):
        act(stash, store, "merge_scenes", **MERGE)


def test_a_chosen_value_is_kept(stash: FakeStash, store: Store):
    act(stash, store, "merge_scenes", **MERGE, fields={"title": "2", "date": "1"})
    assert (stash.library.scenes[1].title, stash.library.scenes[1].date) == ("Harbour (copy)", "2015-06-01")


def test_what_somebody_changed_after_a_merge_is_left_alone_by_its_undo(stash: FakeStash, store: Store):
    record = act(stash, store, "merge_scenes", **MERGE)
    rows = stash.library
    rows.scenes[1].tag_ids = (*rows.scenes[1].tag_ids, 4)
    rows.scenes[1].title = "Renamed"
    rows.revision += 1
    undone = take_back(stash, store, record.id)
    made = rows.scenes[int(undone.undo_made["scene:2"])]
    assert undone.undo_state == "partly"
    assert undone.undo_report["conflicts"] == ["tag_ids of scene 1 was changed since; it is left as it is."]
    assert (rows.scenes[1].title, set(rows.scenes[1].tag_ids)) == ("Renamed", {1, 2, 3, 4})
    assert (rows.scenes[1].performer_ids, made.performer_ids) == ((1, 3), (2, 3))
    rows.scenes[1].tag_ids = (1,)
    assert take_back(stash, store, record.id).undo_state == "undone"


def test_a_file_that_became_the_primary_one_is_not_taken_away(stash: FakeStash, store: Store):
    record = act(stash, store, "merge_scenes", **MERGE)
    stash.library.scenes[1].file_ids = (2, 1, 3)
    stash.library.revision += 1
    undone = take_back(stash, store, record.id)
    assert "its file 2 is the primary file of scene 1" in undone.undo_report["conflicts"][0]
    assert sorted(stash.library.scenes) == [1, 3, 4]
    stash.library.scenes[1].file_ids = (1, 2, 3)
    stash.library.revision += 1
    assert take_back(stash, store, record.id).undo_state == "undone"
    assert len(stash.library.scenes) == 4


def test_tags_and_people_that_are_gone_do_not_stop_an_undo(stash: FakeStash, store: Store):
    record = act(stash, store, "merge_scenes", **MERGE)
    stash.library.vanish([3], "performer")
    undone = take_back(stash, store, record.id)
    made = stash.library.scenes[int(undone.undo_made["scene:2"])]
    assert made.performer_ids == (2,)
    assert undone.undo_state == "partly"
    assert any("performer 3" in sentence for sentence in undone.undo_report["conflicts"])


def test_a_new_performer_that_is_used_elsewhere_stays(stash: FakeStash, store: Store):
    record = act(stash, store, "create_performer", name="Dora", tag={"entity": "scene", "entity_id": "3"})
    made = int(record.results[0]["id"])
    stash.library.scenes[4].performer_ids = (*stash.library.scenes[4].performer_ids, made)
    stash.library.revision += 1
    assert take_back(stash, store, record.id).undo_state == "partly"
    assert made in stash.library.performers


def test_what_is_so_already_is_done_without_a_write(stash: FakeStash, store: Store):
    record = act(stash, store, "tag_performers", entity="scene", entity_id="1", performer_ids=["1"])
    assert (record.state, record.changes, record.steps) == ("done", [], [])
    assert stash.requests.named("bulkSceneUpdate") == []
