"""The performer database that is being searched."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from serve_app.schemas import DatabaseInfo, ErrorAnswer
from serve_app.services import ServicesDep

router = APIRouter(prefix="/database", tags=["database"], responses={503: {"model": ErrorAnswer}})


@router.get("/info", response_model=DatabaseInfo)
async def info(services: ServicesDep) -> Any:
    """Version, counts and model pack of what is being searched."""
    return await services.ask(services.index.info.remote())


@router.post("/reload", response_model=DatabaseInfo)
async def reload(services: ServicesDep) -> Any:
    """Serve the current version now, rather than within the second in which it is noticed anyway."""
    await services.ask(services.index.reload.remote())
    return await services.ask(services.index.info.remote())
