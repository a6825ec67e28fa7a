"""Putting back what an action changed, from its before-images, as far as it still is as the action left it.

Everything here may be done again after an interruption: each part looks at Stash before it writes, and what was made
anew is written down before anything else happens to it. What somebody has changed since is reported and left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.actions.many import snapshots
from pipelines.actions.snapshots import (
    FIELDS,
    NOW,
    PLURALS,
    ContentName,
    EntityKind,
    Snapshot,
    contents,
    same,
    snapshot,
)
from pipelines.actions.steps import data_uri, input_of, links_of, performer_named, update, writable
from pipelines.errors import StashNotFound, StashRejected
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import StashId

Remember = Callable[[str, str], Awaitable[None]]
KINDS: tuple[ContentName, ...] = ("scene", "image", "gallery")


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


class Undoing:
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

    # --- scenes

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

    # --- people

    async def recreate_performer(self, performer: Snapshot) -> str | None:
        """Makes a merged-away performer again. Returns its id, None when that cannot be."""
        if await self.current("performer", performer["id"]) is not None:
            return str(performer["id"])
        made = self._made.get(f"performer:{performer['id']}")
        if made is None:
            there = await performer_named(self.library, performer["name"], performer["disambiguation"])
            if there is not None and not self._again:
                said = f"Performer {performer['id']} is not made again: {there} has its name."
                self.conflict("performer", performer["id"], said)
                return None
            made = there
        if made is None:
            values = {name: performer[name] for name in FIELDS["performer"] if name in performer}
            values = await self._with_what_exists("performer", performer["id"], values)
            picture = self._pictures.get(f"performer:{performer['id']}")
            if picture and (data := await self._picture(picture)):
                values["image"] = data_uri(data)
            given = await writable(self.library, input_of("performer", "Create"), values)
            given["stash_ids"] = links_of(given.get("stash_ids") or ())
            made = await self.library.create_performer(**{k: v for k, v in given.items() if v not in (None, [], {})})
        await self._note_made("performer", performer["id"], made)
        self.restored(performer, "exists", made)
        return made

    async def hand_back_contents(self, source: Snapshot, made: str, keeper_id: str) -> None:
        """Tags the performer that was made again on what it was on, where the keeper of the merge is tagged still."""
        tagged, own = await contents(self.library, keeper_id), await contents(self.library, made)
        for kind in KINDS:
            before = source["contents"][kind]
            there = [one for one in before if one in set(tagged[kind])]
            await self.library.add_performers(kind, [one for one in there if one not in set(own[kind])], [made])
            missing = len(set(before) - set(there) - set(own[kind]))
            if missing:
                self.conflict(kind, "", f"{missing} of {len(before)} {PLURALS[kind]} were deleted or untagged since.")
            if there:
                self.restored(source, PLURALS[kind])

    async def untag_contents(self, keeper: Snapshot, sources: Sequence[Snapshot]) -> None:
        """Takes the keeper of a merge off what only the merged-away performers were on."""
        tagged = await contents(self.library, keeper["id"])
        for kind in KINDS:
            merged = {
                one
                for source in sources
                if f"performer:{source['id']}" in self._made
                for one in source["contents"][kind]
            }
            gone = [one for one in tagged[kind] if one in merged - set(keeper["contents"][kind])]
            await self.library.remove_performers(kind, gone, [keeper["id"]])

    async def untag(self, tagged: Sequence[tuple[ContentName, str, Sequence[str]]]) -> None:
        """Takes off performers that the action tagged and that are tagged still.

        Args:
            tagged: kind and id of what they were tagged on, and their ids.
        """
        now = await snapshots(self.library, [(kind, one_id) for kind, one_id, _ in tagged], pictures=False)
        together: dict[tuple[ContentName, tuple[str, ...]], list[Snapshot]] = {}
        for kind, one_id, performer_ids in tagged:
            image = now.get((kind, one_id))
            if image is None:
                self.conflict(kind, one_id, f"{kind} {one_id} is gone.")
            elif there := tuple(one for one in performer_ids if one in image["performer_ids"]):
                together.setdefault((kind, there), []).append(image)
        for (kind, there), images in together.items():
            await self.library.remove_performers(kind, [one["id"] for one in images], there)
            for image in images:
                self.restored(image, "performer_ids")

    async def tag(self, kind: ContentName, one_id: str, performer_ids: Sequence[str]) -> None:
        """Tags performers again that the action took off."""
        now = await self.current(kind, one_id)
        if now is None:
            self.conflict(kind, one_id, f"{kind} {one_id} is gone.")
            return
        kept = await self._with_what_exists(kind, one_id, {"performer_ids": list(performer_ids)})
        missing = [one for one in kept["performer_ids"] if one not in now["performer_ids"]]
        if missing:
            await self.library.add_performers(kind, [one_id], missing)
            self.restored(now, "performer_ids")

    async def unlink(self, kind: Literal["scene", "performer"], one_id: str, link: StashId) -> None:
        """Removes the link that the action added; all others stay."""
        now = await self.current(kind, one_id)
        if now is None:
            self.conflict(kind, one_id, f"{kind} {one_id} is gone.")
        elif any((one["endpoint"], one["stash_id"]) == (link.endpoint, link.stash_id) for one in now["stash_ids"]):
            await self.library.relink(kind, one_id, remove=[link])
            self.restored(now, "stash_ids")

    async def remove_made_performer(self, made: str, places: Collection[tuple[str, str]]) -> None:
        """Removes a performer that the action made, when nobody has changed it or tagged it elsewhere since."""
        now, after = await self.current("performer", made), self._afters.get(("performer", made))
        if now is None:
            return
        tagged = {(kind, one) for kind, ids in (await contents(self.library, made)).items() for one in ids}
        changed = [
            name for name in FIELDS["performer"] if after is None or not same(name, now.get(name), after.get(name))
        ]
        if changed or tagged - set(places):
            self.conflict("performer", made, f"Performer {made} was changed or tagged elsewhere since; it stays.")
            return
        await self.library.destroy_performers([made])
        self.restored(now, "exists")

    # --- images

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

    async def _note_made(self, kind: EntityKind, one_id: str, made: str) -> None:
        if self._made.get(f"{kind}:{one_id}") != made:
            await self._remember(f"{kind}:{one_id}", made)
            self._made[f"{kind}:{one_id}"] = made
