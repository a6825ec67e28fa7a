"""Plugins as Stash has them: strict manifests, their settings, and the `raw` protocol of their processes.

From the public source of Stash (pkg/plugin: config.go, args.go, raw.go, log.go, plugins.go), as of January 2026.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.stash.library import NIL_POINTER, StashFailure

KEYS = {"name", "description", "url", "version", "interface", "exec", "errLog", "tasks", "hooks", "settings", "ui"}
UI_KEYS = {"requires", "javascript", "css", "assets", "csp"}
CSP_KEYS = {"script-src", "style-src", "connect-src"}
SETTING_KEYS = {"displayName", "description", "type"}
SETTING_TYPES = {"STRING", "NUMBER", "BOOLEAN"}
LEVELS = {"t": "trace", "d": "debug", "i": "info", "w": "warning", "e": "error", "p": "progress"}
LONGEST_LINE = 64 * 1024
PYTHON = {"python", "python3"}


class BadManifest(ValueError):
    """The plugin does not load."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin that loaded. `manifest` is its YAML."""

    id: str
    path: Path
    manifest: dict[str, Any]

    def files(self, kind: str) -> list[Path]:
        """Returns the files of "javascript" or "css", in order."""
        return [self.path.parent / name for name in self.manifest.get("ui", {}).get(kind, [])]

    def csp(self, directive: str) -> list[str]:
        found: list[str] = self.manifest.get("ui", {}).get("csp", {}).get(directive, [])
        return found


def load_plugin(path: Path) -> Plugin:
    """Returns the plugin of a manifest. Raises BadManifest, as Stash's strict parser does for any unknown key."""
    manifest = yaml.safe_load(path.read_text())
    if not isinstance(manifest, dict):
        raise BadManifest(f"{path.name}: not a mapping")
    _known(manifest, KEYS, path.name)
    if not isinstance(manifest.get("name"), str):
        raise BadManifest(f"{path.name}: no name")
    if not isinstance(manifest.get("version", ""), str):
        raise BadManifest(f"{path.name}: version must be a string")
    for key, setting in manifest.get("settings", {}).items():
        _known(setting, SETTING_KEYS, f"settings.{key}")
        if setting.get("type") not in SETTING_TYPES:
            raise BadManifest(f"settings.{key}: invalid setting type {setting.get('type')!r}")
    ui = manifest.get("ui", {})
    _known(ui, UI_KEYS, "ui")
    _known(ui.get("csp", {}), CSP_KEYS, "ui.csp")
    if manifest.get("interface", "raw") not in {"raw", "rpc", "js"}:
        raise BadManifest(f"invalid interface {manifest['interface']!r}")
    return Plugin(path.stem, path, manifest)


def _known(given: dict[str, Any], known: set[str], where: str) -> None:
    if unknown := set(given) - known:
        raise BadManifest(f"{where}: field {min(unknown)} not found")


@dataclass
class Plugins:
    """The plugins folder of a Stash.

    Attributes:
        settings: what users set, by plugin.
        log: (level, text) of every line that plugins wrote to stderr, and of the log reader itself.
        calls: how many processes were started.
    """

    folder: Path | None = None
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> list[Plugin]:
        """Returns what loads; every *.yml below the folder is taken for a plugin, what does not load is logged."""
        found = []
        for path in sorted(self.folder.rglob("*.yml")) if self.folder else []:
            try:
                found.append(load_plugin(path))
            except (BadManifest, yaml.YAMLError) as error:
                self.log.append(("error", f"Error loading plugin {path}: {error}"))
        return found

    def one(self, plugin_id: str) -> Plugin | None:
        return next((plugin for plugin in self.all() if plugin.id == plugin_id), None)

    def run(self, plugin_id: str, args: dict[str, Any], connection: dict[str, Any]) -> Any:
        """Returns the output of one operation. Raises StashFailure with the plugin's error."""
        plugin = self.one(plugin_id)
        if plugin is None:
            raise StashFailure(NIL_POINTER)
        with self._lock:
            self.calls += 1
        connection = {**connection, "PluginDir": str(plugin.path.parent)}
        process = subprocess.Popen(
            _command(plugin),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(plugin.path.parent.parent)},
            cwd="/",
        )
        given = json.dumps({"server_connection": connection, "args": args}).encode()
        out, err = process.communicate(given)
        self._note(err, plugin)
        output, error = _output(out)
        if process.returncode and error is None:
            error = f"exit status {process.returncode}"
        if error is not None:
            raise StashFailure(error)
        return output

    def _note(self, err: bytes, plugin: Plugin) -> None:
        default = plugin.manifest.get("errLog", "error")
        for line in err.decode(errors="replace").splitlines():
            if len(line) > LONGEST_LINE:
                self.log.append(("error", "bufio.Scanner: token too long"))
                return
            if len(line) > 2 and line[0] == "\x01" and line[2] == "\x02" and line[1] in LEVELS:
                self.log.append((LEVELS[line[1]], line[3:]))
            else:
                self.log.append((default, line))


def _command(plugin: Plugin) -> list[str]:
    """`{pluginDir}` is replaced in all but the first word; python is the configured one."""
    first, *rest = plugin.manifest["exec"]
    rest = [word.replace("{pluginDir}", str(plugin.path.parent)) for word in rest]
    return [sys.executable if first in PYTHON else first, *rest]


def _output(out: bytes) -> tuple[Any, str | None]:
    """What is no JSON object with "error" and "output" becomes the output as text."""
    try:
        said = json.loads(out)
    except ValueError:
        return out.decode(errors="replace"), None
    if not isinstance(said, dict) or not isinstance(said.get("error"), str | None):
        return out.decode(errors="replace"), None
    return said.get("output"), said.get("error")
