"""`stash-sense actions`: the log is shown, an action is taken back, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.store.sql import open_store
from serve_app.cli import build_cli
from tests.actions.conftest import act, everything, rich_library
from tests.fakes.stash import FakeStash


def test_an_action_is_listed_shown_and_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runner, cli = CliRunner(), build_cli()
    with FakeStash(rich_library()) as stash:
        monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("STASH_SENSE_STASH_URL", stash.url)
        monkeypatch.setenv("STASH_SENSE_STASH_REQUESTS_PER_S", "100")
        before = everything(stash.library)
        store = open_store(f"sqlite:///{tmp_path / 'state.db'}")
        record = act(stash, store, "set_primary_file", scene_id="2", file_id="3")
        store.close()
        listed = runner.invoke(cli, ["actions", "list", "--json"])
        assert json.loads(listed.stdout)["action"] == "set_primary_file"
        assert "set_primary_file" in runner.invoke(cli, ["actions", "list"]).stdout
        shown = runner.invoke(cli, ["actions", "show", str(record.id)]).stdout
        assert "/data/film_2.mp4 -> /data/film_3.mp4" in shown
        undone = runner.invoke(cli, ["actions", "undo", str(record.id)])
        assert (undone.exit_code, everything(stash.library)) == (0, before), undone.output
        again = runner.invoke(cli, ["actions", "undo", str(record.id)])
        assert (again.exit_code, "undone already" in again.output) == (1, True)
