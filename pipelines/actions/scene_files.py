"""Files of one scene: which is played, and deleting those that are not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from pipelines.actions.base import ActionType, Change, Params, Plan
from pipelines.actions.snapshots import EntityKind, Snapshot, name_of, snapshot
from pipelines.actions.trash import deleted_note, trash_path
from pipelines.errors import InputError
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing


class DeleteFilesParams(Params):
    """Which file of a scene stays, and which go; files that are not named are left alone."""

    scene_id: str = Field(max_length=18)
    keep_file_id: str = Field(max_length=18, description="Becomes the primary file.")
    delete_file_ids: tuple[str, ...] = Field(min_length=1, max_length=100, description="Deleted from the disk.")

    @model_validator(mode="after")
    def _fit(self) -> DeleteFilesParams:
        if len({self.keep_file_id, *self.delete_file_ids}) != 1 + len(self.delete_file_ids):
            raise ValueError("a file is named twice")
        return self


class DeleteSceneFiles(ActionType):
    """Deletes some of the files of a scene."""

    id = "delete_scene_files"
    title = "Delete files"
    description = "Keep one file of a scene as its primary one and delete others from the disk."
    destructive = True
    params = DeleteFilesParams

    def entities(self, params: DeleteFilesParams) -> list[tuple[EntityKind, str]]:
        return [("scene", params.scene_id)]

    async def plan(self, library: StashLibrary, params: DeleteFilesParams) -> Plan:
        scene = await snapshot(library, "scene", params.scene_id)
        paths = _paths(scene, (params.keep_file_id, *params.delete_file_ids))
        deleted = [paths[one] for one in params.delete_file_ids]
        trash = await trash_path(library)
        title = name_of(scene)
        changes = [Change("scene", scene["id"], "files", path, None, destructive=True, title=title) for path in deleted]
        first = _primary_step(scene, params.keep_file_id)
        if first:
            changes.insert(0, _primary_change(scene, params.keep_file_id))
        delete = {
            "op": "delete_files",
            "scene_id": scene["id"],
            "ids": list(params.delete_file_ids),
            "keep": params.keep_file_id,
        }
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Keep {paths[params.keep_file_id]} of scene {scene['id']} ({title}) and delete {', '.join(deleted)}.",
            (scene,),
            tuple(changes),
            (*first, delete),
            not_undone=(deleted_note(deleted, trash),),
            undoable=False,
        )

    async def undo(self, undoing: Undoing) -> None:
        scene = undoing.before("scene", undoing.params["scene_id"])
        now = await undoing.current("scene", scene["id"])
        there = {one["id"] for one in now["files"]} if now else set()
        paths = {one["id"]: one["path"] for one in scene["files"]}
        for file_id in undoing.params["delete_file_ids"]:
            if file_id not in there:  # when it was interrupted, some may be
                undoing.lost(deleted_note([paths[file_id]], undoing.trash))
        if scene["primary_file_id"] in there:
            await undoing.restore_fields(scene, ("primary_file_id",))


class PrimaryFileParams(Params):
    """Which file of a scene is played."""

    scene_id: str = Field(max_length=18)
    file_id: str = Field(max_length=18)


class SetPrimaryFile(ActionType):
    """Chooses the primary file of a scene."""

    id = "set_primary_file"
    title = "Choose the primary file"
    description = "Play another file of the scene; nothing is deleted."
    destructive = False
    params = PrimaryFileParams

    def entities(self, params: PrimaryFileParams) -> list[tuple[EntityKind, str]]:
        return [("scene", params.scene_id)]

    async def plan(self, library: StashLibrary, params: PrimaryFileParams) -> Plan:
        scene = await snapshot(library, "scene", params.scene_id)
        paths = _paths(scene, (params.file_id,))
        steps = _primary_step(scene, params.file_id)
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Make {paths[params.file_id]} the primary file of scene {scene['id']} ({name_of(scene)}).",
            (scene,),
            (_primary_change(scene, params.file_id),) if steps else (),
            steps,
        )

    async def undo(self, undoing: Undoing) -> None:
        scene = undoing.before("scene", undoing.params["scene_id"])
        now = await undoing.current("scene", scene["id"])
        was = scene["primary_file_id"]
        if now is None:
            undoing.conflict("scene", scene["id"], f"Scene {scene['id']} is gone.")
        elif was not in {one["id"] for one in now["files"]}:
            undoing.conflict("scene", scene["id"], f"File {was} does not belong to scene {scene['id']} any more.")
        else:
            await undoing.restore_fields(scene, ("primary_file_id",))


def _paths(scene: Snapshot, wanted: tuple[str, ...]) -> dict[str, str]:
    """Returns the paths of the scene's files. Raises InputError when one that is wanted is not among them."""
    paths = {one["id"]: one["path"] for one in scene["files"]}
    strange = [one for one in wanted if one not in paths]
    if strange:
        raise InputError(
            f"Scene {scene['id']} has no file {', '.join(strange)}.", f"Its files are {', '.join(paths) or 'none'}."
        )
    return paths


def _primary_step(scene: Snapshot, file_id: str) -> tuple[dict[str, object], ...]:
    if scene["primary_file_id"] == file_id:
        return ()
    return ({"op": "update", "kind": "scene", "id": scene["id"], "values": {"primary_file_id": file_id}},)


def _primary_change(scene: Snapshot, file_id: str) -> Change:
    paths = {one["id"]: one["path"] for one in scene["files"]}
    return Change(
        "scene", scene["id"], "primary_file", paths[scene["primary_file_id"]], paths[file_id], title=name_of(scene)
    )
