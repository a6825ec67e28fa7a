"""Receives HTTP requests and asks the other deployments. It computes nothing, and imports no engine."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from pipelines.settings import Resolution, SettingLayers
from serve_app.api import create_api
from serve_app.crops import Crops
from serve_app.deployments.loopback import confine_inner_port
from serve_app.job_queue import JobQueue
from serve_app.live_settings import LiveSettings
from serve_app.services import Services
from serve_app.stash_sources import StashSources


@serve.ingress()
class Ingress:
    """One replica of the HTTP app.

    Args:
        layers: the settings without overrides.
        started: the settings that the server starts with.
        key_digest: sha256 of the API key, hex; the key itself stays where the application is built.
    """

    def __init__(
        self,
        layers: SettingLayers,
        started: Resolution,
        key_digest: str,
        engine: DeploymentHandle[Any],
        index: DeploymentHandle[Any],
    ) -> None:
        confine_inner_port()
        jobs = JobQueue(started.settings.store_url)
        live = LiveSettings(layers, started)
        stash, crops = StashSources(live), Crops(key_digest, started.settings.data_dir / "crops")
        self._services = Services(live, engine, index, jobs, key_digest, stash, crops)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_api(self._services)


IngressDeployment: serve.Deployment = serve.deployment(name="Ingress")(Ingress)
