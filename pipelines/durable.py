"""Changes on disk that survive a power cut: syncing and renaming. What is written is for the rooms to say."""

from __future__ import annotations

import os
from pathlib import Path


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
