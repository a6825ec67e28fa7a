"""The model packs on this machine."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pipelines.models.library import ModelLibrary
from serve_app.schemas import ModelsStatus
from serve_app.services import ServicesDep

router = APIRouter(prefix="/models", tags=["models"])


@router.get("/status", response_model=ModelsStatus)
async def status(services: ServicesDep) -> Any:
    """Which model files are installed, judged by name and size."""
    files = await run_in_threadpool(ModelLibrary(services.settings.models_path).status)
    return {"pack": services.settings.pack, "models": [file.as_dict() for file in files]}
