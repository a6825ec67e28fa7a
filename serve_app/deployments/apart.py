"""Long work on the performer database and the models for one request, in a process of its own that ends with it.

Writing a version needs the memory of one; here it is given back. The work goes on when the client goes away. Functions
run in the process that Ray starts; named errors come back as values.
"""

from __future__ import annotations

import secrets
import shutil
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray

from pipelines.errors import PersonUnknown, StashSenseError
from pipelines.settings import Settings
from serve_app.deployments.outcome import unwrap

DOWNLOADS_KEPT_S = 86_400.0
PORTRAIT_PX = 320
"""Longest side of a portrait that is shown."""


async def done_apart(work: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Returns what a function of this module gives. Raises the named error that it raised."""
    run = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(_outcome)
    return unwrap(await run.remote(work, args, more))


def _outcome(work: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any]) -> Any:
    try:
        return work(*args, **more)
    except StashSenseError as error:
        return error.with_traceback(None)


def verify(settings: Settings, version: str | None) -> dict[str, Any]:
    """Returns a version whose files are right. Raises DatabaseMissing, DatabaseCorrupt."""
    from pipelines.store.performers import PerformerDatabase

    manifest = PerformerDatabase(settings.database_path).verify(version)
    return {"version": manifest.version, "files": len(manifest.files), "size_bytes": manifest.size_bytes}


def portrait(settings: Settings, url: str) -> bytes:
    """Returns the picture behind an address that a performer database names, as a small JPEG.

    It is fetched like pictures of stash-boxes: from public hosts or those of the settings, no faster than a box is
    asked, without a key. Raises MediaError leaves, UrlNotAllowed, LimitExceeded.
    """
    from urllib.parse import urlsplit

    import cv2
    import numpy as np

    from pipelines.media.images import load_image
    from pipelines.stash.records import StashBox
    from pipelines.stash.stashbox_connect import box_limiter
    from pipelines.stash.stashbox_images import ImageFetcher
    from serve_app.answers import jpeg

    box = StashBox(f"https://{urlsplit(url).netloc}/graphql", "")
    fetcher = ImageFetcher(
        "", box_limiter(settings, box), allowed_hosts=settings.stashbox_image_hosts, waits_s=(), most_bytes=32 << 20
    )
    frame = load_image(fetcher.fetch(url), max_megapixels=settings.max_image_megapixels)
    scale = min(1.0, PORTRAIT_PX / max(frame.shape[:2]))
    size = [max(1, round(side * scale)) for side in frame.shape[1::-1]]
    return jpeg(np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8))


def verify_models(settings: Settings, pack: str) -> dict[str, Any]:
    """Returns `schemas.ModelsVerified`."""
    from pipelines.errors import ModelContractMismatch
    from pipelines.models.library import ModelLibrary

    library = ModelLibrary(settings.models_path)
    files = library.verify(pack)
    computes: bool | None = None
    if all(file.state == "installed" for file in files):
        try:
            computes = library.self_check(pack) or None
        except ModelContractMismatch:
            computes = False
    return {"pack": pack, "models": [file.as_dict() for file in files], "computes": computes}


def updates(settings: Settings, source: str | None) -> list[dict[str, Any]]:
    """Returns what sources of releases have. Raises ReleaseUnknown."""
    from pipelines.releases.update import check

    found = [asdict(one) for one in check(settings, source)]
    return [{**one, "created": one["created"] and one["created"].isoformat()} for one in found]


def remove_source(settings: Settings, source: str) -> str | None:
    """Returns the version without a source, None when nobody is left. Raises InputError, NotWritable."""
    from pipelines.store.performers import PerformerDatabase

    return PerformerDatabase(settings.database_path).remove_source(source)


def exclude(settings: Settings, ids: tuple[str, ...], reason: str) -> list[dict[str, Any]]:
    """Enters people into the exclusion list; returns their entries. Raises InputError, NotWritable."""
    from pipelines.store.directory import exclusions
    from pipelines.store.performers import PerformerDatabase

    database = PerformerDatabase(settings.database_path)
    database.exclude(ids, reason)
    return exclusions(database, ids)


def include(settings: Settings, ids: tuple[str, ...]) -> None:
    """Removes people from the exclusion list. Raises InputError, NotWritable."""
    from pipelines.store.performers import PerformerDatabase

    PerformerDatabase(settings.database_path).include(ids)


def excluded(settings: Settings) -> list[dict[str, Any]]:
    """Returns the exclusion list. Raises DatabaseCorrupt."""
    from pipelines.store.directory import exclusions
    from pipelines.store.performers import PerformerDatabase

    return exclusions(PerformerDatabase(settings.database_path))


def export(settings: Settings, folder: Path, **what: Any) -> list[str]:
    """Returns the paths of the files written. Raises InputError, DatabaseMissing, NotWritable."""
    from pipelines.store.performers import PerformerDatabase

    return [str(path) for path in PerformerDatabase(settings.database_path).export(folder, **what)]


def export_zip(settings: Settings, exports: Path, **what: Any) -> str:
    """Returns the path of a zip of the files, for the caller to remove. Raises like `export`."""
    for old in exports.glob(".download-*"):
        if old.stat().st_mtime < time.time() - DOWNLOADS_KEPT_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = exports / f".download-{secrets.token_hex(8)}"
    try:
        files = export(settings, folder / "files", **what)
        with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for file in map(Path, files):
                archive.write(file, file.name)
                file.unlink()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return str(folder / "export.zip")


_OF_SOMEBODY = (
    *("performers", "faces", "scanned_faces", "matches", "candidates", "seen_faces", "seen_performers"),
    *("recommendations", "rejections", "mentions", "actions", "cleaned_actions", "actions_left"),
)


def erase(settings: Settings, universal_id: str, *, also_exclude: bool) -> dict[str, Any]:
    """Returns what was removed of somebody, `database_schemas.Erased`. Raises PersonUnknown when nothing was."""
    from pipelines.erase import erase as erase_everywhere
    from pipelines.store.performers import PerformerDatabase

    if also_exclude:
        PerformerDatabase(settings.database_path).exclude([universal_id], "erased")
    report = erase_everywhere(settings, [universal_id]).to_dict()
    answer = {**report.pop("database"), **report}
    if not any(answer[name] for name in _OF_SOMEBODY):
        raise PersonUnknown(f"Nothing is known of {universal_id!r}.", "GET /people lists who is enrolled.")
    return answer
