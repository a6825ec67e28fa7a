"""Stash's answers as records: the one place where its names become ours (`fields` asks for the same names).

What was not asked for, or is null, becomes the record's default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pipelines.errors import StashRejected
from pipelines.stash.fields import Detail, Kind
from pipelines.stash.records import (
    Fingerprint,
    Gallery,
    GalleryFile,
    GroupRef,
    Image,
    ImageFile,
    ImagePaths,
    Outline,
    Performer,
    PerformerRef,
    Scene,
    ScenePaths,
    StashBox,
    StashConfiguration,
    StashId,
    StashJob,
    StashPath,
    StashStats,
    Studio,
    StudioRef,
    Tag,
    Tagged,
    TagRef,
    VideoFile,
)
from pipelines.stash.watermark import latest

Data = Mapping[str, Any]
T = TypeVar("T")


def read(parser: Callable[[Data], T], data: Data) -> T:
    """Returns what `parser` makes of an answer. Raises StashRejected when the answer is not of the shape asked for."""
    try:
        return parser(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StashRejected(
            f"Stash's answer is not of the shape asked for ({type(error).__name__}: {error}).",
            "Is this a version of Stash from 0.25 on?",
        ) from error


def parser_of(kind: Kind, detail: Detail) -> Callable[[Data], Any]:
    """Returns the parser of one item."""
    if detail == "outline":
        return outline
    if detail == "file times":
        return file_times
    if detail == "tagged":
        return tagged
    parsers: dict[Kind, Callable[[Data], Any]] = {
        "scene": scene,
        "image": image,
        "gallery": gallery,
        "performer": performer,
        "studio": studio,
        "tag": tag,
    }
    return parsers[kind]


def outline(data: Data) -> Outline:
    return Outline(data["id"], _text(data, "updated_at"))


def file_times(data: Data) -> Outline:
    return Outline(data["id"], latest(_text(file, "updated_at") for file in data.get("files") or ()) or "")


def tagged(data: Data) -> Tagged:
    return Tagged(data["id"], _ids(data.get("performers")), _ids(data.get("galleries")))


def scene(data: Data) -> Scene:
    return Scene(
        **_content(data),
        director=_text(data, "director"),
        o_counter=data.get("o_counter") or 0,
        play_count=data.get("play_count") or 0,
        files=tuple(video_file(f) for f in data.get("files") or ()),
        groups=tuple(GroupRef(g["group"]["id"], g.get("scene_index")) for g in data.get("groups") or ()),
        stash_ids=stash_ids(data),
        galleries=_ids(data.get("galleries")),
        paths=scene_paths(data.get("paths") or {}),
        custom_fields=data.get("custom_fields") or {},
    )


def image(data: Data) -> Image:
    paths = data.get("paths") or {}
    return Image(
        **_content(data),
        photographer=_text(data, "photographer"),
        files=tuple(visual_file(f) for f in data.get("visual_files") or ()),
        paths=ImagePaths(_text(paths, "image"), _text(paths, "thumbnail")),
        galleries=_ids(data.get("galleries")),
    )


def gallery(data: Data) -> Gallery:
    return Gallery(
        **_content(data),
        photographer=_text(data, "photographer"),
        image_count=data.get("image_count") or 0,
        files=tuple(GalleryFile(**_file(f)) for f in data.get("files") or ()),
        folder_path=_text(data.get("folder") or {}, "path"),
        scenes=_ids(data.get("scenes")),
    )


def performer(data: Data) -> Performer:
    return Performer(
        id=data["id"],
        **_texts(
            data,
            *("name", "disambiguation", "gender", "birthdate", "death_date", "ethnicity", "country", "eye_color"),
            *("hair_color", "measurements", "fake_tits", "circumcised", "career_length", "career_start"),
            *("career_end", "tattoos", "piercings", "details", "created_at", "updated_at"),
        ),
        aliases=_strings(data, "alias_list"),
        urls=_urls(data, "url", "twitter", "instagram"),
        height_cm=data.get("height_cm"),
        weight_kg=data.get("weight"),
        penis_length_cm=data.get("penis_length"),
        favorite=bool(data.get("favorite")),
        ignore_auto_tag=bool(data.get("ignore_auto_tag")),
        rating=data.get("rating100"),
        image_url=_text(data, "image_path"),
        scene_count=data.get("scene_count") or 0,
        image_count=data.get("image_count") or 0,
        gallery_count=data.get("gallery_count") or 0,
        tags=tuple(tag_ref(t) for t in data.get("tags") or ()),
        stash_ids=stash_ids(data),
        custom_fields=data.get("custom_fields") or {},
    )


def studio(data: Data) -> Studio:
    return Studio(
        id=data["id"],
        **_texts(data, "name", "details", "created_at", "updated_at"),
        aliases=_strings(data, "aliases"),
        urls=_urls(data, "url"),
        parent=studio_ref(data["parent_studio"]) if data.get("parent_studio") else None,
        favorite=bool(data.get("favorite")),
        ignore_auto_tag=bool(data.get("ignore_auto_tag")),
        rating=data.get("rating100"),
        image_url=_text(data, "image_path"),
        stash_ids=stash_ids(data),
    )


def tag(data: Data) -> Tag:
    return Tag(
        id=data["id"],
        **_texts(data, "name", "sort_name", "description", "created_at", "updated_at"),
        aliases=_strings(data, "aliases"),
        favorite=bool(data.get("favorite")),
        ignore_auto_tag=bool(data.get("ignore_auto_tag")),
        image_url=_text(data, "image_path"),
        parents=_ids(data.get("parents")),
        stash_ids=stash_ids(data),
    )


def video_file(data: Data) -> VideoFile:
    return VideoFile(
        **_file(data),
        duration_s=float(data.get("duration") or 0.0),
        width=data.get("width") or 0,
        height=data.get("height") or 0,
        frame_rate=float(data.get("frame_rate") or 0.0),
        bit_rate=data.get("bit_rate") or 0,
        **_texts(data, "video_codec", "audio_codec"),
        container=_text(data, "format"),
    )


def visual_file(data: Data) -> ImageFile | VideoFile:
    if data.get("__typename") == "VideoFile":
        return video_file(data)
    return ImageFile(**_file(data), width=data.get("width") or 0, height=data.get("height") or 0)


def scene_paths(data: Data) -> ScenePaths:
    return ScenePaths(**_texts(data, "screenshot", "stream", "sprite", "vtt", "preview"))


def performer_ref(data: Data) -> PerformerRef:
    return PerformerRef(data["id"], _text(data, "name"), stash_ids(data))


def studio_ref(data: Data) -> StudioRef:
    return StudioRef(data["id"], _text(data, "name"), stash_ids(data))


def tag_ref(data: Data) -> TagRef:
    return TagRef(data["id"], _text(data, "name"), stash_ids(data))


def stash_ids(data: Data) -> tuple[StashId, ...]:
    found = data.get("stash_ids") or ()
    return tuple(StashId(s["endpoint"], s["stash_id"], _text(s, "updated_at")) for s in found)


def configuration(data: Data) -> StashConfiguration:
    general = data["general"]
    return StashConfiguration(
        stash_boxes=tuple(stash_box(b) for b in general.get("stashBoxes") or ()),
        stash_paths=tuple(
            StashPath(p["path"], bool(p.get("excludeVideo")), bool(p.get("excludeImage")))
            for p in general.get("stashes") or ()
        ),
        generated_path=_text(general, "generatedPath"),
        video_hash=_text(general, "videoFileNamingAlgorithm").lower(),
        calculates_md5=bool(general.get("calculateMD5")),
        delete_trash_path=_text(general, "deleteTrashPath"),
        parallel_tasks=general.get("parallelTasks") or 0,
        plugins=data.get("plugins") or {},
    )


def stash_box(data: Data) -> StashBox:
    optional = {"max_requests_per_minute": data["max_requests_per_minute"]} if "max_requests_per_minute" in data else {}
    return StashBox(data["endpoint"], _text(data, "api_key"), _text(data, "name"), **optional)


def stats(data: Data) -> StashStats:
    counted = ("scene", "image", "gallery", "performer", "studio", "tag")
    ours = ("scenes", "images", "galleries", "performers", "studios", "tags")
    return StashStats(
        **{name: int(data.get(f"{kind}_count") or 0) for kind, name in zip(counted, ours, strict=True)},
        scenes_duration_s=float(data.get("scenes_duration") or 0.0),
        scenes_size_bytes=int(data.get("scenes_size") or 0),
    )


def job(data: Data) -> StashJob:
    progress = data.get("progress")
    return StashJob(
        id=data["id"],
        status=data["status"],
        **_texts(data, "description", "error"),
        progress=None if progress is None or progress < 0 else float(progress),
        added_at=_text(data, "addTime"),
        started_at=_text(data, "startTime"),
        ended_at=_text(data, "endTime"),
    )


def _content(data: Data) -> dict[str, Any]:
    """Returns what scenes, images and galleries have in common."""
    return {
        "id": data["id"],
        **_texts(data, "title", "date", "details", "code", "created_at", "updated_at"),
        "urls": _strings(data, "urls"),
        "organized": bool(data.get("organized")),
        "rating": data.get("rating100"),
        "performers": tuple(performer_ref(p) for p in data.get("performers") or ()),
        "studio": studio_ref(data["studio"]) if data.get("studio") else None,
        "tags": tuple(tag_ref(t) for t in data.get("tags") or ()),
    }


def _file(data: Data) -> dict[str, Any]:
    found = data.get("fingerprints") or ()
    return {
        "id": data["id"],
        "path": data["path"],
        "basename": _text(data, "basename"),
        "size_bytes": int(data.get("size") or 0),
        "mod_time": _text(data, "mod_time"),
        "fingerprints": tuple(Fingerprint(f["type"], str(f["value"])) for f in found),
    }


def _text(data: Data, name: str) -> str:
    return data.get(name) or ""


def _texts(data: Data, *names: str) -> dict[str, Any]:
    return {name: data.get(name) or "" for name in names}


def _strings(data: Data, name: str) -> tuple[str, ...]:
    return tuple(data.get(name) or ())


def _urls(data: Data, *older: str) -> tuple[str, ...]:
    """Returns `urls`, or the single addresses that older servers have in their place."""
    if data.get("urls") is not None:
        return _strings(data, "urls")
    return tuple(data[name] for name in older if data.get(name))


def _ids(items: Iterable[Data] | None) -> tuple[str, ...]:
    return tuple(item["id"] for item in items or ())
