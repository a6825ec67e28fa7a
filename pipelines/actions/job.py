"""The jobs about actions: accepting many recommendations, and ending what a crash left in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

from pipelines.actions.accepting import AcceptReport, accept_many
from pipelines.actions.resuming import resume_all
from pipelines.errors import ActionConflict
from pipelines.jobs import JobContext
from pipelines.stash.connect import open_library
from pipelines.stash.limiter import Priority
from pipelines.stash.retries import Retries
from pipelines.store.actions import ActionStore, PreviewRecord
from pipelines.store.sql import Store, open_store

PATIENT = Retries(attempts={Priority.INTERACTIVE: 30, Priority.BATCH: 30}, total_s=dict.fromkeys(Priority, 300.0))
"""A job outlasts a restart of Stash."""


def run_job(context: JobContext) -> dict[str, Any]:
    """The job accept_recommendations; its parameters are an `AcceptRequest`."""
    store = open_store(context.settings.store_url)
    try:
        shown = _shown(store, context.params)
        return asyncio.run(_accept(context, store, shown)).as_json()
    finally:
        store.close()


def finish_job(context: JobContext) -> dict[str, Any]:
    """The job finish_actions: looks at what was left in the middle; returns how many actions ended how."""
    store = open_store(context.settings.store_url)

    async def work() -> dict[str, Any]:
        async with open_library(context.settings, retries=PATIENT) as library:
            ended = await resume_all(library, store)
        return {"done": sum(one.state == "done" for one in ended), "failed": sum(one.state != "done" for one in ended)}

    try:
        return asyncio.run(work())
    finally:
        store.close()


def _shown(store: Store, params: Any) -> list[PreviewRecord]:
    """Returns what was shown. Raises ActionConflict when that is not known any more, or something else is asked."""
    shown = ActionStore(store).previews(params.digest)
    if not shown:
        raise ActionConflict("The preview is not known any more.", "Preview again what is to be done.")
    if any(one.action != params.action for one in shown):
        raise ActionConflict(f"The preview is of another action than {params.action}.", "Preview again.")
    if params.ids is None:
        return shown
    seen = {one.recommendation_id for one in shown}
    strange = [one for one in params.ids if one not in seen]
    if strange:
        listed = ", ".join(map(str, strange[:20]))
        raise ActionConflict(f"The preview does not have recommendation {listed}.", "Preview what is to be done.")
    return [one for one in shown if one.recommendation_id in set(params.ids)]


async def _accept(context: JobContext, store: Store, shown: list[PreviewRecord]) -> AcceptReport:
    def say(report: AcceptReport) -> None:
        done = report.counts()
        context.progress(sum(done.values()), len(shown), done)

    say(AcceptReport())
    async with open_library(context.settings, retries=PATIENT) as library:
        return await accept_many(
            library, store, shown, job_id=context.job_id, on_progress=say, should_stop=context.stop_requested
        )
