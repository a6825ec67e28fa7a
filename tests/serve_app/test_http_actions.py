"""Actions and accepting over HTTP: the real server, the fake Stash behind it, the job that accepts many."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pipelines.store.recommendation_records import Finding
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import Store, open_store
from tests.fakes.stash import Library
from tests.serve_app.conftest import Serving, until


@pytest.fixture
def library(server: Serving) -> Iterator[Library]:
    """The library of the shared Stash, which is as before afterwards."""
    rows = server.stash.library
    before = {i: (row.title, row.performer_ids) for i, row in rows.scenes.items()}
    yield rows
    for i, (title, performers) in before.items():
        if i in rows.scenes:
            rows.scenes[i].title, rows.scenes[i].performer_ids = title, performers
    for i in set(rows.scenes) - set(before):
        rows.drop_scene(i)


@pytest.fixture
def store(server: Serving) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{server.data_dir / 'state.db'}")
    yield opened
    opened.close()


def scene_without_files(library: Library, title: str) -> str:
    return str(library.add("scene", title=title).id)


def findings(store: Store, wanted: dict[str, list[str]]) -> list[int]:
    """Returns the ids of recommendations that offer to tag performers on scenes."""
    recommendations = RecommendationStore(store)
    recommendations.apply(
        "unidentified_scene",
        1,
        [
            Finding(
                "scene",
                scene,
                f"people-{scene}",
                f"evidence-{scene}",
                "Somebody is not tagged",
                "Seen clearly.",
                90.0,
                {"actions": {"tag_performers": {"entity": "scene", "entity_id": scene, "performer_ids": people}}},
            )
            for scene, people in wanted.items()
        ],
    )
    from pipelines.store.recommendations import RecommendationFilter

    found = recommendations.page(RecommendationFilter(), limit=500).recommendations
    return [next(one.id for one in found if one.target_id == scene) for scene in wanted]


def test_an_action_is_previewed_done_found_and_undone(client: httpx.Client, library: Library):
    scene = scene_without_files(library, "of the actions")
    asked = {"action": "tag_performers", "params": {"entity": "scene", "entity_id": scene, "performer_ids": ["1"]}}
    answer = client.post("/actions/preview", json=asked)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["changes"][0] | {"before": [], "destructive": False} == shown["changes"][0]
    done = client.post("/actions", json={**asked, "digest": shown["digest"]})
    assert done.status_code == 201, done.text
    assert library.scenes[int(scene)].performer_ids == (1,)
    action_id = done.json()["action_id"]
    listed = client.get("/actions", params={"limit": 1}).json()
    assert listed["actions"][0]["action_id"] == action_id
    assert client.get(f"/actions/{action_id}").json()["before"][0]["performer_ids"] == []
    undone = client.post(f"/actions/{action_id}/undo").json()
    assert undone["undo_state"] == "undone"
    assert library.scenes[int(scene)].performer_ids == ()
    again = client.post(f"/actions/{action_id}/undo")
    assert (again.status_code, again.json()["error"]) == (409, "action_conflict")


def test_what_has_changed_since_is_said_and_nothing_is_done(client: httpx.Client, library: Library):
    scene = scene_without_files(library, "before")
    asked = {"action": "delete_scene", "params": {"scene_id": scene}}
    refused = client.post("/actions", json=asked)
    assert (refused.status_code, "no preview was seen" in refused.text) == (422, True)
    shown = client.post("/actions/preview", json=asked).json()
    library.scenes[int(scene)].title = "after"
    answer = client.post("/actions", json={**asked, "digest": shown["digest"]})
    assert answer.status_code == 409
    assert "title was 'before' and is 'after'" in answer.json()["message"]
    assert int(scene) in library.scenes


def test_many_recommendations_are_accepted_by_a_job(client: httpx.Client, library: Library, store: Store):
    scenes = [scene_without_files(library, f"number {n}") for n in range(4)]
    ids = findings(store, {scene: ["1", "2"] for scene in scenes})
    one = client.post(
        f"/recommendations/{ids[0]}/accept", json={"action": "tag_performers", "seen": f"evidence-{scenes[0]}"}
    )
    assert one.status_code == 200, one.text
    assert one.json()["recommendation"]["status"] == "resolved"
    shown = client.post("/recommendations/accept/preview", json={"ids": ids, "action": "tag_performers"}).json()
    assert [s["recommendation_id"] for s in shown["skipped"]] == [ids[0]]
    assert [c["recommendation_id"] for c in shown["changes"]] == ids[1:]
    library.scenes[int(scenes[3])].title = "changed meanwhile"
    params = {"action": "tag_performers", "digest": shown["digest"]}
    job = client.post("/queue", json={"type": "accept_recommendations", "params": params})
    assert job.status_code == 201, job.text

    def ended() -> dict | None:
        found = client.get(f"/queue/{job.json()['id']}").json()
        return found if found["state"] in {"done", "failed"} else None

    result = until(ended, 120, "the job")
    assert result["state"] == "done", result
    assert (result["result"]["done"], result["result"]["skipped"]) == (2, 1)
    assert "title was" in result["result"]["why_skipped"][0]["reason"]
    assert library.scenes[int(scenes[1])].performer_ids == (1, 2)
    assert library.scenes[int(scenes[3])].performer_ids == ()
    logged = client.get("/actions", params={"limit": 2}).json()["actions"]
    assert {a["job_id"] for a in logged} == {job.json()["id"]}
