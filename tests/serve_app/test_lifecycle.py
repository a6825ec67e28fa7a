"""Starting and stopping the process itself: used port, SIGTERM during the start and while serving, kill -9."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from serve_app.ray_env import free_port
from tests.serve_app.conftest import START_TIMEOUT_S, STOP_TIMEOUT_S, launch, server_environment, session_members, until


@pytest.fixture
def environment(short_dir: Path, models_dir: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    data_dir = short_dir / request.node.name[:24]
    data_dir.mkdir()
    return server_environment(data_dir, free_port(), models_dir)


@pytest.fixture
def started(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = launch(environment, log_of(environment))
    yield process
    for member in session_pids(process):
        psutil.Process(member).kill()


def log_of(environment: dict[str, str]) -> Path:
    return Path(environment["STASH_SENSE_DATA_DIR"]) / "log"


def session_pids(process: subprocess.Popen[bytes]) -> list[int]:
    return [int(member.split()[0]) for member in session_members(process)]


def nothing_left(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while session_members(process) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert session_members(process) == []


def test_used_port_ends_with_a_hint(environment: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environment["STASH_SENSE_PORT"])))
        other.listen()
        process = launch(environment, log_of(environment))
        assert process.wait(60) == 1
    assert "STASH_SENSE_PORT" in log_of(environment).read_text()
    assert not session_members(process)


def test_sigterm_while_starting_leaves_nothing(started: subprocess.Popen[bytes]) -> None:
    until(lambda: any("raylet" in member for member in session_members(started)), START_TIMEOUT_S, "the start of Ray")
    os.kill(started.pid, signal.SIGTERM)
    assert started.wait(STOP_TIMEOUT_S) in {signal.SIGTERM, 128 + signal.SIGTERM}  # Ray has a handler of its own
    nothing_left(started)


def test_sigterm_while_serving_leaves_nothing(started: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    until(lambda: "Serving on" in log_of(environment).read_text(), START_TIMEOUT_S, "the start")
    url = f"http://127.0.0.1:{environment['STASH_SENSE_PORT']}"
    assert httpx.get(f"{url}/health").json()["status"] == "no performer database"
    os.kill(started.pid, signal.SIGTERM)
    assert started.wait(STOP_TIMEOUT_S) == 0
    nothing_left(started)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


@pytest.mark.slow
def test_kill_leaves_nothing_that_serves(started: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    """Nothing can be tidied up then; only Ray's two agents, which hold no port of ours, may take their time."""
    until(lambda: "Serving on" in log_of(environment).read_text(), START_TIMEOUT_S, "the start")
    started.kill()
    started.wait()
    until(lambda: not [m for m in session_members(started) if "Agent" not in m], STOP_TIMEOUT_S, "the end")
