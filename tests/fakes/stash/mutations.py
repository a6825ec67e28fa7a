"""Writes to scenes, images, galleries and files, and the jobs that clients start.

Each is checked as a whole before it changes a row, as one transaction would be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.fakes.stash import scans
from tests.fakes.stash.changes import FOREIGN_KEY, NO_ROWS, Input, apply, changes_of, known_ids, picture
from tests.fakes.stash.find import whole_number
from tests.fakes.stash.library import NIL_POINTER, Library, StashFailure
from tests.fakes.stash.records import ContentName, Image, Scene
from tests.fakes.stash.resolvers import Info, context_of, resolver


def _update(kind: ContentName, info: Info, given: Input) -> Any:
    context = context_of(info)
    library = context.library
    row = library.table(kind).one(whole_number(given["id"]))
    changes = changes_of(library, context, given)
    if kind == "image" and "gallery_ids" in changes:
        _check_galleries(library, row, changes["gallery_ids"])
    if kind == "scene" and changes.get("title") == "" and not row.file_ids:
        raise StashFailure("title must be set if scene has no files")
    primary = given.get("primary_file_id")
    files = _with_primary(row, whole_number(primary), kind) if primary is not None else None
    cover = picture(given.get("cover_image"))
    apply(library, row, changes, given)
    if files is not None:
        row.file_ids = files
    if cover is not None:
        row.cover = cover
    if kind == "gallery" and "scene_ids" in given:
        _set_gallery_scenes(library, row.id, [whole_number(i) for i in given["scene_ids"] or ()])
    return row


def _check_galleries(library: Library, image: Image, gallery_ids: tuple[int, ...]) -> None:
    """Images go into and out of galleries that were made by hand only; those of folders follow the folder."""
    for gallery_id in sorted(set(image.gallery_ids) ^ set(gallery_ids)):
        gallery = library.galleries[gallery_id]
        if gallery.folder is not None:
            shown = gallery.title or gallery.folder.rpartition("/")[2]
            problem = f'cannot change contents of folder-based gallery "{shown}"'
            named = image.title or library.files[image.file_ids[0]].path.rpartition("/")[2]
            raise StashFailure(f'changing galleries of image "{named}": {problem}')


def _with_primary(row: Scene | Image, file_id: int, kind: str) -> tuple[int, ...]:
    if file_id not in row.file_ids:
        raise StashFailure(f"file with id {file_id} not associated with {kind}")
    return (file_id, *(i for i in row.file_ids if i != file_id))


def _set_gallery_scenes(library: Library, gallery_id: int, scene_ids: list[int]) -> None:
    for scene in library.scenes.values():
        others = tuple(i for i in scene.gallery_ids if i != gallery_id)
        scene.gallery_ids = (*others, gallery_id) if scene.id in scene_ids else others


@resolver("Mutation", "sceneUpdate")
def _scene_update(_: Any, info: Info, input: Input) -> Scene:  # noqa: A002
    return _update("scene", info, input)  # type: ignore[no-any-return]


@resolver("Mutation", "scenesUpdate")
def _scenes_update(_: Any, info: Info, input: list[Input]) -> list[Scene]:  # noqa: A002
    context_of(info).library.scenes.get_many(whole_number(one["id"]) for one in input)
    return [_update("scene", info, one) for one in input]


@resolver("Mutation", "imageUpdate")
def _image_update(_: Any, info: Info, input: Input) -> Any:  # noqa: A002
    return _update("image", info, input)


@resolver("Mutation", "galleryUpdate")
def _gallery_update(_: Any, info: Info, input: Input) -> Any:  # noqa: A002
    return _update("gallery", info, input)


# --- bulk


def _combined(old: tuple[Any, ...], values: tuple[Any, ...], mode: str) -> tuple[Any, ...]:
    if mode == "SET":
        return values
    if mode == "ADD":
        return (*old, *(v for v in values if v not in old))
    return tuple(v for v in old if v not in values)


def _bulk(kind: ContentName, info: Info, given: Input) -> list[Any]:
    """One transaction over all ids: nothing changes when one of them is missing."""
    context = context_of(info)
    library = context.library
    modes = {key: value for key, value in given.items() if isinstance(value, Mapping) and "mode" in value}
    plain = {key: value for key, value in given.items() if key not in modes}
    changes = changes_of(library, context, plain)
    lists: dict[str, tuple[tuple[Any, ...], str]] = {}
    for key, value in modes.items():
        if key == "scene_ids":
            raise StashFailure("the fake Stash does not change scenes of galleries in bulk")
        values = value.get("values") if key == "urls" else value.get("ids")
        checked = tuple(values or ()) if key == "urls" else _bulk_ids(library, key, values, value["mode"])
        lists[key] = (checked, value["mode"])
    table = library.table(kind)
    ids = [whole_number(i) for i in given.get("ids") or ()]
    if any(i not in table for i in ids):
        raise StashFailure(FOREIGN_KEY if any(mode != "REMOVE" for _, mode in lists.values()) else NO_ROWS)
    rows = [table[i] for i in ids]
    for row in rows:
        combined = {key: _combined(getattr(row, key), values, mode) for key, (values, mode) in lists.items()}
        if kind == "image" and "gallery_ids" in combined:
            _check_galleries(library, row, combined["gallery_ids"])
        apply(library, row, {**changes, **combined}, {})
    return rows


def _bulk_ids(library: Library, key: str, values: Iterable[str] | None, mode: str) -> tuple[int, ...]:
    """Removing what is not there is fine; adding it breaks a foreign key."""
    if mode == "REMOVE":
        return tuple(whole_number(one) for one in values or ())
    return known_ids(library, key, values)


@resolver("Mutation", "bulkSceneUpdate")
def _bulk_scenes(_: Any, info: Info, input: Input) -> list[Any]:  # noqa: A002
    return _bulk("scene", info, input)


@resolver("Mutation", "bulkImageUpdate")
def _bulk_images(_: Any, info: Info, input: Input) -> list[Any]:  # noqa: A002
    return _bulk("image", info, input)


@resolver("Mutation", "bulkGalleryUpdate")
def _bulk_galleries(_: Any, info: Info, input: Input) -> list[Any]:  # noqa: A002
    return _bulk("gallery", info, input)


# --- scenes and files


@resolver("Mutation", "sceneMerge")
def _scene_merge(_: Any, info: Info, input: Input) -> Scene:  # noqa: A002
    """Moves files and markers, and histories when asked; no other metadata. Sources are destroyed."""
    context = context_of(info)
    library = context.library
    sources = list(dict.fromkeys(whole_number(i) for i in input["source"]))
    destination_id = whole_number(input["destination"])
    if destination_id in sources:
        raise StashFailure("destination scene cannot be in source list")
    if destination_id not in library.scenes:
        raise StashFailure(NIL_POINTER)
    destination = library.scenes[destination_id]
    try:
        rows = library.scenes.get_many(sources)
    except StashFailure as error:
        raise StashFailure(f"finding source scenes: {error}") from error
    values = dict(input.get("values") or {})
    changes = changes_of(library, context, values)
    cover = picture(values.get("cover_image"))
    for row in rows:
        destination.file_ids = _combined(destination.file_ids, row.file_ids, "ADD")
        for marker in library.markers.values():
            if marker.scene_id == row.id:
                marker.scene_id = destination_id
        if input.get("play_history"):
            destination.play_history += row.play_history
        if input.get("o_history"):
            destination.o_history += row.o_history
    for row in rows:
        library.drop_scene(row.id)
    apply(library, destination, changes, values)
    destination.cover = cover or destination.cover
    return destination


def _destroy_scenes(info: Info, ids: Iterable[str], given: Input) -> bool:
    library = context_of(info).library
    rows = library.scenes.get_many(dict.fromkeys(whole_number(i) for i in ids))
    for row in rows:
        library.drop_scene(
            row.id,
            delete_file=bool(given.get("delete_file")),
            drop_file_rows=bool(given.get("destroy_file_entry")),
        )
    return True


@resolver("Mutation", "sceneDestroy")
def _scene_destroy(_: Any, info: Info, input: Input) -> bool:  # noqa: A002
    return _destroy_scenes(info, [input["id"]], input)


@resolver("Mutation", "scenesDestroy")
def _scenes_destroy(_: Any, info: Info, input: Input) -> bool:  # noqa: A002
    return _destroy_scenes(info, input["ids"], input)


@resolver("Mutation", "sceneAssignFile")
def _assign_file(_: Any, info: Info, input: Input) -> bool:  # noqa: A002
    library = context_of(info).library
    failed = "assigning file to scene: "
    file = _file(library, input["file_id"], failed)
    if file.kind != "video":
        raise StashFailure(f"{failed}{file.path} is not a video file")
    if library.is_primary(file.id):
        raise StashFailure(f"{failed}cannot reassign primary file")
    if whole_number(input["scene_id"]) not in library.scenes:
        raise StashFailure(f"{failed}inserting into scenes_files: {FOREIGN_KEY}")
    scene = library.scenes[whole_number(input["scene_id"])]
    for other in library.scenes.values():
        other.file_ids = tuple(i for i in other.file_ids if i != file.id)
    scene.file_ids = (*scene.file_ids, file.id)
    library.touch(scene)
    return True


def _file(library: Library, file_id: str, failed: str = "") -> Any:
    if whole_number(file_id) not in library.files:
        raise StashFailure(f"{failed}getting file by id {file_id}: {NO_ROWS}")
    return library.files[whole_number(file_id)]


def _drop_files(info: Info, ids: Iterable[str], *, delete: bool) -> bool:
    library = context_of(info).library
    files = [_file(library, one) for one in ids]
    for file in files:
        if library.is_primary(file.id):
            raise StashFailure(f"cannot delete primary file {file.path}")
    for file in files:
        for table in (library.scenes, library.images):
            for row in table.values():
                if file.id in row.file_ids:
                    row.file_ids = tuple(i for i in row.file_ids if i != file.id)
        library.drop_file(file.id, delete=delete)
    return True


@resolver("Mutation", "deleteFiles")
def _delete_files(_: Any, info: Info, ids: list[str]) -> bool:
    return _drop_files(info, ids, delete=True)


@resolver("Mutation", "destroyFiles")
def _destroy_files(_: Any, info: Info, ids: list[str]) -> bool:
    return _drop_files(info, ids, delete=False)


@resolver("Mutation", "fileSetFingerprints")
def _set_fingerprints(_: Any, info: Info, input: Input) -> bool:  # noqa: A002
    library = context_of(info).library
    file = library.files.one(whole_number(input["id"]))
    known = dict(file.fingerprints)
    for one in input["fingerprints"]:
        kind, value = one["type"], one.get("value")
        if kind in {"md5", "oshash"}:
            raise StashFailure(f"cannot modify {kind} fingerprint")
        if value is None:
            known.pop(kind, None)
        elif kind == "phash" and not re.fullmatch(r"[0-9a-fA-F]{1,16}", value):
            raise StashFailure(f'converting phash {value}: strconv.ParseUint: parsing "{value}": invalid syntax')
        else:
            known[kind] = f"{int(value, 16):x}" if kind == "phash" else value
    file.fingerprints = tuple(known.items())
    library.touch(file)
    return True


# --- jobs


@resolver("Mutation", "metadataScan")
def _metadata_scan(_: Any, info: Info, input: Input) -> int:  # noqa: A002
    context = context_of(info)
    return context.jobs.submit("Scanning...", lambda tell: scans.scan_folders(context.library, input, tell), scan=True)


@resolver("Mutation", "metadataGenerate")
def _metadata_generate(_: Any, info: Info, input: Input) -> int:  # noqa: A002
    context = context_of(info)
    return context.jobs.submit("Generating...", lambda tell: scans.generate(context.library, input, tell))


@resolver("Mutation", "stopJob")
def _stop_job(_: Any, info: Info, job_id: str) -> bool:
    context_of(info).jobs.stop(whole_number(job_id))
    return True


@resolver("Mutation", "stopAllJobs")
def _stop_all(_: Any, info: Info) -> bool:
    context_of(info).jobs.stop_all()
    return True
