"""What every undo needs: what is known of the action, what is said of the undo, and fields of what is still there.

Lives here: `UndoFields`, on which the undoing of scenes, people and images builds, and the report. Nothing is made anew
here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.actions.snapshots import FIELDS, NOW, EntityKind, Snapshot, same, snapshot
from pipelines.actions.steps import update
from pipelines.errors import StashNotFound
from pipelines.stash.library import StashLibrary

Remember = Callable[[str, str], Awaitable[None]]


@dataclass(slots=True)
class UndoReport:
    """What an undo did.

    Attributes:
        restored: {"entity", "entity_id", "field", "made_id"?}: what is as before again.
        conflicts: sentences on what was changed since and is left alone.
        lost: sentences on what cannot be brought back.
    """

    restored: list[dict[str, str]] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"restored": self.restored, "conflicts": self.conflicts, "lost": self.lost}


class UndoFields:
    """One undo under way.

    Args:
        befores, afters: the images before the action, and of what was left after it.
        results: of the action's steps.
        made: "scene:45" -> id of what was made in its place by an undo that was interrupted.
        again: an undo of this action has begun before.
        remember: writes down what was made.
        picture: returns a kept picture by its digest.
        pictures: "scene:45" -> digest of the picture that was kept.
        trash: folder to which Stash moves deleted files; "" for none.
    """

    def __init__(
        self,
        library: StashLibrary,
        *,
        params: Mapping[str, Any],
        befores: Sequence[Snapshot],
        afters: Sequence[Snapshot],
        results: Sequence[Mapping[str, Any]],
        made: Mapping[str, str],
        again: bool,
        remember: Remember,
        picture: Callable[[str], Awaitable[bytes | None]],
        pictures: Mapping[str, str],
        trash: str,
    ) -> None:
        self.library = library
        self.params = params
        self.befores = befores
        self.trash = trash
        self.report = UndoReport()
        self._afters = {(one["kind"], one["id"]): one for one in afters}
        self._results = results
        self._made = dict(made)
        self._again = again
        self._remember = remember
        self._picture = picture
        self._pictures = pictures

    # --- what is known

    def before(self, kind: EntityKind, one_id: str) -> Snapshot:
        """Returns the before-image of an entity that the action touched."""
        return next(one for one in self.befores if (one["kind"], one["id"]) == (kind, one_id))

    def result(self, number: int) -> Mapping[str, Any]:
        """Returns what a step of the action gave, {} when it was not carried out."""
        return self._results[number] if number < len(self._results) else {}

    async def current(self, kind: EntityKind, one_id: str) -> Snapshot | None:
        """Returns an entity as it is now, None when it is gone."""
        try:
            return await snapshot(self.library, kind, one_id)
        except StashNotFound:
            return None

    # --- what is said

    def conflict(self, _kind: EntityKind, _one_id: str, sentence: str) -> None:
        if sentence not in self.report.conflicts:
            self.report.conflicts.append(sentence)

    def lost(self, sentence: str) -> None:
        self.report.lost.append(sentence)

    def restored(self, image: Snapshot, what: str, made_id: str = "") -> None:
        self.report.restored.append(
            {
                "entity": image["kind"],
                "entity_id": image["id"],
                "field": what,
                **({"made_id": made_id} if made_id else {}),
            }
        )

    # --- fields of what is still there

    async def restore_fields(self, before: Snapshot, fields: Collection[str] = ()) -> None:
        """Writes back the fields that the action changed and nobody since; by default all that an update takes."""
        kind, one_id = before["kind"], before["id"]
        now, after = await self.current(kind, one_id), self._afters.get((kind, one_id))
        if now is None or after is None:
            if after is not None:
                self.conflict(kind, one_id, f"{kind} {one_id} is gone.")
            return
        values: dict[str, Any] = {}
        for name in fields or FIELDS[kind]:
            if (
                name not in before
                or same(name, before[name], after.get(name))
                or same(name, now.get(name), before[name])
            ):
                continue
            if same(name, now.get(name), after.get(name)):
                values[name] = {"full": before[name]} if name == "custom_fields" else before[name]
            else:
                self.conflict(kind, one_id, f"{name} of {kind} {one_id} was changed since; it is left as it is.")
        values = await self._with_what_exists(kind, one_id, values)
        await update(self.library, kind, one_id, values)
        for name in values:
            self.restored(before, name)

    async def _with_what_exists(self, kind: EntityKind, one_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values without ids of what was deleted since: Stash would refuse all of them."""
        kept = dict(values)
        names: dict[str, EntityKind | Literal["tag"]] = {
            "performer_ids": "performer",
            "gallery_ids": "gallery",
            "tag_ids": "tag",
        }
        for name, of in names.items():
            if not kept.get(name):
                continue
            there = [one for one in kept[name] if await self.library.find(of, self.made_for(of, one), "outline", NOW)]
            gone = [one for one in kept[name] if one not in there]
            kept[name] = [self.made_for(of, one) for one in there]
            if gone:
                self.conflict(kind, one_id, f"{of} {', '.join(gone)} of {kind} {one_id} was deleted since.")
        if kept.get("studio_id") and not await self.library.find("studio", kept["studio_id"], "outline", NOW):
            self.conflict(kind, one_id, f"Studio {kept.pop('studio_id')} of {kind} {one_id} was deleted since.")
        return kept

    def made_for(self, kind: str, one_id: str) -> str:
        """Returns the id of what this undo made in the place of an entity; that of the entity when it made nothing."""
        return self._made.get(f"{kind}:{one_id}", one_id)

    async def _note_made(self, kind: EntityKind, one_id: str, made: str) -> None:
        if self._made.get(f"{kind}:{one_id}") != made:
            await self._remember(f"{kind}:{one_id}", made)
            self._made[f"{kind}:{one_id}"] = made
