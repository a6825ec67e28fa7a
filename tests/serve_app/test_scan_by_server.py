"""`stash-sense scan` and `rematch` beside a running server: its jobs, followed and stopped from the terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.serve_app.conftest import Serving, server_environment, until
from tests.serve_app.test_cli_scan import COMMAND, STOP_LIMIT_S, objects, run


@pytest.fixture
def environment(server: Serving, models_dir) -> dict[str, str]:
    """Of a shell that uses the server's data folder and port."""
    return server_environment(server.data_dir, httpx.URL(server.url).port or 0, models_dir)


def test_a_scan_is_a_job_of_the_running_server(environment: dict[str, str], client: httpx.Client):
    done = run(environment, "scan", "--ids", "1,2", "--fresh", "--json")
    assert done.returncode == 0, done.stderr
    lines = objects(done.stdout)
    assert {line["event"] for line in lines[:-1]} <= {"progress"}
    assert lines[-1]["done"] == 2
    job = client.get("/queue", params={"type": "scan", "limit": 1}).json()["jobs"][0]
    assert job["state"] == "done"
    assert job["params"]["ids"] == ["1", "2"]
    assert job["result"]["done"] == 2
    matched = run(environment, "rematch", "--full", "--json")
    assert matched.returncode == 0, matched.stderr
    assert objects(matched.stdout)[-1]["matched"] >= 2
    now = json.loads(run(environment, "status", "--json").stdout)
    assert now["scans"]["scenes"] >= 2
    assert now == client.get("/library/status").json()


@pytest.fixture
def slow_media(server: Serving) -> Iterator[None]:
    """Stash sends media so slowly that no scan ends before it is stopped."""
    server.stash.knobs.set(slow_stream_bytes_per_s=20_000)
    yield
    server.stash.knobs.set(slow_stream_bytes_per_s=0)


@pytest.mark.usefixtures("slow_media")
def test_ctrl_c_stops_the_job_of_the_server(environment: dict[str, str], client: httpx.Client):
    process = subprocess.Popen(
        [*COMMAND, "scan", "--fresh", "--json"], env=environment, stdout=subprocess.PIPE, text=True
    )

    def running() -> dict | None:
        job = client.get("/queue", params={"type": "scan", "limit": 1}).json()["jobs"][0]
        return job if job["state"] == "running" and job["total"] else None

    job = until(running, 60, "the scan")
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert time.monotonic() - began < STOP_LIMIT_S
    stopped = until(lambda: client.get(f"/queue/{job['id']}").json()["state"] == "stopped", 10, "the stop")
    assert stopped


def test_what_the_server_refuses_is_said(environment: dict[str, str]):
    refused = run(environment, "scan", "--server", "http://127.0.0.1:9")
    assert refused.returncode == 1
    assert "server_unreachable" in refused.stderr
