"""Before-images: all of an entity that an action may change or lose, read from Stash and kept as JSON.

Keys are the names that Stash's update inputs have, so that what was read can be written back; empty texts are None,
times of histories UTC. Ours are `files`, `markers`, `contents`, `has_picture`, `by_hand` (galleries of an image that
were made by hand) and `labels` (names of what is meant by ids, for people to read).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pipelines.errors import LimitExceeded, MediaNotFound, StashNotFound
from pipelines.stash.features import Features
from pipelines.stash.fields import FINDERS, GALLERY, IMAGE, PERFORMER, SCENE, Selection, ids_of
from pipelines.stash.library import StashLibrary
from pipelines.stash.limiter import Priority

EntityKind = Literal["scene", "image", "gallery", "performer"]
ContentName = Literal["scene", "image", "gallery"]
PLURALS: dict[ContentName, str] = {"scene": "scenes", "image": "images", "gallery": "galleries"}
Snapshot = dict[str, Any]

NOW = Priority.INTERACTIVE
MOST_PICTURE_BYTES = 32 * 2**20
"""Of a cover or a performer's picture that is kept for an undo."""

_MARKER = Selection(
    "SceneMarker",
    ("id", "title", "seconds", "end_seconds"),
    {"primary_tag": ids_of("Tag"), "tags": ids_of("Tag")},
)
_SCENE = Selection(
    "Scene",
    (*SCENE.plain, "resume_time", "play_duration", "play_history", "o_history"),
    {
        **{name: part for name, part in SCENE.nested.items() if name != "paths"},
        "galleries": Selection("Gallery", ("id", "title")),
        "scene_markers": _MARKER,
    },
)
_IMAGE = Selection(
    "Image",
    (*IMAGE.plain, "o_counter", "custom_fields"),
    {
        **{name: part for name, part in IMAGE.nested.items() if name != "paths"},
        "galleries": Selection(
            "Gallery", ("id", "title"), {"folder": Selection("Folder", ("path",)), "files": ids_of("GalleryFile")}
        ),
    },
)
SELECTIONS: Mapping[EntityKind, Selection] = {
    "scene": _SCENE,
    "image": _IMAGE,
    "gallery": GALLERY,
    "performer": PERFORMER,
}

_CONTENT_FIELDS = (
    *("title", "code", "details", "date", "urls", "rating100", "organized", "studio_id", "performer_ids", "tag_ids"),
)
FIELDS: Mapping[EntityKind, tuple[str, ...]] = {
    "scene": (
        *(*_CONTENT_FIELDS, "director", "gallery_ids", "groups", "stash_ids", "custom_fields"),
        *("resume_time", "play_duration"),
    ),
    "image": (*_CONTENT_FIELDS, "photographer", "gallery_ids", "custom_fields"),
    "gallery": (*_CONTENT_FIELDS, "photographer"),
    "performer": (
        *("name", "disambiguation", "alias_list", "urls", "gender", "birthdate", "death_date", "ethnicity", "country"),
        *("eye_color", "hair_color", "height_cm", "weight", "measurements", "fake_tits", "penis_length"),
        *("circumcised", "career_length", "career_start", "career_end", "tattoos", "piercings", "details"),
        *("favorite", "ignore_auto_tag", "rating100", "tag_ids", "stash_ids", "custom_fields"),
    ),
}
"""What an update of each kind writes, in Stash's names."""
_UNSEEN = frozenset(
    {"updated_at", "created_at", "resume_time", "play_duration", "labels", "contents", "has_picture"}
    | {"by_hand", "primary_file_id"}
)
"""Not part of what somebody saw: it moves by itself, or when a film is merely played or a page opened."""
_RELATIONS = {"performers": "performer_ids", "tags": "tag_ids", "galleries": "gallery_ids"}


_READ: ContextVar[Mapping[tuple[str, str], Snapshot] | None] = ContextVar("read_before", default=None)


@contextmanager
def read_before(images: Mapping[tuple[str, str], Snapshot]) -> Iterator[None]:
    """Inside the block `snapshot` takes what is among `images` from there: for previews of many actions."""
    token = _READ.set(images)
    try:
        yield
    finally:
        _READ.reset(token)


