"""Deleting a scene, with or without its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.actions.base import ActionType, Change, Gone, Params, Plan
from pipelines.actions.snapshots import EntityKind, name_of, snapshot
from pipelines.actions.trash import deleted_note, trash_path
from pipelines.errors import InputError
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing


class DeleteSceneParams(Params):
    """Which scene goes, and whether its files do."""

    scene_id: str = Field(max_length=18)
    delete_file: bool = Field(False, description="Also delete its files from the disk.")
    file_ids: tuple[str, ...] | None = Field(
        None, max_length=1000, description="Its files; refused when it has others. Not looked at when unset."
    )


class DeleteScene(ActionType):
    """Deletes one scene."""

    id = "delete_scene"
    title = "Delete the scene"
    description = "Delete a scene from Stash, and its files from the disk when asked."
    destructive = True
    params = DeleteSceneParams

    def entities(self, params: DeleteSceneParams) -> list[tuple[EntityKind, str]]:
        return [("scene", params.scene_id)]

    async def plan(self, library: StashLibrary, params: DeleteSceneParams) -> Plan:
        scene = await snapshot(library, "scene", params.scene_id, picture=True)
        files = {one["id"]: one["path"] for one in scene["files"]}
        if params.file_ids is not None and set(params.file_ids) != set(files):
            raise InputError(
                f"Scene {scene['id']} has the files {', '.join(files) or 'none'}, not {', '.join(params.file_ids)}.",
                "Look at the scene again.",
            )
        title = name_of(scene)
        changes = [Change("scene", scene["id"], "exists", True, False, destructive=True, title=title)]
        if params.delete_file:
            changes += [
                Change("scene", scene["id"], "files", path, None, destructive=True, title=title)
                for path in files.values()
            ]
            notes = (deleted_note(list(files.values()), await trash_path(library)),)
        else:
            notes = ("The scene that is made again has another id; the next scan of Stash makes one of its files too.",)
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Delete scene {scene['id']} ({title}){' and its files' if params.delete_file else ''}.",
            (scene,),
            tuple(changes),
            ({"op": "destroy_scenes", "ids": [scene["id"]], "delete_file": params.delete_file},),
            (Gone("scene", scene["id"], f"Scene {scene['id']} was deleted."),),
            notes,
            undoable=not params.delete_file,
            pictures=(("scene", scene["id"]),) if scene.get("has_picture") else (),
        )

    async def undo(self, undoing: Undoing) -> None:
        scene = undoing.before("scene", undoing.params["scene_id"])
        if undoing.params["delete_file"]:
            undoing.lost(deleted_note([one["path"] for one in scene["files"]], undoing.trash))
            return
        await undoing.recreate_scene(scene, holder_id=None)
