"""The evidence cache: grids of files in a folder of bounded size, so that a file in many pairs is decoded once.

A grid is found by the file's fingerprint, what of the file it is, and the version of grids. Processes may share a
folder: files appear whole, the least recently used go first, and a damaged one counts as one that was never there.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.duplicates.grid import GRID_VERSION, Grid

LARGEST_BYTES = 4 << 30
"""About 9,000 files of two minutes with 430 kB each; what is decoded again costs time only."""

_PRUNE_SHARE = 0.9
_WRITES_A_LOOK = 32
"""The folder is looked at after so many grids, in between a process may go about 32 MB beyond what is allowed."""

_ARRAYS = ("times_s", "pdq", "mirrored", "thumbs", "contrast")


class EvidenceCache:
    """Grids in `folder`, at most about `largest_bytes` of them."""

    def __init__(self, folder: Path, largest_bytes: int = LARGEST_BYTES) -> None:
        self._folder = folder
        self._largest_bytes = largest_bytes
        self._writes = 0

    def get(self, fingerprint: str, part: str) -> Grid | None:
        """Returns a grid that was put, None when it is not there (any more)."""
        path = self._path(fingerprint, part)
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = [stored[name] for name in _ARRAYS]
                start_s, end_s, top, bottom, left, right = (float(x) for x in stored["facts"])
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            path.unlink(missing_ok=True)
            return None
        return _grid(start_s, end_s, arrays, (top, bottom, left, right))

    def put(self, fingerprint: str, part: str, grid: Grid) -> None:
        """Keeps a grid; raises OSError when the folder cannot be written."""
        path = self._path(fingerprint, part)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        arrays = {name: getattr(grid, name) for name in _ARRAYS}
        try:
            with partial.open("wb") as file:
                np.savez(file, facts=np.array([grid.start_s, grid.end_s, *grid.bars]), **arrays)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self._writes += 1
        if self._writes % _WRITES_A_LOOK == 0:
            self.prune()

    def prune(self) -> int:
        """Removes the least recently used grids when all are larger than allowed; returns how many."""
        found = []
        for path in self._folder.glob("*/*.npz"):
            try:
                facts = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            found.append((facts.st_mtime, facts.st_size, path))
        total, removed = sum(size for _, size, _ in found), 0
        if total <= self._largest_bytes:
            return 0
        for _, size, path in sorted(found):
            if total <= self._largest_bytes * _PRUNE_SHARE:
                break
            path.unlink(missing_ok=True)
            total, removed = total - size, removed + 1
        return removed

    def _path(self, fingerprint: str, part: str) -> Path:
        name = hashlib.sha256(f"{GRID_VERSION}\0{fingerprint}\0{part}".encode()).hexdigest()[:40]
        return self._folder / name[:2] / f"{name[2:]}.npz"


def _grid(start_s: float, end_s: float, arrays: Sequence[Any], bars: tuple[float, float, float, float]) -> Grid:
    times_s, pdq, mirrored, thumbs, contrast = arrays
    return Grid(start_s, end_s, times_s, pdq, mirrored, thumbs, contrast, bars)
