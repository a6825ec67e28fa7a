"""`stash-sense recommendations`: what each command does to a data folder without a server, and what it prints."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.settings import Settings
from pipelines.store.recommendation_records import Finding
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import open_store
from serve_app.cli import build_cli


@pytest.fixture(autouse=True)
def _data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three recommendations of one type."""
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path / "data"))
    store = open_store(Settings(data_dir=tmp_path / "data").store_url)
    found = [Finding("scene", str(n), "f", "e", f"[Scene] {n}", "Two files.", 30.0 * n) for n in (1, 2, 3)]
    RecommendationStore(store).apply("duplicate_scene_files", 1, found)
    store.close()


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(build_cli(), ["recommendations", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_list_and_counts():
    assert "[Scene] 3" in run("list")
    assert "1 of 2" in run("list", "--min-confidence", "50", "--limit", "1")
    records = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [record["target_id"] for record in records] == ["3", "2", "1"]
    assert json.loads(run("counts", "--json")) == {
        "duplicate_scene_files": {"pending": 3, "resolved": 0, "dismissed": 0, "closed": 0}
    }
    assert "duplicate_scene_files" in run("counts")
    run("list", "--status", "open", code=1)
    run("list", "--sort", "size", code=1)


def test_dismiss_and_restore():
    said = run("dismiss", "--min-confidence", "50", "--reason", "later")
    assert "2 dismissed" in said
    assert "0 of 0" not in run("list")
    run("dismiss", "1", "--forever")
    assert "0 of 0" in run("list")
    batch = said.split("--batch ")[1].split("`")[0]
    assert "2 pending again" in run("restore", "--batch", batch)
    assert "1 pending again" in run("restore", "--type", "duplicate_scene_files")
    run("dismiss", code=1)
    run("restore", code=1)
    run("restore", "1", "--batch", "1", code=1)


def test_export(tmp_path: Path):
    run("export", str(tmp_path / "all.csv"))
    with (tmp_path / "all.csv").open(newline="") as file:
        assert [row["target_id"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    run("export", str(tmp_path / "some.parquet"), "--min-confidence", "50")
    assert pq.read_table(tmp_path / "some.parquet").num_rows == 2
    run("export", str(tmp_path / "all.txt"), code=1)
    run("export", str(tmp_path / "nowhere" / "all.csv"), code=1)
    assert sorted(p.name for p in tmp_path.glob(".*")) == []
