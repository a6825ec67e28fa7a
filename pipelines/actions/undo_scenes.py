"""Undoing what happened to scenes: merged or deleted ones are made again, with their files, markers and histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from pipelines.actions.snapshots import FIELDS, NOW, Snapshot, same, snapshot
from pipelines.actions.steps import data_uri, input_of, links_of, update, writable
from pipelines.actions.undo_fields import UndoFields
from pipelines.errors import StashNotFound, StashRejected


class UndoScenes(UndoFields):
    """The undo of actions on scenes."""

    async def recreate_scene(self, scene: Snapshot, *, holder_id: str | None) -> str | None:
        """Makes a merged-away or deleted scene again, with its files, which `holder_id` has now. Returns its id."""
        if await self.current("scene", scene["id"]) is not None:
            return str(scene["id"])  # it was never gone
        made = self._made.get(f"scene:{scene['id']}")
        if made is None:
            made = await self._adopted(scene, holder_id)
        if made is None and not await self._files_free(scene, holder_id):
            return None
        if made is None:
            values = await self._of_scene(scene)
            values |= {"file_ids": [one["id"] for one in scene["files"]]}
            given = await writable(self.library, input_of("scene", "Create"), values)
            given["stash_ids"] = links_of(given.get("stash_ids") or ())
            if not scene["files"] and not given.get("title"):
                self.lost(f"Scene {scene['id']} had neither files nor a title: Stash makes no such scene.")
                return None
            made = await self.library.create_scene(**{k: v for k, v in given.items() if v not in (None, [])})
        await self._note_made("scene", scene["id"], made)
        await self._refill_scene(scene, made)
        self.restored(scene, "exists", made)
        return made

    async def _files_free(self, scene: Snapshot, holder_id: str | None) -> bool:
        """Whether the files of a scene may be given to a new one; says what is in the way."""
        ids = [one["id"] for one in scene["files"]]
        holders = {holder_id} if holder_id else await self._holders(scene)
        for one_id in sorted(filter(None, holders)):
            holder = await self.current("scene", one_id)
            if holder is not None and holder["primary_file_id"] in ids:
                self.conflict(
                    "scene",
                    scene["id"],
                    f"Scene {scene['id']} is not made again: its file {holder['primary_file_id']} is the primary file "
                    f"of scene {one_id}. Choose another one there, then undo again.",
                )
                return False
            if holder_id and holder is not None and not set(ids) <= {one["id"] for one in holder["files"]}:
                self.conflict(
                    "scene", scene["id"], f"Scene {scene['id']} is not made again: scene {one_id} lacks its files."
                )
                return False
        return True

    async def _adopted(self, scene: Snapshot, holder_id: str | None) -> str | None:
        """Returns a scene that has just these files and no people or tags: a scan, or an undo cut short, made it."""
        ids = {one["id"] for one in scene["files"]}
        for one_id in await self._holders(scene):
            one = await self.current("scene", one_id)
            if one is None or one_id == holder_id or {f["id"] for f in one["files"]} != ids:
                continue
            bare = not (one["performer_ids"] or one["tag_ids"] or one["stash_ids"] or one["organized"])
            ours = self._again and one["title"] == scene["title"] and same("tag_ids", one["tag_ids"], scene["tag_ids"])
            if bare or ours:
                return one_id
        return None

    async def _holders(self, scene: Snapshot) -> list[str]:
        """Returns the scenes that have one of the files now."""
        found: dict[str, None] = {}
        for file in scene["files"]:
            criteria = {"path": {"value": file["path"], "modifier": "EQUALS"}}
            async for one in self.library.scenes(filter=criteria, detail="scan", priority=NOW):
                if any(other.id == file["id"] for other in one.files):
                    found.setdefault(one.id)
        return list(found)

    async def _of_scene(self, scene: Snapshot) -> dict[str, Any]:
        values = {name: scene[name] for name in FIELDS["scene"] if name in scene and name != "custom_fields"}
        return await self._with_what_exists("scene", scene["id"], values)

    async def _refill_scene(self, scene: Snapshot, made: str) -> None:
        """Gives a scene that was made again what its creation does not take; only what is not there yet."""
        now = await snapshot(self.library, "scene", made)
        values = {
            name: value for name, value in (await self._of_scene(scene)).items() if not same(name, now.get(name), value)
        }
        if scene.get("custom_fields") and scene["custom_fields"] != now.get("custom_fields"):
            values["custom_fields"] = {"full": scene["custom_fields"]}
        if scene["primary_file_id"] not in {None, now["primary_file_id"]}:
            values["primary_file_id"] = scene["primary_file_id"]
        cover = self._pictures.get(f"scene:{scene['id']}")
        if cover and (data := await self._picture(cover)):
            values["cover_image"] = data_uri(data)
        await update(self.library, "scene", made, values)
        for kind in ("play", "o"):
            missing = Counter(scene.get(f"{kind}_history") or ()) - Counter(now.get(f"{kind}_history") or ())
            await self.library.change_history(made, kind, add=sorted(missing.elements()))
        await self._move_markers(scene, made, now)

    async def _move_markers(self, scene: Snapshot, made: str, now: Snapshot) -> None:
        """A merge moved the markers, so they move back; a deletion destroyed them, so they are made again."""
        there = [(one["title"], one["seconds"], one["primary_tag_id"]) for one in now["markers"]]
        moved = {one["id"] for after in self._afters.values() for one in after.get("markers") or ()}
        for marker in scene["markers"]:
            if (marker["title"], marker["seconds"], marker["primary_tag_id"]) in there:
                continue
            values = {"scene_id": made, **{k: v for k, v in marker.items() if k != "id" and v is not None}}
            try:
                if marker["id"] in moved:
                    await self.library.update_marker(marker["id"], scene_id=made)
                else:
                    await self.library.create_marker(**await writable(self.library, "SceneMarkerCreateInput", values))
            except (StashNotFound, StashRejected):
                self.conflict("scene", made, f"Marker {marker['title']!r} was deleted since, or its tag was.")

    async def take_back_history(self, keeper: Snapshot, kind: Literal["play", "o"], added: Iterable[str]) -> None:
        """Takes out of a scene's history the times that a merge added, as far as they are there beside its own."""
        now = await self.current("scene", keeper["id"])
        if now is None:
            return
        name = f"{kind}_history"
        more = Counter(now.get(name) or ()) - Counter(keeper.get(name) or ())
        gone = more & Counter(added)
        if gone:
            await self.library.change_history(keeper["id"], kind, remove=sorted(gone.elements()))
            self.restored(keeper, name)
