"""The machine that the server runs on, and what Ray makes of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter

from serve_app.hardware import ray_nodes, this_machine
from serve_app.routes.health import VERSION, answered
from serve_app.services import ServicesDep
from serve_app.system_schemas import SystemAnswer

router = APIRouter(tags=["system"])

STARTED = time.monotonic()
"""When the ingress was started, which is when the server could first answer."""


@router.get("/system", response_model=SystemAnswer)
async def system(services: ServicesDep) -> Any:
    """Version, uptime, cores, memory, GPUs, free storage, execution providers, Ray's resources."""
    machine, nodes, providers = await asyncio.gather(
        asyncio.to_thread(this_machine, services.settings.data_dir),
        asyncio.to_thread(ray_nodes),
        answered(services.engine.providers.remote()),
    )
    return {
        "version": VERSION,
        "uptime_s": round(time.monotonic() - STARTED, 1),
        "hardware": machine,
        "execution_providers": providers or [],
        "ray": nodes,
    }
