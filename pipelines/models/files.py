"""Files on disk: digests, atomic writing, verifying against a pinned record, room on the disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.durable import rename_synced
from pipelines.errors import ModelChecksumMismatch, ModelContractMismatch, ModelFetchFailed
from pipelines.faces.packs import ModelFile

CHUNK_BYTES = 1 << 20
SPARE_BYTES = 64 << 20
"""Left free on the disk beyond the file itself."""

Progress = Callable[[str, int, int], None]
"""Told of each step as (file name, bytes done, bytes in all)."""


def no_progress(_file: str, _done_bytes: int, _total_bytes: int) -> None:
    """Shows nothing."""


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file's content, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_genuine(path: Path, expected: ModelFile) -> bool:
    """Returns whether the whole content is what the record pins: the same bytes, or the same graph where pinned."""
    if not path.is_file():
        return False
    if path.stat().st_size == expected.size_bytes and sha256_of(path) == expected.sha256:
        return True
    return has_pinned_graph(path, expected)


def has_pinned_graph(path: Path, expected: ModelFile) -> bool:
    """Returns whether a converted graph computes what the record pins, however its bytes were written."""
    if expected.graph_sha256 is None or path.stat().st_size > 2 * expected.size_bytes:
        return False
    from pipelines.models.graph import graph_sha256, parse  # onnx is slow to import and seldom needed here

    try:
        return graph_sha256(parse(path.read_bytes(), expected.name)) == expected.graph_sha256
    except ModelContractMismatch:
        return False


def require_genuine(path: Path, expected: ModelFile, hint: str) -> None:
    """Raises ModelChecksumMismatch unless the file is what the record pins."""
    if not is_genuine(path, expected):
        size = path.stat().st_size if path.is_file() else 0
        raise ModelChecksumMismatch(
            f"{expected.name} is not the expected file: it has {size} bytes, expected {expected.size_bytes} "
            f"with sha256 {expected.sha256[:12]}...",
            hint,
        )


@contextmanager
def replacing(destination: Path, mode: int = 0o644) -> Iterator[Path]:
    """Gives an empty temporary file beside `destination`; it is synced and renamed there if the block succeeds."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{destination.name}.", suffix=".tmp", dir=destination.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode)
        rename_synced(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)


def copy_genuine(source: Path, destination: Path, expected: ModelFile, progress: Progress = no_progress) -> None:
    """Copies a file and renames the copy into place once it is verified. Raises ModelChecksumMismatch."""
    require_space(destination.parent, expected.size_bytes)
    with replacing(destination) as temporary:
        with source.open("rb") as file, temporary.open("wb") as target:
            done = 0
            while chunk := file.read(CHUNK_BYTES):
                target.write(chunk)
                done += len(chunk)
                progress(expected.name, done, expected.size_bytes)
        require_genuine(temporary, expected, f"Put the right {expected.name} into {source.parent}.")


def require_space(folder: Path, size_bytes: int) -> None:
    """Raises ModelFetchFailed if the folder's disk has no room for that many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size_bytes + SPARE_BYTES:
        raise ModelFetchFailed(
            f"No room for {size_bytes >> 20} MiB in {folder}: {free >> 20} MiB are free, "
            f"and {SPARE_BYTES >> 20} MiB of them stay free.",
            "Free some space, or set STASH_SENSE_MODELS_DIR to a folder on another disk.",
        )
