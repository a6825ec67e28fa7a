"""Packs the built plugin for Stash's plugin manager: dist/stash-sense.zip and dist/index.yml, a source of one plugin.

The folder `dist` is the source, as file:///.../dist/index.yml or behind any web server. The same commit gives the same
bytes. Stash decides by `date` whether there is an update.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import subprocess
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
BUILT = REPOSITORY / "build" / "plugin" / "stash-sense"
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip knows; the same for all files, so that the bytes depend on the contents only."""


def pack(built: Path, folder: Path) -> Path:
    """Writes zip and index into a folder; returns the path of the index."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "stash-sense.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(path for path in built.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            entry = zipfile.ZipInfo(path.relative_to(built).as_posix(), EARLIEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            file.writestr(entry, path.read_bytes())
    manifest = (built / "stash-sense.yml").read_text()
    commit, date = _commit()
    lines = [
        "- id: stash-sense",
        f"  name: {_value(manifest, 'name')}",
        "  metadata:",
        f"    description: {_value(manifest, 'description')}",
        f"  version: {_value(manifest, 'version')}{commit and '-' + commit}",
        f"  date: {date:%Y-%m-%d %H:%M:%S}",
        f"  path: {archive.name}",
        f"  sha256: {hashlib.sha256(archive.read_bytes()).hexdigest()}",
    ]
    index = folder / "index.yml"
    index.write_text("\n".join(lines) + "\n")
    return index


def _value(manifest: str, key: str) -> str:
    found = re.search(rf"^{key}: (.+)$", manifest, re.MULTILINE)
    if found is None:
        raise ValueError(f"the manifest has no {key}")
    return found[1]


def _commit() -> tuple[str, dt.datetime]:
    """Returns short hash and time of the commit; "" and now outside of a checkout."""
    words = ["git", "log", "-1", "--format=%h %ct"]
    said = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S603
    if said.returncode:
        return "", dt.datetime.now(dt.UTC)
    commit, seconds = said.stdout.split()
    return commit, dt.datetime.fromtimestamp(int(seconds), dt.UTC)


if __name__ == "__main__":
    print(pack(BUILT, REPOSITORY / "dist"))  # noqa: T201 - what was made
