"""Recommendations as a file that is made once and fetched in pieces: for clients that cannot take it in one answer.

A file stays for a day, or until it is removed. `GET /recommendations/export` streams the same without keeping it.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path as File
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from pipelines.errors import ExportUnknown, NotWritable
from serve_app.recommendation_schemas import ExportMade, ExportQuery, ExportRemoved
from serve_app.routes.recommendations import MEDIA_TYPES, ask
from serve_app.schemas import ErrorAnswer
from serve_app.services import Services, ServicesDep

if TYPE_CHECKING:  # SQL is imported when something is asked for
    from pipelines.store.recommendations import RecommendationStore

KEPT_S = 86_400.0
Token = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "no such file, or not any more"}}
NO_ROOM: dict[int | str, dict[str, Any]] = {507: {"model": ErrorAnswer, "description": "no room on the disk"}}

router = APIRouter(
    prefix="/recommendations/exports",
    tags=["recommendations"],
    responses={401: {"model": ErrorAnswer, "description": "API key missing or wrong"}},
)


@router.post("", status_code=201, responses=NO_ROOM)
async def make(services: ServicesDep, wanted: ExportQuery) -> ExportMade:
    """Write all that a filter lets through into a file, by id; see GET /recommendations/export."""
    token = secrets.token_hex(16)
    path = folder(services) / token / f"recommendations.{wanted.format}"

    def write(kept: RecommendationStore) -> int:
        from pipelines.store.recommendation_export import exported

        sweep(folder(services))
        return written(exported(kept.all(wanted.filter()), wanted.format), path)

    size_bytes = await ask(services, write)
    return ExportMade(id=token, name=path.name, media_type=MEDIA_TYPES[wanted.format], size_bytes=size_bytes)


@router.get(
    "/{token}",
    response_class=FileResponse,
    responses={
        **UNKNOWN,
        200: {"content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()}},
        206: {"description": "the piece that the Range header names"},
    },
)
async def fetch(token: Token, services: ServicesDep) -> FileResponse:
    """The file, or the piece of it that a Range header names."""
    path = await run_in_threadpool(found, services, token)
    return FileResponse(path, media_type=MEDIA_TYPES[path.suffix[1:]], filename=path.name)


@router.delete("/{token}", responses=UNKNOWN)
async def remove(token: Token, services: ServicesDep) -> ExportRemoved:
    """Remove the file."""
    path = await run_in_threadpool(found, services, token)
    await run_in_threadpool(shutil.rmtree, path.parent, ignore_errors=True)
    return ExportRemoved(removed=token)


def folder(services: Services) -> File:
    """Returns where the files are."""
    return services.settings.fetched_exports_path


def found(services: Services, token: str) -> File:
    """Returns the file of a token. Raises ExportUnknown."""
    path = next((folder(services) / token).glob("recommendations.*"), None)
    if path is None:
        raise ExportUnknown(
            "There is no such export, or not any more.", "Make it again: POST /recommendations/exports."
        )
    return path


def written(pieces: Iterable[bytes], path: File) -> int:
    """Writes a file and returns its size, bytes. Raises NotWritable; nothing is left then."""
    try:
        path.parent.mkdir(parents=True, mode=0o700)
        with path.open("wb") as file:
            return sum(file.write(piece) for piece in pieces)
    except OSError as error:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise NotWritable(
            f"The export cannot be written to {path.parent.parent}: {error.strerror or error}.", "Free some space."
        ) from error
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise


def sweep(exports: File) -> None:
    """Removes files that nobody fetched for a day."""
    for old in exports.glob("*"):
        if old.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(old, ignore_errors=True)
