"""What the server tells of itself: version, status, configuration, numbers, jobs."""

from __future__ import annotations

from typing import Any

from tests.fakes.stash.find import whole_number
from tests.fakes.stash.media_facts import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS
from tests.fakes.stash.records import Box
from tests.fakes.stash.resolvers import Info, context_of, resolver


@resolver("Query", "version")
def _version(_: Any, info: Info) -> dict[str, str]:
    minor = context_of(info).minor
    return {"version": f"v0.{minor}.0", "hash": f"{minor:08x}", "build_time": f"2026-01-{minor:02d} 12:00:00"}


@resolver("Query", "systemStatus")
def _system_status(_: Any, info: Info) -> dict[str, Any]:
    schema = 44 + context_of(info).minor
    home = "/root/.stash"
    return {
        "databaseSchema": schema,
        "appSchema": schema,
        "databasePath": f"{home}/stash-go.sqlite",
        "configPath": f"{home}/config.yml",
        "status": "OK",
        "os": "linux",
        "workingDir": "/",
        "homeDir": "/root",
        "ffmpegPath": "/usr/bin/ffmpeg",
        "ffprobePath": "/usr/bin/ffprobe",
    }


@resolver("Query", "stats")
def _stats(_: Any, info: Info) -> dict[str, Any]:
    library = context_of(info).library
    scenes = [f for row in library.scenes.values() if (f := library.primary_file(row)) is not None]
    images = [f for row in library.images.values() if (f := library.primary_file(row)) is not None]
    return {
        "scene_count": len(library.scenes),
        "scenes_size": float(sum(f.size for f in scenes)),
        "scenes_duration": sum(f.duration for f in scenes),
        "image_count": len(library.images),
        "images_size": float(sum(f.size for f in images)),
        "gallery_count": len(library.galleries),
        "performer_count": len(library.performers),
        "studio_count": len(library.studios),
        "tag_count": len(library.tags),
        "total_o_count": sum(len(row.o_history) for row in library.scenes.values()),
        "total_play_duration": sum(row.play_duration for row in library.scenes.values()),
        "total_play_count": sum(len(row.play_history) for row in library.scenes.values()),
        "scenes_played": sum(bool(row.play_history) for row in library.scenes.values()),
    }


@resolver("Query", "configuration")
def _configuration(_: Any, info: Info) -> dict[str, Any]:
    context = context_of(info)
    roots = context.library.roots or {"/data": None}
    home = "/root/.stash"
    general = {
        "stashes": [{"path": path, "excludeVideo": False, "excludeImage": False} for path in roots],
        "databasePath": f"{home}/stash-go.sqlite",
        "configFilePath": f"{home}/config.yml",
        "backupDirectoryPath": "",
        "deleteTrashPath": "",
        "metadataPath": "",
        "generatedPath": f"{home}/generated",
        "pluginsPath": f"{home}/plugins",
        "cachePath": f"{home}/cache",
        "blobsPath": f"{home}/blobs",
        "ffmpegPath": "",
        "ffprobePath": "",
        "pythonPath": "",
        "calculateMD5": False,
        "videoFileNamingAlgorithm": "OSHASH",
        "parallelTasks": 1,
        "apiKey": context.api_key or "",
        "username": "stash" if context.api_key else "",
        "videoExtensions": sorted(VIDEO_EXTENSIONS),
        "imageExtensions": sorted(IMAGE_EXTENSIONS),
        "galleryExtensions": ["cbz", "zip"],
        "stashBoxes": context.library.boxes,
        "spriteScreenshotSize": 160,
        "useCustomSpriteInterval": False,
        "spriteInterval": 30.0,
        "minimumSprites": 10,
        "maximumSprites": 500,
    }
    return {"general": general, "ui": {}}


@resolver("StashBox", "max_requests_per_minute")
def _box_rate(box: Box, _: Info) -> int:
    return box.max_requests_per_minute


@resolver("Query", "jobQueue")
def _job_queue(_: Any, info: Info) -> list[Any] | None:
    return context_of(info).jobs.queue() or None


@resolver("Query", "findJob")
def _find_job(_: Any, info: Info, input: dict[str, Any]) -> Any:  # noqa: A002
    return context_of(info).jobs.find(whole_number(input["id"]))
