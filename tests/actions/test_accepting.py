"""Accepting recommendations: one, and two hundred of which some cannot be done; Stash that goes away in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.actions import resume_all
from pipelines.actions.accepting import accept, accept_many, preview_many
from pipelines.errors import InputError, RecommendationConflict, StashError, StashRejected, StashUnreachable
from pipelines.stash.graphql import StashClient
from pipelines.stash.library import StashLibrary
from pipelines.stash.retries import TryAgain
from pipelines.store.actions import ActionStore
from pipelines.store.recommendations import Finding, RecommendationFilter, RecommendationStore
from pipelines.store.sql import Store
from tests.actions.conftest import act, everything, run, take_back
from tests.fakes.stash import STASHDB, FakeStash, generate_library

MERGE = {"destination_id": "1", "source_ids": ["2"], "play_history": True, "o_history": True}


def found(store: Store, kind: str, target: str, **actions: Any) -> int:
    """Returns the id of a finding that offers actions."""
    offer = Finding("scene", target, f"f-{target}", f"e-{target}", "Found", "Why.", 90.0, {"actions": actions})
    recommendations = RecommendationStore(store)
    recommendations.apply(kind, 1, [offer])
    page = recommendations.page(RecommendationFilter(types=(kind,), target_id=target), limit=500).recommendations
    return next(one.id for one in page if one.target_id == target)


def test_an_accepted_merge_resolves_its_finding_and_closes_those_on_what_is_gone(stash: FakeStash, store: Store):
    pair = found(store, "duplicate_scenes", "1:2", merge_scenes=MERGE)
    other, unrelated = found(store, "duplicate_scenes", "2:3"), found(store, "duplicate_scenes", "3:4")
    recommendations = RecommendationStore(store)

    async def use(library: StashLibrary) -> int:
        with pytest.raises(RecommendationConflict, match="has changed"):
            await accept(library, store, pair, "merge_scenes", {}, seen="another")
        with pytest.raises(InputError, match="does not offer"):
            await accept(library, store, pair, "delete_scene", {"scene_id": "2"}, seen="e-1:2")
        with pytest.raises(InputError, match="not about scene 3"):
            await accept(library, store, pair, "merge_scenes", {"source_ids": ["3"]}, seen="e-1:2")
        return (await accept(library, store, pair, "merge_scenes", {}, seen="e-1:2")).id

    action_id = run(stash, use)
    resolved, closed = recommendations.get(pair), recommendations.get(other)
    assert (resolved.status, resolved.action_id) == ("resolved", action_id)
    assert (closed.status, closed.reason) == ("closed", "Scene 2 was merged into scene 1.")
    assert recommendations.get(unrelated).status == "pending"
    take_back(stash, store, action_id)
    assert (recommendations.get(pair).status, recommendations.get(pair).action_id) == ("pending", None)


@pytest.mark.parametrize("number", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_many_findings_of_which_some_cannot_be_done(store: Store, number: int):
    rows = generate_library(number + 3, performers=2)
    for scene in rows.scenes.values():
        scene.stash_ids = ()
    link = {"entity": "scene", "endpoint": STASHDB}
    ids = [
        found(store, "links", str(n), link_stash_id={**link, "entity_id": str(n), "stash_id": f"id-{n}"})
        for n in range(1, number + 1)
    ]
    overlapping = found(store, "overlaps", "7", link_stash_id={**link, "entity_id": "7", "stash_id": "second"})
    missing = found(store, "links", "999", link_stash_id={**link, "entity_id": "999", "stash_id": "x"})
    with FakeStash(rows) as stash:
        wanted = [*ids, overlapping, missing, 10**6]
        many = run(stash, lambda library: preview_many(library, store, wanted, "link_stash_id", {}))
        assert len(stash.requests) < 20, "a preview of many reads many at once"
        assert (len(many.plans), {one.code for one in many.skipped}) == (
            number,
            {"overlap", "stash_not_found", "unknown"},
        )
        assert stash.library.scenes[1].stash_ids == ()
        changed, gone = range(3, number, 20), range(4, number, 30)
        for n in changed:
            rows.scenes[n].title = "changed"
        rows.vanish(gone)
        shown = ActionStore(store).previews(many.digest)
        seen: list[int] = []

        def stop() -> bool:
            return len(seen) >= number // 4

        first = run(
            stash,
            lambda library: accept_many(
                library, store, shown, on_progress=lambda report: seen.append(len(report.done)), should_stop=stop
            ),
        )
        assert (first.stopped, len(first.done) + len(first.skipped)) == (True, number // 4)
        second = run(stash, lambda library: accept_many(library, store, shown, job_id=5))
    assert len(first.done) + len(second.done) == number - len(changed) - len(gone)
    assert all(s.code == "action_conflict" for s in first.skipped)
    assert {s.code for s in second.skipped} == {"action_conflict", "recommendation_conflict"}
    linked = {n for n, scene in rows.scenes.items() if scene.stash_ids}
    assert linked == set(range(1, number + 1)) - set(changed) - set(gone)
    counts = RecommendationStore(store).counts()["links"]
    assert (counts["resolved"], counts["pending"]) == (len(linked), number + 1 - len(linked))


def unanswered(monkeypatch: pytest.MonkeyPatch, name: str, then: Callable[[], None] = lambda: None) -> None:
    """The answer to the next mutation of that name gets lost on its way back."""
    post, lost = StashClient._post, []

    async def losing(self: StashClient, body: Any) -> Any:
        answer = await post(self, body)
        if f"{name}(" in body["query"] and not lost:
            lost.append(name)
            then()
            raise TryAgain(StashUnreachable("the answer was lost"), carried_out=True)
        return answer

    monkeypatch.setattr(StashClient, "_post", losing)


def test_a_merge_whose_answer_is_lost_is_found_to_be_done(
    stash: FakeStash, store: Store, monkeypatch: pytest.MonkeyPatch
):
    unanswered(monkeypatch, "sceneMerge")
    record = act(stash, store, "merge_scenes", destination_id="1", source_ids=["2"])
    assert record.state == "done"
    assert len(stash.requests.named("sceneMerge")) == 1
    assert set(stash.library.scenes[1].tag_ids) == {1, 2, 3}


def test_a_stash_that_goes_away_in_the_middle_is_looked_at_when_it_is_back(
    stash: FakeStash, store: Store, monkeypatch: pytest.MonkeyPatch
):
    pair = found(store, "duplicate_scenes", "1:2", merge_scenes=MERGE)
    unanswered(monkeypatch, "sceneMerge", lambda: stash.knobs.set(refuse=True))
    with pytest.raises(StashUnreachable):
        run(stash, lambda library: accept(library, store, pair, "merge_scenes", {}, seen="e-1:2"))
    (left,) = ActionStore(store).newest()
    assert (left.state, "looked for" in (left.error_message or "")) == ("performing", True)
    assert RecommendationStore(store).get(pair).status == "pending"
    stash.knobs.refuse = False
    (ended,) = run(stash, lambda library: resume_all(library, store))
    assert (ended.state, ended.error_message) == ("done", None)
    assert RecommendationStore(store).get(pair).status == "resolved"
    assert len(stash.requests.named("sceneMerge")) == 1


def test_a_write_that_stash_refuses_is_marked_and_nothing_is_changed(stash: FakeStash, store: Store):
    before = everything(stash.library)
    stash.library.scenes[2].file_ids = (2, 3)
    stash.knobs.set(version="0.31")

    async def use(library: StashLibrary) -> None:
        from pipelines.actions import perform, preview

        params = {"scene_id": "2", "keep_file_id": "2", "delete_file_ids": ["3"]}
        plan = await preview(library, "delete_scene_files", params)
        stash.library.scenes[3].file_ids = (3,)  # another scene has it as its primary one: Stash refuses
        stash.library.revision += 1
        with pytest.raises(StashError, match="cannot delete primary file"):
            await perform(library, store, "delete_scene_files", params, plan.digest)

    run(stash, use)
    stash.library.scenes[3].file_ids = (4,)
    (record,) = ActionStore(store).newest()
    assert (record.state, "Nothing was changed" in (record.error_message or "")) == ("failed", True)
    assert everything(stash.library) == before


def test_a_deletion_that_is_refused_after_its_first_write_can_be_undone(
    stash: FakeStash, store: Store, monkeypatch: pytest.MonkeyPatch
):
    before = everything(stash.library)
    post = StashClient._post

    async def refusing(self: StashClient, body: Any) -> Any:
        if "deleteFiles(" in body["query"]:
            raise StashRejected("Stash refused: the disk is read-only.")
        return await post(self, body)

    monkeypatch.setattr(StashClient, "_post", refusing)
    with pytest.raises(StashRejected, match="read-only"):
        act(stash, store, "delete_scene_files", scene_id="2", keep_file_id="3", delete_file_ids=["2"])
    (record,) = ActionStore(store).newest()
    assert (record.state, "1 of 2 writes" in (record.error_message or "")) == ("failed", True)
    assert stash.library.scenes[2].file_ids == (3, 2)
    assert take_back(stash, store, record.id).undo_state == "undone"
    assert everything(stash.library) == before


def test_a_merge_in_steps_that_is_refused_in_the_middle_says_so_and_can_be_done_again(
    stash: FakeStash, store: Store, monkeypatch: pytest.MonkeyPatch
):
    stash.knobs.version = "0.30"
    post = StashClient._post

    async def refusing(self: StashClient, body: Any) -> Any:
        if "performersDestroy(" in body["query"]:
            raise StashRejected("Stash refused: no.")
        return await post(self, body)

    with monkeypatch.context() as patched:
        patched.setattr(StashClient, "_post", refusing)
        with pytest.raises(StashRejected):
            act(stash, store, "merge_performers", destination_id="1", source_ids=["2"])
    (record,) = ActionStore(store).newest()
    assert "doing it again finishes" in (record.error_message or "")
    assert act(stash, store, "merge_performers", destination_id="1", source_ids=["2"]).state == "done"
    assert set(stash.library.performers[1].alias_list) == {"A. Abel", "Addie"}
    assert [set(stash.library.scenes[i].performer_ids) for i in (1, 2, 3, 4)] == [{1, 3}, {1, 3}, {1}, {1}]
