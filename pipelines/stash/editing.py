"""Everything that is changed in Stash, as typed calls. Writes go one at a time over the whole cluster.

Stash changes the fields that are named and leaves all others; None clears a field, a list replaces the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pipelines.errors import StashNotFound
from pipelines.stash import parse
from pipelines.stash.fields import FINDERS, STASH_ID, Kind, Selection
from pipelines.stash.limiter import Priority
from pipelines.stash.merging import merged_stash_ids
from pipelines.stash.records import StashId
from pipelines.stash.writing import LibraryWriting, prepared, update_of

ContentKind = Literal["scene", "image", "gallery"]
BULK_SIZE = 200
"""Things in one bulk write: Stash holds its only write lock meanwhile."""


class LibraryEditing(LibraryWriting):
    """Writes to one Stash. All raise the StashError leaves of `StashClient.execute`.

    A field that this version of Stash does not know raises StashUnknownField before anything is sent.
    """

    # --- one thing

    async def update_scene(self, scene_id: str, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> None:
        """Changes fields of SceneUpdateInput, such as title="..." or performer_ids=["7"]."""
        await self._update("scene", scene_id, fields, priority)

    async def update_image(self, image_id: str, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> None:
        """Changes fields of ImageUpdateInput."""
        await self._update("image", image_id, fields, priority)

    async def update_gallery(self, gallery_id: str, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> None:
        """Changes fields of GalleryUpdateInput."""
        await self._update("gallery", gallery_id, fields, priority)

    async def update_performer(
        self, performer_id: str, priority: Priority = Priority.INTERACTIVE, **fields: Any
    ) -> None:
        """Changes fields of PerformerUpdateInput; `stash_ids` are all links, so `relink` is safer for them."""
        await self._update("performer", performer_id, fields, priority)

    async def update_studio(self, studio_id: str, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> None:
        """Changes fields of StudioUpdateInput."""
        await self._update("studio", studio_id, fields, priority)

    async def update_tag(self, tag_id: str, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> None:
        """Changes fields of TagUpdateInput."""
        await self._update("tag", tag_id, fields, priority)

    async def create_performer(self, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> str:
        """Makes a performer of fields of PerformerCreateInput (name is needed). Returns its id."""
        return await self._create("performer", fields, priority)

    async def create_studio(self, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> str:
        """Makes a studio of fields of StudioCreateInput (name is needed). Returns its id."""
        return await self._create("studio", fields, priority)

    async def create_tag(self, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> str:
        """Makes a tag of fields of TagCreateInput (name is needed). Returns its id."""
        return await self._create("tag", fields, priority)

    async def relink(
        self,
        kind: Kind,
        one_id: str,
        *,
        add: Iterable[StashId] = (),
        remove: Iterable[StashId] = (),
        priority: Priority = Priority.INTERACTIVE,
    ) -> tuple[StashId, ...]:
        """Adds and removes stash-box links and keeps all others. Returns the links that are there now.

        Raises StashNotFound, and StashUnknownField where the kind has no links (images, galleries, tags before 0.30).
        """
        thing, (change, change_type) = FINDERS[kind], update_of(kind)
        known = await self.client.features(priority)
        known.check(thing.full.kind, ["stash_ids"])
        selected = Selection(thing.full.kind, ("id",), {"stash_ids": STASH_ID}).render(known)
        async with self.client.writing(priority) as turn:
            query = f"query Links($id: ID!) {{ {thing.one}(id: $id) {selected} }}"
            found = (await self.client.execute(query, {"id": one_id}, priority=priority))[thing.one]
            if found is None:
                raise StashNotFound(f"Stash has no {kind} {one_id}.")
            current = parse.read(parse.stash_ids, found)
            links = merged_stash_ids(current, add, remove)
            if links != current:
                values = prepared(known, change_type, {"id": one_id, "stash_ids": links})
                await self._write(change, {"input": (change_type, values)}, turn=turn, repeatable=True)
        return links

    # --- what belongs to a scene

    async def create_scene(self, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> str:
        """Makes a scene of fields of SceneCreateInput. Returns its id.

        Files of `file_ids` are taken from the scenes that have them, where none of them may be the primary one.
        """
        return await self._create("scene", fields, priority)

    async def change_history(
        self,
        scene_id: str,
        kind: Literal["play", "o"],
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        """Adds times to the history of a scene and removes others, each once; times are RFC 3339."""
        names = {"play": ("sceneAddPlay", "sceneDeletePlay"), "o": ("sceneAddO", "sceneDeleteO")}[kind]
        for name, times in zip(names, (add, remove), strict=True):
            if times:  # Stash would take the time of now for none
                arguments = {"id": ("ID", scene_id), "times": ("[Timestamp!]", list(times))}
                await self._write(name, arguments, priority=priority)

    async def update_marker(self, marker_id: str, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> None:
        """Changes fields of SceneMarkerUpdateInput, such as scene_id="7": the marker moves to that scene."""
        known = await self.client.features(priority)
        given = prepared(known, "SceneMarkerUpdateInput", {"id": marker_id, **fields})
        arguments = {"input": ("SceneMarkerUpdateInput", given)}
        await self._write("sceneMarkerUpdate", arguments, priority=priority, repeatable=True)

    async def create_marker(self, priority: Priority = Priority.INTERACTIVE, **fields: Any) -> str:
        """Makes a marker of fields of SceneMarkerCreateInput. Returns its id."""
        given = prepared(await self.client.features(priority), "SceneMarkerCreateInput", fields)
        made = await self._write("sceneMarkerCreate", {"input": ("SceneMarkerCreateInput", given)}, priority=priority)
        return str(made["id"])

    # --- many things

    async def add_performers(
        self,
        kind: ContentKind,
        ids: Sequence[str],
        performer_ids: Sequence[str],
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        """Adds performers to scenes, images or galleries; whoever is there stays. Safe beside other writers.

        Raises StashNotFound when one of `ids` is missing; the others of its 200 are not changed then.
        """
        await self._bulk_performers(kind, ids, performer_ids, "ADD", priority)

    async def remove_performers(
        self,
        kind: ContentKind,
        ids: Sequence[str],
        performer_ids: Sequence[str],
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        """Takes performers from scenes, images or galleries; raises like `add_performers`."""
        await self._bulk_performers(kind, ids, performer_ids, "REMOVE", priority)

    # --- files

    async def delete_files(self, ids: Sequence[str], priority: Priority = Priority.INTERACTIVE) -> None:
        """Deletes files from disk and Stash. Raises StashRejected when one is the primary file of anything."""
        await self._write("deleteFiles", {"ids": ("[ID!]", list(ids))}, priority=priority)

    async def forget_files(self, ids: Sequence[str], priority: Priority = Priority.INTERACTIVE) -> None:
        """Has Stash forget files and leaves them on the disk (0.31)."""
        await self._write("destroyFiles", {"ids": ("[ID!]", list(ids))}, priority=priority)

    async def assign_file(self, scene_id: str, file_id: str, priority: Priority = Priority.INTERACTIVE) -> None:
        """Moves a file to another scene."""
        given = {"scene_id": scene_id, "file_id": file_id}
        await self._write("sceneAssignFile", {"input": ("AssignSceneFileInput", given)}, priority=priority)

    async def set_fingerprints(
        self, file_id: str, values: Mapping[str, str | None], priority: Priority = Priority.BATCH
    ) -> None:
        """Sets fingerprints of a file by type; None removes one. "oshash" and "md5" cannot be changed."""
        given = {"id": file_id, "fingerprints": [{"type": t, "value": v} for t, v in values.items()]}
        await self._write(
            "fileSetFingerprints",
            {"input": ("FileSetFingerprintsInput", given)},
            priority=priority,
            repeatable=True,
        )

    # --- how it is done

    async def _update(self, kind: Kind, one_id: str, fields: Mapping[str, Any], priority: Priority) -> None:
        name, input_type = update_of(kind)
        known = await self.client.features(priority)
        given = prepared(known, input_type, {"id": one_id, **fields})
        found = await self._write(name, {"input": (input_type, given)}, priority=priority, repeatable=True)
        if found is None:
            raise StashNotFound(f"Stash has no {kind} {one_id}.")

    async def _create(self, kind: Kind, fields: Mapping[str, Any], priority: Priority) -> str:
        input_type = f"{FINDERS[kind].full.kind}CreateInput"
        given = prepared(await self.client.features(priority), input_type, fields)
        made = await self._write(f"{kind}Create", {"input": (input_type, given)}, priority=priority)
        return str(made["id"])

    async def _bulk_performers(
        self, kind: ContentKind, ids: Sequence[str], performer_ids: Sequence[str], mode: str, priority: Priority
    ) -> None:
        input_type = f"Bulk{FINDERS[kind].full.kind}UpdateInput"
        change = {"ids": list(performer_ids), "mode": mode}
        for start in range(0, len(ids), BULK_SIZE):
            given = {"ids": list(ids[start : start + BULK_SIZE]), "performer_ids": change}
            arguments = {"input": (input_type, given)}
            await self._write(f"bulk{FINDERS[kind].full.kind}Update", arguments, priority=priority, repeatable=True)
