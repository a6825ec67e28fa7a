"""Changes on disk that survive a power cut: syncing and renaming. What is written is for the rooms to say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import NoSpace, NotWritable

if TYPE_CHECKING:
    import pyarrow as pa


def sync(path: Path) -> None:
    """Flushes a file's content, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_synced(source: Path, destination: Path) -> None:
    """Renames a file so that its content and its new name survive a power cut."""
    sync(source)
    source.replace(destination)
    sync(destination.parent)


def replace_text(path: Path, text: str) -> None:
    """Writes a text file so that readers, and whoever comes after a power cut, find the old text or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text)
        rename_synced(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def replace_table(path: Path, table: pa.Table) -> None:
    """Replaces a Parquet file, all of it or nothing. Raises NotWritable."""
    import pyarrow.parquet as pq

    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, partial, compression="zstd")
        rename_synced(partial, path)
    except OSError as error:
        raise NotWritable(f"{path} cannot be written: {error}.", "Free some space.") from error
    finally:
        partial.unlink(missing_ok=True)


def check_space(path: Path, needed_bytes: int) -> None:
    """Raises NoSpace when less is free where `path` is, or will be made; says what is needed and what is free."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    if free_bytes < needed_bytes:
        raise NoSpace(
            f"{path} needs {_size(needed_bytes)}, only {_size(free_bytes)} are free.",
            "Free some space or choose another data folder.",
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
