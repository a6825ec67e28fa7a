"""Settings of a running server without the server: what applies now, what waits, what comes from where."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InputError, SettingFixed
from pipelines.settings import SettingLayers, Settings, layers_behind, resolve_settings
from serve_app.app import ServeArgs, build
from serve_app.live_settings import LiveSettings


@pytest.fixture(autouse=True)
def _own_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STASH_SENSE_{name.upper()}", raising=False)
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))


def live() -> LiveSettings:
    layers = SettingLayers.read()
    return LiveSettings(layers, resolve_settings(layers))


def test_changes_apply_now_or_wait_and_survive() -> None:
    one = live()
    asyncio.run(one.put({"top_k": 3, "engine_threads": 4}))
    assert (one.settings.top_k, one.settings.engine_threads) == (3, 0)
    assert one.changed == {"top_k": 3}
    assert [one.record("engine_threads")[k] for k in ("value", "active", "restart_needed")] == [4, 0, True]
    again = live()
    assert (again.settings.top_k, again.settings.engine_threads) == (3, 4)
    assert again.changed == {}
    asyncio.run(again.reset({"top_k"}))
    assert again.changed == {"top_k": 5}


def test_nothing_is_changed_when_anything_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STASH_SENSE_MAX_SIDE_PX", "640")
    one = live()
    for values, error in (
        ({"top_k": 3, "frames_per_scene": 0}, InputError),
        ({"top_k": 3, "nonsense": 0}, InputError),
        ({"top_k": 3, "max_side_px": 700}, SettingFixed),
        ({"top_k": 3, "data_dir": "/"}, SettingFixed),
    ):
        with pytest.raises(error):
            asyncio.run(one.put(values))
    assert one.settings.top_k == 5
    assert live().record("top_k")["source"] == "default"


def test_an_invalid_override_shows_why_it_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(live().put({"max_side_px": 700}))
    monkeypatch.setenv("STASH_SENSE_MAX_SIDE_PX", "640")
    record = live().record("max_side_px")
    assert (record["value"], record["source"]) == (640, "env")
    assert "STASH_SENSE_MAX_SIDE_PX" in record["ignored_override"]


def test_what_the_server_was_started_with_is_an_argument(tmp_path: Path) -> None:
    asyncio.run(live().put({"top_k": 7, "engine_threads": 2}))
    args: Any = ServeArgs(engine_threads=3, port=7000)
    layers = layers_behind(args)
    resolution = resolve_settings(layers)
    chosen = {k: (getattr(resolution.settings, k), resolution.sources[k]) for k in ("engine_threads", "port", "top_k")}
    assert chosen == {"engine_threads": (3, "argument"), "port": (7000, "argument"), "top_k": (7, "override")}
    with pytest.raises(SettingFixed, match="where the server was started"):
        asyncio.run(LiveSettings(layers, resolution).put({"engine_threads": 5}))


def test_settings_resolved_before_are_no_arguments() -> None:
    asyncio.run(live().put({"top_k": 7}))
    resolved = resolve_settings().settings
    again = resolve_settings(layers_behind(resolved))
    assert (again.settings.top_k, again.sources["top_k"]) == (7, "override")


def test_the_key_does_not_reach_the_ingress() -> None:
    application = build(ServeArgs(api_key="a-secret-key"))
    layers, started, *_ = application._bound_deployment.init_args
    assert layers.base.api_key is None
    assert started.settings.api_key is None
