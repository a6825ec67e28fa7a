"""Before-images of many entities in few requests: what a preview of hundreds of actions reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pipelines.actions.snapshots import NOW, SELECTIONS, EntityKind, Snapshot, exists, image_of
from pipelines.stash.features import Features
from pipelines.stash.fields import FINDERS
from pipelines.stash.library import StashLibrary
from pipelines.stash.paging import Item, by_ids

PAGE_SIZE = 200
COVERS_AT_ONCE = 50
"""Conditions in one filter of Stash, each inside the one before."""


async def snapshots(
    library: StashLibrary, wanted: Iterable[tuple[EntityKind, str]], *, pictures: bool
) -> dict[tuple[str, str], Snapshot]:
    """Returns the before-images of those that exist, by kind and id.

    Args:
        pictures: also ask which scenes have covers of their own.
    """
    ids: dict[EntityKind, dict[str, None]] = {}
    for kind, one_id in wanted:
        if one_id.isascii() and one_id.isdigit():
            ids.setdefault(kind, {})[one_id] = None
    found: dict[tuple[str, str], Snapshot] = {}
    for kind, own in ids.items():
        present = partial(exists, library, kind)
        async for page in by_ids(kind, partial(_listed, library, kind), present, own, page_size=PAGE_SIZE):
            found |= {(kind, one["id"]): image_of(kind, one) for one in page}
    if pictures:
        await _ask_for_covers(library, [image for (kind, _), image in found.items() if kind == "scene"])
    return found


async def _listed(library: StashLibrary, kind: EntityKind, ids: Sequence[str]) -> Sequence[Item]:
    finder = FINDERS[kind]

    def query(known: Features) -> tuple[str, dict[str, Any]]:
        selected = SELECTIONS[kind].render(known)
        page = {"per_page": len(ids), "sort": "id", "direction": "ASC"}
        text = f"query Snapshots($ids: [ID!], $filter: FindFilterType) {{ {finder.many}(ids: $ids, filter: $filter) "
        return f"{text} {{ {finder.items} {selected} }} }}", {"ids": list(ids), "filter": page}

    items: Sequence[Item] = (await library.ask(query, NOW))[finder.many][finder.items]
    return items


async def _ask_for_covers(library: StashLibrary, scenes: Sequence[Snapshot]) -> None:
    known = await library.client.features(NOW)
    if not known.knows("SceneFilterType", "id"):
        return
    for start in range(0, len(scenes), COVERS_AT_ONCE):
        part = scenes[start : start + COVERS_AT_ONCE]
        criteria: Mapping[str, Any] = {}
        for scene in part:
            one = {"id": {"value": int(scene["id"]), "modifier": "EQUALS"}, "is_missing": "cover"}
            criteria = {**one, "OR": criteria} if criteria else one
        bare = {one.id async for one in library.outlines("scene", filter=dict(criteria), priority=NOW)}
        for scene in part:
            scene["has_picture"] = scene["id"] not in bare
