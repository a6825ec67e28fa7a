"""`python -m tests.serve_app.jobs_server`: Ray with two supervisors over one store, until stdin ends.

What `stash-sense up` starts, without the engine and HTTP, and with the job types of the tests; with `--real` one
supervisor with the real types.
"""

from __future__ import annotations

import sys

from ray import serve

from pipelines.jobs import REGISTRY
from pipelines.settings import SettingLayers
from serve_app.deployments.jobs import JobsDeployment
from serve_app.local import init_ray, logs_dir, processes_ended, temporary_folder
from serve_app.ray_env import environment_set, ray_environment
from tests.serve_app.job_types import TYPES

CPUS = 2


def main() -> None:
    with (
        temporary_folder() as folder,
        environment_set(ray_environment(folder, haproxy=False)),
        processes_ended(),
    ):
        init_ray(folder, CPUS)
        layers = SettingLayers.read()
        logs = {"logs_dir": str(logs_dir(layers.base))}
        serve.start(proxy_location="Disabled", logging_config=logs)
        jobs = JobsDeployment.options(
            ray_actor_options={"num_cpus": 0}, graceful_shutdown_timeout_s=5.0, graceful_shutdown_wait_loop_s=0.2
        )
        types, names = (REGISTRY, ["first"]) if "--real" in sys.argv else (TYPES, ["first", "second"])
        serve.run_many([serve.RunTarget(jobs.bind(layers, types), name, None, logs) for name in names])
        sys.stdout.write("supervising\n")
        sys.stdout.flush()
        sys.stdin.read()
        for name in names:
            serve.delete(name)


if __name__ == "__main__":
    main()
