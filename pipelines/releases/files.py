"""The files of a released bundle: which kind it is, what its manifest states, and whether that is true.

Nothing is opened before its checksum was compared, except the manifest itself. What is in the files is for
`stash_sense`, `stash_sense2`, `delta` and `links` to say.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.errors import InputError, ReleaseCorrupt, ReleaseUnsupported
from pipelines.releases.archive import entry_sizes, read_entry
from pipelines.releases.facts import PACK_IDS, ReleaseFacts, ReleaseKind, Watch

MANIFEST = "manifest.json"
DELTA_MANIFEST = "delta_manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_JSON_BYTES = 256 << 20
"""Of one JSON file; performers.json with 366,794 faces has 26 MB."""

REQUIRED: Mapping[ReleaseKind, tuple[str, ...]] = {
    "stash-sense": (
        "performers.db",
        "face_facenet.voy",
        "face_arcface.voy",
        "faces.json",
        "performers.json",
        MANIFEST,
    ),
    "stash-sense2": ("performers.db", "face_embeddings.usearch", "faces.json", "performers.json", MANIFEST),
    "stash-sense2-delta": ("delta.db",),
    "stash-sense2-links": (),
    "stash-sense-ray": ("performers.parquet", "members.parquet", "faces.parquet", MANIFEST),
}
CHECKED: Mapping[ReleaseKind, tuple[str, ...]] = {
    "stash-sense": ("performers.db", "face_facenet.voy", "face_arcface.voy"),
    "stash-sense2": ("performers.db", "face_embeddings.usearch"),
    "stash-sense2-delta": ("delta.db",),
    "stash-sense2-links": (),
    "stash-sense-ray": ("performers.parquet", "members.parquet", "faces.parquet"),
}
"""Files that are never opened without a checksum."""
_DELTA_NAME = re.compile(r"stash-sense2-delta-(?P<start>[0-9A-Za-z._-]+?)-to-(?P<end>[0-9A-Za-z._-]+?)(?:\.zip)?")
_LINKS_NAME = re.compile(r"stash-sense2-links-(?P<end>[0-9A-Za-z._-]+?)(?:\.zip)?")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_AGAIN = "Download the release again."
_CHUNK = 4 << 20


def inspect(path: Path) -> ReleaseFacts:
    """Returns what a zip or folder says of itself, from its list of files and its manifest alone.

    Raises:
        InputError: there is no such file or folder.
        ReleaseCorrupt: it cannot be read, or a file that its kind must have is missing.
        ReleaseUnsupported: it is none of the known formats.
    """
    if path.is_dir():
        root = bundle_root(path)
        sizes = {p.name: p.stat().st_size for p in sorted(root.iterdir()) if p.is_file()}
        return _facts(path, sizes, lambda name: _read_file(root / name), sum(sizes.values()))
    if not path.is_file():
        raise InputError(f"There is no file or folder {path}.")
    entries = entry_sizes(path)
    inside = _only_folder(list(entries))
    sizes = {PurePosixPath(name).name: size for name, size in entries.items() if PurePosixPath(name).parent == inside}
    return _facts(
        path, sizes, lambda name: read_entry(path, str(inside / name), MAX_MANIFEST_BYTES), path.stat().st_size
    )


def bundle_root(folder: Path) -> Path:
    """Returns the folder that holds the files: the given one, or its only sub-folder when it holds no file."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    inside = [p for p in folder.iterdir() if not p.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def verify(folder: Path, facts: ReleaseFacts, watch: Watch) -> None:
    """Raises ReleaseCorrupt unless the stated checksum of every file that is there is right."""
    files = [name for name in facts.checksums if (folder / name).is_file()]
    total, done = sum((folder / name).stat().st_size for name in files), 0
    for name in files:
        digest = hashlib.sha256()
        with (folder / name).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                watch.step("verify", done, total)
        if digest.hexdigest() != facts.checksums[name]:
            raise ReleaseCorrupt(f"{name} is damaged: its sha256 is not the manifest's.", _AGAIN)


def read_json(path: Path) -> object:
    """Returns the content of a JSON file. Raises ReleaseCorrupt when it is none, or larger than any release has."""
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise ReleaseCorrupt(f"{path.name} has {size} bytes, at most {MAX_JSON_BYTES} are allowed.")
    return _parsed(path.name, path.read_bytes())


def as_list(value: object, file: str) -> list[object]:
    """Returns the value if it is a list. Raises ReleaseCorrupt that names the file."""
    if not isinstance(value, list):
        raise ReleaseCorrupt(f"{file} holds no list where one is expected.", _AGAIN)
    return value


def require_count(what: str, found: int, stated: int | None) -> None:
    """Raises ReleaseCorrupt when the manifest states another number."""
    if stated is not None and found != stated:
        raise ReleaseCorrupt(f"There are {found} {what}, the manifest states {stated}.", _AGAIN)


