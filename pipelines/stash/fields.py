"""Which fields are asked for, by type, in Stash's names; what the server does not know is left out.

`parse` reads the same names back. Lives here too: how each kind of thing is found (`FINDERS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.stash.features import Features

Kind = Literal["scene", "image", "gallery", "performer", "studio", "tag"]
Detail = Literal["full", "scan", "pairing", "tagged", "outline", "file times"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Fields of one type.

    Attributes:
        kind: the type in Stash's schema.
        plain: fields without fields of their own.
        nested: fields with a selection of their own.
        instead: field -> what older servers have in its place.
        members: for a union, the selections of its members.
    """

    kind: str
    plain: tuple[str, ...] = ()
    nested: Mapping[str, Selection] = field(default_factory=dict)
    instead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    members: tuple[Selection, ...] = ()

    def render(self, features: Features) -> str:
        """Returns the selection as GraphQL, "{ ... }", of fields that the server knows; "" when it knows none."""
        parts = [name for name in self.plain if features.knows(self.kind, name)]
        for name, older in self.instead.items():
            if not features.knows(self.kind, name):
                parts += [old for old in older if features.knows(self.kind, old)]
        for name, selection in self.nested.items():
            inner = selection.render(features) if features.knows(self.kind, name) else ""
            if inner:
                parts.append(f"{name} {inner}")
        for member in self.members:
            if member.kind in features.fields:
                parts.append(f"... on {member.kind} {member.render(features)}")
        if self.members:
            parts.insert(0, "__typename")
        return f"{{ {' '.join(parts)} }}" if parts else ""


STASH_ID = Selection("StashID", ("endpoint", "stash_id", "updated_at"))
FINGERPRINT = Selection("Fingerprint", ("type", "value"))
_FILE = ("id", "path", "basename", "size", "mod_time")
VIDEO_FILE = Selection(
    "VideoFile",
    (*_FILE, "duration", "width", "height", "frame_rate", "bit_rate", "video_codec", "audio_codec", "format"),
    {"fingerprints": FINGERPRINT},
)
IMAGE_FILE = Selection("ImageFile", (*_FILE, "width", "height"), {"fingerprints": FINGERPRINT})
GALLERY_FILE = Selection("GalleryFile", _FILE, {"fingerprints": FINGERPRINT})
VISUAL_FILE = Selection("VisualFile", members=(IMAGE_FILE, VIDEO_FILE))


def ref(kind: str) -> Selection:
    """Returns id, name and stash-box links: how other things name a performer, studio or tag."""
    return Selection(kind, ("id", "name"), {"stash_ids": STASH_ID})


def ids_of(kind: str) -> Selection:
    return Selection(kind, ("id",))


PERFORMER_REF = ref("Performer")
STUDIO_REF = ref("Studio")
TAG_REF = ref("Tag")
SCENE_PATHS = Selection("ScenePathsType", ("screenshot", "stream", "sprite", "vtt", "preview"))
IMAGE_PATHS = Selection("ImagePathsType", ("image", "thumbnail"))
SCENE_GROUP = Selection("SceneGroup", ("scene_index",), {"group": ids_of("Group")})

_CONTENT = ("id", "title", "date", "details", "code", "urls", "organized", "rating100", "created_at", "updated_at")
_NAMED = {"performers": PERFORMER_REF, "studio": STUDIO_REF, "tags": TAG_REF}

