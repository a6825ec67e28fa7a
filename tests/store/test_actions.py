"""The log of actions, on SQLite and on PostgreSQL: what is kept, in which order, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.errors import ActionConflict, ActionUnknown
from pipelines.store.actions import ActionStore, PreviewRecord
from pipelines.store.sql import Store


def planned(**more: Any) -> dict[str, Any]:
    return {
        "action": "merge_scenes",
        "title": "Merge 2 into 1.",
        "params": {"destination_id": "1"},
        "digest": "d",
        "destructive": True,
        "undoable": True,
        "before": [{"kind": "scene", "id": "1"}],
        "changes": [],
        "steps": [{"op": "merge_scenes"}],
        "gone": [],
        "not_undone": [],
        "recommendation_id": None,
        "job_id": None,
        **more,
    }


def test_an_action_from_its_plan_to_its_undo(store: Store):
    actions = ActionStore(store)
    begun = actions.begin(planned(), {"scene:2": b"\x00\xff cover"}, owner="me")
    assert (begun.state, begun.before, list(begun.pictures)) == ("planned", [{"kind": "scene", "id": "1"}], ["scene:2"])
    assert actions.picture(begun.pictures["scene:2"]) == b"\x00\xff cover"
    assert actions.oldest_unfinished() == begun.touched_at
    with pytest.raises(ActionConflict, match="changed nothing"):
        actions.begin_undo(begun.id, "me")
    actions.performing(begun.id, "me")
    actions.step_done(begun.id, [{}])
    assert [one.id for one in actions.unfinished()] == [begun.id]
    done = actions.finish(begun.id, [{"kind": "scene", "id": "1", "title": "x"}])
    assert (done.state, done.results, done.after[0]["title"]) == ("done", [{}], "x")
    assert (actions.unfinished(), actions.oldest_unfinished()) == ([], None)
    assert actions.begin_undo(begun.id, "me").undo_state is None
    actions.undo_made(begun.id, "scene:2", "9")
    partly = actions.end_undo(begun.id, {"restored": [], "conflicts": ["changed"], "lost": []})
    assert (partly.undo_state, partly.undo_made) == ("partly", {"scene:2": "9"})
    assert actions.begin_undo(begun.id, "me").undo_state == "partly"
    assert actions.end_undo(begun.id, {"restored": [], "conflicts": [], "lost": []}).undo_state == "undone"
    with pytest.raises(ActionConflict, match="undone already"):
        actions.begin_undo(begun.id, "me")


def test_the_end_and_what_goes_with_it_are_one_transaction(store: Store):
    actions = ActionStore(store)
    begun = actions.begin(planned(), {}, owner="me")
    actions.performing(begun.id, "me")

    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        actions.finish(begun.id, [], fail)
    assert actions.get(begun.id).state == "performing"


def test_pages_of_the_log_and_an_unknown_action(store: Store):
    actions = ActionStore(store)
    ids = [actions.begin(planned(action=f"type_{n % 2}"), {}, owner="me").id for n in range(5)]
    assert [one.id for one in actions.newest(limit=2)] == ids[:2:-1]
    assert [one.id for one in actions.newest(before_id=ids[3])] == ids[2::-1]
    assert [one.id for one in actions.newest(action="type_1")] == [ids[3], ids[1]]
    assert (actions.count(), actions.count("type_1")) == (5, 2)
    with pytest.raises(ActionUnknown):
        actions.get(99)


def test_previews_are_kept_for_a_day_in_their_order(store: Store):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    actions = ActionStore(store, lambda: now)
    items = [PreviewRecord("batch", f"d{n}", "tag", {"n": n}, [], n) for n in (3, 1, 2)]
    actions.keep_previews(items)
    actions.keep_previews(items)
    assert actions.previews("batch") == items
    assert actions.shown("d1") == items[1]
    assert (actions.previews("another"), actions.shown("d9")) == ([], None)
    now += timedelta(hours=25)
    actions.keep_previews([PreviewRecord("late", "x", "tag", {}, [])])
    assert actions.previews("batch") == []
