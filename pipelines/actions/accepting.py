"""Accepting recommendations: from a finding and the action it offers to what is done in Stash; one, or many at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.actions.base import Plan
from pipelines.actions.create_performer import CreatePerformer, filled
from pipelines.actions.many import snapshots
from pipelines.actions.performing import perform, preview
from pipelines.actions.registry import action_type
from pipelines.actions.snapshots import read_before
from pipelines.errors import (
    InputError,
    LimitExceeded,
    RecommendationConflict,
    StashSenseError,
    StashUnauthorized,
    StashUnreachable,
)
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionRecord, ActionStore, PreviewRecord
from pipelines.store.recommendation_records import Recommendation
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import Store

MOST_AT_ONCE = 1000
"""Findings in one preview: it is looked at by somebody, and kept with all before-images."""
Person = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""What the performer database knows of a universal id, as a row of PERFORMER_SCHEMA; None for nobody."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A recommendation about which nothing will be, or was, done, and why."""

    recommendation_id: int
    reason: str
    code: str

    def as_json(self) -> dict[str, Any]:
        return {"recommendation_id": self.recommendation_id, "reason": self.reason, "code": self.code}


@dataclass(frozen=True, slots=True)
class ManyPlans:
    """What will be done about many recommendations."""

    plans: tuple[tuple[int, Plan], ...]
    skipped: tuple[Skipped, ...]

    @property
    def digest(self) -> str:
        """Changes when anything that will be done does."""
        parts = [f"{one}:{plan.digest}" for one, plan in self.plans]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def as_json(self) -> dict[str, Any]:
        changes = [
            {"recommendation_id": one, **change.as_json()} for one, plan in self.plans for change in plan.changes
        ]
        notes = dict.fromkeys(note for _, plan in self.plans for note in plan.not_undone)
        return {
            "changes": changes,
            "skipped": [one.as_json() for one in self.skipped],
            "recommendations": len(self.plans),
            "destructive": any(plan.destructive for _, plan in self.plans),
            "undoable": all(plan.undoable for _, plan in self.plans),
            "not_undone": list(notes),
            "digest": self.digest,
        }


async def completed(action: str, params: Mapping[str, Any], person: Person | None) -> dict[str, Any]:
    """Returns the parameters with what the performer database knows, where an action asks for that."""
    universal_id = params.get("universal_id")
    if action != CreatePerformer.id or person is None or not isinstance(universal_id, str):
        return dict(params)
    return filled(params, await person(universal_id))


async def accepted_params(
    one: Recommendation, action: str, params: Mapping[str, Any], person: Person | None
) -> dict[str, Any]:
    """Returns the parameters for an action about a recommendation: those it offers, with what somebody has changed.

    Raises InputError when the action is not offered, or `params` name something the finding is not about;
    RecommendationConflict when it is resolved or closed.
    """
    if one.status in {"resolved", "closed"}:
        raise RecommendationConflict(f"Recommendation {one.id} is {one.status}.", "Only what is pending is accepted.")
    offered: Mapping[str, Any] = one.details.get("actions", {})
    if action not in offered:
        raise InputError(
            f"Recommendation {one.id} does not offer {action[:80]!r}.", f"It offers {', '.join(offered) or 'nothing'}."
        )
    kind = action_type(action)
    known = {**offered[action], **params}
    allowed = {
        *kind.entities(kind.parse(offered[action])),
        *((one.target_type, part) for part in one.target_id.split(":")),
    }
    strange = [f"{what} {one_id}" for what, one_id in kind.entities(kind.parse(known)) if (what, one_id) not in allowed]
    if strange:
        raise InputError(f"Recommendation {one.id} is not about {', '.join(strange)}.", "Nothing else is changed.")
    return await completed(action, known, person)


async def accept(
    library: StashLibrary,
    store: Store,
    recommendation_id: int,
    action: str,
    params: Mapping[str, Any],
    *,
    seen: str,
    digest: str | None = None,
    person: Person | None = None,
) -> ActionRecord:
    """Returns the action that was done about a recommendation, which is resolved by it.

    Args:
        seen: the evidence that somebody saw.

    Raises RecommendationUnknown, RecommendationConflict when the evidence is another one by now, and as `perform`.
    """
    one = await asyncio.to_thread(RecommendationStore(store).get, recommendation_id)
    if one.evidence != seen:
        raise RecommendationConflict(
            f"Recommendation {one.id} has changed since it was looked at.", "Look at it again, then decide."
        )
    known = await accepted_params(one, action, params, person)
    return await perform(library, store, action, known, digest, seen=True, recommendation_id=one.id)


