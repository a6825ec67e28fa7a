"""Merging performers: everything that names the merged-away ones names the one that stays, and knows what they knew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from pipelines.actions.base import ActionType, Change, Gone, Params, Plan, field_changes
from pipelines.actions.snapshots import PLURALS, EntityKind, Snapshot, contents, name_of, snapshot
from pipelines.actions.union import by_age, dropped, single_fields, union
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing

MOST_SOURCES = 20


class MergePerformersParams(Params):
    """Which performers are one person."""

    destination_id: str = Field(max_length=18, description="The performer that stays.")
    source_ids: tuple[str, ...] = Field(min_length=1, max_length=MOST_SOURCES, description="The performers that go.")
    fields: dict[str, str] = Field({}, description="Field -> id of the performer whose value is kept.")

    @model_validator(mode="after")
    def _fit(self) -> MergePerformersParams:
        everyone = {self.destination_id, *self.source_ids}
        if len(everyone) != 1 + len(self.source_ids):
            raise ValueError("a performer is named twice")
        if self.fields.keys() - single_fields("performer") or not set(self.fields.values()) <= everyone:
            allowed = ", ".join(sorted(single_fields("performer")))
            raise ValueError(f"fields: these can be chosen, of one of the performers: {allowed}")
        return self


class MergePerformers(ActionType):
    """Several performers into one."""

    id = "merge_performers"
    title = "Merge performers"
    description = "Make one performer of several: content, names, links, tags and metadata come together."
    destructive = True
    params = MergePerformersParams

    def entities(self, params: MergePerformersParams) -> list[tuple[EntityKind, str]]:
        return [("performer", one) for one in (params.destination_id, *params.source_ids)]

    async def plan(self, library: StashLibrary, params: MergePerformersParams) -> Plan:
        keeper = await _read(library, params.destination_id)
        sources = [await _read(library, one) for one in params.source_ids]
        values = union(keeper, sources, params.fields)
        pictured = None if keeper["has_picture"] else next((s for s in by_age(sources) if s["has_picture"]), None)
        merge = {
            "op": "merge_performers",
            "destination": keeper["id"],
            "sources": [one["id"] for one in sources],
            "values": {**values, **({"image": pictured["id"]} if pictured else {})},
        }
        names = ", ".join(f"{one['id']} ({name_of(one)})" for one in sources)
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Merge performer{'s' if len(sources) > 1 else ''} {names} into {keeper['id']} ({name_of(keeper)}).",
            (keeper, *sources),
            tuple(_changes(keeper, sources, values, pictured)),
            (merge, {"op": "complete", "kind": "performer", "id": keeper["id"], "values": values}),
            tuple(
                Gone("performer", one["id"], f"Performer {one['id']} was merged into performer {keeper['id']}.")
                for one in sources
            ),
            (
                "Performers that are made again have other ids and dates of creation.",
                *((f"Performer {keeper['id']} keeps the picture that it gets.",) if pictured else ()),
            ),
            pictures=tuple(("performer", one["id"]) for one in sources if one["has_picture"]),
        )

    async def undo(self, undoing: Undoing) -> None:
        keeper_id = undoing.params["destination_id"]
        if await undoing.current("performer", keeper_id) is None:
            undoing.conflict("performer", keeper_id, f"Performer {keeper_id} is gone.")
            return
        keeper = undoing.before("performer", keeper_id)
        for source_id in undoing.params["source_ids"]:
            source = undoing.before("performer", source_id)
            made = await undoing.recreate_performer(source)
            if made is not None:
                await undoing.hand_back_contents(source, made, keeper_id)
        sources = [undoing.before("performer", one) for one in undoing.params["source_ids"]]
        await undoing.untag_contents(keeper, sources)
        await undoing.restore_fields(keeper)


async def _read(library: StashLibrary, performer_id: str) -> Snapshot:
    image = await snapshot(library, "performer", performer_id)
    image["contents"] = await contents(library, performer_id)
    return image


def _changes(
    keeper: Snapshot, sources: list[Snapshot], values: dict[str, Any], pictured: Snapshot | None
) -> list[Change]:
    names: dict[str, dict[str, str]] = {}
    for one in sources:
        for field, labels in one["labels"].items():
            names.setdefault(field, {}).update(labels)
    title = name_of(keeper)
    changes = field_changes(keeper, {f: v for f, v in values.items() if f != "custom_fields"}, names)
    if "custom_fields" in values:
        after = {**values["custom_fields"]["partial"], **(keeper.get("custom_fields") or {})}
        changes.append(Change("performer", keeper["id"], "custom_fields", keeper["custom_fields"], after, title=title))
    if pictured is not None:
        changes.append(Change("performer", keeper["id"], "image", None, f"of performer {pictured['id']}", title=title))
    for kind, ids in keeper["contents"].items():
        after_ids = set(ids).union(*(one["contents"][kind] for one in sources))
        if len(after_ids) > len(ids):
            changes.append(Change("performer", keeper["id"], PLURALS[kind], len(ids), len(after_ids), title=title))
    for field, lost in dropped(keeper, sources, values).items():
        changes += [
            Change("performer", one["id"], field, one[field], None, destructive=True, title=name_of(one))
            for one in sources
            if one.get(field) in lost
        ]
    changes += [
        Change("performer", one["id"], "exists", True, False, destructive=True, title=name_of(one)) for one in sources
    ]
    return changes
