"""Why something is not in Stash any more: merged into what, or deleted, as far as anybody can know.

Stash keeps no trace of what it destroys. What tells a merge from a deletion: the log of our own actions; the files of a
scene, which a merge moves to another scene; the links of a performer, which whoever merges in Stash usually hands on.
Where nothing of that is left it was deleted, or a merge threw everything away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pipelines.analyzers.tools import Tools
from pipelines.errors import StashRejected
from pipelines.store.actions import ActionStore
from pipelines.store.recommendation_records import RecommendationFilter
from pipelines.store.recommendations import RecommendationStore

MOST_LOOKED_FOR = 100
"""Things in one run that Stash is asked for, one or two small questions each; of the others nothing more is said."""
_MOST_TRACES = 3
_READ = 20

MERGED = "The {kind} {id} is not in Stash any more: it was merged into {kind} {into}, which has its {what} now."
DELETED = "The {kind} {id} is not in Stash any more: it was deleted."
UNKNOWN = "The {kind} {id} is not in Stash any more: it was deleted, or merged into another."


async def gone_of(tools: Tools, kind: str, ids: Collection[str]) -> set[str]:
    """Returns those of these ids that Stash does not have; none of a kind that is not Stash's."""
    library = tools.library
    if kind == "scene":
        present = {one.id async for one in library.scenes(ids=ids, detail="scan")}
    elif kind == "image":
        present = {one.id async for one in library.images(ids=ids, detail="scan")}
    elif kind == "performer":
        present = {one.id async for one in library.performers(ids=ids)}
    else:
        return set()
    return set(ids) - present


async def why_gone(tools: Tools, kind: str, ids: Collection[str]) -> dict[str, str]:
    """Returns a sentence for each of these ids, none of which Stash has any more."""
    reasons = await tools.in_thread(lambda: ActionStore(tools.store).why_gone(kind))
    found = {one: reasons[one] for one in ids if one in reasons}
    left = sorted(set(ids) - found.keys(), key=lambda one: (len(one), one))
    for one in left[:MOST_LOOKED_FOR]:
        found[one] = await _looked_for(tools, kind, one)
    return found | {one: UNKNOWN.format(kind=kind, id=one) for one in left[MOST_LOOKED_FOR:]}


async def _looked_for(tools: Tools, kind: str, one_id: str) -> str:
    about = RecommendationFilter(target_type=kind, target_id=one_id)
    shown = await tools.in_thread(lambda: RecommendationStore(tools.store).page(about, sort="newest", limit=_READ))
    images = [image for one in shown.recommendations for image in _images(one.details, one_id)]
    if kind == "scene":
        match = await tools.in_thread(lambda: tools.matches.get("scene", one_id))
        fingerprint = "" if match is None else match.stamp.file_fingerprint
        traces, what = [*_by_hash(fingerprint), *_by_path(images)], "file"
        holders = _scenes(tools, traces)
    elif kind == "performer":
        traces, what = list(_by_link(images)), "link"
        holders = _performers(tools, traces)
    else:
        return DELETED.format(kind=kind, id=one_id)
    with suppress(StashRejected):
        async for holder in holders:
            if holder != one_id:
                return MERGED.format(kind=kind, id=one_id, into=holder, what=what)
    return (DELETED if traces else UNKNOWN).format(kind=kind, id=one_id)


async def _scenes(tools: Tools, traces: list[dict[str, Any]]) -> AsyncIterator[str]:
    for trace in traces[:_MOST_TRACES]:
        async for scene in tools.library.scenes(filter=trace, detail="scan"):
            yield scene.id


async def _performers(tools: Tools, traces: list[dict[str, Any]]) -> AsyncIterator[str]:
    for trace in traces[:_MOST_TRACES]:
        async for performer in tools.library.performers(filter=trace):
            yield performer.id


def _by_hash(fingerprint: str) -> Iterator[dict[str, Any]]:
    kind, _, value = fingerprint.partition(":")
    field = {"oshash": "oshash", "md5": "checksum"}.get(kind)
    if field is not None:
        yield {field: {"value": value, "modifier": "EQUALS"}}


def _by_path(images: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    paths = dict.fromkeys(str(file["path"]) for image in images for file in image.get("files") or () if "path" in file)
    yield from ({"path": {"value": path, "modifier": "EQUALS"}} for path in paths)


def _by_link(images: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    links = dict.fromkeys(
        (str(link["endpoint"]), str(link["stash_id"])) for image in images for link in image.get("stash_ids") or ()
    )
    for endpoint, stash_id in links:
        yield {"stash_id_endpoint": {"endpoint": endpoint, "stash_id": stash_id, "modifier": "EQUALS"}}


def _images(details: Any, one_id: str) -> Iterator[Mapping[str, Any]]:
    """Yields what details show of the entity of this id."""
    if isinstance(details, Mapping):
        if details.get("id") == one_id and ("files" in details or "stash_ids" in details):
            yield details
        for value in details.values():
            yield from _images(value, one_id)
    elif isinstance(details, list | tuple):
        for value in details:
            yield from _images(value, one_id)
