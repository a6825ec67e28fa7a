"""The model packs on this machine. Fetching one is a job, "fetch_models"."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool

from pipelines.faces.catalogue import get_pack
from pipelines.fetch_models import pack_states
from pipelines.models.library import ModelLibrary
from serve_app.deployments import apart
from serve_app.schemas import ErrorAnswer, ModelsStatus, ModelsVerified, PackLicence
from serve_app.services import ServicesDep

router = APIRouter(prefix="/models", tags=["models"])
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "no such pack"}}
PackId = Annotated[str, Path(max_length=40)]


@router.get("/status", response_model=ModelsStatus)
async def status(services: ServicesDep) -> Any:
    """Which model packs and files are installed, judged by name and size, and whether what lacks can be fetched."""
    settings = services.settings
    library = ModelLibrary(settings.models_path)
    packs = await run_in_threadpool(pack_states, library, settings.model_sources)
    files = await run_in_threadpool(library.status)
    return {
        "pack": settings.pack,
        "packs": [asdict(pack) for pack in packs],
        "models": [file.as_dict() for file in files],
    }


@router.get("/{pack}/licence", response_model=PackLicence, responses=UNKNOWN)
async def licence(pack: PackId) -> Any:
    """The licence of a pack; a job that fetches a pack whose licence must be accepted says that it was."""
    record = get_pack(pack)
    return {"pack": record.id, "licence": record.licence.name, "text": record.licence.text}


@router.post("/{pack}/verify", response_model=ModelsVerified, responses=UNKNOWN)
async def verify(pack: PackId, services: ServicesDep) -> Any:
    """Compare the sha256 of every file of a pack, and what its graphs compute with what is pinned."""
    return await apart.done_apart(apart.verify_models, services.settings, get_pack(pack).id)