async def preview_many(
    library: StashLibrary,
    store: Store,
    ids: Sequence[int],
    action: str,
    params: Mapping[str, Any],
    person: Person | None = None,
) -> ManyPlans:
    """Returns exactly what would be done about recommendations, and keeps it for the job; what cannot be is skipped.

    Raises LimitExceeded for more than MOST_AT_ONCE, ActionUnknown, StashUnreachable, StashUnauthorized, StoreError.
    """
    if len(ids) > MOST_AT_ONCE:
        raise LimitExceeded(f"{len(ids)} recommendations are meant.", f"At most {MOST_AT_ONCE} at once.")
    kind = action_type(action)
    found = {one.id: one for one in await asyncio.to_thread(RecommendationStore(store).many, list(ids))}
    skipped = [Skipped(one, f"There is no recommendation {one}.", "unknown") for one in ids if one not in found]
    wanted: dict[int, dict[str, Any]] = {}
    for one in found.values():
        try:
            wanted[one.id] = await accepted_params(one, action, params, person)
        except StashSenseError as error:
            skipped.append(Skipped(one.id, error.message, error.code))
    named = [entity for known in wanted.values() for entity in kind.entities(kind.parse(known))]
    images = await snapshots(library, named, pictures=action in {"merge_scenes", "delete_scene"})
    plans: list[tuple[int, Plan]] = []
    taken: set[tuple[str, str]] = set()
    with read_before(images):
        for one_id, known in wanted.items():
            touched = kind.entities(kind.parse(known))
            if not taken.isdisjoint(touched):
                said = "Another one that is chosen changes the same: accept this one afterwards."
                skipped.append(Skipped(one_id, said, "overlap"))
                continue
            try:
                plans.append((one_id, await preview(library, action, known)))
            except (StashUnreachable, StashUnauthorized):
                raise
            except StashSenseError as error:
                skipped.append(Skipped(one_id, error.message, error.code))
                continue
            taken.update(touched)
    many = ManyPlans(tuple(plans), tuple(skipped))
    shown = [
        PreviewRecord(many.digest, plan.digest, action, dict(plan.params), list(plan.before), one_id)
        for one_id, plan in plans
    ]
    await asyncio.to_thread(ActionStore(store).keep_previews, shown)
    return many


@dataclass(frozen=True, slots=True)
class AcceptReport:
    """What became of many recommendations."""

    done: tuple[int, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    stopped: bool = False

    def counts(self) -> dict[str, int]:
        return {"done": len(self.done), "skipped": len(self.skipped)}

    def as_json(self) -> dict[str, Any]:
        skipped = [one.as_json() for one in self.skipped]
        return {**self.counts(), "stopped": self.stopped, "actions": list(self.done), "why_skipped": skipped}


async def accept_many(
    library: StashLibrary,
    store: Store,
    shown: Sequence[PreviewRecord],
    *,
    job_id: int | None = None,
    on_progress: Callable[[AcceptReport], None] = lambda _report: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> AcceptReport:
    """Does what was shown, one after the other; what is no longer as it was shown is skipped with the reason.

    What was done before an interruption is not done again. Raises StashUnreachable, StashUnauthorized, StoreError:
    whoever runs it again goes on where it was.
    """
    report = AcceptReport()
    for item in shown:
        if should_stop():
            return replace(report, stopped=True)
        one_id = item.recommendation_id or 0
        try:
            one = await asyncio.to_thread(RecommendationStore(store).get, one_id)
            if one.status != "pending":
                raise RecommendationConflict(f"Recommendation {one_id} is {one.status}.")
            record = await perform(
                library, store, item.action, item.params, item.digest, recommendation_id=one_id, job_id=job_id
            )
            report = replace(report, done=(*report.done, record.id))
        except (StashUnreachable, StashUnauthorized):
            raise
        except StashSenseError as error:
            report = replace(report, skipped=(*report.skipped, Skipped(one_id, error.message, error.code)))
        on_progress(report)
    return report
