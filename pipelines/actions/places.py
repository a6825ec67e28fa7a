"""Scenes, images and galleries on which performers are tagged: one or hundreds, read and written in few requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from pydantic import Field

from pipelines.actions.base import Change, Params, Step
from pipelines.actions.many import snapshots
from pipelines.actions.snapshots import ContentName, EntityKind, Snapshot, name_of, snapshot
from pipelines.errors import StashNotFound
from pipelines.stash.library import StashLibrary

MOST_PLACES = 1000
"""In one action: it is looked at by somebody, and kept with all before-images."""


class Place(Params):
    """A scene, image or gallery."""

    entity: ContentName
    entity_id: str = Field(max_length=18)

    @property
    def key(self) -> tuple[EntityKind, str]:
        return self.entity, self.entity_id


async def read_places(library: StashLibrary, places: Iterable[Place]) -> list[Snapshot]:
    """Returns the before-images in their order, each once. Raises StashNotFound when one is missing."""
    wanted = list(dict.fromkeys(place.key for place in places))
    if len(wanted) == 1:
        return [await snapshot(library, *wanted[0])]
    found = await snapshots(library, wanted, pictures=False)
    for key in wanted:
        if key not in found:
            raise StashNotFound(f"Stash has no {key[0]} {key[1][:40]!r}.", "It may have been deleted; look again.")
    return [found[key] for key in wanted]


def tag_steps(contents: Sequence[Snapshot], performer_ids: Sequence[Any]) -> list[Step]:
    """Returns the writes that tag performers on all of these: one a kind."""
    ordered = sorted(contents, key=lambda one: str(one["kind"]))
    return [
        {"op": "tag", "kind": kind, "ids": [one["id"] for one in own], "performer_ids": list(performer_ids)}
        for kind, own in groupby(ordered, key=lambda one: str(one["kind"]))
    ]


def tag_change(content: Snapshot, new: Sequence[str]) -> Change:
    """Returns what tagging performers of these names changes."""
    before = list(content["labels"]["performer_ids"].values())
    return Change(content["kind"], content["id"], "performer_ids", before, [*before, *new], title=name_of(content))


def counted(places: Sequence[Snapshot]) -> str:
    """Returns places in words: one by name, several by number, such as "3 scenes and 1 image"."""
    if len(places) == 1:
        one = places[0]
        return f"{one['kind']} {one['id']} ({name_of(one)})"
    numbers = {kind: sum(one["kind"] == kind for one in places) for kind in ("scene", "image", "gallery")}
    plural = {"gallery": "galleries"}
    said = [f"{n} {kind if n == 1 else plural.get(kind, kind + 's')}" for kind, n in numbers.items() if n]
    return " and ".join(", ".join(said).rsplit(", ", 1))
