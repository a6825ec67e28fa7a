"""Merging scenes: files and markers move, metadata becomes a union, the merged-away scenes go.

Stash moves files, markers and, when asked, histories; everything else is lost unless it is sent along, so it is. The
merge is one transaction of Stash; `complete` writes what a version did not take over with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from pipelines.actions.base import ActionType, Change, Gone, Params, Plan, field_changes
from pipelines.actions.snapshots import NOW, EntityKind, Snapshot, name_of, snapshot
from pipelines.actions.union import by_age, dropped, single_fields, union
from pipelines.errors import StashUnknownField
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing

MOST_SOURCES = 50


class MergeScenesParams(Params):
    """Which scenes become one."""

    destination_id: str = Field(max_length=18, description="The scene that stays.")
    source_ids: tuple[str, ...] = Field(min_length=1, max_length=MOST_SOURCES, description="The scenes that go.")
    fields: dict[str, str] = Field({}, description="Field -> id of the scene whose value is kept, such as title.")
    play_history: bool = Field(True, description="Also keep when the merged-away scenes were played.")
    o_history: bool = Field(True, description="Also keep their o-history.")

    @model_validator(mode="after")
    def _fit(self) -> MergeScenesParams:
        everyone = {self.destination_id, *self.source_ids}
        if len(everyone) != 1 + len(self.source_ids):
            raise ValueError("a scene is named twice")
        unknown = self.fields.keys() - single_fields("scene")
        if unknown:
            allowed = ", ".join(sorted(single_fields("scene")))
            raise ValueError(f"fields: {', '.join(sorted(unknown))} cannot be chosen; these can: {allowed}")
        if not set(self.fields.values()) <= everyone:
            raise ValueError("fields: a scene is named that is not merged")
        return self


class MergeScenes(ActionType):
    """Several scenes into one."""

    id = "merge_scenes"
    title = "Merge scenes"
    description = "Move files, markers and metadata of scenes into one of them; the others go."
    destructive = True
    params = MergeScenesParams

    def entities(self, params: MergeScenesParams) -> list[tuple[EntityKind, str]]:
        return [("scene", one) for one in (params.destination_id, *params.source_ids)]

    async def plan(self, library: StashLibrary, params: MergeScenesParams) -> Plan:
        known = await library.client.features(NOW)
        if not known.knows("Scene", "groups"):
            raise StashUnknownField(
                "This version of Stash has movies, which a merge would lose.", "Update Stash to 0.27 or later."
            )
        keeper = await snapshot(library, "scene", params.destination_id, picture=True)
        sources = [await snapshot(library, "scene", one, picture=True) for one in params.source_ids]
        values = union(keeper, sources, params.fields)
        if not params.play_history:
            values.pop("play_duration", None)
        cover = _cover(keeper, sources)
        written = {**values, **({"cover_image": cover["id"]} if cover else {})}
        merge = {
            "op": "merge_scenes",
            "destination": keeper["id"],
            "sources": [one["id"] for one in sources],
            "values": written,
            "play_history": params.play_history,
            "o_history": params.o_history,
        }
        steps = [merge, {"op": "complete", "kind": "scene", "id": keeper["id"], "values": values}]
        gone = tuple(
            Gone("scene", one["id"], f"Scene {one['id']} was merged into scene {keeper['id']}.") for one in sources
        )
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Merge {_listed(sources)} into scene {keeper['id']} ({name_of(keeper)}).",
            (keeper, *sources),
            tuple(_changes(keeper, sources, values, params, cover)),
            tuple(steps),
            gone,
            (
                "Scenes that are made again have other ids and dates of creation; generated previews are made anew.",
                *((f"Scene {keeper['id']} keeps the cover that it gets.",) if cover else ()),
                *_histories_lost(sources, params),
            ),
            pictures=tuple(("scene", one["id"]) for one in sources if one.get("has_picture")),
        )

    async def undo(self, undoing: Undoing) -> None:
        keeper_id = undoing.params["destination_id"]
        keeper = undoing.before("scene", keeper_id)
        sources = [undoing.before("scene", one) for one in undoing.params["source_ids"]]
        now = await undoing.current("scene", keeper_id)
        if now is None:
            undoing.conflict("scene", keeper_id, f"Scene {keeper_id} is gone, and the files with it.")
            return
        for source in sources:
            await undoing.recreate_scene(source, holder_id=keeper_id)
        if undoing.params["play_history"]:
            await undoing.take_back_history(keeper, "play", [t for one in sources for t in one["play_history"]])
        if undoing.params["o_history"]:
            await undoing.take_back_history(keeper, "o", [t for one in sources for t in one["o_history"]])
        await undoing.restore_fields(keeper)


def _cover(keeper: Snapshot, sources: list[Snapshot]) -> Snapshot | None:
    """Returns whose cover the keeper gets: it has none, and somebody has."""
    if keeper.get("has_picture") is not False:
        return None
    return next((one for one in by_age(sources) if one.get("has_picture")), None)


def _changes(
    keeper: Snapshot, sources: list[Snapshot], values: dict[str, Any], params: MergeScenesParams, cover: Snapshot | None
) -> list[Change]:
    names: dict[str, dict[str, str]] = {}
    for one in sources:
        for field, labels in one["labels"].items():
            names.setdefault(field, {}).update(labels)
    shown = {field: value for field, value in values.items() if field != "custom_fields"}
    changes = field_changes(keeper, shown, names)
    title = name_of(keeper)
    if "custom_fields" in values:
        after = {**values["custom_fields"]["partial"], **(keeper.get("custom_fields") or {})}
        changes.append(Change("scene", keeper["id"], "custom_fields", keeper.get("custom_fields"), after, title=title))
    if cover is not None:
        changes.append(Change("scene", keeper["id"], "cover", None, f"of scene {cover['id']}", title=title))
    files = [one["path"] for one in keeper["files"]]
    more = [one["path"] for source in sources for one in source["files"]]
    if more:
        changes.append(Change("scene", keeper["id"], "files", files, [*files, *more], title=title))
    for name, label_ in (("markers", "scene_markers"), ("play_history", "play_history"), ("o_history", "o_history")):
        asked = name == "markers" or getattr(params, name)
        there, moved = len(keeper.get(name) or ()), sum(len(one.get(name) or ()) for one in sources)
        if moved and asked:
            changes.append(Change("scene", keeper["id"], label_, there, there + moved, title=title))
    for field, lost in dropped(keeper, sources, values).items():
        changes += [
            Change("scene", one["id"], field, one[field], None, destructive=True, title=name_of(one))
            for one in sources
            if one.get(field) in lost
        ]
    changes += [
        Change("scene", one["id"], "exists", True, False, destructive=True, title=name_of(one)) for one in sources
    ]
    return changes


def _listed(sources: list[Snapshot]) -> str:
    names = ", ".join(f"{one['id']} ({name_of(one)})" for one in sources)
    return f"scene{'s' if len(sources) > 1 else ''} {names}"


def _histories_lost(sources: list[Snapshot], params: MergeScenesParams) -> tuple[str, ...]:
    return tuple(
        f"The {name.replace('_', ' ')} of the merged-away scenes is only in the log."
        for name in ("play_history", "o_history")
        if not getattr(params, name) and any(one.get(name) for one in sources)
    )
