"""Settings of the running server: what is listed, what is refused, and that changes count at once, over HTTP."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from pipelines.setting_specs import SPECS
from pipelines.settings import Settings, load_settings
from pipelines.store.overrides import kept_overrides
from serve_app.hardware import gpu_names, this_machine
from tests.serve_app.conftest import LIMITS, Serving
from tests.serve_app.test_http_basics import assert_error
from tests.serve_app.test_http_identify import ok


@pytest.fixture(autouse=True)
def _as_before(client: httpx.Client) -> Iterator[None]:
    yield
    for record in ok(client.get("/settings"))["settings"]:
        if record["source"] == "override":
            ok(client.delete(f"/settings/{record['key']}"))


def records(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {record["key"]: record for record in ok(client.get("/settings"))["settings"]}


def test_every_setting_is_listed_with_value_source_and_range(client: httpx.Client, server: Serving) -> None:
    found = records(client)
    assert list(found) == list(Settings.model_fields)
    top_k = found["top_k"]
    assert (top_k["value"], top_k["active"], top_k["default"], top_k["source"]) == (5, 5, 5, "default")
    assert (top_k["minimum"], top_k["maximum"], top_k["type"], top_k["applies"]) == (1, 50, "integer", "now")
    assert found["max_body_mb"]["source"] == "env"
    assert found["max_body_mb"]["value"] == int(LIMITS["MAX_BODY_MB"])
    assert found["data_dir"]["value"] == str(server.data_dir)
    assert found["proxy"]["choices"] == ["auto", "default", "haproxy"]
    assert found["engine_replicas"]["applies"] == "restart"
    assert ok(client.get("/settings/top_k")) == top_k


def test_secrets_are_never_shown(client: httpx.Client, server: Serving) -> None:
    ok(client.put("/settings/stash_api_key", json={"value": "very-secret-word"}))
    text = client.get("/settings").text
    assert "very-secret-word" not in text
    assert server.key not in text
    found = records(client)
    assert (found["stash_api_key"]["value"], found["stash_api_key"]["is_set"]) == (None, True)
    assert found["api_key"]["is_set"]
    assert (found["stash_api_key"]["source"], found["stash_api_key"]["active"]) == ("override", None)
    ok(client.put("/settings/stash_api_key", json={"value": None}))
    assert not ok(client.get("/settings/stash_api_key"))["is_set"]


def test_settings_ask_for_the_key(server: Serving) -> None:
    for method, route in (
        ("GET", "/settings"),
        ("PUT", "/settings"),
        ("DELETE", "/settings/top_k"),
        ("GET", "/system"),
    ):
        assert_error(httpx.request(method, server.url + route), 401, "unauthorized")


def test_unknown_keys(client: httpx.Client) -> None:
    for method in ("GET", "DELETE"):
        assert_error(client.request(method, "/settings/nonsense"), 404, "setting_unknown")
    assert_error(client.put("/settings/nonsense", json={"value": 1}), 404, "setting_unknown")
    error = assert_error(client.put("/settings", json={"settings": {"nonsense": 1}}), 422, "bad_input")
    assert "nonsense" in error["message"]


@pytest.mark.parametrize(("value", "said"), [(0, "1 to 50"), ("7", "whole number"), (None, "whole number")])
def test_wrong_values_are_named_with_the_range(client: httpx.Client, value: object, said: str) -> None:
    error = assert_error(client.put("/settings/top_k", json={"value": value}), 422, "bad_input")
    assert "top_k" in error["message"]
    assert said in error["message"]


def test_what_the_environment_sets_cannot_be_changed(client: httpx.Client) -> None:
    error = assert_error(client.put("/settings/max_body_mb", json={"value": 9}), 409, "setting_fixed")
    assert "STASH_SENSE_MAX_BODY_MB" in error["message"]
    assert records(client)["max_body_mb"]["value"] == int(LIMITS["MAX_BODY_MB"])


@pytest.mark.parametrize("key", ["data_dir", "host", "api_key", "allowed_roots", "allowed_hosts", "state_url"])
def test_what_guards_the_machine_is_not_changed_over_http(client: httpx.Client, key: str) -> None:
    error = assert_error(client.put(f"/settings/{key}", json={"value": SPECS[key].default}), 409, "setting_fixed")
    assert SPECS[key].variable in error["message"]


def test_bulk_changes_all_or_none(client: httpx.Client, server: Serving) -> None:
    wrong = {"top_k": 3, "frames_per_scene": 10_000, "engine_replicas": 0, "max_body_mb": 3, "max_side_px": 640}
    error = assert_error(client.put("/settings", json={"settings": wrong}), 422, "bad_input")
    for said in ("frames_per_scene", "5 to 600", "engine_replicas", "1 to 64", "STASH_SENSE_MAX_BODY_MB"):
        assert said in error["message"]
    assert "top_k" not in error["message"]
    assert records(client)["top_k"]["value"] == 5
    ok(client.put("/settings", json={"settings": {"top_k": 3, "max_side_px": 640}}))
    found = records(client)
    assert [(found[k]["value"], found[k]["source"]) for k in ("top_k", "max_side_px")] == [
        (3, "override"),
        (640, "override"),
    ]
    assert kept_overrides(f"sqlite:///{server.data_dir / 'state.db'}") == {"top_k": 3, "max_side_px": 640}


@pytest.mark.parametrize("body", [{}, {"settings": {}}, {"settings": []}, {"top_k": 1}, []])
def test_bodies_that_are_no_change(client: httpx.Client, body: object) -> None:
    assert_error(client.put("/settings", json=body), 422, "bad_input")


def test_restart_settings_wait_for_the_next_start(
    client: httpx.Client, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = ok(client.put("/settings/engine_batch_size", json={"value": 4}))
    assert (changed["value"], changed["active"], changed["restart_needed"]) == (4, 16, True)
    for name in [n for n in os.environ if n.startswith("STASH_SENSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(server.data_dir))
    assert load_settings().engine_batch_size == 4
    back = ok(client.delete("/settings/engine_batch_size"))
    assert (back["value"], back["source"], back["restart_needed"]) == (16, "default", False)
    assert load_settings().engine_batch_size == 16


def test_candidates_follow_top_k_at_once(client: httpx.Client, data: Path) -> None:
    def candidates() -> int:
        path = {"path": str(data / "faces/people/joe_biden/01.jpg")}
        return len(ok(client.post("/identify/image", json=path))["people"][0]["candidates"])

    assert candidates() == 5
    ok(client.put("/settings/top_k", json={"value": 2}))
    assert candidates() == 2
    assert ok(client.get("/capabilities"))["defaults"]["top_k"] == 2
    ok(client.delete("/settings/top_k"))
    assert candidates() == 5


def test_videos_follow_the_settings_at_once(client: httpx.Client, data: Path) -> None:
    def answer() -> dict[str, Any]:
        return ok(client.post("/identify/scene", json={"path": str(data / "video/derived/signers_mix2.mp4")}))

    ok(client.put("/settings", json={"settings": {"frames_per_scene": 9, "end_fraction": 0.5, "min_unique_frames": 2}}))
    few = answer()
    assert few["frames"] == 9
    assert few["people"]
    assert all(person["best"]["time_s"] <= 0.55 * few["duration_s"] for person in few["people"])
    ok(client.put("/settings/min_unique_frames", json={"value": 9}))
    assert len(answer()["people"]) < len(few["people"])
    ok(client.put("/settings/decode_timeout_s", json={"value": 1e-6}))
    late = client.post("/identify/scene", json={"path": str(data / "video/derived/signers_mix2.mp4")})
    assert_error(late, 504, "media_timeout")


def test_limits_follow_the_settings_at_once(client: httpx.Client, data: Path) -> None:
    paths = {"paths": [str(data / "faces/people/signer_a/01.jpg")] * 2}
    assert records(client)["max_gallery_images"]["source"] == "file"
    ok(client.post("/identify/gallery", json=paths))
    ok(client.put("/settings", json={"settings": {"max_gallery_images": 1, "max_image_megapixels": 1}}))
    assert_error(client.post("/identify/gallery", json=paths), 413, "limit_exceeded")
    file = io.BytesIO()
    Image.new("L", (1500, 1000)).save(file, "PNG")
    assert_error(client.post("/identify/image", files={"file": file.getvalue()}), 413, "limit_exceeded")
    ok(client.delete("/settings/max_image_megapixels"))
    ok(client.post("/identify/image", files={"file": file.getvalue()}))


def test_system(client: httpx.Client) -> None:
    answer = ok(client.get("/system"))
    assert answer["version"]
    assert answer["uptime_s"] > 0
    assert answer["hardware"]["cpu_threads"] == psutil.cpu_count()
    assert answer["hardware"]["memory_total_mb"] == psutil.virtual_memory().total // 1_000_000
    assert answer["hardware"]["storage_free_mb"] > 0
    assert answer["execution_providers"] == ["CPUExecutionProvider"]
    assert answer["ray"]["nodes"] == 1
    assert answer["ray"]["cpus"] >= answer["ray"]["cpus_free"] >= 0


def test_cards_are_named_without_asking_them(tmp_path: Path) -> None:
    assert gpu_names(tmp_path / "none") == []
    for number, model in enumerate(("Card One", "Card Two")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text(f"Model: \t\t {model}\nIRQ:   11\n")
    assert gpu_names(tmp_path) == ["Card One", "Card Two"]
    assert this_machine(tmp_path / "not" / "made" / "yet")["storage_free_mb"] > 0
