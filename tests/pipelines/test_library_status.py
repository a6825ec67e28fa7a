"""The numbers of `stash-sense status`, read from a dataset, an SQL store and a performer database as they lie there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.library_status import library_status, size_bytes
from pipelines.match_options import options_digest
from pipelines.parts import scan_recipe
from pipelines.settings import Settings
from pipelines.store.jobs import JobStore
from pipelines.store.matches import ContentMatch, ContentPerson, MatchStamp, MatchStore
from pipelines.store.sql import open_store
from pipelines.store.templates import ContentScan, ScanDataset
from serve_app.cli import build_cli
from tests.store.scans import RECIPE, failed, make_scan


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path)
    recipe = scan_recipe(settings, "scene")
    dataset = ScanDataset(settings.scans_path)
    scans = [
        make_scan(1, count=3, frames=5, recipe=recipe),
        make_scan(2, count=0, frames=4, recipe=recipe),
        make_scan(3, count=2, frames=5, recipe=RECIPE),
        failed(4, recipe=recipe),
        failed(5, recipe=recipe, retryable=False, reason="media_corrupt: no index"),
        make_scan(6, kind="image", frames=1, recipe=scan_recipe(settings, "image"), minutes=9),
    ]
    for scan in scans:
        dataset.write(scan)
    settings.database_path.mkdir()
    (settings.database_path / "current").write_text("v2\n")
    store = open_store(settings.store_url)
    digest = options_digest(settings)
    MatchStore(store).replace([matched(scans[0], "v2", digest), matched(scans[1], "v1", digest)])
    JobStore(store).submit("scan", {"ids": ["1"]})
    store.close()
    return settings


def matched(scan: ContentScan, version: str, digest: str) -> ContentMatch:
    """Returns a match with somebody known and somebody unknown."""
    key = scan.key
    stamp = MatchStamp(key.file_fingerprint, key.recipe_digest, scan.scanned_at, version, digest)
    people = tuple(
        ContentPerson(who, who, 2, 2, 0.4, 0.9 if who else None, 0.2 if who else None, (), (), 1.0, (0, 0, 9, 9))
        for who in ("local:anna", None)
    )
    return ContentMatch(key.kind, key.content_id, stamp, scan.status, 3, 5, 12.5, people, datetime.now(UTC))


def test_scans_are_counted_by_status_and_reason(settings: Settings):
    scans = library_status(settings)["scans"]
    assert (scans["scenes"], scans["images"]) == (5, 1)
    assert scans["by_status"] == {"ok": 3, "no_face": 1, "failed": 2}
    assert scans["reasons"] == {"media_not_found": 1, "media_corrupt": 1}
    assert scans["retryable"] == 1
    assert scans["outdated"] == 1, "the scan with another recipe"
    assert (scans["faces"], scans["frames"]) == (3 + 2 + 5, 5 + 4 + 5 + 1)
    assert scans["newest"].startswith("2026-01-01T00:09:00")
    assert scans["size_bytes"] == size_bytes(settings.scans_path) > 1000


def test_a_match_is_stale_when_its_scan_database_or_rules_are_others_now(settings: Settings):
    matches = library_status(settings)["matches"]
    assert matches["contents"] == 2
    assert matches["stale"] == 3, "content 2 by its database, 3 and 6 were never matched; failed ones cannot be"
    assert (matches["people"], matches["performers"], matches["unknown"]) == (2, 1, 2)
    assert matches["database_version"] == "v2"


def test_live_jobs_are_shown_without_their_parameters(settings: Settings):
    (job,) = library_status(settings)["jobs"]
    assert (job["type"], job["state"]) == ("scan", "queued")
    assert "params" not in job


def test_an_empty_data_folder_has_a_status(tmp_path: Path):
    now = library_status(Settings(data_dir=tmp_path))
    assert now["scans"]["by_status"] == {}
    assert now["matches"]["stale"] == now["scans"]["size_bytes"] == 0
    assert now["jobs"] == []


def test_the_command_prints_the_same_numbers(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(settings.data_dir))
    printed = json.loads(CliRunner().invoke(build_cli(), ["status", "--json"]).stdout)
    assert printed == library_status(settings)
    table = CliRunner().invoke(build_cli(), ["status"]).stdout
    for words in ("5 scenes, 1 images", "media_corrupt: 1", "3: `stash-sense rematch`", "scan queued"):
        assert words in table
    jobs = CliRunner().invoke(build_cli(), ["jobs", "list", "--json"])
    assert json.loads(jobs.stdout)["params"] == {"ids": ["1"]}
    assert "cancelled" in CliRunner().invoke(build_cli(), ["jobs", "stop", "1"]).stdout
    assert "queued" in CliRunner().invoke(build_cli(), ["jobs", "retry", "1"]).stdout
