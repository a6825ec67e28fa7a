"""Putting back what an action changed, from its before-images, as far as it still is as the action left it.

Everything here may be done again after an interruption: each part looks at Stash before it writes, and what was made
anew is written down before anything else happens to it. What somebody has changed since is reported and left alone.
Lives here: `Undoing`, which actions are given; its parts are `undo_fields`, `undo_scenes` and `undo_people`.
"""

from __future__ import annotations

from pipelines.actions.snapshots import FIELDS, NOW, Snapshot, same, snapshot
from pipelines.actions.steps import update
from pipelines.actions.undo_people import UndoPeople
from pipelines.actions.undo_scenes import UndoScenes


class Undoing(UndoScenes, UndoPeople):
    """One undo under way."""

    async def refill_image(self, image: Snapshot) -> None:
        """Gives a deleted image its metadata back once a scan of Stash has made one of its files again."""
        if await self.current("image", image["id"]) is not None:
            return
        made = None
        for file in image["files"]:
            criteria = {"path": {"value": file["path"], "modifier": "EQUALS"}}
            async for one in self.library.images(filter=criteria, detail="scan", priority=NOW):
                made = one.id if any(other.path == file["path"] for other in one.files) else made
        if made is None:
            self.lost(
                f"Image {image['id']}: let Stash scan, which makes an image of its file again, then undo once more to "
                "give it its metadata back."
            )
            return
        now = await snapshot(self.library, "image", made)
        values = {name: image[name] for name in FIELDS["image"] if name in image and name != "custom_fields"}
        values["gallery_ids"] = [*now["gallery_ids"], *(g for g in image["by_hand"] if g not in now["gallery_ids"])]
        values = await self._with_what_exists("image", image["id"], values)
        await update(self.library, "image", made, {k: v for k, v in values.items() if not same(k, now.get(k), v)})
        self.restored(image, "exists", made)