async def snapshot(library: StashLibrary, kind: EntityKind, one_id: str, *, picture: bool = False) -> Snapshot:
    """Returns the before-image of one entity. Raises StashNotFound and the other StashError leaves.

    Args:
        picture: also ask whether a scene has a cover of its own; of a performer that is always known.
    """
    if not (one_id.isascii() and one_id.isdigit()):
        raise StashNotFound(f"Stash has no {kind} {one_id[:40]!r}.", "Ids are numbers.")
    if known_image := (_READ.get() or {}).get((kind, one_id)):
        return copy.deepcopy(known_image)
    finder = FINDERS[kind]

    def query(known: Features) -> tuple[str, dict[str, Any]]:
        selected = SELECTIONS[kind].render(known)
        return f"query Snapshot($id: ID!) {{ {finder.one}(id: $id) {selected} }}", {"id": one_id}

    found = (await library.ask(query, NOW))[finder.one]
    if found is None:
        raise StashNotFound(f"Stash has no {kind} {one_id}.")
    image = image_of(kind, found)
    if kind == "scene" and picture:
        image["has_picture"] = await _has_cover(library, one_id)
    return image


async def exists(library: StashLibrary, kind: EntityKind, one_id: str) -> bool:
    return await library.find(kind, one_id, "outline", NOW) is not None


async def contents(library: StashLibrary, performer_id: str) -> dict[ContentName, list[str]]:
    """Returns the ids of everything that a performer is tagged on, by kind."""
    named = {"performers": {"value": [performer_id], "modifier": "INCLUDES"}}
    kinds: tuple[ContentName, ...] = ("scene", "image", "gallery")
    return {kind: [one.id async for one in library.tagged(kind, filter=named, priority=NOW)] for kind in kinds}


async def picture_of(library: StashLibrary, kind: EntityKind, one_id: str) -> bytes | None:
    """Returns the cover of a scene or the picture of a performer; None when there is none, or it is too large."""
    name = "screenshot" if kind == "scene" else "image"
    address = f"{library.client.address}/{kind}/{one_id}/{name}"
    try:
        fetched = await library.client.fetch(address, most_bytes=MOST_PICTURE_BYTES, priority=NOW)
    except (MediaNotFound, LimitExceeded):
        return None
    return fetched.data or None


def digest_of(action: str, params: Mapping[str, Any], before: Sequence[Snapshot]) -> str:
    """Returns the digest of what an action rests on: it changes when an entity is no longer what was seen."""
    seen = [{key: _canonical(key, value) for key, value in one.items() if key not in _UNSEEN} for one in before]
    text = json.dumps([action, params, seen], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def same(field: str, one: Any, other: Any) -> bool:
    """Whether two values of a field mean the same: lists of ids, links and addresses have no order."""
    return bool(_canonical(field, one) == _canonical(field, other))


def differences(before: Sequence[Snapshot], now: Sequence[Snapshot]) -> list[str]:
    """Returns in words what is no longer as it was."""
    found = {(one["kind"], one["id"]): one for one in now}
    said = []
    for one in before:
        name = f"{one['kind']} {one['id']}"
        other = found.get((one["kind"], one["id"]))
        if other is None:
            said.append(f"{name} is gone")
            continue
        changed = [field for field in one.keys() - _UNSEEN if not same(field, one[field], other.get(field))]
        said += [_difference(name, field, one[field], other.get(field)) for field in changed]
    return sorted(said)


def label(image: Snapshot, field: str, value: Any) -> Any:
    """Returns a value as people read it: names instead of ids."""
    names = image.get("labels", {}).get(field, {})
    if isinstance(value, list):
        return [names.get(one, one) if isinstance(one, str) else one for one in value]
    return names.get(value, value) if isinstance(value, str) else value


def name_of(image: Snapshot) -> str:
    """Returns what an entity is called: its title or name, else its file or folder by name, else its kind and id."""
    text = image.get("title") or image.get("name")
    path = image["files"][0]["path"] if image.get("files") else image.get("folder_path") or ""
    return str(text or path.replace("\\", "/").rsplit("/", 1)[-1] or f"{image['kind']} {image['id']}")


def _label(one: Mapping[str, Any]) -> str:
    """Returns a name; Stash calls the gallery of a folder by it."""
    folder = (one.get("folder") or {}).get("path") or ""
    return str(one.get("name") or one.get("title") or folder.replace("\\", "/").rsplit("/", 1)[-1] or one["id"])


def utc(text: str) -> str:
    """Returns a time of Stash in UTC with whole seconds, as its histories keep them."""
    moment = datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)
    return moment.isoformat().replace("+00:00", "Z")


