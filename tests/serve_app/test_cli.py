"""The command line as a user types it: real models, real photos, its output and exit codes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serve_app.cli import build_cli
from serve_app.cli.identify import expand, format_ranges

PEOPLE = ("barack_obama", "joe_biden", "compreface_a")
RECORD_KEYS = {"path", "kind", "people", "unknown", "timing_ms", "error"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A folder with photos of three people, and a data folder in which they are enrolled."""
    home = tmp_path_factory.mktemp("home")
    for name in PEOPLE:
        shutil.copytree(data / "faces" / "people" / name, home / "people" / name)
    return home


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, home: Path, models_dir: Path) -> None:
    for name in [n for n in os.environ if n.startswith("STASH_SENSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("STASH_SENSE_MODELS_DIR", str(models_dir))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_cli(), [str(a) for a in arguments])


@pytest.fixture(scope="module")
def enrolled(home: Path, models_dir: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STASH_SENSE_DATA_DIR", str(home / "data"))
        patch.setenv("STASH_SENSE_MODELS_DIR", str(models_dir))
        result = run("enroll", "folder", home / "people")
    assert result.exit_code == 0, result.output
    return result.output


def records(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_identify_before_anything_is_enrolled_says_what_to_do(monkeypatch, tmp_path: Path, data: Path):
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))
    result = run("identify", data / "faces/groups/obama_biden_1.jpg")
    assert result.exit_code == 1
    assert "No performers are enrolled yet" in result.stderr
    assert "stash-sense enroll folder" in result.stderr


def test_enroll_tells_what_became_of_the_folder(enrolled: str):
    assert "faces of 3 new people enrolled" in enrolled
    assert "holds 3 performers" in enrolled


def test_enrolling_again_adds_nothing(enrolled: str, home: Path):
    again = run("enroll", "folder", home / "people")
    assert again.exit_code == 0
    assert again.stdout.startswith("0 faces of 0 new people")


def test_identify_prints_one_json_object_a_line(enrolled: str, data: Path):
    photo, video = data / "faces/groups/obama_biden_1.jpg", data / "video/real/noface_bottles.mp4"
    result = run("identify", photo, video, "--json", "--frames", "5")
    assert result.exit_code == 0, result.output
    found = records(result)
    assert [r["path"] for r in found] == [str(photo), str(video)]
    assert [r["kind"] for r in found] == ["image", "video"]
    assert all(set(r) == RECORD_KEYS for r in found)
    assert {p["name"] for p in found[0]["people"]} == {"barack_obama", "joe_biden"}
    for person in found[0]["people"]:
        assert set(person) == {"name", "universal_id", "confidence", "distance", "faces", "ranges", "candidates"}
        assert person["universal_id"].startswith("local:")
        assert 0.5 < person["confidence"] <= 1
        assert person["candidates"][0]["name"] == person["name"]
    assert found[1]["people"] == found[1]["unknown"] == []


def test_a_bad_file_is_a_record_and_an_exit_code_and_the_others_are_done(enrolled: str, data: Path):
    broken, good = data / "faces/formats/empty.png", data / "faces/people/joe_biden/02.jpg"
    result = run("identify", broken, good, data / "nothing_here.mp4", "--json")
    assert result.exit_code == 1
    found = records(result)
    assert [r["kind"] for r in found] == ["error", "image", "error"]
    assert set(found[0]["error"]) == {"error", "message", "hint"}
    assert found[2]["error"]["error"] == "media_not_found"
    assert found[1]["people"][0]["name"] == "joe_biden"


def test_identify_for_people_is_a_table(enrolled: str, data: Path):
    result = run("identify", data / "faces/people/joe_biden/01.jpg")
    assert result.exit_code == 0
    assert "joe_biden" in result.stdout
    assert "distance" in result.stdout


def test_identify_refuses_an_empty_folder(enrolled: str, tmp_path: Path):
    result = run("identify", tmp_path)
    assert result.exit_code == 1
    assert "media_not_found" in result.stderr


def test_database_info_counts_and_verifies(enrolled: str):
    result = run("database", "info", "--json", "--verify")
    info = json.loads(result.stdout)
    assert info["performers"] == 3
    assert info["faces"] == sum(1 for _ in Path(os.environ["STASH_SENSE_DATA_DIR"]).parent.glob("people/*/*"))
    assert info["version"] in info["versions"]
    assert "open" in run("database", "info").stdout


def test_doctor_finds_this_machine_ready(enrolled: str):
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "3 performers" in result.stdout


def test_doctor_names_what_is_missing(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("STASH_SENSE_MODELS_DIR", str(tmp_path))
    result = run("doctor")
    assert result.exit_code == 1
    assert "problem" in result.stdout
    assert "models fetch open" in result.stdout


def test_a_wrong_setting_is_named(monkeypatch):
    monkeypatch.setenv("STASH_SENSE_PORT", "70000")
    result = run("database", "info")
    assert result.exit_code == 1
    assert "STASH_SENSE_PORT" in result.stderr
    assert "65535" in result.stderr


def test_up_on_a_used_port_says_which_and_what_to_do(enrolled: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("up", "--port", str(port))
    assert result.exit_code == 1
    assert f"Port {port}" in result.stderr
    assert "STASH_SENSE_PORT" in result.stderr


def test_up_without_models_says_what_to_do(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("STASH_SENSE_MODELS_DIR", str(tmp_path / "none"))
    result = run("up", "--port", "6979")
    assert result.exit_code == 1
    assert "stash-sense models fetch open" in result.stderr


def test_up_without_write_access_says_so(monkeypatch, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path / "file" / "data"))
    result = run("up", "--port", "6979")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert "STASH_SENSE_DATA_DIR" in result.stderr


def test_up_refuses_a_folder_without_sample_people(tmp_path: Path):
    result = run("up", "--sample", tmp_path)
    assert result.exit_code == 1
    assert "faces/people" in result.stderr


def test_the_installed_command_answers():
    command = Path(sys.executable).with_name("stash-sense")
    shown = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    for name in ("up", "identify", "enroll", "database", "models", "eval", "doctor"):
        assert name in shown.stdout


def test_expand_goes_through_folders_in_order_and_skips_hidden_files(tmp_path: Path):
    for name in ("b/2.jpg", "b/1.jpg", ".hidden", "a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in expand([tmp_path])] == ["a.mp4", "b/1.jpg", "b/2.jpg"]


def test_ranges_are_readable():
    assert format_ranges([(0.5, 3.25), (7, 9.1)]) == "0.5-3.2 s, 7.0-9.1 s"
    assert format_ranges([]) == ""
