"""The performer database: what is searched, its versions and sources, updates, and the owner's data as files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from serve_app.database_schemas import (
    DatabaseInfo,
    Exported,
    ExportRequest,
    Ids,
    SourceAnswer,
    SourceId,
    SourceRemoved,
    Updates,
    Verified,
    VerifyRequest,
    VersionList,
    VersionRequest,
)
from serve_app.deployments import apart
from serve_app.schemas import ErrorAnswer
from serve_app.services import ServicesDep

router = APIRouter(
    prefix="/database",
    tags=["database"],
    responses={503: {"model": ErrorAnswer, "description": "no performer database"}},
)
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "no such version or source"}}
IN_USE: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    409: {"model": ErrorAnswer, "description": "the server was started for one version only"},
}
NO_ROOM: dict[int | str, dict[str, Any]] = {507: {"model": ErrorAnswer, "description": "no space, or not writable"}}
Version = Annotated[str, InPath(max_length=100)]


@router.get("/info", response_model=DatabaseInfo)
async def info(services: ServicesDep) -> Any:
    """Version, counts, sources and model pack of what is being searched."""
    return await services.ask(services.index.info.remote())


@router.post("/reload", response_model=DatabaseInfo)
async def reload(services: ServicesDep) -> Any:
    """Serve the current version now, rather than within the second in which it is noticed anyway."""
    await services.ask(services.index.reload.remote())
    return await services.ask(services.index.info.remote())


@router.get("/versions", response_model=VersionList)
async def versions(services: ServicesDep) -> Any:
    """All versions that are kept."""
    return await services.ask(services.index.versions.remote())


@router.post("/use", response_model=DatabaseInfo, responses=IN_USE)
async def use(request: VersionRequest, services: ServicesDep) -> Any:
    """Make a version the current one; it is served when this answers, and no request fails meanwhile."""
    await services.ask(services.index.use.remote(request.version))
    return await services.ask(services.index.info.remote())


@router.delete("/versions/{version}", response_model=VersionList, responses=IN_USE)
async def remove(version: Version, services: ServicesDep) -> Any:
    """Remove an old version; the one in use stays."""
    await services.ask(services.index.remove_version.remote(version))
    return await services.ask(services.index.versions.remote())


@router.post("/verify", response_model=Verified)
async def verify(request: VerifyRequest, services: ServicesDep) -> Any:
    """Compare the sha256 of every file of a version; a damaged one is named in the error."""
    return await apart.done_apart(apart.verify, services.settings, request.version)


@router.get("/updates", response_model=Updates, responses=UNKNOWN)
async def updates(
    services: ServicesDep, source: Annotated[str | None, Query(max_length=40, description="Only this one.")] = None
) -> Any:
    """Ask every source of `release_sources` what is newest; a database_update job takes it."""
    return {"updates": await apart.done_apart(apart.updates, services.settings, source)}


@router.get("/sources/{source}", response_model=SourceAnswer, responses=UNKNOWN)
async def source_info(source: SourceId, services: ServicesDep) -> Any:
    """One source of performers."""
    return await services.ask(services.index.source.remote(source))


@router.delete("/sources/{source}", response_model=SourceRemoved, responses={**UNKNOWN, **NO_ROOM})
async def remove_source(source: SourceId, services: ServicesDep) -> Any:
    """Write a version without what a source gave; older versions still have it."""
    await services.ask(services.index.source.remote(source))
    version = await apart.done_apart(apart.remove_source, services.settings, source)
    await services.ask(services.index.reload.remote())
    return {"version": version}


@router.post("/export", response_model=Exported, responses=NO_ROOM)
async def export(request: ExportRequest, services: ServicesDep) -> Any:
    """Write performers, members and faces as plain files into a folder of the server."""
    folder = services.settings.data_dir / "exports" / request.folder
    what = request.model_dump(exclude={"folder"})
    return {"files": await apart.done_apart(apart.export, services.settings, folder, **what)}


@router.get(
    "/export",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "performers, members and faces"}, **NO_ROOM},
)
async def download(
    services: ServicesDep,
    format: Annotated[Literal["parquet", "csv"], Query()] = "parquet",  # noqa: A002 - the word of the command
    templates: Annotated[bool, Query(description="With the templates of the faces.")] = False,  # noqa: FBT002
    version: Annotated[str | None, Query(max_length=100)] = None,
    id: Annotated[Ids | None, Query(description="Only these people.")] = None,  # noqa: A002 - repeated: ?id=a&id=b
) -> FileResponse:
    """The same as a zip."""
    made = await apart.done_apart(
        apart.export_zip,
        services.settings,
        services.settings.data_dir / "exports",
        format=format,
        templates=templates,
        version=version,
        ids=id,
    )
    gone = BackgroundTask(shutil.rmtree, Path(made).parent, ignore_errors=True)
    return FileResponse(made, media_type="application/zip", filename="performers.zip", background=gone)
