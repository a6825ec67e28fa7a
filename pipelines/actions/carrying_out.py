"""Carrying out the writes of an action, one after the other, until it has ended.

A write whose answer did not come is looked for in Stash before anything is said or sent again. What is written before
the first one is sent, is `performing`; what becomes of actions whose process died is `resuming`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from pipelines.actions.base import Step
from pipelines.actions.many import snapshots
from pipelines.actions.owner import ACTIVE, me
from pipelines.actions.recommending import settle
from pipelines.actions.snapshots import NOW, Snapshot, contents, read_before, snapshot
from pipelines.actions.steps import Result, Tools, carry_out, done_already
from pipelines.errors import (
    StashError,
    StashNotFound,
    StashSenseError,
    StashUnreachable,
)
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionRecord, ActionStore

_FEW = 3
"""Entities that are looked at one by one; more are asked for together."""


async def carry_on(library: StashLibrary, actions: ActionStore, record: ActionRecord) -> ActionRecord:
    """Carries out the steps that are left and ends the action."""
    ACTIVE.add(record.id)
    try:
        await asyncio.to_thread(actions.performing, record.id, me())
        record = replace(record, state="performing")
        results: list[Result] = list(record.results)
        for step in record.steps[len(results) :]:
            tools = Tools(library, picture_by_digest(actions), tuple(results))
            try:
                results.append(await _certainly(tools, step))
            except StashUnreachable as error:
                await _note(actions, record, error)
                raise
            except StashSenseError as error:
                await fail(library, actions, record, results, error)
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


async def fail(
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
    if not results and record.state == "performing" and await in_parts(library, record):
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


def picture_by_digest(actions: ActionStore) -> Callable[[str], Awaitable[bytes | None]]:
    async def picture(digest: str) -> bytes | None:
        return await asyncio.to_thread(actions.picture, digest)

    return picture


async def in_parts(library: StashLibrary, record: ActionRecord) -> bool:
    """Whether the first step is no single transaction, so that some of it may be done; it can be done again then."""
    known = await library.client.features(NOW)
    return record.steps[0]["op"] == "merge_performers" and not known.mutation("performerMerge")