def image_of(kind: EntityKind, data: Mapping[str, Any]) -> Snapshot:
    """Returns the before-image that an answer of Stash to `SELECTIONS` makes."""
    image: Snapshot = {"kind": kind, "labels": {}}
    for key, value in data.items():
        if key in _RELATIONS:
            field = _RELATIONS[key]
            image[field] = [one["id"] for one in value or ()]
            image["labels"][field] = {one["id"]: _label(one) for one in value or ()}
        elif key == "studio":
            image["studio_id"] = value["id"] if value else None
            image["labels"]["studio_id"] = {value["id"]: value.get("name", "")} if value else {}
        elif key in _READERS:
            _READERS[key](image, value)
        elif key not in {"image_path", "scenes", "scene_count", "image_count", "gallery_count", "play_count"}:
            image[key] = None if value == "" else value
    if kind == "performer":
        path = data.get("image_path") or ""
        image["has_picture"] = bool(path) and "default=true" not in path
        image.setdefault("urls", [data[key] for key in ("url", "twitter", "instagram") if data.get(key)])
    if kind == "image":
        by_hand = [g["id"] for g in data.get("galleries") or () if not g.get("folder") and not g.get("files")]
        image["by_hand"] = by_hand
    if kind in {"scene", "image"}:
        image["primary_file_id"] = image["files"][0]["id"] if image.get("files") else None
    if kind == "scene":
        image.pop("o_counter", None)
    return image


def _folder(image: Snapshot, value: Mapping[str, Any] | None) -> None:
    if value:
        image["folder_path"] = value["path"]


def _files(image: Snapshot, value: Iterable[Mapping[str, Any]]) -> None:
    image["files"] = [{"id": f["id"], "path": f["path"], "size": int(f.get("size") or 0)} for f in value or ()]


def _markers(image: Snapshot, value: Iterable[Mapping[str, Any]]) -> None:
    image["markers"] = [
        {
            "id": one["id"],
            "title": one["title"],
            "seconds": one["seconds"],
            "end_seconds": one.get("end_seconds"),
            "primary_tag_id": one["primary_tag"]["id"],
            "tag_ids": [tag["id"] for tag in one.get("tags") or ()],
        }
        for one in value or ()
    ]


def _groups(image: Snapshot, value: Iterable[Mapping[str, Any]]) -> None:
    image["groups"] = [{"group_id": one["group"]["id"], "scene_index": one.get("scene_index")} for one in value or ()]


_READERS: Mapping[str, Any] = {
    "folder": _folder,
    "files": _files,
    "visual_files": _files,
    "scene_markers": _markers,
    "groups": _groups,
    "stash_ids": lambda image, value: image.update(stash_ids=[dict(one) for one in value or ()]),
    "urls": lambda image, value: image.update(urls=list(value or ())),
    "alias_list": lambda image, value: image.update(alias_list=list(value or ())),
    "custom_fields": lambda image, value: image.update(custom_fields=dict(value or {})),
    "play_history": lambda image, value: image.update(play_history=[utc(one) for one in value or ()]),
    "o_history": lambda image, value: image.update(o_history=[utc(one) for one in value or ()]),
}


def _plain(value: Any) -> Any:
    return value


def _place(one: Mapping[str, Any]) -> tuple[str, int]:
    return one["group_id"], -1 if one["scene_index"] is None else one["scene_index"]


_ORDERLESS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("performer_ids", "tag_ids", "gallery_ids", "urls", "alias_list", "play_history", "o_history"), _plain
    ),
    "stash_ids": lambda one: (one["endpoint"], one["stash_id"]),
    "groups": _place,
    "markers": lambda one: json.dumps(one, sort_keys=True),
}
"""Lists without an order -> what tells their members apart."""


def _canonical(field: str, value: Any) -> Any:
    if field in _ORDERLESS:
        return sorted(map(_ORDERLESS[field], value or ()))
    if field == "files":  # the first is the primary one, the others have no order
        ids = [(one["id"], one["path"], one["size"]) for one in value or ()]
        return [ids[:1], sorted(ids[1:])]
    if value in ("", 0, 0.0) and not isinstance(value, bool):
        return None
    return value


def _difference(name: str, field: str, before: Any, now: Any) -> str:
    if field == "files":
        had, has = ({one["id"]: one["path"] for one in files or ()} for files in (before, now))
        more = [f"file {has[i]} is new" for i in has.keys() - had.keys()]
        less = [f"file {had[i]} is gone" for i in had.keys() - has.keys()]
        return f"{name}: {', '.join(sorted(more + less)) or 'a file has changed, or another is the primary one'}"
    if isinstance(before, list) or isinstance(now, list):
        return f"{name}: {field} have changed"
    return f"{name}: {field} was {_short(before)} and is {_short(now)}"


def _short(value: Any) -> str:
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


async def _has_cover(library: StashLibrary, scene_id: str) -> bool | None:
    """Returns whether a scene has a cover; None where the server cannot say."""
    criteria = {"id": {"value": int(scene_id), "modifier": "EQUALS"}, "is_missing": "cover"}
    known = await library.client.features(NOW)
    if not known.knows("SceneFilterType", "id"):
        return None
    return await library.count("scene", cast("dict[str, Any]", criteria), NOW) == 0