def _facts(path: Path, sizes: Mapping[str, int], read: Callable[[str], bytes], size_bytes: int) -> ReleaseFacts:
    kind = _kind(path, sizes)
    missing = [name for name in REQUIRED[kind] if name not in sizes]
    if missing:
        raise ReleaseCorrupt(f"{path.name} has no {', '.join(missing)}.", _AGAIN)
    manifest = _manifest(kind, sizes, read)
    start, end = _versions(kind, path, manifest)
    checksums = _checksums(manifest, path)
    unchecked = [name for name in CHECKED[kind] if name not in checksums]
    if unchecked:
        raise ReleaseCorrupt(f"{path.name} states no checksum of {', '.join(unchecked)}.", "It cannot be verified.")
    return ReleaseFacts(
        kind=kind,
        version=end,
        pack=PACK_IDS.get(kind) or _pack(manifest, path),
        from_version=start,
        performers=_count(manifest, "performer_count", path),
        faces=_count(manifest, "face_count", path),
        size_bytes=size_bytes,
        unpacked_bytes=sum(sizes.values()),
        checksums=checksums,
        models=_mapping(manifest.get("models", {}), path),
    )


def _kind(path: Path, sizes: Mapping[str, int]) -> ReleaseKind:
    if "faces.parquet" in sizes:
        return "stash-sense-ray"
    if "delta.db" in sizes:
        return "stash-sense2-delta"
    if "face_embeddings.usearch" in sizes:
        return "stash-sense2"
    if any(name.endswith(".voy") for name in sizes):
        return "stash-sense"
    if {"performer_links.json", "aliases.json"} & set(sizes) and "performers.db" not in sizes:
        return "stash-sense2-links"
    if "performers.db" in sizes:
        raise ReleaseCorrupt(f"{path.name} has a performers.db, but no index of its faces.", _AGAIN)
    raise ReleaseUnsupported(
        f"{path.name} is no released performer database.",
        "Expected are face_facenet.voy and face_arcface.voy, face_embeddings.usearch, delta.db, or faces.parquet.",
    )


def _manifest(kind: ReleaseKind, sizes: Mapping[str, int], read: Callable[[str], bytes]) -> dict[str, Any]:
    name = DELTA_MANIFEST if kind == "stash-sense2-delta" and DELTA_MANIFEST in sizes else MANIFEST
    if name not in sizes:
        return {}
    return _mapping(_parsed(name, read(name)), Path(name))


def _versions(kind: ReleaseKind, path: Path, manifest: Mapping[str, Any]) -> tuple[str | None, str]:
    """Returns the version that a delta builds on, and the version; where the manifest is silent, the name says it."""
    named = {"stash-sense2-delta": _DELTA_NAME, "stash-sense2-links": _LINKS_NAME}.get(kind)
    match = named.fullmatch(path.name) if named else None
    found = match.groupdict() if match else {}
    end = manifest.get("to_version") or manifest.get("version") or found.get("end") or ""
    start = (manifest.get("from_version") or found.get("start")) if kind == "stash-sense2-delta" else None
    needed = [end] if kind in {"stash-sense", "stash-sense2", "stash-sense-ray"} else []
    needed += [start, end] if kind == "stash-sense2-delta" else []
    for version in needed:
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise ReleaseCorrupt(f"{path.name} does not say which version it is, but {version!r}.", _AGAIN)
    return start, str(end)


def _pack(manifest: Mapping[str, Any], path: Path) -> str:
    """Returns the pack that an export names. Raises ReleaseCorrupt when it names none."""
    pack = manifest.get("pack")
    if not isinstance(pack, str) or not _VERSION.fullmatch(pack):
        raise ReleaseCorrupt(f"{path.name} does not say which pack its templates belong to, but {pack!r}.", _AGAIN)
    return pack


def _checksums(manifest: Mapping[str, Any], path: Path) -> dict[str, str]:
    found = {}
    for name, stated in _mapping(manifest.get("checksums", {}), path).items():
        match = _SHA256.fullmatch(stated) if isinstance(stated, str) else None
        if match is None or PurePosixPath(name).name != name:
            raise ReleaseCorrupt(f"The checksum of {name!r} is {stated!r}, must be sha256: and 64 hex digits.", _AGAIN)
        found[name] = match[1].lower()
    return found


def _count(manifest: Mapping[str, Any], name: str, path: Path) -> int | None:
    value = manifest.get(name)
    if value is not None and (not isinstance(value, int) or value < 0):
        raise ReleaseCorrupt(f"{path.name} states {name} {value!r}, must be a number.", _AGAIN)
    return value


def _mapping(value: object, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReleaseCorrupt(f"The manifest of {path.name} is not what a manifest is.", _AGAIN)
    return value


def _read_file(path: Path) -> bytes:
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ReleaseCorrupt(f"{path.name} is larger than {MAX_MANIFEST_BYTES} bytes.")
    return path.read_bytes()


def _parsed(name: str, content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReleaseCorrupt(f"{name} is no JSON: {error}.", _AGAIN) from error


def _only_folder(names: list[str]) -> PurePosixPath:
    """Returns the folder inside a zip that holds all its files, the top one by default."""
    folders = {PurePosixPath(name).parts[0] for name in names if len(PurePosixPath(name).parts) > 1}
    if len(folders) == 1 and all(len(PurePosixPath(name).parts) > 1 for name in names):
        return PurePosixPath(folders.pop())
    return PurePosixPath()
