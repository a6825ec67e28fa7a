"""Settings: where values come from, what is refused, and that every setting is read by something."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from pipelines.faces.catalogue import PACKS
from pipelines.setting_specs import SPECS, checked
from pipelines.settings import Category, SettingLayers, Settings, load_settings, resolve_settings
from pipelines.store.overrides import SettingOverrides
from pipelines.store.sql import open_store

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STASH_SENSE_{name.upper()}", raising=False)
    monkeypatch.setenv("STASH_SENSE_DATA_DIR", str(tmp_path))


def test_environment_wins_over_file_wins_over_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "settings.toml").write_text('port = 7001\nframes_per_scene = 30\nallowed_hosts = ["box:9999"]\n')
    monkeypatch.setenv("STASH_SENSE_PORT", "7002")
    settings = load_settings()
    assert (settings.port, settings.frames_per_scene, settings.min_unique_frames) == (7002, 30, 2)
    assert settings.allowed_hosts == ("box:9999",)
    assert settings.models_path == tmp_path / "models"


def test_unknown_keys_of_the_file_are_refused(tmp_path: Path):
    (tmp_path / "settings.toml").write_text("prot = 7001\n")
    with pytest.raises(ValidationError, match="prot"):
        load_settings()


@pytest.mark.parametrize(
    ("key", "value"), [("PORT", "0"), ("PORT", "nonsense"), ("END_FRACTION", "1.5"), ("PROXY", "nginx")]
)
def test_values_out_of_range_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, key: str, value: str):
    monkeypatch.setenv(f"STASH_SENSE_{key}", value)
    with pytest.raises(ValidationError, match=key.lower()):
        load_settings()


def test_the_api_key_is_not_in_the_representation():
    assert "hush" not in repr(Settings(api_key="hush"))


HOLDERS = {"settings", "_settings", "args", "base"}
"""What a record of settings is called wherever it is held."""


def held(node: ast.expr) -> bool:
    """Whether an expression is a record of settings: `settings`, `self._settings`, `context.settings`, ..."""
    return (isinstance(node, ast.Name) and node.id in HOLDERS) or (
        isinstance(node, ast.Attribute) and node.attr in HOLDERS
    )


def names_read(tree: ast.AST) -> set[str]:
    """Returns the attributes that are read from a record of settings, by dot or by `getattr` over words."""
    read = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and held(n.value)}
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
        if any(isinstance(c.func, ast.Name) and c.func.id == "getattr" and held(c.args[0]) for c in calls):
            read |= {n.value for n in ast.walk(function) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return read


def test_every_setting_is_read_by_something():
    """By attribute access in code, not by mere words; the table itself reads only through its own properties."""
    read: set[str] = set()
    for room in ("pipelines", "serve_app"):
        for path in (REPOSITORY / room).rglob("*.py"):
            read |= names_read(ast.parse(path.read_text()))
    table = ast.parse((REPOSITORY / "pipelines" / "settings.py").read_text())
    (settings,) = [n for n in table.body if isinstance(n, ast.ClassDef) and n.name == "Settings"]
    for made in (n for n in settings.body if isinstance(n, ast.FunctionDef) and n.name in read):
        read |= {n.attr for n in ast.walk(made) if isinstance(n, ast.Attribute)} | {"data_dir"}
    assert [name for name in Settings.model_fields if name not in read] == []


def test_an_unread_setting_would_be_noticed():
    assert names_read(ast.parse("def f(settings):\n    return settings.port, other.host")) == {"port"}


def test_every_setting_says_what_it_is():
    for key, spec in SPECS.items():
        assert spec.description.endswith("."), key
        assert spec.category in get_args(Category), key
        assert spec.type in {"integer", "number", "string", "list", "boolean"}, key
        if spec.type in {"integer", "number"}:
            assert spec.above is not None or (spec.minimum is not None and spec.maximum is not None), key
        if not spec.secret and not spec.fixed:
            assert checked(key, spec.default) == Settings.model_fields[key].default, key


def test_packs_that_may_be_set_are_those_that_exist():
    assert set(SPECS["pack"].choices) == set(PACKS)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("top_k", 0, "1 to 50"),
        ("top_k", "7", "whole number"),
        ("top_k", True, "whole number"),
        ("top_k", None, "whole number"),
        ("decode_timeout_s", float("nan"), "above 0"),
        ("decode_timeout_s", float("inf"), "above 0"),
        ("pack", "antelope", "open, open-dlib"),
        ("path_map", ["/no/target"], "list of texts"),
        ("path_map", "/a=/b", "list of texts"),
        ("stash_url", "file:///etc/passwd", "text or null"),
        ("port", 80, "STASH_SENSE_PORT"),
        ("nonsense", 1, "no such setting"),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(key: str, value: object, said: str):
    with pytest.raises(ValueError, match=said):
        checked(key, value)


def test_overrides_stand_between_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "settings.toml").write_text("top_k = 6\nframes_per_scene = 30\nmax_side_px = 640\n")
    monkeypatch.setenv("STASH_SENSE_TOP_K", "7")
    laid = SettingLayers.read().under({"top_k": 8, "frames_per_scene": 20, "min_unique_frames": 4})
    chosen = {k: (getattr(laid.settings, k), laid.sources[k]) for k in ("top_k", "frames_per_scene", "max_side_px")}
    assert chosen == {"top_k": (7, "env"), "frames_per_scene": (20, "override"), "max_side_px": (640, "file")}
    assert (laid.settings.min_unique_frames, laid.sources["min_unique_frames"]) == (4, "override")
    assert laid.sources["end_fraction"] == "default"
    assert set(laid.ignored) == {"top_k"}


def test_kept_overrides_count_at_the_next_start(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Also those of settings that a running server does not change; those that are not valid any more only warn."""
    assert load_settings().top_k == 5
    assert not (tmp_path / "state.db").exists()
    store = open_store(load_settings().store_url)
    values = {
        "engine_threads": 3,
        "path_map": ["/a=/b"],
        "stash_url": None,
        "max_side_px": 99_999,
        "gone": 1,
        "port": 1,
    }
    SettingOverrides(store).put(values)
    store.close()
    resolution = resolve_settings()
    assert (resolution.settings.engine_threads, resolution.settings.path_map) == (3, ("/a=/b",))
    assert {k for k, s in resolution.sources.items() if s == "override"} == {"engine_threads", "path_map", "stash_url"}
    assert set(resolution.ignored) == {"max_side_px", "gone", "port"}
    assert (resolution.settings.max_side_px, resolution.settings.port) == (1280, 6960)
    assert "max_side_px" in caplog.text
    assert "320 to 4096" in caplog.text


def test_a_store_that_cannot_be_read_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "state.db").write_bytes(b"no database at all" * 100)
    assert load_settings().top_k == 5
    assert "cannot be read" in caplog.text
