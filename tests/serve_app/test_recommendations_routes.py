"""Recommendations over HTTP: the app in this process over a store of its own, without Ray, engine or Stash."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from pipelines.analyzers.registry import ANALYZERS
from pipelines.settings import SettingLayers, Settings
from pipelines.store.analyzers import AnalyzerStore
from pipelines.store.recommendation_records import Finding
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import Store, open_store
from serve_app.api import create_api
from serve_app.crops import Crops
from serve_app.job_queue import JobQueue
from serve_app.keys import digest
from serve_app.live_settings import LiveSettings
from serve_app.services import Services
from serve_app.stash_sources import StashSources
from tests.serve_app.test_http_basics import assert_error

KEY = "key-of-the-test"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(Settings(data_dir=tmp_path).store_url)
    yield opened
    opened.close()


@pytest.fixture
def kept(store: Store) -> RecommendationStore:
    """Ten pairs of scenes and two scenes with several files."""
    kept = RecommendationStore(store)
    pairs = [
        Finding("scene", f"{n}:{n + 100}", "f", f"e{n}", f"Pair {n:02}", "Same key frames.", 10.0 * n, {"n": n})
        for n in range(1, 11)
    ]
    kept.apply("duplicate_scenes", 1, pairs)
    files = [Finding("scene", str(n), "f", "e", "=Files", "2 files.", 95.0, keywords=("/data/x",)) for n in (1, 2)]
    kept.apply("duplicate_scene_files", 2, files)
    return kept


@pytest.fixture
def client(tmp_path: Path, kept: RecommendationStore) -> Iterator[httpx.Client]:
    settings = Settings(data_dir=tmp_path)
    layers = SettingLayers(settings, {})
    live = LiveSettings(layers, layers.under({}))
    jobs = JobQueue(settings.store_url)
    crops = Crops(digest(KEY), tmp_path / "crops")
    services = Services(live, None, None, jobs, digest(KEY), StashSources(live), crops)
    with TestClient(create_api(services), headers={"ApiKey": KEY}) as client:
        yield client


def got(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()


def targets(client: httpx.Client, query: str) -> list[str]:
    return [one["target_id"] for one in got(client.get(f"/recommendations?{query}"))["recommendations"]]


def test_the_key_is_wanted(client: httpx.Client):
    assert_error(client.get("/recommendations", headers={"ApiKey": "x"}), 401, "unauthorized")


def test_pages_filters_and_search(client: httpx.Client):
    first = got(client.get("/recommendations?limit=4"))
    assert first["total"] == 12
    assert [one["target_id"] for one in first["recommendations"]] == ["10:110", "1", "2", "9:109"]
    assert targets(client, f"limit=4&cursor={first['next_cursor']}") == ["8:108", "7:107", "6:106", "5:105"]
    assert targets(client, "type=duplicate_scenes&type=nothing&min_confidence=90") == ["10:110", "9:109"]
    assert targets(client, "target_type=scene&target_id=1") == ["1", "1:101"]
    assert targets(client, "q=pair+07") == ["7:107"]
    assert targets(client, "sort=title&limit=2") == ["1", "2"]
    assert targets(client, "status=dismissed&status=closed") == []
    one = got(client.get(f"/recommendations/{first['recommendations'][0]['id']}"))
    assert one == first["recommendations"][0]
    assert (one["details"], one["dismissal"], one["status"], one["evidence"]) == ({"n": 10}, None, "pending", "e10")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=open", "status"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("sort=size", "sort"),
        ("cursor=x", "cursor"),
        ("min_confidence=101", "min_confidence"),
        ("target_type=tag", "target_type"),
        ("nonsense=1", "nonsense"),
        ("type=Bad-Type", "type"),
    ],
)
def test_wrong_queries_say_what_is_wrong(client: httpx.Client, query: str, field: str):
    answered = client.get(f"/recommendations?{query}")
    assert_error(answered, 422, "bad_input")
    assert field in answered.json()["message"]


def test_counts_name_every_type(client: httpx.Client):
    counted = got(client.get("/recommendations/counts"))
    assert counted["pending"] == 12
    assert counted["types"]["duplicate_scenes"] == {"pending": 10, "resolved": 0, "dismissed": 0, "closed": 0}
    assert {kind.id for kind in ANALYZERS} <= set(counted["types"])


def test_types_say_what_can_be_done_and_how_the_last_run_ended(client: httpx.Client, store: Store):
    analyzers = AnalyzerStore(store)
    run_id, _ = analyzers.begin("duplicate_scene_files", full=True, logic_version=1)
    analyzers.plan("duplicate_scene_files", ["1", "2"], {}, logic_version=1, everything=True)
    analyzers.end(run_id, "stopped", {"evaluated": 3})
    found = {kind["id"]: kind for kind in got(client.get("/recommendations/types"))["types"]}
    assert list(found) == [kind.id for kind in ANALYZERS]
    files = found["duplicate_scene_files"]
    assert (files["job"], files["target_type"], files["waiting"]) == ("analyze_duplicate_scene_files", "scene", 2)
    assert [a["id"] for a in files["actions"] if a["destructive"]] == ["delete_scene_files"]
    assert (files["last_run"]["state"], files["last_run"]["counts"]) == ("stopped", {"evaluated": 3})
    assert files["watermark_at"] is None
    assert "keeper_file_id" in files["details"]["properties"]


def test_dismiss_and_restore_one(client: httpx.Client):
    own = got(client.get("/recommendations?limit=1"))["recommendations"][0]["id"]
    path = f"/recommendations/{own}"
    dismissed = got(client.post(f"{path}/dismiss", json={"mode": "forever", "reason": "Not the same."}))
    assert (dismissed["status"], dismissed["dismissal"]["reason"]) == ("dismissed", "Not the same.")
    assert got(client.post(f"{path}/restore"))["status"] == "pending"
    assert_error(client.post(f"{path}/dismiss", json={"mode": "sometimes"}), 422, "bad_input")
    assert_error(client.post("/recommendations/999/dismiss", json={"mode": "forever"}), 404, "recommendation_unknown")
    assert_error(client.get("/recommendations/0"), 422, "bad_input")


def test_what_is_closed_can_neither_be_dismissed_nor_restored(client: httpx.Client, kept: RecommendationStore):
    own = got(client.get("/recommendations?limit=1"))["recommendations"][0]["id"]
    kept.close_missing("duplicate_scenes", 9, "It was fixed.")
    for route, body in (("dismiss", {"mode": "forever"}), ("restore", None)):
        answered = client.post(f"/recommendations/{own}/{route}", json=body)
        assert_error(answered, 409, "recommendation_conflict")
        assert "It was fixed" in answered.json()["message"]


def test_bulk_dismissal_and_its_undoing(client: httpx.Client):
    body = {"filter": {"type": ["duplicate_scenes"], "min_confidence": 50}, "mode": "until_changed"}
    done = got(client.post("/recommendations/dismiss", json=body))
    assert done["changed"] == 6
    assert got(client.get("/recommendations/counts"))["pending"] == 6
    assert got(client.post("/recommendations/restore", json={"batch": done["batch"]}))["changed"] == 6
    assert_error(client.post("/recommendations/restore", json={"batch": done["batch"]}), 404, "recommendation_unknown")
    by_ids = got(client.post("/recommendations/dismiss", json={"ids": [1, 2, 999], "mode": "forever"}))
    assert by_ids["changed"] == 2
    assert got(client.post("/recommendations/restore", json={"filter": {}}))["changed"] == 2
    for body in ({}, {"ids": [1], "filter": {}}, {"ids": [0]}, {"filter": {"types": []}}):
        assert_error(client.post("/recommendations/dismiss", json={"mode": "forever", **body}), 422, "bad_input")
    assert_error(client.post("/recommendations/restore", json={}), 422, "bad_input")


def test_everything_as_csv(client: httpx.Client):
    answered = client.get("/recommendations/export?format=csv")
    assert answered.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answered.text)))
    assert [row["target_id"] for row in rows] == [*(f"{n}:{n + 100}" for n in range(1, 11)), "1", "2"]
    assert json.loads(rows[0]["details"]) == {"n": 1}
    assert rows[-1]["title"] == "'=Files"


def test_everything_as_parquet(client: httpx.Client, kept: RecommendationStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.store.recommendations.EXPORT_AT_ONCE", 5)
    kept.dismiss([1], "forever", "Enough.")
    answered = client.get("/recommendations/export?format=parquet&type=duplicate_scenes")
    table = pq.read_table(io.BytesIO(answered.content))
    assert table["target_id"].to_pylist() == [f"{n}:{n + 100}" for n in range(1, 11)]
    assert table["dismissal_reason"].to_pylist()[:2] == ["Enough.", None]
    empty = client.get("/recommendations/export?format=parquet&type=nothing")
    assert pq.read_table(io.BytesIO(empty.content)).num_rows == 0


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_an_export_is_made_once_and_fetched_in_pieces(client: httpx.Client, tmp_path: Path, format_: str):
    made = client.post(f"/recommendations/exports?format={format_}&type=duplicate_scenes").json()
    assert made["name"] == f"recommendations.{format_}"
    url = f"/recommendations/exports/{made['id']}"
    client.post("/recommendations/dismiss", json={"filter": {}, "mode": "forever"})  # the file stays what it was
    pieces = []
    for start in range(0, made["size_bytes"], 700):
        answered = client.get(url, headers={"Range": f"bytes={start}-{start + 699}"})
        assert answered.status_code == 206
        assert answered.headers["content-range"].endswith(f"/{made['size_bytes']}")
        pieces.append(answered.content)
    whole = b"".join(pieces)
    assert whole == client.get(url).content
    rows = (
        list(csv.DictReader(io.StringIO(whole.decode())))
        if format_ == "csv"
        else pq.read_table(io.BytesIO(whole)).to_pylist()
    )
    assert ({row["type"] for row in rows}, {row["status"] for row in rows}) == ({"duplicate_scenes"}, {"pending"})
    assert len(rows) == 10
    assert client.delete(url).json() == {"removed": made["id"]}
    for gone in (client.get(url), client.delete(url)):
        assert_error(gone, 404, "export_unknown")
    assert list((tmp_path / "exports" / ".recommendations").iterdir()) == []
    assert client.get("/recommendations/exports/../../api-key").status_code == 404
