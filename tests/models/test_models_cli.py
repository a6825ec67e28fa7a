"""`stash-sense models`: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipelines.faces.catalogue import BUFFALO_L, OPEN, PACKS
from pipelines.faces.packs import Licence, ModelPack
from serve_app.cli.models import app
from tests.fakes.file_server import FileServer
from tests.fakes.packs import small_pack

STRICT = Licence("research only", "Only for research.", must_accept=True)


@pytest.fixture
def models_dir_of_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith("STASH_SENSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "models"


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    folder = tmp_path / "stock"
    folder.mkdir()
    return folder


@pytest.fixture
def strict_pack(stock: Path, monkeypatch: pytest.MonkeyPatch) -> ModelPack:
    """A stand-in for buffalo_l whose files lie in `stock` and whose licence must be accepted."""
    pack = small_pack(BUFFALO_L, stock, licence=STRICT)
    monkeypatch.setitem(PACKS, "buffalo_l", pack)
    return pack


@pytest.fixture
def server(stock: Path, strict_pack: ModelPack) -> Iterator[FileServer]:
    files = {f"/{f.name}": (stock / f.name).read_bytes() for f in strict_pack.files}
    with FileServer(files).running() as served:
        yield served


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_list_shows_every_pack_file_and_state(models_dir_of_cli: Path) -> None:
    result = _run("list")
    assert result.exit_code == 0
    for pack in PACKS.values():
        assert pack.id in result.stdout
        for file in pack.files:
            assert file.name in result.stdout
    assert "missing" in result.stdout
    assert str(models_dir_of_cli) in result.stdout


def test_list_as_json_gives_one_object_a_file(models_dir_of_cli: Path) -> None:
    lines = _run("list", "--json").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == sum(len(p.files) for p in PACKS.values())
    assert records[0] == {
        "pack": "open",
        "file": "det_yunet.onnx",
        "size_bytes": None,
        "expected_size_bytes": OPEN.detector.file.size_bytes,
        "state": "missing",
        "licence_accepted": True,
    }


def test_list_licences_prints_the_texts(models_dir_of_cli: Path) -> None:
    result = _run("list", "--licences")
    assert result.exit_code == 0
    assert "Apache License, Version 2.0" in result.output
    assert "non-commercial research" in result.output


def test_fetch_from_a_folder_then_verify(models_dir_of_cli: Path, converted: Path) -> None:
    result = _run("fetch", "open", "--from", str(converted))
    assert result.exit_code == 0, result.output
    size_mb = sum(f.size_bytes for f in OPEN.files) / 1e6
    assert f"{len(OPEN.files)} files, {size_mb:.0f} MB, verified" in result.stdout
    verified = _run("verify")
    assert verified.exit_code == 0
    assert verified.stdout.count("installed") == len(OPEN.files)
    assert "open: computes the pinned vectors" in verified.stdout
    assert _run("verify", "open").exit_code == 0


def test_verify_fails_on_damage_with_the_command_that_repairs(models_dir_of_cli: Path, converted: Path) -> None:
    shutil.copytree(converted, models_dir_of_cli / "open")
    path = models_dir_of_cli / "open" / "rec_sface.onnx"
    content = bytearray(path.read_bytes())
    content[1_000_000] ^= 1
    path.write_bytes(content)
    result = _run("verify")
    assert result.exit_code == 1
    assert "corrupted" in result.stdout
    assert "open/rec_sface.onnx: corrupted" in result.stderr
    assert "stash-sense models fetch open" in result.stderr


def test_verify_with_nothing_installed_fails(models_dir_of_cli: Path) -> None:
    result = _run("verify")
    assert result.exit_code == 1
    assert "model_missing" in result.stderr
    assert _run("verify", "buffalo_l").exit_code == 1


def test_a_licence_is_shown_and_must_be_accepted_once(
    models_dir_of_cli: Path, strict_pack: ModelPack, stock: Path
) -> None:
    refused = _run("fetch", "buffalo_l", "--from", str(stock))
    assert refused.exit_code == 1
    assert "Only for research." in refused.stderr
    assert "--accept-licence" in refused.stderr
    assert "licence_not_accepted" in refused.stderr
    assert not (models_dir_of_cli / "buffalo_l").exists()
    accepted = _run("fetch", "buffalo_l", "--from", str(stock), "--accept-licence")
    assert accepted.exit_code == 0, accepted.output
    again = _run("fetch", "buffalo_l", "--from", str(stock))
    assert again.exit_code == 0
    assert "Only for research." not in again.stderr


def test_fetch_from_a_mirror(models_dir_of_cli: Path, server: FileServer) -> None:
    result = _run("fetch", "buffalo_l", "--mirror", server.url, "--accept-licence")
    assert result.exit_code == 0, result.output
    assert sorted(path for path, _ in server.requests) == ["/det_10g.onnx", "/w600k_r50.onnx"]


def test_a_mirror_with_other_files_fails(models_dir_of_cli: Path, server: FileServer) -> None:
    server.files["/det_10g.onnx"] = server.files["/det_10g.onnx"][::-1]
    result = _run("fetch", "buffalo_l", "--mirror", server.url, "--accept-licence")
    assert result.exit_code == 1
    assert "model_checksum_mismatch" in result.stderr
    assert "Nothing of it was kept" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fetch", "antelope"], 1, "pack_unknown"),
        (["verify", "../open"], 1, "pack_unknown"),
        (["fetch", "open", "--from", "/nowhere"], 1, "not a folder"),
        (["fetch", "open", "--from", "/nowhere", "--mirror", "http://host"], 2, "exclude each other"),
        (["fetch"], 2, "Missing argument"),
    ],
)
def test_mistakes_are_named_on_stderr(models_dir_of_cli: Path, arguments: list[str], code: int, message: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_it_works_as_a_process_without_a_terminal(models_dir_of_cli: Path, converted: Path) -> None:
    command = [sys.executable, "-c", "from serve_app.cli.models import app; app()", "fetch"]
    good = subprocess.run(
        [*command, "open", "--from", converted], capture_output=True, text=True, timeout=60, check=False
    )
    assert good.returncode == 0
    assert good.stderr.splitlines() == [f"{f.name}, {f.size_bytes / 1e6:.1f} MB" for f in OPEN.files]
    bad = subprocess.run(
        [*command, "buffalo_l"], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "licence_not_accepted" in bad.stderr
    assert "Traceback" not in bad.stderr
