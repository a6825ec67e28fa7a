"""Reads a released index and writes what is in it as plain files; a program of its own, see `vectors`.

    python index_reader.py voyager|usearch INDEX FOLDER

writes keys.npy ((n,) int64, ascending), values.npy ((n, dimension) float16, unit length) and good.npy ((n,) whether
there is a vector) and answers with one JSON object: {"count", "dimension", "metric"}, or {"error"} and exit code 3.
It imports nothing of this project, so that its memory is the index's.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

NOT_READABLE = 3
ROWS = 8192
"""Vectors read at once: 16 MB of 512 numbers."""
SPARE_BYTES = 4 << 30
"""Address space beside twice the index: interpreter, libraries, buffers."""
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_TINY = 1e-6


def main() -> None:
    """Writes keys.npy, values.npy and good.npy of an index; says what it is, or why it cannot be read."""
    library, index, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # never outlives the import
    allowed = 2 * index.stat().st_size + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        facts = _write(_Voyager(index) if library == "voyager" else _Usearch(index), folder)
    except (RuntimeError, ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        sys.stdout.write(json.dumps({"error": str(error).strip().rstrip(".") or type(error).__name__}))
        sys.stdout.flush()
        os._exit(NOT_READABLE)  # a library in a bad state may crash while it is taken down
    sys.stdout.write(json.dumps(facts))


def _write(index: _Voyager | _Usearch, folder: Path) -> dict[str, Any]:
    keys = np.sort(index.keys())
    values = np.lib.format.open_memmap(
        folder / "values.npy", mode="w+", dtype=np.float16, shape=(len(keys), index.dimension)
    )
    good = np.zeros(len(keys), dtype=np.bool_)
    for start in range(0, len(keys), ROWS):
        rows = slice(start, start + ROWS)
        read = index.read(keys[rows])
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", read, read))
            good[rows] = np.isfinite(norms) & (norms > _TINY)
            values[rows] = np.where(good[rows, None], read / np.maximum(norms, _TINY)[:, None], 0)
    values.flush()
    np.save(folder / "keys.npy", keys)
    np.save(folder / "good.npy", good)
    return {"count": len(keys), "dimension": index.dimension, "metric": index.metric}


class _Voyager:
    """A Voyager index, which is read into memory as a whole."""

    def __init__(self, path: Path) -> None:
        self._index = import_module("voyager").Index.load(str(path))
        self.dimension = int(self._index.num_dimensions)
        self.metric = str(self._index.space).rpartition(".")[2].lower()

    def keys(self) -> npt.NDArray[np.int64]:
        return np.fromiter(self._index.ids, dtype=np.int64, count=len(self._index.ids))

    def read(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Returns (n, dimension) float32; NaN for what was marked as deleted."""
        try:
            return np.asarray(self._index.get_vectors(keys.tolist()), dtype=np.float32)
        except RuntimeError:
            return np.stack(list(self._one_by_one(keys)))

    def _one_by_one(self, keys: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
        for key in keys.tolist():
            try:
                yield np.asarray(self._index.get_vector(key), dtype=np.float32)
            except RuntimeError:
                yield np.full(self.dimension, np.nan, dtype=np.float32)


class _Usearch:
    """A usearch index, mapped."""

    def __init__(self, path: Path) -> None:
        index: Any = import_module("usearch.index").Index.restore(str(path), view=True)
        if index is None:
            raise ValueError("no usearch index")
        self._index = index
        self.dimension = int(index.ndim)
        self.metric = index.metric_kind.name.lower()

    def keys(self) -> npt.NDArray[np.int64]:
        keys = np.asarray(self._index.keys)
        if len(keys) and int(keys.max()) > np.iinfo(np.int64).max:
            raise ValueError("a key is larger than any embedding index")
        return keys.astype(np.int64)

    def read(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Returns (n, dimension) float32; NaN for a key without a vector."""
        nothing = np.full(self.dimension, np.nan, dtype=np.float32)
        found = self._index.get(keys.astype(np.uint64), dtype=np.float32)
        return np.stack([nothing if vector is None else vector for vector in found])


if __name__ == "__main__":
    main()
