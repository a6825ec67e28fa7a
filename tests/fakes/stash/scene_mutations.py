"""Scenes made by hand, their histories and markers, and images destroyed: what an undo needs of Stash.

As in Stash, each mutation is checked as a whole before it changes a row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Literal

from tests.fakes.stash.changes import FOREIGN_KEY, Input, apply, changes_of, known_ids, picture
from tests.fakes.stash.find import whole_number
from tests.fakes.stash.library import Library, StashFailure
from tests.fakes.stash.records import Marker, Scene
from tests.fakes.stash.resolvers import Info, context_of, resolver

History = Literal["play_history", "o_history"]


@resolver("Mutation", "sceneCreate")
def _scene_create(_: Any, info: Info, input: Input) -> Scene:  # noqa: A002
    """Files come from the scenes that have them, and must not be primary there; the first becomes primary."""
    context = context_of(info)
    library = context.library
    given = {key: value for key, value in input.items() if key != "file_ids"}
    changes = changes_of(library, context, given)
    file_ids = [whole_number(i) for i in input.get("file_ids") or ()]
    if not changes.get("title") and not file_ids:
        raise StashFailure("title must be set if scene has no files")
    for file in library.files.get_many(file_ids):
        if file.kind != "video":
            raise StashFailure(f"assigning file {file.id} to new scene: {file.path} is not a video file")
        if library.is_primary(file.id):
            raise StashFailure(f"assigning file {file.id} to new scene: cannot reassign primary file")
    for other in library.scenes.values():
        other.file_ids = tuple(i for i in other.file_ids if i not in file_ids)
    cover = picture(input.get("cover_image"))
    return library.add("scene", file_ids=tuple(file_ids), cover=cover, **changes)  # type: ignore[no-any-return]


# --- histories


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _utc(library: Library, times: Iterable[str]) -> tuple[str, ...]:
    """Histories are kept in UTC, whole seconds; without times it is now."""
    found = [_instant(text) for text in times] or [dt.datetime.fromtimestamp(library.clock(), dt.UTC)]
    return tuple(one.astimezone(dt.UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z") for one in found)


def newest_first(times: Iterable[str]) -> list[str]:
    return sorted(times, key=_instant, reverse=True)


def _change_history(info: Info, scene_id: str, name: History, times: Iterable[str] | None, *, add: bool) -> Any:
    library = context_of(info).library
    if whole_number(scene_id) not in library.scenes:
        raise StashFailure(FOREIGN_KEY)
    scene = library.scenes[whole_number(scene_id)]
    kept: list[str] = list(getattr(scene, name))
    if add:
        kept += _utc(library, times or ())
    elif times:
        for text in times:
            found = next((one for one in kept if _instant(one) == _instant(text)), None)
            if found is not None:
                kept.remove(found)
    elif kept:
        kept.remove(newest_first(kept)[0])
    setattr(scene, name, tuple(kept))
    library.revision += 1
    return {"count": len(kept), "history": newest_first(kept)}


@resolver("Mutation", "sceneAddPlay")
def _add_play(_: Any, info: Info, id: str, times: list[str] | None = None) -> Any:  # noqa: A002
    return _change_history(info, id, "play_history", times, add=True)


@resolver("Mutation", "sceneDeletePlay")
def _delete_play(_: Any, info: Info, id: str, times: list[str] | None = None) -> Any:  # noqa: A002
    return _change_history(info, id, "play_history", times, add=False)


@resolver("Mutation", "sceneAddO")
def _add_o(_: Any, info: Info, id: str, times: list[str] | None = None) -> Any:  # noqa: A002
    return _change_history(info, id, "o_history", times, add=True)


@resolver("Mutation", "sceneDeleteO")
def _delete_o(_: Any, info: Info, id: str, times: list[str] | None = None) -> Any:  # noqa: A002
    return _change_history(info, id, "o_history", times, add=False)


@resolver("Scene", "play_history", "o_history")
def _history(scene: Scene, info: Info) -> list[str]:
    return newest_first(getattr(scene, info.field_name))


# --- markers


def _marker_changes(library: Library, given: Input) -> dict[str, Any]:
    changes = {key: given[key] for key in ("title", "seconds", "end_seconds") if key in given}
    for key, table in (("scene_id", library.scenes), ("primary_tag_id", library.tags)):
        if key in given:
            changes[key] = whole_number(given[key])
            if changes[key] not in table:
                raise StashFailure(FOREIGN_KEY)
    if "tag_ids" in given:
        changes["tag_ids"] = known_ids(library, "tag_ids", given["tag_ids"])
    return changes


def _checked_marker(seconds: float, end_seconds: float | None) -> None:
    if end_seconds is not None and end_seconds < seconds:
        raise StashFailure(f"end_seconds ({end_seconds:f}) must be greater than or equal to seconds ({seconds:f})")


@resolver("Mutation", "sceneMarkerCreate")
def _marker_create(_: Any, info: Info, input: Input) -> Marker:  # noqa: A002
    library = context_of(info).library
    changes = _marker_changes(library, input)
    _checked_marker(changes["seconds"], changes.get("end_seconds"))
    marker = library.add_marker(
        changes["scene_id"], changes["title"].strip(), changes["seconds"], changes["primary_tag_id"]
    )
    marker.end_seconds = changes.get("end_seconds")
    marker.tag_ids = tuple(i for i in changes.get("tag_ids", ()) if i != marker.primary_tag_id)
    return marker


@resolver("Mutation", "sceneMarkerUpdate")
def _marker_update(_: Any, info: Info, input: Input) -> Marker:  # noqa: A002
    library = context_of(info).library
    if whole_number(input["id"]) not in library.markers:
        raise StashFailure(f"scene marker with id {input['id']} not found")
    marker = library.markers[whole_number(input["id"])]
    changes = _marker_changes(library, input)
    _checked_marker(changes.get("seconds", marker.seconds), changes.get("end_seconds", marker.end_seconds))
    primary = changes.get("primary_tag_id", marker.primary_tag_id)
    if "tag_ids" in changes:
        changes["tag_ids"] = tuple(i for i in changes["tag_ids"] if i != primary)
    apply(library, marker, changes, {})
    return marker


# --- images


def _destroy_images(info: Info, ids: Iterable[str], given: Input) -> bool:
    library = context_of(info).library
    rows = library.images.get_many(dict.fromkeys(whole_number(i) for i in ids))
    for row in rows:
        library.drop_image(row.id, delete_file=bool(given.get("delete_file")))
    return True


@resolver("Mutation", "imageDestroy")
def _image_destroy(_: Any, info: Info, input: Input) -> bool:  # noqa: A002
    return _destroy_images(info, [input["id"]], input)


@resolver("Mutation", "imagesDestroy")
def _images_destroy(_: Any, info: Info, input: Input) -> bool:  # noqa: A002
    return _destroy_images(info, input["ids"], input)
