"""The vectors of a released index, read by a process of its own.

A damaged index can end the process that opens it (Voyager does, with a segmentation fault, for one damaged header in
ten: own measurement, 250 files with three changed bytes, 2026-11-23), and takes memory as it likes. So a child with a
limit on its memory (`index_reader`) reads it and writes plain files; what is left here is an error or numbers to map.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal

import numpy as np
import numpy.typing as npt

from pipelines.errors import ImporterMissing, ReleaseCorrupt, ReleaseUnsupported
from pipelines.releases.facts import Watch

Library = Literal["voyager", "usearch"]

POLL_S = 0.05
PATIENCE_S = 120.0
BYTES_A_SECOND = 2 << 20
"""An index is given `PATIENCE_S` and a second for each of so many bytes; 150 MB a second were measured on 2 cores."""
_READER = Path(__file__).with_name("index_reader.py")
_NOT_READABLE = 3


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The vectors of an index in ascending order of key.

    Attributes:
        keys: (n,) int64, ascending.
        values: (n, dimension) float16, unit length, mapped.
        good: (n,) whether there is a vector: finite and not all zeros.
    """

    keys: npt.NDArray[np.int64]
    values: npt.NDArray[np.float16]
    good: npt.NDArray[np.bool_]


def read_vectors(library: Library, index: Path, folder: Path, dimension: int, watch: Watch) -> Vectors:
    """Returns the vectors of an index; three files of them stay in `folder`.

    Raises:
        ImporterMissing: the library is not installed.
        ReleaseCorrupt: the index cannot be read, or its reading ended the process.
        ReleaseUnsupported: vectors of another length or metric.
        Stopped: `watch` said so.
    """
    require(library)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile() as answer, TemporaryFile() as complaints:
        patience_s = PATIENCE_S + index.stat().st_size / BYTES_A_SECOND
        words = [library, str(index.resolve()), str(folder.resolve())]
        code = _run_child(words, answer, complaints, watch, patience_s)
        answer.seek(0)
        said = answer.read().decode(errors="replace")
        complaints.seek(0)
        complaint = complaints.read()[-500:].decode(errors="replace").strip()
    if code is None:
        raise _unreadable(index, f"reading it took more than {patience_s:.0f} s")
    if code < 0:
        name = signal.Signals(-code).name
        raise _unreadable(index, f"reading it ended the process that did it ({name})")
    if code == _NOT_READABLE:
        raise _unreadable(index, json.loads(said)["error"])
    if code:
        raise _unreadable(index, complaint or f"its reader ended with {code}")
    facts = json.loads(said)
    if facts["dimension"] != dimension:
        raise ReleaseUnsupported(
            f"{index.name} holds vectors of {facts['dimension']} numbers, the pack has {dimension}.",
            "The release was made with other models than the pack's.",
        )
    if facts["metric"] not in {"cosine", "cos"}:
        raise ReleaseUnsupported(f"{index.name} compares by {facts['metric']}; cosine is what can be imported.")
    return Vectors(
        keys=np.load(folder / "keys.npy"),
        values=np.load(folder / "values.npy", mmap_mode="r"),
        good=np.load(folder / "good.npy"),
    )


def require(library: Library) -> None:
    """Raises ImporterMissing unless the library is installed."""
    if find_spec(library) is None:
        raise ImporterMissing(f"Importing this release needs the library {library}.", "Run `make importers` first.")


def _unreadable(index: Path, reason: str) -> ReleaseCorrupt:
    return ReleaseCorrupt(f"{index.name} cannot be read: {reason}.", "Download the release again.")


def _run_child(
    words: list[str], answer: IO[bytes], complaints: IO[bytes], watch: Watch, patience_s: float
) -> int | None:
    """Returns the exit code of the child, None when it took too long. What `watch` raises ends it too."""
    limited = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.Popen(  # noqa: S603 - a fixed command
        [sys.executable, "-P", str(_READER), *words],
        stdout=answer,
        stderr=complaints,
        env=limited,
    )
    deadline = time.monotonic() + patience_s
    with child:
        try:
            while time.monotonic() < deadline:
                watch.check()
                with suppress(subprocess.TimeoutExpired):
                    return child.wait(POLL_S)
            return None
        finally:
            child.kill()
