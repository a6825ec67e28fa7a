"""Carrying out an action: look, compare with what was seen, log, write, look again; and what a crash left is finished.

All of it happens in one write turn, so nobody else of the cluster writes between the look and the write. The log has
the before-images and all writes before the first one is sent. A write whose answer did not come is looked for in Stash
before anything is said or sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from pipelines.actions.base import Plan, Step
from pipelines.actions.many import snapshots
from pipelines.actions.owner import ACTIVE, is_alive, me
from pipelines.actions.recommending import reopen, settle
from pipelines.actions.registry import action_type
from pipelines.actions.snapshots import NOW, Snapshot, contents, differences, picture_of, read_before, snapshot
from pipelines.actions.steps import PICTURE, Result, Tools, carry_out, done_already
from pipelines.actions.trash import trash_path
from pipelines.actions.undoing import Undoing
from pipelines.errors import (
    ActionConflict,
    InputError,
    StashError,
    StashNotFound,
    StashSenseError,
    StashUnauthorized,
    StashUnreachable,
)
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionRecord, ActionStore, PreviewRecord
from pipelines.store.sql import Store

T = TypeVar("T")
_FEW = 3
"""Entities that are looked at one by one; more are asked for together."""
_DESTROYS = {"destroy_scenes": "scene", "destroy_images": "image"}


async def preview(library: StashLibrary, action: str, params: Mapping[str, Any]) -> Plan:
    """Returns exactly what an action would do now. Reads only.

    Raises ActionUnknown, InputError, StashNotFound and the other StashError leaves.
    """
    kind = action_type(action)
    return await kind.plan(library, kind.parse(params))


async def keep_preview(store: Store, plan: Plan) -> None:
    """Keeps what was shown for a day, so that a conflict can say what has changed since. Raises StoreError."""
    record = PreviewRecord(plan.digest, plan.digest, plan.action, dict(plan.params), list(plan.before))
    await asyncio.to_thread(ActionStore(store).keep_previews, [record])


async def perform(
    library: StashLibrary,
    store: Store,
    action: str,
    params: Mapping[str, Any],
    digest: str | None = None,
    *,
    seen: bool = False,
    recommendation_id: int | None = None,
    job_id: int | None = None,
) -> ActionRecord:
    """Returns the record of the action, done. It goes on when the caller is cancelled.

    Args:
        digest: of the preview that was shown; what is destructive is refused without one.
        seen: the caller has made sure otherwise that somebody saw what will be done.
        recommendation_id: resolved in the transaction that ends the action.

    Raises:
        ActionConflict: an entity is no longer what was seen; the message says what has changed.
        InputError, ActionUnknown, StoreError, StashError leaves. After StashUnreachable in the middle the action is
            looked for later and finished, or marked with what was done.
    """
    kind = action_type(action)
    parsed = kind.parse(params)
    if kind.destructive and digest is None and not seen:
        raise InputError(
            f"{action} takes something away, and no preview was seen.", "POST /actions/preview, then send its digest."
        )

    async def work() -> ActionRecord:
        async with library.client.writing(NOW):
            await resume_all(library, store)
            plan = await _checked(library, store, action, parsed.model_dump(mode="json"), digest)
            pictures = await _pictures(library, plan)
            return await _begin(library, ActionStore(store), plan, pictures, recommendation_id, job_id)

    return await _to_the_end(work())


async def undo(library: StashLibrary, store: Store, action_id: int) -> ActionRecord:
    """Returns the record of an action that was undone as far as possible; `undo_report` says how far.

    It may be asked again after an interruption or a conflict that was settled. Raises ActionUnknown, ActionConflict
    where there is nothing to undo, StoreError and StashError leaves.
    """

    async def work() -> ActionRecord:
        async with library.client.writing(NOW):
            await resume_all(library, store)
            return await _undo(library, ActionStore(store), action_id)

    return await _to_the_end(work())


async def resume_all(library: StashLibrary, store: Store) -> list[ActionRecord]:
    """Looks at actions that a dead process left behind; finishes them or marks them with what was done. Returns them.

    Raises StashError leaves when Stash does not answer: they stay as they are then.
    """
    async with library.client.writing(NOW):
        actions = ActionStore(store)
        left = await asyncio.to_thread(actions.unfinished)
        dead = [one for one in left if not is_alive(one.owner, one.id, one.touched_at)]
        return [await _resume(library, actions, one) for one in dead]


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that a cancelled caller does not stop in the middle."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _DETACHED.add(task)
        task.add_done_callback(_forget)
        raise


_DETACHED: set[asyncio.Future[Any]] = set()


def _forget(task: asyncio.Future[Any]) -> None:
    _DETACHED.discard(task)
    if not task.cancelled():
        task.exception()  # it is in the log


async def _checked(
    library: StashLibrary, store: Store, action: str, params: Mapping[str, Any], digest: str | None
) -> Plan:
    """Returns the plan as it is now. Raises ActionConflict when it is not the one that was seen."""
    kind = action_type(action)
    try:
        plan = await kind.plan(library, kind.parse(params))
    except (StashNotFound, InputError) as error:
        if digest is None:
            raise
        raise ActionConflict(f"It is no longer what was seen: {error.message}", "Look at it again.") from error
    if digest is not None and plan.digest != digest:
        shown = await asyncio.to_thread(ActionStore(store).shown, digest)
        if shown is not None and (shown.action, shown.params) != (action, plan.params):
            raise ActionConflict("The digest belongs to another action.", "Preview what is to be done.")
        said = differences(shown.before, plan.before) if shown else []
        raise ActionConflict(
            f"It is no longer what was seen: {'; '.join(said) or 'the preview is not known here any more'}.",
            "Look at the preview again. Nothing was changed.",
        )
    return plan


async def _pictures(library: StashLibrary, plan: Plan) -> dict[str, bytes]:
    found = {f"{kind}:{one_id}": await picture_of(library, kind, one_id) for kind, one_id in plan.pictures}
    return {what: data for what, data in found.items() if data}


async def _begin(
    library: StashLibrary,
    actions: ActionStore,
    plan: Plan,
    pictures: Mapping[str, bytes],
    recommendation_id: int | None,
    job_id: int | None,
) -> ActionRecord:
    planned = {
        "action": plan.action,
        "title": plan.title,
        "params": dict(plan.params),
        "digest": plan.digest,
        "destructive": plan.destructive,
        "undoable": plan.undoable,
        "before": list(plan.before),
        "changes": [change.as_json() for change in plan.changes],
        "steps": _with_pictures(plan.steps, pictures),
        "gone": [[one.entity, one.entity_id, one.reason] for one in plan.gone],
        "not_undone": list(plan.not_undone),
        "recommendation_id": recommendation_id,
        "job_id": job_id,
    }
    record = await asyncio.to_thread(actions.begin, planned, pictures, owner=me())
    return await _carry_on(library, actions, record)


def _with_pictures(steps: Sequence[Step], pictures: Mapping[str, bytes]) -> list[Step]:
    """Returns the steps with the digest of a kept picture where a plan says whose picture is meant."""
    named = []
    for step in steps:
        values = dict(step.get("values") or {})
        for field, kind in (("cover_image", "scene"), ("image", "performer")):
            data = pictures.get(f"{kind}:{values.pop(field, '')}")
            if data is not None:
                values[field] = f"{PICTURE}{hashlib.sha256(data).hexdigest()}"
        named.append({**step, "values": values} if "values" in step else step)
    return named


async def _carry_on(library: StashLibrary, actions: ActionStore, record: ActionRecord) -> ActionRecord:
    """Carries out the steps that are left and ends the action."""
    ACTIVE.add(record.id)
    try:
        await asyncio.to_thread(actions.performing, record.id, me())
        record = replace(record, state="performing")
        results: list[Result] = list(record.results)
        for step in record.steps[len(results) :]:
            tools = Tools(library, _picture(actions), tuple(results))
            try:
                results.append(await _certainly(tools, step))
            except StashUnreachable as error:
                await _note(actions, record, error)
                raise
            except StashSenseError as error:
                await _fail(library, actions, record, results, error)
                raise
            await asyncio.to_thread(actions.step_done, record.id, results)
        after = await _afters(library, record, results)
        return await asyncio.to_thread(actions.finish, record.id, after, settle)
    finally:
        ACTIVE.discard(record.id)


async def _certainly(tools: Tools, step: Step) -> Result:
    """Carries out a step; after an error it is done all the same when Stash shows that it is."""
    try:
        return await carry_out(tools, step)
    except StashError as error:
        with suppress(StashNotFound):
            done = await done_already(tools, step)  # raises StashUnreachable while nobody can know
            if done is not None:
                return done
        if isinstance(error, StashUnreachable):
            raise _not_carried_out(error) from error
        raise


def _not_carried_out(error: StashUnreachable) -> StashError:
    """Stash answers again and shows that nothing was written."""
    return StashError(f"Stash did not carry it out: {error.message}", "Try again.")


async def _note(actions: ActionStore, record: ActionRecord, error: StashSenseError) -> None:
    said = f"{error.message} It is looked for and finished, or marked with what was done, when Stash answers again."
    await asyncio.to_thread(actions.note, record.id, error.code, said)


async def _fail(
    library: StashLibrary,
    actions: ActionStore,
    record: ActionRecord,
    results: Sequence[Result],
    error: StashSenseError,
) -> ActionRecord:
    after: list[Snapshot] = []
    with suppress(StashError):
        after = await _afters(library, record, results) if results else []
    done = f"{len(results)} of {len(record.steps)} writes were carried out." if results else "Nothing was changed."
    if not results and record.state == "performing" and await _in_parts(library, record):
        done = "This version of Stash does it in steps, of which some may be done; doing it again finishes them."
    return await asyncio.to_thread(actions.fail, record.id, error.code, f"{error.message} {done}", after)


async def _afters(library: StashLibrary, record: ActionRecord, results: Sequence[Result]) -> list[Snapshot]:
    """Returns what is left of the entities that the action touched, and what it made."""
    found = []
    made = [("performer", result["id"]) for result in results if "id" in result]
    before = [(one["kind"], one["id"]) for one in record.before]
    known = await snapshots(library, before, pictures=False) if len(before) > _FEW else {}
    with read_before(known):
        for kind, one_id in [*before, *made]:
            with suppress(StashNotFound):
                image = await snapshot(library, kind, one_id)
                if kind == "performer":
                    image["contents"] = await contents(library, one_id)
                found.append(image)
    return found


def _picture(actions: ActionStore) -> Callable[[str], Awaitable[bytes | None]]:
    async def picture(digest: str) -> bytes | None:
        return await asyncio.to_thread(actions.picture, digest)

    return picture


async def _resume(library: StashLibrary, actions: ActionStore, record: ActionRecord) -> ActionRecord:
    """Ends an action whose process died: finishes what was begun, and begins nothing that was not."""
    results = list(record.results)
    if record.state == "performing" and len(results) < len(record.steps):
        step = record.steps[len(results)]
        tools = Tools(library, _picture(actions), tuple(results))
        try:
            done = await done_already(tools, step)
        except (StashUnreachable, StashUnauthorized):
            raise
        except StashSenseError as error:
            return await _fail(library, actions, record, results, error)
        if done is not None:
            results.append(done)
            await asyncio.to_thread(actions.step_done, record.id, results)
    record = await asyncio.to_thread(actions.get, record.id)
    begun = bool(results) or not record.steps or await _in_parts(library, record)
    if record.state != "performing" or not begun:
        early = ActionConflict("The server ended before it came to this.")
        return await _fail(library, actions, record, (), early)
    changed = await _changed(library, record, len(results))
    if changed:
        late = ActionConflict(f"The server ended in the middle, and since then {'; '.join(changed)}.")
        return await _fail(library, actions, record, results, late)
    try:
        return await _carry_on(library, actions, record)
    except StashUnreachable:
        raise
    except StashSenseError:
        return await asyncio.to_thread(actions.get, record.id)


async def _in_parts(library: StashLibrary, record: ActionRecord) -> bool:
    """Whether the first step is no single transaction, so that some of it may be done; it can be done again then."""
    known = await library.client.features(NOW)
    return record.steps[0]["op"] == "merge_performers" and not known.mutation("performerMerge")


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


async def _undo(library: StashLibrary, actions: ActionStore, action_id: int) -> ActionRecord:
    record = await asyncio.to_thread(actions.begin_undo, action_id, me())

    async def remember(what: str, made_id: str) -> None:
        await asyncio.to_thread(actions.undo_made, record.id, what, made_id)

    undoing = Undoing(
        library,
        params=record.params,
        befores=record.before,
        afters=record.after,
        results=record.results,
        made=record.undo_made,
        again=record.undo_state is not None,
        remember=remember,
        picture=_picture(actions),
        pictures=record.pictures,
        trash=await trash_path(library),
    )
    await action_type(record.action).undo(undoing)
    return await asyncio.to_thread(actions.end_undo, record.id, undoing.report.as_json(), reopen)
