"""Ending actions that a dead process left in the middle: finished, or marked with what was done."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pipelines.actions.carrying_out import carry_on, fail, in_parts, picture_by_digest
from pipelines.actions.owner import is_alive
from pipelines.actions.snapshots import NOW, differences, snapshot
from pipelines.actions.steps import Tools, done_already
from pipelines.errors import (
    ActionConflict,
    StashNotFound,
    StashSenseError,
    StashUnauthorized,
    StashUnreachable,
)
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionRecord, ActionStore
from pipelines.store.sql import Store

_DESTROYS = {"destroy_scenes": "scene", "destroy_images": "image"}


async def resume_all(library: StashLibrary, store: Store) -> list[ActionRecord]:
    """Looks at actions that a dead process left behind; finishes them or marks them with what was done. Returns them.

    Raises StashError leaves when Stash does not answer: they stay as they are then.
    """
    async with library.client.writing(NOW):
        actions = ActionStore(store)
        left = await asyncio.to_thread(actions.unfinished)
        dead = [one for one in left if not is_alive(one.owner, one.id, one.touched_at)]
        return [await _resume(library, actions, one) for one in dead]


async def _resume(library: StashLibrary, actions: ActionStore, record: ActionRecord) -> ActionRecord:
    """Ends an action whose process died: finishes what was begun, and begins nothing that was not."""
    results = list(record.results)
    if record.state == "performing" and len(results) < len(record.steps):
        step = record.steps[len(results)]
        tools = Tools(library, picture_by_digest(actions), tuple(results))
        try:
            done = await done_already(tools, step)
        except (StashUnreachable, StashUnauthorized):
            raise
        except StashSenseError as error:
            return await fail(library, actions, record, results, error)
        if done is not None:
            results.append(done)
            await asyncio.to_thread(actions.step_done, record.id, results)
    record = await asyncio.to_thread(actions.get, record.id)
    begun = bool(results) or not record.steps or await in_parts(library, record)
    if record.state != "performing" or not begun:
        early = ActionConflict("The server ended before it came to this.")
        return await fail(library, actions, record, (), early)
    changed = await _changed(library, record, len(results))
    if changed:
        late = ActionConflict(f"The server ended in the middle, and since then {'; '.join(changed)}.")
        return await fail(library, actions, record, results, late)
    try:
        return await carry_on(library, actions, record)
    except StashUnreachable:
        raise
    except StashSenseError:
        return await asyncio.to_thread(actions.get, record.id)


async def _changed(library: StashLibrary, record: ActionRecord, number: int) -> list[str]:
    """Returns what has changed of the entities that the steps from `number` on would destroy."""
    said: list[str] = []
    for step in record.steps[number:]:
        kind = _DESTROYS.get(step["op"])
        before = [one for one in record.before if kind and one["kind"] == kind and one["id"] in step["ids"]]
        now = []
        for one in before:
            with suppress(StashNotFound):
                now.append(await snapshot(library, one["kind"], one["id"]))
        said += differences(before, now)
    return said
