"""Building the application: arguments, sizes, the config file of the cluster."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from pipelines.machine import cores
from pipelines.settings import Resolution, SettingLayers, Settings
from serve_app.app import ServeArgs, build, build_jobs, engine_resources, ingress_requests
from serve_app.deployments.lanes import CONCURRENT_BATCHES, WAITING_VIDEOS, EnginePlan
from serve_app.job_queue import JOBS_APPLICATION
from serve_app.local import logical_cpus

CONFIG = Path(__file__).parents[2] / "cluster" / "serve.yaml"


@pytest.fixture(autouse=True)
def _own_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))


def graph(application: Any) -> dict[str, Any]:
    """Returns the deployments of an application by name."""
    found: dict[str, Any] = {}

    def walk(node: Any) -> None:
        if hasattr(node, "_bound_deployment"):
            deployment = node._bound_deployment
            found[deployment.name] = deployment
            for part in deployment.init_args:
                walk(part)

    walk(application)
    return found


def test_graph_and_its_limits() -> None:
    args = ServeArgs(engine_replicas=2, engine_threads=3, max_queued_requests=7)
    deployments = graph(build(args))
    assert set(deployments) == {"Ingress", "FaceEngine", "FaceIndex"}
    plan = EnginePlan.of(args)
    engine = deployments["FaceEngine"]
    assert engine.num_replicas == 2
    assert engine.max_ongoing_requests == plan.max_ongoing_requests >= plan.batch_size * CONCURRENT_BATCHES
    assert engine.max_queued_requests == 7
    assert deployments["Ingress"].max_ongoing_requests > 2 * engine.max_ongoing_requests + 7
    assert deployments["FaceIndex"].num_replicas == 1
    assert deployments["FaceIndex"].user_config == {"version": None}


def test_pinned_version_reaches_the_index() -> None:
    assert graph(build(ServeArgs(database_version="v1")))["FaceIndex"].user_config == {"version": "v1"}


def test_arguments_are_checked() -> None:
    with pytest.raises(ValidationError, match="engine_replica"):
        ServeArgs.model_validate({"engine_replica": 2})
    with pytest.raises(ValidationError, match="port"):
        ServeArgs.model_validate({"port": 0})


def test_the_key_does_not_travel_with_the_deployments() -> None:
    args = ServeArgs(api_key="a-secret-key")
    for deployment in [*graph(build(args)).values(), *graph(build_jobs(args)).values()]:
        records = Settings | SettingLayers | Resolution | str
        plain = [a for a in (*deployment.init_args, *deployment.init_kwargs.values()) if isinstance(a, records)]
        assert b"a-secret-key" not in pickle.dumps(plain)


@pytest.mark.parametrize(("gpus", "wanted"), [(0.0, {"num_cpus": 4}), (0.25, {"num_gpus": 0.25, "num_cpus": 1})])
def test_engine_reserves_what_it_keeps_busy(gpus: float, wanted: dict[str, float]) -> None:
    settings = Settings(gpus_per_replica=gpus, engine_replicas=2)
    assert engine_resources(settings, EnginePlan.of(settings, cores=8)) == wanted


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"engine_replicas": 3},
        {"engine_threads": 5, "scan_workers": 7},
        {"gpus_per_replica": 0.5, "engine_replicas": 2, "scan_workers": 1},
    ],
)
def test_local_ray_has_room_for_the_engine_and_for_jobs(settings: dict[str, Any]) -> None:
    chosen = Settings(**settings)
    serving = chosen.engine_replicas * engine_resources(chosen, EnginePlan.of(chosen))["num_cpus"]
    assert logical_cpus(chosen) == serving + (chosen.scan_workers or cores()) + 1


def test_plan_follows_the_machine() -> None:
    assert EnginePlan.of(Settings(), cores=8).threads == 8
    assert EnginePlan.of(Settings(engine_replicas=16), cores=8).threads == 1
    assert EnginePlan.of(Settings(gpus_per_replica=1.0), cores=8).batch_size == Settings().engine_batch_size
    plan = EnginePlan.of(Settings(decode_workers=3), cores=2)
    assert plan.most_videos == 3 * (1 + WAITING_VIDEOS)
    assert plan.max_ongoing_requests >= plan.batch_size * CONCURRENT_BATCHES + plan.most_videos
    assert plan.engine_options(Settings()).threads == 1


def test_ingress_can_always_answer_503() -> None:
    settings = Settings(max_queued_requests=1000)
    assert ingress_requests(settings, EnginePlan.of(settings, cores=2)) > 1000


def test_config_file_fits_the_schema_and_the_builder() -> None:
    config = ServeDeploySchema.model_validate(yaml.safe_load(CONFIG.read_text()))
    application, jobs = config.applications
    assert application.import_path == "serve_app.app:build"
    assert (jobs.name, jobs.import_path, jobs.route_prefix) == (JOBS_APPLICATION, "serve_app.app:build_jobs", None)
    args = {**application.args, "data_dir": str(Settings().data_dir)}
    deployments = graph(build(ServeArgs.model_validate(args)))
    assert {d.name for d in application.deployments} <= set(deployments)
    assert set(graph(build_jobs(ServeArgs.model_validate({**jobs.args, "data_dir": args["data_dir"]})))) == {"Jobs"}
    assert config.http_options.host == "127.0.0.1"
