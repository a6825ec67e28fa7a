"""Liveness, readiness and what this server can do."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Response

from pipelines.faces.catalogue import get_pack
from serve_app.deployments.outcome import unwrap
from serve_app.errors import RETRY_AFTER_S, named
from serve_app.schemas import Capabilities, Health, Readiness
from serve_app.services import Services, ServicesDep

router = APIRouter(tags=["health"])

VERSION = version("stash-sense-ray")
ANSWER_TIMEOUT_S = 5.0


@router.get("/health")
async def health(services: ServicesDep) -> Health:
    """Whether the server lives; needs no API key. It lives without a performer database too, and says so."""
    serving = await answered(services.index.version.remote())
    return Health(status="ok" if serving else "no performer database", version=VERSION)


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(services: ServicesDep, response: Response) -> Readiness:
    """Whether identification works now: models loaded, performer database served."""
    engine, database = await asyncio.gather(
        answered(services.engine.ready.remote()), answered(services.index.version.remote())
    )
    if not (engine and database):
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return Readiness(ready=bool(engine and database), engine=bool(engine), database=bool(database))


@router.get("/capabilities")
async def capabilities(services: ServicesDep) -> Capabilities:
    """What this server can do, its limits, and the accuracy settings in force with where they come from."""
    serving = await answered(services.index.info.remote())
    return Capabilities(
        version=VERSION,
        capabilities={"identification": serving is not None},
        pack=services.settings.pack,
        template_id=get_pack(services.settings.pack).template_id,
        limits=_limits(services),
        defaults=_defaults(services),
        threshold={
            "score": serving["threshold_score"] if serving else None,
            "provenance": get_pack(services.settings.pack).calibration.provenance,
        },
    )


def _limits(services: Services) -> dict[str, float]:
    settings = services.settings
    names = ("max_body_mb", "max_image_megapixels", "max_video_duration_s", "max_gallery_images", "request_timeout_s")
    return {name: getattr(settings, name) for name in names}


def _defaults(services: Services) -> dict[str, float]:
    settings = services.settings
    names = ("frames_per_scene", "start_fraction", "end_fraction", "min_face_px", "min_unique_frames", "top_k")
    return {name: getattr(settings, name) for name in names}


async def answered(response: Any) -> Any:
    """Returns what a deployment answers, None when it cannot answer now."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return unwrap(await response)
    except TimeoutError:
        response.cancel()
        return None
    except Exception as error:
        if named(error) is None:
            raise
        return None
