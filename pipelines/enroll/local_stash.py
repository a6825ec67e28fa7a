"""Asking Stash who its performers are and where each of them alone is tagged, in as few requests as it takes.

Lives here: the listings, as differences to what is known. Ids and times of all performers come in pages of thousands;
only those that are new or changed are asked for. Nothing tells that performers were merged or deleted (Stash fires no
hook when they are merged, and keeps no trace): that is seen by the ids that are gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from pipelines.enroll.local_people import LocalPerformer, local_performer
from pipelines.enroll.local_places import Place
from pipelines.stash.library import StashLibrary
from pipelines.stash.paging import Criteria

ONE_PERFORMER: Criteria = {"performer_count": {"value": 1, "modifier": "EQUALS"}}
GALLERIES_A_QUERY = 500
"""Ids in one filter; SQLite takes up to 32,766 variables, older builds 999."""


@dataclass(frozen=True, slots=True)
class ListedPerformers:
    """The performers of Stash now.

    Attributes:
        performers: by id.
        new, changed, gone: ids; changed are those whose `updated_at` is another.
        renamed: of the changed ones, those with another name.
    """

    performers: dict[str, LocalPerformer]
    new: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()


async def list_performers(
    library: StashLibrary,
    before: Mapping[str, LocalPerformer],
    ids: Collection[str] | None = None,
    *,
    full: bool = False,
) -> ListedPerformers:
    """Returns the performers, those that are unchanged as they were known before.

    Args:
        ids: ask for these only; all others stay as they are.
        full: ask for everything again, pictures included.

    Raises the StashError leaves.
    """
    if ids is None:
        seen = await _all(library)
        if before.keys() - seen.keys():  # offset paging may miss somebody while others are removed
            seen |= await _all(library)
        asked = [i for i, at in seen.items() if full or i not in before or before[i].updated_at != at]
        listed = set(seen)
    else:
        asked, listed = sorted(set(ids)), {*before, *ids}
    found = {p.id: local_performer(p, before.get(p.id)) async for p in library.performers(ids=asked)} if asked else {}
    if full or ids is not None:
        found = {i: replace(p, picture_of="") for i, p in found.items()}
    missing = set(asked) - set(found)
    performers = {i: p for i, p in before.items() if i in listed - missing} | found
    both = [i for i in found if i in before]
    return ListedPerformers(
        performers,
        new=frozenset(found.keys() - before.keys()),
        changed=frozenset(i for i in both if found[i].updated_at != before[i].updated_at),
        gone=frozenset(before.keys() - performers.keys()),
        renamed=frozenset(i for i in both if found[i].name != before[i].name),
    )


async def _all(library: StashLibrary) -> dict[str, str]:
    return {outline.id: outline.updated_at async for outline in library.outlines("performer")}


async def list_places(
    library: StashLibrary, scanned: Collection[tuple[str, str]], *, scenes: bool = True, galleries: bool = True
) -> list[Place]:
    """Returns every scanned scene, image and gallery where exactly one performer is tagged, by kind and id.

    A gallery stands for those of its images that nobody is tagged on; an image with a performer of its own is a place
    of its own. An image in galleries of different performers is in none of them.

    Args:
        scanned: kind ("scene", "image") and id of the contents whose scans have faces.
    """
    kinds = {kind for kind, _ in scanned}
    places = []
    if scenes and "scene" in kinds:
        places += await _tagged(library, "scene", scanned)
    if galleries and "image" in kinds:
        places += await _tagged(library, "image", scanned)
        places += await _galleries(library, scanned)
    return sorted(places, key=lambda place: (place.kind, len(place.content_id), place.content_id))


async def _tagged(library: StashLibrary, kind: str, scanned: Collection[tuple[str, str]]) -> list[Place]:
    listed = library.tagged("scene" if kind == "scene" else "image", filter=ONE_PERFORMER)
    return [
        Place("scene" if kind == "scene" else "image", one.id, one.performers[0])
        async for one in listed
        if len(one.performers) == 1 and (kind, one.id) in scanned
    ]


async def _galleries(library: StashLibrary, scanned: Collection[tuple[str, str]]) -> list[Place]:
    owners = {
        one.id: one.performers[0]
        async for one in library.tagged("gallery", filter=ONE_PERFORMER)
        if len(one.performers) == 1
    }
    images: dict[str, set[str]] = defaultdict(set)
    ids = list(owners)
    for start in range(0, len(ids), GALLERIES_A_QUERY):
        inside: Criteria = {"galleries": {"value": ids[start : start + GALLERIES_A_QUERY], "modifier": "INCLUDES"}}
        async for image in library.tagged("image", filter=inside):
            if image.performers or ("image", image.id) not in scanned:
                continue
            mine = [g for g in image.galleries if g in owners]
            if len({owners[g] for g in mine}) == 1:
                images[min(mine, key=int)].add(image.id)
    return [Place("gallery", g, owners[g], tuple(sorted(own, key=int))) for g, own in images.items()]
