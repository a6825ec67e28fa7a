"""Several things in Stash made one, and things removed from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.errors import InputError
from pipelines.stash.editing import ContentKind, LibraryEditing
from pipelines.stash.features import Features
from pipelines.stash.limiter import Priority
from pipelines.stash.merging import merged_performer
from pipelines.stash.records import Performer, Scene
from pipelines.stash.writing import prepared


class LibraryCombining(LibraryEditing):
    """Merges and removals. They cannot be undone; raises as `LibraryEditing` does."""

    async def merge_scenes(
        self,
        sources: Sequence[str],
        destination: str,
        values: Mapping[str, Any] | None = None,
        *,
        play_history: bool = True,
        o_history: bool = True,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Scene:
        """Moves files and markers of `sources` to `destination`, then destroys the sources. Returns the scene.

        Stash moves no metadata: `values` are the fields of SceneUpdateInput, unions of lists included, that the
        destination shall have afterwards.
        """
        _check_merge(sources, destination)
        known = await self.client.features(priority)
        given = {
            "source": list(sources),
            "destination": destination,
            "play_history": play_history,
            "o_history": o_history,
        }
        if values:
            given["values"] = prepared(known, "SceneUpdateInput", {"id": destination, **values})
        await self._write("sceneMerge", {"input": ("SceneMergeInput", given)}, priority=priority)
        return await self.scene(destination, priority)

    async def merge_performers(
        self,
        sources: Sequence[str],
        destination: str,
        values: Mapping[str, Any] | None = None,
        *,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Performer:
        """Gives the content, aliases, links, addresses and tags of `sources` to `destination`, then destroys them.

        `values` are fields of PerformerUpdateInput that win over the union (`merging.merged_performer`). Before Stash
        0.31 it is done in steps that can be done again after an interruption. Returns the performer afterwards.
        Raises StashNotFound, before anything is changed, when one of them is missing.
        """
        _check_merge(sources, destination)
        known = await self.client.features(priority)
        at_once = known.mutation("performerMerge")
        if not at_once:
            await self._move_content(sources, destination, priority)
        async with self.client.writing(priority) as turn:
            kept = await self.performer(destination, priority)
            merged = [await self.performer(source, priority) for source in sources]
            union = _union(known, kept, merged)
            fields = prepared(known, "PerformerUpdateInput", {"id": destination, **union, **(values or {})})
            if at_once:
                given = {"source": list(sources), "destination": destination, "values": fields}
                await self._write("performerMerge", {"input": ("PerformerMergeInput", given)}, turn=turn)
            else:
                update = {"input": ("PerformerUpdateInput", fields)}
                await self._write("performerUpdate", update, turn=turn, repeatable=True)
                await self._write("performersDestroy", {"ids": ("[ID!]", list(sources))}, turn=turn)
        return await self.performer(destination, priority)

    async def destroy_scenes(
        self,
        ids: Sequence[str],
        *,
        delete_file: bool = False,
        delete_generated: bool = True,
        destroy_file_entry: bool = False,
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        """Removes scenes, all or none of them.

        Args:
            delete_file: also removes their files from the disk, those that no other scene has.
            delete_generated: also removes what Stash made for them.
            destroy_file_entry: forgets the files and leaves them on the disk (0.31); otherwise the next scan of Stash
                makes scenes of them again.
        """
        fields: dict[str, Any] = {"ids": list(ids), "delete_file": delete_file, "delete_generated": delete_generated}
        if destroy_file_entry:
            fields["destroy_file_entry"] = True
        known = await self.client.features(priority)
        given = prepared(known, "ScenesDestroyInput", fields)
        await self._write("scenesDestroy", {"input": ("ScenesDestroyInput", given)}, priority=priority)

    async def destroy_performers(self, ids: Sequence[str], priority: Priority = Priority.INTERACTIVE) -> None:
        """Removes performers, all or none of them."""
        await self._write("performersDestroy", {"ids": ("[ID!]", list(ids))}, priority=priority)

    async def destroy_images(
        self, ids: Sequence[str], *, delete_file: bool = False, priority: Priority = Priority.INTERACTIVE
    ) -> None:
        """Removes images with what Stash made for them, all or none; `delete_file` also their files from the disk."""
        given = {"ids": list(ids), "delete_file": delete_file, "delete_generated": True}
        await self._write("imagesDestroy", {"input": ("ImagesDestroyInput", given)}, priority=priority)

    async def _move_content(self, sources: Sequence[str], destination: str, priority: Priority) -> None:
        """Names `destination` instead of `sources` on everything; first everywhere beside them: nothing gets lost."""
        for one in (*sources, destination):
            await self.performer(one, priority)
        named = {"performers": {"value": list(sources), "modifier": "INCLUDES"}}
        kinds: tuple[ContentKind, ...] = ("scene", "image", "gallery")
        found = {kind: [o.id async for o in self.outlines(kind, filter=named, priority=priority)] for kind in kinds}
        for kind, ids in found.items():
            await self.add_performers(kind, ids, [destination], priority)
        for kind, ids in found.items():
            await self.remove_performers(kind, ids, sources, priority)


def _check_merge(sources: Sequence[str], destination: str) -> None:
    if not sources or destination in sources:
        raise InputError(f"merging {list(sources)} into {destination!r}.", "Name others than the one that stays.")


def _union(known: Features, kept: Performer, merged: Sequence[Performer]) -> dict[str, Any]:
    """Returns the part of the union that the server's version can keep; before 0.26 it keeps one address."""
    union = merged_performer(kept, merged)
    if not known.knows("PerformerUpdateInput", "urls"):
        first = [url for url in union.pop("urls") if url.startswith("http")][:1]
        union |= {} if kept.urls else {"urls": first}
    return {name: value for name, value in union.items() if name == "urls" or known.knows("PerformerUpdateInput", name)}
