"""What `stash-sense enroll stashbox|local` says before anything starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.cli import build_cli
from serve_app.ray_env import free_port


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in [n for n in os.environ if n.startswith("STASH_SENSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STASH_SENSE_PORT", str(free_port()))
    return monkeypatch


@pytest.mark.parametrize(
    ("boxes", "arguments", "says"),
    [
        (None, ("stashbox",), "No stash-box is set up"),
        ('["https://box.example/graphql=secret-key"]', ("stashbox", "other.example"), "switched on are: box.example"),
        ('["https://box.example/graphql=secret-key"]', ("stashbox",), "models fetch"),
        ('["box.example"]', ("stashbox",), "STASH_SENSE_STASHBOXES"),
        (None, ("local",), "STASH_SENSE_STASH_URL"),
        (None, ("local", "--performers", "1,x"), "performers"),
    ],
)
def test_what_is_missing_is_named_and_no_key_shown(bare, boxes, arguments, says):
    if boxes:
        bare.setenv("STASH_SENSE_STASHBOXES", boxes)
    result = CliRunner().invoke(build_cli(), ["enroll", *arguments])
    assert result.exit_code == 1
    assert says in result.stderr
    assert "secret-key" not in result.output + result.stderr
