"""Undoing what happened to performers: merged ones are made again and tagged where they were; tags and links go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from pipelines.actions.many import snapshots
from pipelines.actions.snapshots import FIELDS, PLURALS, ContentName, Snapshot, contents, same
from pipelines.actions.steps import data_uri, input_of, links_of, performer_named, writable
from pipelines.actions.undo_fields import UndoFields
from pipelines.stash.records import StashId

KINDS: tuple[ContentName, ...] = ("scene", "image", "gallery")


class UndoPeople(UndoFields):
    """The undo of actions on performers and on who is tagged."""

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
