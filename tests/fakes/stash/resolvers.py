"""What each field of an object answers. Fields without a function here are the row's attribute of the same name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, InlineFragmentNode, SelectionSetNode

from tests.fakes.stash.filters import compile_filter
from tests.fakes.stash.find import Found, find, whole_number
from tests.fakes.stash.library import Library, StashFailure
from tests.fakes.stash.pages import Sessions
from tests.fakes.stash.plugins import Plugins
from tests.fakes.stash.records import File, Gallery, Image, Marker, Performer, Scene, Studio, Tag

if TYPE_CHECKING:
    Info = GraphQLResolveInfo[Any]
else:
    Info = GraphQLResolveInfo

Resolver = Callable[..., Any]
RESOLVERS: dict[tuple[str, str], Resolver] = {}
"""(type, field) -> function (row, info, **arguments)."""


class Jobs(Protocol):
    """The job queue, as far as queries and mutations use it."""

    def submit(
        self, description: str, work: Callable[[Callable[[float], bool]], None], *, scan: bool = False
    ) -> int: ...
    def stop(self, job_id: int) -> None: ...
    def stop_all(self) -> None: ...
    def find(self, job_id: int) -> Any: ...
    def queue(self) -> list[Any]: ...


@dataclass(slots=True)
class Context:
    """What resolvers work with: the library, the jobs, and how the client reached the server.

    Attributes:
        base_url: scheme and host of the request, for the absolute addresses.
        minor: 25 to 31, the version played.
        api_key: of the server; None when it needs none.
        plugins, sessions: for the plugins, which get a session of their own.
        own_url: where the server listens.
    """

    library: Library
    jobs: Jobs
    base_url: str
    minor: int
    api_key: str | None
    plugins: Plugins = field(default_factory=Plugins)
    sessions: Sessions = field(default_factory=Sessions)
    own_url: str = ""
    selected: dict[int, frozenset[str]] = field(default_factory=dict)


def resolver(type_name: str, *names: str) -> Callable[[Resolver], Resolver]:
    def register(function: Resolver) -> Resolver:
        for name in names:
            RESOLVERS[type_name, name] = function
        return function

    return register


def context_of(info: Info) -> Context:
    context: Context = info.context
    return context


def selected_fields(info: Info) -> frozenset[str]:
    """Returns the names of the fields selected directly below this one, fragments included."""
    names: set[str] = set()

    def collect(selection_set: SelectionSetNode | None) -> None:
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                names.add(node.name.value)
            elif isinstance(node, InlineFragmentNode):
                collect(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                collect(info.fragments[node.name.value].selection_set)

    for node in info.field_nodes:
        collect(node.selection_set)
    return frozenset(names)


_AGGREGATES = frozenset({"count", "duration", "filesize", "megapixels"})


def _finder(kind: Any, rows_name: str, filter_name: str, always_counted: bool) -> Resolver:
    """Scenes and images compute only the aggregates that were selected; the others always count."""

    def resolve(_: Any, info: Info, **arguments: Any) -> dict[str, Any]:
        library = context_of(info).library
        wanted = frozenset({"count"}) if always_counted else selected_fields(info) & _AGGREGATES
        ids = arguments.get("ids") or arguments.get(f"{kind}_ids")
        found: Found = find(
            library, kind, ids=ids, given=arguments.get(filter_name), paging=arguments.get("filter"), wanted=wanted
        )
        return {
            rows_name: found.rows,
            "count": found.count,
            "duration": found.duration,
            "filesize": found.filesize,
            "megapixels": found.megapixels,
        }

    return resolve


for _kind, _plural, _counted in (
    ("scene", "scenes", False),
    ("image", "images", False),
    ("gallery", "galleries", True),
    ("performer", "performers", True),
    ("studio", "studios", True),
    ("tag", "tags", True),
):
    RESOLVERS["Query", f"find{_plural.capitalize()}"] = _finder(_kind, _plural, f"{_kind}_filter", _counted)


def _find_one(kind: str) -> Resolver:
    def resolve(_: Any, info: Info, id: str | None = None, checksum: str | None = None) -> Any:  # noqa: A002
        library = context_of(info).library
        table = library.table(kind)  # type: ignore[arg-type]
        if id is not None:
            return table.get(whole_number(id))
        return next((row for row in table.values() if checksum and _has_hash(library, row, "md5", checksum)), None)

    return resolve


for _kind in ("scene", "image", "gallery", "performer", "studio", "tag"):
    RESOLVERS["Query", f"find{_kind.capitalize()}"] = _find_one(_kind)


def _has_hash(library: Library, row: Any, kind: str, value: str) -> bool:
    return any(library.files[i].fingerprint(kind) == value for i in row.file_ids)


@resolver("Query", "findSceneByHash")
def _scene_by_hash(_: Any, info: Info, input: dict[str, Any]) -> Scene | None:  # noqa: A002
    library = context_of(info).library
    for kind, value in (("md5", input.get("checksum")), ("oshash", input.get("oshash"))):
        for scene in library.scenes.values() if value else ():
            if _has_hash(library, scene, kind, value or ""):
                return scene
    return None


@resolver("Query", "findSceneMarkers")
def _markers(
    _: Any,
    info: Info,
    scene_marker_filter: Any = None,
    filter: Any = None,  # noqa: A002
) -> dict[str, Any]:
    library = context_of(info).library
    test = compile_filter(library, "marker", scene_marker_filter)
    rows = [marker for marker in library.markers.values() if test(marker) is True]
    per_page = (filter or {}).get("per_page") or 25
    return {"count": len(rows), "scene_markers": rows if per_page < 0 else rows[:per_page]}


@resolver("Query", "allPerformers")
def _all_performers(_: Any, info: Info) -> list[Performer]:
    return list(context_of(info).library.performers.values())


# --- relations that several types share


def _many(types: Iterable[str], name: str, attribute: str, table: str) -> None:
    def resolve(row: Any, info: Info) -> list[Any]:
        rows = getattr(context_of(info).library, table)
        return [rows[i] for i in getattr(row, attribute)]

    for type_name in types:
        RESOLVERS[type_name, name] = resolve


_many(("Scene", "Image", "Gallery"), "performers", "performer_ids", "performers")
_many(("Scene", "Image", "Gallery", "Performer", "Studio", "SceneMarker"), "tags", "tag_ids", "tags")
_many(("Scene", "Image"), "galleries", "gallery_ids", "galleries")
_many(("Scene", "Image"), "files", "file_ids", "files")
_many(("Image",), "visual_files", "file_ids", "files")
_many(("Tag",), "parents", "parent_ids", "tags")


def _studio(row: Any, info: Info) -> Studio | None:
    return context_of(info).library.studios.get(row.studio_id)


def _custom_fields(row: Any, _: Info) -> dict[str, Any]:
    return row.custom_fields or {}


def _first_url(row: Any, _: Info) -> str | None:
    return row.urls[0] if row.urls else None


for _type in ("Scene", "Image", "Gallery"):
    RESOLVERS[_type, "studio"] = _studio
for _type in ("Scene", "Image", "Gallery", "Performer", "Studio", "Tag"):
    RESOLVERS[_type, "custom_fields"] = _custom_fields
for _type in ("Scene", "Performer", "Studio"):
    RESOLVERS[_type, "url"] = _first_url


def _counter(kind: str, of: str) -> Resolver:
    def resolve(row: Any, info: Info, depth: int | None = None) -> int:
        return context_of(info).library.counts(kind, of)[row.id]

    return resolve


for _kind in ("performer", "studio", "tag"):
    for _of, _name in (("scenes", "scene_count"), ("images", "image_count"), ("galleries", "gallery_count")):
        RESOLVERS[_kind.capitalize(), _name] = _counter(_kind, _of)


@resolver("Performer", "performer_count")
@resolver("Studio", "performer_count")
@resolver("Tag", "performer_count")
def _performer_count(row: Any, info: Info, depth: int | None = None) -> int:
    library = context_of(info).library
    if isinstance(row, Tag):
        return sum(row.id in performer.tag_ids for performer in library.performers.values())
    if isinstance(row, Studio):
        return len({i for s in library.scenes.values() if s.studio_id == row.id for i in s.performer_ids})
    return len({i for s in library.scenes.values() if row.id in s.performer_ids for i in s.performer_ids} - {row.id})


# --- scenes


def _picture_url(context: Context, kind: str, row: Any, name: str) -> str:
    return f"{context.base_url}/{kind}/{row.id}/{name}?t={int(dt.datetime.fromisoformat(row.updated_at).timestamp())}"


@resolver("Scene", "paths")
def _scene_paths(scene: Scene, info: Info) -> dict[str, str]:
    """All are there, whether or not the server has anything behind them."""
    context = context_of(info)
    file = context.library.primary_file(scene)
    digest = (file.fingerprint("oshash") if file else "") or ""
    base = f"{context.base_url}/scene"
    return {
        "screenshot": _picture_url(context, "scene", scene, "screenshot"),
        "preview": f"{base}/{scene.id}/preview",
        "stream": stream_url(context, scene),
        "webp": f"{base}/{scene.id}/webp",
        "vtt": f"{base}/{digest}_thumbs.vtt",
        "sprite": f"{base}/{digest}_sprite.jpg",
        "funscript": f"{base}/{scene.id}/funscript",
        "interactive_heatmap": f"{base}/{scene.id}/interactive_heatmap",
        "caption": f"{base}/{scene.id}/caption",
    }


def stream_url(context: Context, scene: Scene) -> str:
    """Returns the address of the bytes; the key of the server is in it."""
    query = "?" + urlencode({"apikey": context.api_key}) if context.api_key else ""
    return f"{context.base_url}/scene/{scene.id}/stream{query}"


@resolver("Scene", "sceneStreams")
def _streams(scene: Scene, info: Info) -> list[dict[str, str]]:
    return [{"url": stream_url(context_of(info), scene), "mime_type": "video/mp4", "label": "Direct stream"}]


@resolver("Scene", "groups")
def _groups(scene: Scene, info: Info) -> list[dict[str, Any]]:
    groups = context_of(info).library.groups
    return [{"group": groups[group_id], "scene_index": place} for group_id, place in scene.group_places]


@resolver("Scene", "scene_markers")
def _scene_markers(scene: Scene, info: Info) -> list[Marker]:
    return [marker for marker in context_of(info).library.markers.values() if marker.scene_id == scene.id]


RESOLVERS["Scene", "interactive"] = lambda _row, _info: False
RESOLVERS["Scene", "interactive_speed"] = lambda _row, _info: None
RESOLVERS["Scene", "o_counter"] = lambda row, _info: len(row.o_history)
RESOLVERS["Scene", "play_count"] = lambda row, _info: len(row.play_history)
RESOLVERS["Scene", "last_played_at"] = lambda row, _info: max(row.play_history, default=None)
RESOLVERS["Image", "o_counter"] = lambda _row, _info: None
RESOLVERS["Performer", "o_counter"] = lambda _row, _info: None
RESOLVERS["Performer", "twitter"] = lambda _row, _info: None
RESOLVERS["Performer", "instagram"] = lambda _row, _info: None
RESOLVERS["SceneMarker", "scene"] = lambda row, info: context_of(info).library.scenes[row.scene_id]
RESOLVERS["SceneMarker", "primary_tag"] = lambda row, info: context_of(info).library.tags[row.primary_tag_id]


# --- images and galleries


@resolver("Image", "paths")
def _image_paths(image: Image, info: Info) -> dict[str, str]:
    context = context_of(info)
    return {
        "image": _picture_url(context, "image", image, "image"),
        "thumbnail": _picture_url(context, "image", image, "thumbnail"),
        "preview": "",
    }


def _gallery_images(gallery: Gallery, info: Info) -> list[int]:
    return context_of(info).library.members(gallery.id, "images")


@resolver("Gallery", "image_count")
def _image_count(gallery: Gallery, info: Info) -> int:
    return len(_gallery_images(gallery, info))


@resolver("Gallery", "cover")
def _cover(gallery: Gallery, info: Info) -> Image | None:
    ids = _gallery_images(gallery, info)
    return context_of(info).library.images[ids[0]] if ids else None


@resolver("Gallery", "image")
def _indexed_image(gallery: Gallery, info: Info, index: int) -> Image:
    ids = _gallery_images(gallery, info)
    if index < 0:
        raise StashFailure("index must >= 0")
    if index >= len(ids):
        raise StashFailure("sql: no rows in result set")
    return context_of(info).library.images[ids[index]]


@resolver("Gallery", "scenes")
def _gallery_scenes(gallery: Gallery, info: Info) -> list[Scene]:
    library = context_of(info).library
    return [library.scenes[i] for i in library.members(gallery.id, "scenes")]


@resolver("Gallery", "paths")
def _gallery_paths(gallery: Gallery, info: Info) -> dict[str, str]:
    base = f"{context_of(info).base_url}/gallery/{gallery.id}"
    return {"cover": f"{base}/cover", "preview": f"{base}/preview"}


@resolver("Gallery", "files")
def _gallery_files(_: Gallery, __: Info) -> list[File]:
    return []


@resolver("Gallery", "folder")
def _gallery_folder(gallery: Gallery, _: Info) -> dict[str, Any] | None:
    return {"id": gallery.id, "path": gallery.folder} if gallery.folder else None


# --- people, studios, tags


@resolver("Performer", "image_path")
def _performer_image(performer: Performer, info: Info) -> str:
    """A performer without a picture has an address too: that of a silhouette."""
    url = _picture_url(context_of(info), "performer", performer, "image")
    return url if performer.image is not None else f"{url}&default=true"


def _default_image(kind: str) -> Resolver:
    def resolve(row: Any, info: Info) -> str:
        return _picture_url(context_of(info), kind, row, "image") + "&default=true"

    return resolve


RESOLVERS["Studio", "image_path"] = _default_image("studio")
RESOLVERS["Tag", "image_path"] = _default_image("tag")


@resolver("Performer", "scenes")
def _performer_scenes(performer: Performer, info: Info) -> list[Scene]:
    return [scene for scene in context_of(info).library.scenes.values() if performer.id in scene.performer_ids]


@resolver("Studio", "parent_studio")
def _parent(studio: Studio, info: Info) -> Studio | None:
    return context_of(info).library.studios.get(studio.parent_id or 0)


@resolver("Studio", "child_studios")
def _children(studio: Studio, info: Info) -> list[Studio]:
    return [row for row in context_of(info).library.studios.values() if row.parent_id == studio.id]


@resolver("Tag", "children")
def _child_tags(tag: Tag, info: Info) -> list[Tag]:
    return [row for row in context_of(info).library.tags.values() if tag.id in row.parent_ids]


# --- files


def _fingerprint(file: File, _: Info, type: str) -> str | None:  # noqa: A002
    return file.fingerprint(type)


def _fingerprints(file: File, _: Info) -> list[dict[str, str]]:
    return [{"type": kind, "value": value} for kind, value in file.fingerprints]


for _type in ("VideoFile", "ImageFile", "GalleryFile"):
    RESOLVERS[_type, "fingerprint"] = _fingerprint
    RESOLVERS[_type, "fingerprints"] = _fingerprints


def file_type(value: Any) -> str:
    """Returns the GraphQL type of a file's row."""
    return "VideoFile" if isinstance(value, File) and value.kind == "video" else "ImageFile"
