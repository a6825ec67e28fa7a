"""Deleting duplicate images: what they know goes to the one that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from pipelines.actions.base import ActionType, Change, Gone, Params, Plan, Step, field_changes
from pipelines.actions.snapshots import EntityKind, Snapshot, name_of, snapshot
from pipelines.actions.trash import deleted_note, trash_path
from pipelines.actions.union import dropped, union
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing


class DeleteImagesParams(Params):
    """Which image is kept, and which go."""

    keep_id: str = Field(max_length=18)
    delete_ids: tuple[str, ...] = Field(min_length=1, max_length=500)
    delete_file: bool = Field(False, description="Also delete their files from the disk.")
    merge_metadata: bool = Field(True, description="Give performers, tags, galleries and the rest to the kept one.")

    @model_validator(mode="after")
    def _fit(self) -> DeleteImagesParams:
        if len({self.keep_id, *self.delete_ids}) != 1 + len(self.delete_ids):
            raise ValueError("an image is named twice")
        return self


class DeleteImages(ActionType):
    """Deletes images that are copies of another."""

    id = "delete_images"
    title = "Delete duplicate images"
    description = "Keep one image with everything that its copies know, and delete the copies."
    destructive = True
    params = DeleteImagesParams

    def entities(self, params: DeleteImagesParams) -> list[tuple[EntityKind, str]]:
        return [("image", one) for one in (params.keep_id, *params.delete_ids)]

    async def plan(self, library: StashLibrary, params: DeleteImagesParams) -> Plan:
        keeper = await snapshot(library, "image", params.keep_id)
        copies = [await snapshot(library, "image", one) for one in params.delete_ids]
        values = _values(keeper, copies) if params.merge_metadata else {}
        steps: list[Step] = []
        if values:
            steps.append({"op": "update", "kind": "image", "id": keeper["id"], "values": values})
        ids = [one["id"] for one in copies]
        steps.append({"op": "destroy_images", "ids": ids, "delete_file": params.delete_file})
        paths = [file["path"] for one in copies for file in one["files"]]
        if params.delete_file:
            note = deleted_note(paths, await trash_path(library))
        else:
            note = (
                "Stash cannot be told to make an image again: after its next scan has found the files, the undo gives "
                "the images their metadata back."
            )
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Keep image {keeper['id']} ({name_of(keeper)}) and delete {', '.join(ids)}.",
            (keeper, *copies),
            tuple(_changes(keeper, copies, values, params)),
            tuple(steps),
            tuple(
                Gone("image", one, f"Image {one} was a copy of image {keeper['id']} and was deleted.") for one in ids
            ),
            (note,),
            undoable=not params.delete_file,
        )

    async def undo(self, undoing: Undoing) -> None:
        copies = [undoing.before("image", one) for one in undoing.params["delete_ids"]]
        if undoing.params["delete_file"]:
            undoing.lost(deleted_note([file["path"] for one in copies for file in one["files"]], undoing.trash))
        else:
            for one in copies:
                await undoing.refill_image(one)
        await undoing.restore_fields(undoing.before("image", undoing.params["keep_id"]))


def _values(keeper: Snapshot, copies: list[Snapshot]) -> dict[str, Any]:
    """Returns the union; of galleries those that were made by hand: Stash refuses to put images into the others."""
    values = union(keeper, copies)
    by_hand = dict.fromkeys(one for image in copies for one in image["by_hand"])
    galleries = [*keeper["gallery_ids"], *(one for one in by_hand if one not in keeper["gallery_ids"])]
    if len(galleries) > len(keeper["gallery_ids"]):
        values["gallery_ids"] = galleries
    return values


def _changes(
    keeper: Snapshot, copies: list[Snapshot], values: dict[str, Any], params: DeleteImagesParams
) -> list[Change]:
    names: dict[str, dict[str, str]] = {}
    for one in copies:
        for field, labels in one["labels"].items():
            names.setdefault(field, {}).update(labels)
    changes = field_changes(keeper, {f: v for f, v in values.items() if f != "custom_fields"}, names)
    for field, lost in dropped(keeper, copies, values).items():
        changes += [
            Change("image", one["id"], field, one[field], None, destructive=True, title=name_of(one))
            for one in copies
            if one.get(field) in lost
        ]
    for one in copies:
        title = name_of(one)
        if one.get("o_counter"):
            changes.append(
                Change("image", one["id"], "o_counter", one["o_counter"], None, destructive=True, title=title)
            )
        changes.append(Change("image", one["id"], "exists", True, False, destructive=True, title=title))
        if params.delete_file:
            changes += [
                Change("image", one["id"], "files", file["path"], None, destructive=True, title=title)
                for file in one["files"]
            ]
    return changes
