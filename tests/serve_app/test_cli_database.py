"""`stash-sense database`: what each command does to a data folder without a server, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.faces.catalogue import OPEN
from pipelines.store.performers import PerformerDatabase
from serve_app.cli import build_cli
from tests.fakes.releases import release_server
from tests.releases.served import FIRST_PACK, first_zip
from tests.serve_app.test_database_http import ALSO, GHOST, add_ghosts

OLD, NEW = "2026.02.18", "2026.10.1"


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def database(data_dir: Path) -> PerformerDatabase:
    """A database with two people, in two versions."""
    found = PerformerDatabase(data_dir / "performer-db")
    add_ghosts(found)
    add_ghosts(found)
    return found


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(build_cli(), ["database", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_nothing_enrolled_is_said(data_dir: Path):
    assert "database_missing" in run("info", code=1)
    assert run("check") == "No source is set up: see `release_sources`.\n"
    assert "release_unknown" in run("update", code=1)


def test_versions_are_listed_used_verified_and_removed(database: PerformerDatabase):
    first, second = database.versions()
    listed = run("list")
    assert all(version in listed for version in (first, second))
    assert database.current() == second
    run("use", first)
    assert database.current() == first
    assert "files are what they were" in run("verify")
    run("remove", second)
    assert database.versions() == [first]
    assert "in use" in run("remove", first, code=1)
    assert "database_missing" in run("use", second, code=1)
    (database.root / first / "performers.parquet").write_bytes(b"x")
    assert "performers.parquet" in run("verify", code=1)


def test_info_and_people(database: PerformerDatabase):
    told = json.loads(run("info", "--json"))
    assert (told["performers"], told["faces"], list(told["sources"])) == (2, 3, ["stashdb.org"])
    assert told["pack"] == OPEN.id
    assert "stashdb.org" in run("info")
    assert GHOST in run("people", "casper")
    assert GHOST not in run("people", "other")
    assert "1 of 2" in run("people", "--limit", "1")


def test_export_writes_plain_files(database: PerformerDatabase, tmp_path: Path):
    said = run("export", str(tmp_path / "out"), "--csv", "--no-templates", "--id", GHOST)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["faces.csv", "members.csv", "performers.csv"]
    assert "performers.csv" in said
    assert "Other Ghost" not in (tmp_path / "out" / "performers.csv").read_text()


def test_excluding_including_and_erasing(database: PerformerDatabase):
    run("exclude", ALSO, "--reason", "asked")
    assert len(database.load().performers) == 1
    assert GHOST in run("people") or database.excluded()[0].ids == (GHOST, ALSO)
    assert "asked" in run("excluded")
    run("include", ALSO)
    assert database.excluded() == []
    add_ghosts(database)
    assert run("erase", GHOST, code=1).count("Erase") == 1, "it asks, and nobody answered"
    assert len(database.load().performers) == 2
    report = json.loads(run("erase", GHOST, "--yes", "--exclude", "--json"))
    assert report["database"]["ids"] == [GHOST, ALSO]
    assert report["database"]["faces"] + 2 * len(database.excluded()) >= 2
    for version in database.versions():
        assert GHOST not in database.faces(version, ["universal_id"])["universal_id"].to_pylist()


def test_a_bundle_is_imported_and_updated(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = PerformerDatabase(data_dir / "performer-db")
    monkeypatch.setenv("STASH_SENSE_PACK", FIRST_PACK)
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(first_zip(tmp_path, OLD, 3))
    assert f"release:stash-sense is at {OLD}: 3 performers, 3 faces" in run("import", str(bundle))
    with release_server() as server:
        monkeypatch.setenv("STASH_SENSE_RELEASE_SOURCES", json.dumps([f"mine={server.document_url}"]))
        notes = "min-sidecar-version: 9.1"
        server.publish(NEW, {"stash-sense-data.zip": first_zip(tmp_path, NEW, 4)}, notes=notes)
        told = run("check")
        assert all(word in told for word in ("mine", OLD, NEW, "newer", "9.1"))
        report = json.loads(run("update", "--json"))
        assert (report["changed"], report["release"], report["version"]) == (True, NEW, database.current())
        assert "mine is up to date" in run("update")
        assert "release_unknown" in run("update", "other", code=1)
    assert "pack_mismatch" not in run("info")
    bundle.write_bytes(b"no zip")
    before = database.current()
    assert "release_corrupt" in run("import", str(bundle), code=1)
    assert database.current() == before
