"""The repository itself: test data and its licences, lock files, what must never be committed, import boundaries."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.workers import FIRST, group

REPOSITORY = Path(__file__).parents[1]
CLEAR_LICENCES = (
    "MIT (Microsoft)",
    "Apache-2.0",
    "US Government work",
    "White House video",
    "public domain",
    "CC BY 4.0",
)
CLEAR_LICENCES += ("NASA (public domain)", "darknet sample images (public domain)")


def committed(*patterns: str) -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    return [path for line in found.stdout.splitlines() if (path := REPOSITORY / line).is_file()]


def test_every_medium_is_in_the_manifest_with_a_clear_licence(data: Path):
    with (data / "manifest.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    media = {str(p.relative_to(data)) for p in data.rglob("*") if p.is_file() and p.suffix not in {".md", ".csv"}}
    assert set(rows) == media
    for path, row in rows.items():
        assert row["licence"].startswith(CLEAR_LICENCES), f"{path}: {row['licence']}"
        assert row["source"], path


def test_media_stay_below_15_mb(data: Path):
    assert sum(p.stat().st_size for p in data.rglob("*") if p.is_file()) <= 15_000_000


def locked(name: str) -> set[str]:
    lines = (REPOSITORY / name).read_text().splitlines()
    return {re.split(r"==", line)[0].strip() for line in lines if "==" in line and not line.startswith(" ")}


def test_locks_hold_every_dependency_exactly_once_per_import_name():
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    wanted = {re.split(r"[\[<>=; ]", spec)[0].lower() for spec in project["dependencies"]}
    default, dev, gpu = (locked(f"requirements{kind}.lock") for kind in ("", "-dev", "-gpu"))
    assert wanted <= default <= dev
    assert {"onnxruntime-gpu", "faiss-gpu"} <= gpu
    assert not {"onnxruntime", "faiss-cpu"} & gpu
    assert all("opencv-python" not in names for names in (default, dev, gpu))


def test_lock_versions_agree():
    def versions(name: str) -> dict[str, str]:
        lines = (REPOSITORY / name).read_text().splitlines()
        pins = [re.split(r"==|[ ;\\]", line) for line in lines if "==" in line and not line.startswith(" ")]
        return {pin[0]: pin[1] for pin in pins}

    default, dev, gpu = (versions(f"requirements{kind}.lock") for kind in ("", "-dev", "-gpu"))
    assert {n: v for n, v in dev.items() if n in default} == default
    assert all(default.get(name, version) == version for name, version in gpu.items())


# Written so that this file does not contain what it looks for.
FORBIDDEN = {
    "an absolute home or work path": re.compile(r"(?<![\w.])/(?:root|home|work|Users)/\w"),
    "a registry host": re.compile(r"(?:pypi|files\.pythonhosted|registry\.npmjs)\.org"),
    "a private key": re.compile("-----BEGIN [A-Z ]*" + "PRIVATE KEY"),
}


def test_no_path_registry_or_key_is_committed():
    binary = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".mp4", ".mkv", ".webm", ".npy", ".npz"}
    for path in committed():
        if path.suffix in binary or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8")
        for what, pattern in FORBIDDEN.items():
            assert not pattern.search(text), f"{path.relative_to(REPOSITORY)} holds {what}: {pattern.search(text)}"


@pytest.mark.parametrize("room", ["faces", "media", "models", "store"])
def test_pure_rooms_import_neither_ray_nor_a_web_framework(room: str):
    for path in (REPOSITORY / "pipelines" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heads = {name.split(".")[0] for name in names}
            assert not heads & {"ray", "fastapi", "starlette", "serve_app"}, path


def test_every_module_says_who_lives_there():
    for path in committed("pipelines/*.py", "serve_app/*.py", "cluster/*.py", "tests/bench/*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(REPOSITORY)} has no docstring"


def test_what_runs_first_in_two_processes_is_there():
    files = [str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "tests").rglob("test_*.py")]
    assert set(FIRST) <= {group(path) for path in files}
