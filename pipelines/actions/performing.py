"""Performing an action: look, compare with what was seen, log, write, look again; and undoing one.

All of it happens in one write turn, so nobody else of the cluster writes between the look and the write. The log has
the before-images and all writes before the first one is sent. The writes themselves are `carrying_out`, and what a
crash left in the middle is ended by `resuming`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from pipelines.actions.base import Plan, Step
from pipelines.actions.carrying_out import carry_on, picture_by_digest
from pipelines.actions.owner import me
from pipelines.actions.recommending import reopen
from pipelines.actions.registry import action_type
from pipelines.actions.resuming import resume_all
from pipelines.actions.snapshots import NOW, differences, picture_of
from pipelines.actions.steps import PICTURE
from pipelines.actions.trash import trash_path
from pipelines.actions.undoing import Undoing
from pipelines.errors import (
    ActionConflict,
    InputError,
    StashNotFound,
)
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionRecord, ActionStore, PreviewRecord
from pipelines.store.sql import Store

T = TypeVar("T")


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
    return await carry_on(library, actions, record)


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
        picture=picture_by_digest(actions),
        pictures=record.pictures,
        trash=await trash_path(library),
    )
    await action_type(record.action).undo(undoing)
    return await asyncio.to_thread(actions.end_undo, record.id, undoing.report.as_json(), reopen)
