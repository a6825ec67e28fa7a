"""The frame hashes of all scanned scenes as columns: 48 bytes a frame, so 300 MB for 100,000 scenes of 60 frames.

Lives here: the dataset of scans to columns. What they are good for is `candidates_frames`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.duplicates.hamming import U64
from pipelines.duplicates.scene_table import SceneTable
from pipelines.store.templates import ScanDataset

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 500_000
COLUMNS = ("kind", "content_id", "file_fingerprint", "time_s", "phash", "pdq", "pdq_quality")
FLAT_QUALITY = 20
"""PDQ's quality, 0 to 100, below which a frame shows next to nothing: black, a fade, a plain title card. Ordinary
frames of the sample videos have 59 to 100, also the dark ones (own measurement, 2026-11-26)."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameTable:
    """The m frames that show something, in order of scene and time.

    Attributes:
        scene: (m,) int32, place of the scene in the `SceneTable`.
        time_s: (m,) float32.
        phash: (m,) uint64.
        pdq: (m, 4) uint64, the bits of PDQ.
        flat: number of frames left out because they show nothing.
    """

    scene: I32
    time_s: F32
    phash: U64
    pdq: U64
    flat: int = 0

    def __len__(self) -> int:
        return len(self.scene)

    @classmethod
    def of(cls, scans: ScanDataset, table: SceneTable) -> FrameTable:
        """Returns the frames of those scenes whose scan is of the file that they have now."""
        return cls.from_batches(scans.frames(list(COLUMNS)), table)

    @classmethod
    def from_batches(cls, batches: Iterable[pa.RecordBatch], table: SceneTable) -> FrameTable:
        """Returns the frames of record batches with COLUMNS."""
        current = pa.array([f"{i}/{f}" for i, f in zip(table.ids, table.fingerprints, strict=True)], pa.string())
        parts: list[tuple[I32, F32, U64, U64]] = []
        flat = 0
        for rows in _gathered(batches):
            name = pc.binary_join_element_wise(rows["content_id"], rows["file_fingerprint"], "/")
            place = _numpy(pc.fill_null(pc.index_in(name, value_set=current), -1))
            known = (place >= 0) & _numpy(pc.equal(rows["kind"], "scene"))
            shows = _numpy(rows["pdq_quality"]) >= FLAT_QUALITY
            time_s = _numpy(rows["time_s"])
            flat += int((known & ~shows).sum())
            kept = known & shows & np.isfinite(time_s)
            phash, pdq = _numpy(rows["phash"]), _words(rows["pdq"])
            parts.append((place[kept].astype(np.int32), time_s[kept].astype(np.float32), phash[kept], pdq[kept]))
        if not parts:
            return cls(
                np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.uint64), np.zeros((0, 4), np.uint64)
            )
        scene, time_s, phash, pdq = (np.concatenate(column) for column in zip(*parts, strict=True))
        del parts
        order = np.lexsort((time_s, scene))
        return cls(scene[order], time_s[order], phash[order], pdq[order], flat)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields fewer, larger batches: a look-up costs as much as there are scenes, however few rows are looked up."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += len(batch)
        if held >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]
            waiting, held = [], 0
    if held:
        yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]


def _numpy(column: Any) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _words(column: pa.FixedSizeBinaryArray) -> U64:
    """Returns (m, 4) uint64 of a `pdq` column of one batch, without a copy."""
    values = np.frombuffer(column.buffers()[1], np.uint64)
    words: U64 = values.reshape(-1, 4)[column.offset : column.offset + len(column)]
    return words