SCENE = Selection(
    "Scene",
    (*_CONTENT, "director", "o_counter", "play_count", "custom_fields"),
    {
        "files": VIDEO_FILE,
        "paths": SCENE_PATHS,
        "galleries": ids_of("Gallery"),
        "groups": SCENE_GROUP,
        "stash_ids": STASH_ID,
        **_NAMED,
    },
)
SCENE_SCAN = Selection(
    "Scene",
    ("id", "title", "created_at", "updated_at"),
    {"files": VIDEO_FILE, "paths": SCENE_PATHS, "performers": PERFORMER_REF, "galleries": ids_of("Gallery")},
)
SCENE_PAIRING = Selection(
    "Scene",
    ("id", "date", "updated_at"),
    {
        "files": Selection("VideoFile", ("id", "path", "size", "mod_time", "duration"), {"fingerprints": FINGERPRINT}),
        "performers": ids_of("Performer"),
        "studio": ids_of("Studio"),
        "stash_ids": Selection("StashID", ("endpoint", "stash_id")),
    },
)
"""What tells which scenes may show the same footage."""
IMAGE = Selection(
    "Image",
    (*_CONTENT, "photographer"),
    {"visual_files": VISUAL_FILE, "paths": IMAGE_PATHS, "galleries": ids_of("Gallery"), **_NAMED},
)
IMAGE_SCAN = Selection(
    "Image",
    ("id", "title", "created_at", "updated_at"),
    {
        "visual_files": VISUAL_FILE,
        "paths": IMAGE_PATHS,
        "performers": PERFORMER_REF,
        "galleries": ids_of("Gallery"),
    },
)
GALLERY = Selection(
    "Gallery",
    (*_CONTENT, "photographer", "image_count"),
    {"files": GALLERY_FILE, "folder": Selection("Folder", ("path",)), "scenes": ids_of("Scene"), **_NAMED},
)
PERFORMER = Selection(
    "Performer",
    (
        *("id", "name", "disambiguation", "alias_list", "urls", "gender", "birthdate", "death_date", "ethnicity"),
        *("country", "eye_color", "hair_color", "height_cm", "weight", "measurements", "fake_tits", "penis_length"),
        *("circumcised", "career_length", "career_start", "career_end", "tattoos", "piercings", "details"),
        *("favorite", "ignore_auto_tag", "rating100", "image_path", "scene_count", "image_count", "gallery_count"),
        *("created_at", "updated_at", "custom_fields"),
    ),
    {"tags": TAG_REF, "stash_ids": STASH_ID},
    {"urls": ("url", "twitter", "instagram")},
)
STUDIO = Selection(
    "Studio",
    (
        *("id", "name", "aliases", "urls", "details", "favorite", "ignore_auto_tag", "rating100", "image_path"),
        *("created_at", "updated_at"),
    ),
    {"parent_studio": STUDIO_REF, "stash_ids": STASH_ID},
    {"urls": ("url",)},
)
TAG = Selection(
    "Tag",
    (
        *("id", "name", "sort_name", "description", "aliases", "favorite", "ignore_auto_tag", "image_path"),
        *("created_at", "updated_at"),
    ),
    {"parents": ids_of("Tag"), "stash_ids": STASH_ID},
)

STASH_BOX = Selection("StashBox", ("endpoint", "api_key", "name", "max_requests_per_minute"))
STASH_PATH = Selection("StashConfig", ("path", "excludeVideo", "excludeImage"))
GENERAL = Selection(
    "ConfigGeneralResult",
    ("generatedPath", "videoFileNamingAlgorithm", "calculateMD5", "deleteTrashPath", "parallelTasks"),
    {"stashBoxes": STASH_BOX, "stashes": STASH_PATH},
)
CONFIGURATION = Selection("ConfigResult", ("plugins",), {"general": GENERAL})
STATS = Selection(
    "StatsResultType",
    (
        *("scene_count", "image_count", "gallery_count", "performer_count", "studio_count", "tag_count"),
        *("scenes_duration", "scenes_size"),
    ),
)
JOB = Selection("Job", ("id", "status", "description", "progress", "addTime", "startTime", "endTime", "error"))


@dataclass(frozen=True, slots=True)
class Finder:
    """How one kind of thing is found.

    Attributes:
        one, many: the queries for a single one and for lists.
        items: where the answer of `many` has the list.
        criteria: argument of `many` with the filter; `criteria_type` its type.
        full, scan: what is selected.
    """

    one: str
    many: str
    items: str
    criteria: str
    criteria_type: str
    full: Selection
    scan: Selection

    def selection(self, detail: Detail) -> Selection:
        if detail == "outline":
            return Selection(self.full.kind, ("id", "updated_at"))
        if detail == "file times":
            return Selection(self.full.kind, ("id",), {"files": Selection("VideoFile", ("updated_at",))})
        if detail == "tagged":
            inside = {"performers": ids_of("Performer"), "galleries": ids_of("Gallery")}
            return Selection(self.full.kind, ("id",), {k: ids for k, ids in inside.items() if k in self.full.nested})
        if detail == "pairing":
            return SCENE_PAIRING if self.full is SCENE else self.full
        return self.scan if detail == "scan" else self.full


FINDERS: Mapping[Kind, Finder] = {
    "scene": Finder("findScene", "findScenes", "scenes", "scene_filter", "SceneFilterType", SCENE, SCENE_SCAN),
    "image": Finder("findImage", "findImages", "images", "image_filter", "ImageFilterType", IMAGE, IMAGE_SCAN),
    "gallery": Finder(
        "findGallery", "findGalleries", "galleries", "gallery_filter", "GalleryFilterType", GALLERY, GALLERY
    ),
    "performer": Finder(
        "findPerformer",
        "findPerformers",
        "performers",
        "performer_filter",
        "PerformerFilterType",
        PERFORMER,
        PERFORMER,
    ),
    "studio": Finder("findStudio", "findStudios", "studios", "studio_filter", "StudioFilterType", STUDIO, STUDIO),
    "tag": Finder("findTag", "findTags", "tags", "tag_filter", "TagFilterType", TAG, TAG),
}
