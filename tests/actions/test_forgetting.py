"""People who are erased leave the log of actions and all that mentions them; what is not theirs can still be undone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.erase import erase
from pipelines.errors import ActionConflict
from pipelines.settings import Settings
from pipelines.store.action_images import count_before, prune
from pipelines.store.actions import ActionStore
from pipelines.store.jobs import JobStore
from pipelines.store.recommendation_records import Finding
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.rejections import RejectionStore
from pipelines.store.scrubbing import ERASED, Scrubber
from pipelines.store.sql import Store
from tests.actions.conftest import act, everything, take_back
from tests.fakes.stash import STASHDB, FakeStash
from tests.fakes.stash import StashId as Link

NAME, ALIAS, REJECTED_AS = "Ádá Ábelsson", "Addie the Great", "Ada Maria Abelsson"
UUID = "0c1f5a52-9d1e-4f8e-8a53-6f3f6cfd1f4d"
IDS = (f"stashdb.org:{UUID}", "stash:2")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def traces(folder: Path) -> set[tuple[str, str]]:
    """Returns (file, name or id) for each name or id of the person whose bytes are in a file below a folder."""
    words = {}
    for word in (NAME, ALIAS, REJECTED_AS, UUID):
        for form in (word, word.casefold(), word.upper()):
            words[form.encode()] = words[json.dumps(form)[1:-1].encode()] = word
    found = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {(name, word) for name, data in found.items() for form, word in words.items() if form in data}


def test_nothing_of_somebody_is_left_and_the_rest_can_be_undone(
    stash: FakeStash, store: Store, settings: Settings
) -> None:
    person = stash.library.performers[2]
    person.name, person.alias_list = NAME, (ALIAS,)
    person.stash_ids = (Link(STASHDB, UUID, "2024-01-01T00:00:00Z"),)
    stash.library.scenes[4].title = f"An evening with {NAME.upper()}"
    before = everything(stash.library)
    tagged = act(stash, store, "tag_performers", entity="scene", entity_id="3", performer_ids=["4"])
    other = act(stash, store, "merge_scenes", destination_id="1", source_ids=["2"])
    titled = act(stash, store, "delete_scene", scene_id="4", file_ids=["5"])
    merged = act(stash, store, "merge_performers", destination_id="1", source_ids=["2"])
    assert NAME in merged.title
    _mention(store, settings)
    assert {word for _, word in traces(settings.data_dir)} == {NAME, ALIAS, REJECTED_AS, UUID}

    report = erase(settings, IDS)
    assert (report.recommendations, report.rejections, report.exports) == (2, 1, 1)
    assert (report.actions, report.cleaned_actions, report.actions_left) == (2, 2, 0)
    assert report.mentions >= 5
    assert traces(settings.data_dir) == set()

    kept = RecommendationStore(store)
    (one,) = kept.page().recommendations
    assert (one.status, one.title, one.details["actions"]) == (
        "dismissed",
        f"Harbour with {ERASED}",
        {"x": {"id": "1"}},
    )
    actions = ActionStore(store)
    assert ERASED in actions.get(merged.id).title
    for gone in (merged, titled):
        assert not actions.get(gone.id).undoable
        with pytest.raises(ActionConflict, match="named somebody who was erased"):
            take_back(stash, store, gone.id)
    assert actions.picture(next(iter(merged.pictures.values()))) is None
    assert take_back(stash, store, tagged.id).undo_state == "undone"
    assert 4 not in stash.library.scenes[3].performer_ids
    undone = take_back(stash, store, other.id)
    assert undone.undo_report["conflicts"] == ["performer 2 of scene 2 was deleted since."]
    made = int(undone.undo_made["scene:2"])
    now = everything(stash.library, {("scenes", made): 2})
    assert now["files"].keys() == before["files"].keys()
    assert now["scenes"][2]["title"] == before["scenes"][2]["title"]
    assert erase(settings, IDS).actions == 0


def _mention(store: Store, settings: Settings) -> None:
    kept = RecommendationStore(store)
    about = {"people": [{"universal_id": IDS[0], "name": NAME}]}
    same = {"performers": [{"id": "2", "name": "somebody", "stash_ids": [{"stash_id": UUID}]}]}
    named = {"scenes": [{"id": "1", "performers": [{"id": "2", "name": NAME}]}], "actions": {"x": {"id": "1"}}}
    kept.apply("unidentified_scene", 1, [Finding("scene", "1", "f", "e", "Harbour", "Seen.", 90.0, about)])
    kept.apply("duplicate_performers", 2, [Finding("performer", "2:9", "f", "e", "Two", "Alike.", 90.0, same)])
    title = f"Harbour with {NAME}"
    kept.apply("duplicate_scenes", 3, [Finding("scene", "1:2", "f", "e", title, f"{ALIAS}!", 90.0, named, (NAME,))])
    kept.dismiss([1, 2, 3], "forever", f"Not {NAME}")
    RejectionStore(store).add("scene", "1", IDS[0], [], REJECTED_AS)
    jobs = JobStore(store)
    job = jobs.submit("accept_recommendations", {"params": {"name": NAME}})
    jobs.claim(job.id, "t", 60)
    jobs.fail(job.id, "t", "stash_rejected", f"Stash knows no {REJECTED_AS}.")
    for file in ("exports/mine/performers.csv", "reports/box/report.json", "reports/box/index.html"):
        path = settings.data_dir / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NAME)


def test_names_count_as_whole_words_and_ids_as_whole_ids() -> None:
    scrubber = Scrubber(["stash:2", "stashdb.org:0001", f"stashdb.org:{UUID}"], ["Bo", "Ann Lee", " ", "A"])
    assert scrubber.clean({"Bo": ["BO and Bob, Ann-Lee, ann lee's", 3, None]}) == {
        ERASED: [f"{ERASED} and Bob, Ann-Lee, {ERASED}'s", 3, None]
    }
    assert scrubber.clean(f"x {UUID}, stashdb.org:{UUID}/y") == f"x {ERASED}, {ERASED}/y"
    for harmless in ("stashdb.org:00011", "0001", "2", "stash:22", f"{UUID}0", f"a{UUID}", "A"):
        assert not scrubber.names_somebody(harmless), harmless
    assert not Scrubber([], []).names_somebody(["anything", {"at": "all"}])


def test_before_images_of_long_ago_go_and_the_undo_says_so(stash: FakeStash, store: Store) -> None:
    actions = ActionStore(store)
    old = act(stash, store, "merge_performers", destination_id="1", source_ids=["2"])
    undone = act(stash, store, "tag_performers", entity="scene", entity_id="3", performer_ids=["4"])
    take_back(stash, store, undone.id)
    now = datetime.now(UTC)
    assert (count_before(store, now - timedelta(days=1)), prune(store, now - timedelta(days=1), 30)) == (0, 0)
    new = act(stash, store, "set_primary_file", scene_id="2", file_id="3")
    assert count_before(store, new.created_at) == 2
    assert prune(store, new.created_at, 30) == 2
    assert prune(store, new.created_at, 30) == 0
    with pytest.raises(ActionConflict, match="kept for 30 days"):
        take_back(stash, store, old.id)
    with pytest.raises(ActionConflict, match="undone already"):
        take_back(stash, store, undone.id)
    kept = actions.get(old.id)
    assert (kept.before, kept.steps, kept.pictures, kept.undoable) == ([], [], {}, False)
    assert kept.changes == old.changes
    assert actions.picture(next(iter(old.pictures.values()))) is None
    assert take_back(stash, store, new.id).undo_state == "undone"
