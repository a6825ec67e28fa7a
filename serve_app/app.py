"""The whole Serve application on one page.

    client ── HTTP ──▶ Ingress ──▶ FaceEngine (replicas) ──▶ FaceIndex (one)
                       routes,      decode, detect, embed;     performer database,
                       key, limits  batches across requests    versions swapped in place
                          │
                          └───▶ SQL store ◀── Jobs (one) ──▶ a process for each job

The jobs are an application of their own (`build_jobs`): it comes up after the other one answers, and neither ends when
the other is deployed anew. Both are built from typed arguments: `serve run serve_app.app:build pack=open`, a Serve
config file (cluster/serve.yaml), and `serve_app.local` all go through here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic_settings import SettingsConfigDict
from ray.serve import Application

from pipelines.settings import SettingLayers, Settings, layers_behind, resolve_settings
from serve_app.deployments.face_engine import FaceEngineDeployment
from serve_app.deployments.face_index import FaceIndexDeployment, IndexConfig
from serve_app.deployments.ingress import IngressDeployment
from serve_app.deployments.jobs import JobsDeployment
from serve_app.deployments.lanes import EnginePlan
from serve_app.keys import digest, load_or_create_key

HEALTH_CHECK: dict[str, Any] = {"health_check_period_s": 10.0, "health_check_timeout_s": 30.0}
SHUTDOWN: dict[str, Any] = {"graceful_shutdown_wait_loop_s": 0.2, "graceful_shutdown_timeout_s": 5.0}


class ServeArgs(Settings):
    """Arguments of the application: every setting; one that is given goes before the environment and all others."""

    model_config = SettingsConfigDict(title="ServeArgs")

    database_version: str | None = None
    """Version of the performer database to pin; the current one is followed when unset."""


def build(args: ServeArgs) -> Application:
    """Returns the application. Raises NotWritable when the API key can neither be read nor made."""
    key_digest = digest(load_or_create_key(args))
    layers = without_api_key(layers_behind(args))
    started = resolve_settings(layers)
    settings = started.settings
    plan = EnginePlan.of(settings)

    index = FaceIndexDeployment.options(
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=1000,
        user_config=IndexConfig(version=args.database_version).model_dump(),
        **HEALTH_CHECK,
        **SHUTDOWN,
    ).bind(settings)
    engine = FaceEngineDeployment.options(
        num_replicas=settings.engine_replicas,
        ray_actor_options=engine_resources(settings, plan),
        max_ongoing_requests=plan.max_ongoing_requests,
        max_queued_requests=settings.max_queued_requests,
        **HEALTH_CHECK,
        **SHUTDOWN,
    ).bind(settings, index)
    application: Application = IngressDeployment.options(
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=ingress_requests(settings, plan),
        **HEALTH_CHECK,
        **SHUTDOWN,
    ).bind(layers, started, key_digest, engine, index)
    return application


def build_jobs(args: ServeArgs) -> Application:
    """Returns the application that runs the jobs; its name is to be `JOBS_APPLICATION`."""
    layers = without_api_key(layers_behind(args))
    jobs = JobsDeployment.options(ray_actor_options={"num_cpus": 0}, **HEALTH_CHECK, **SHUTDOWN)
    application: Application = jobs.bind(layers)
    return application


def without_api_key(layers: SettingLayers) -> SettingLayers:
    """Returns the layers as they may travel: the key itself stays where the application is built."""
    return replace(layers, base=layers.base.model_copy(update={"api_key": None}))


def engine_resources(settings: Settings, plan: EnginePlan) -> dict[str, float]:
    """Returns what one engine replica reserves: its share of a GPU, or the cores that its threads keep busy."""
    if plan.on_gpu:
        return {"num_gpus": settings.gpus_per_replica, "num_cpus": 1}
    return {"num_cpus": plan.threads}


def ingress_requests(settings: Settings, plan: EnginePlan) -> int:
    """Returns how many requests the ingress takes on: all that the engines run and queue, and room to say 503."""
    return 2 * (settings.engine_replicas * plan.max_ongoing_requests + settings.max_queued_requests) + 100
