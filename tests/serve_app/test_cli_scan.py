"""`stash-sense scan` as a user types it: a fake Stash, real clips, real models, a Ray of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.enroll.folder import enroll_folder
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.store.performers import PerformerDatabase
from serve_app.cli import build_cli
from serve_app.ray_env import free_port
from tests.fakes.stash import FakeStash, sample_library
from tests.serve_app.conftest import server_environment, session_members

COMMAND = (sys.executable, "-c", "from serve_app.cli import main; main()")
RUN_TIMEOUT_S = 250
STOP_LIMIT_S = 20.0
"""5 s are promised; a machine that does other things as well gets more."""


@pytest.fixture(scope="module")
def stash(data: Path) -> Iterator[FakeStash]:
    with FakeStash(sample_library(data, tagged=False)) as stash:
        yield stash


@pytest.fixture
def environment(short_dir: Path, tmp_path: Path, data: Path, models_dir: Path, stash: FakeStash) -> dict[str, str]:
    """Of a data folder that nobody used, and a port on which nothing listens."""
    settings = {"STASH_URL": stash.url, "PATH_MAP": f'["/data={data}"]', "SCAN_NICENESS": "0"}
    return server_environment(tmp_path / "data", free_port(), models_dir, **settings)


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_scan_in_place_a_second_one_and_the_status(environment, data: Path, open_models: Path):
    data_dir = Path(environment["STASH_SENSE_DATA_DIR"])
    engine = FaceEngine(OPEN, open_models, EngineOptions(threads=2))
    enroll_folder(data / "faces" / "people", engine, PerformerDatabase(data_dir / "performer-db"))
    first = run(environment, "scan", "--limit", "3", "--json")
    assert first.returncode == 0, first.stderr
    lines = objects(first.stdout)
    assert [line["event"] for line in lines] == ["progress"] * (len(lines) - 1) + ["report"]
    assert lines[-2]["done"] == lines[-2]["total"] == 3
    assert lines[-1]["done"] == 3
    again = run(environment, "scan", "--ids", "1,2,3")
    assert again.returncode == 0, again.stderr
    assert "Nothing is new" in again.stdout
    now = json.loads(run(environment, "status", "--json").stdout)
    assert now["scans"]["scenes"] == 3
    assert now["matches"]["contents"] == 3
    assert now["matches"]["stale"] == 0


def test_ctrl_c_ends_a_scan_within_seconds_and_the_next_one_goes_on(environment):
    process = subprocess.Popen(
        [*COMMAND, "scan", "--json"], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("done", 0) >= 1:
            break
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
    assert process.wait(30) == 130
    assert time.monotonic() - began < STOP_LIMIT_S
    assert not session_members(process)
    stored = json.loads(run(environment, "status", "--json").stdout)["scans"]["scenes"]
    assert stored >= 1
    report = objects(run(environment, "scan", "--limit", "1", "--json").stdout)[-1]
    assert report["done"] == 1
    assert json.loads(run(environment, "status", "--json").stdout)["scans"]["scenes"] == stored + 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--filter", "{organized}"), "not JSON"),
        (("--filter", "[1]"), "not a JSON object"),
        (("--ids", "1,,2"), "no list of ids"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: tuple[str, ...], says: str):
    result = CliRunner().invoke(build_cli(), ["scan", *arguments])
    assert result.exit_code == 1
    assert "bad_input" in result.stderr
    assert says in result.stderr


def test_without_a_stash_the_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in [n for n in os.environ if n.startswith("STASH_SENSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STASH_SENSE_PORT", str(free_port()))
    result = CliRunner().invoke(build_cli(), ["scan"])
    assert result.exit_code == 1
    assert "STASH_SENSE_STASH_URL" in result.stderr
