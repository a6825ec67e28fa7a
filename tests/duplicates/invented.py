"""Invented scenes, hashes and frames for tests of candidates and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.duplicates.frame_table import COLUMNS, FrameTable
from pipelines.duplicates.scene_table import Links, SceneTable
from pipelines.stash.records import Fingerprint, PerformerRef, Scene, StashId, StudioRef, VideoFile
from pipelines.store.scan_schema import FRAME_SCHEMA

NOBODY = Links(np.zeros(0, np.int64), np.zeros(0, np.int64))


def scene(
    number: int,
    *,
    phashes: tuple[int | None, ...] = (),
    duration_s: float = 600.0,
    performers: tuple[str, ...] = (),
    studio: str = "",
    stash_ids: tuple[tuple[str, str], ...] = (),
    **more: Any,
) -> Scene:
    """A scene with one file for each of `phashes`, or one without a phash."""
    files = tuple(
        VideoFile(
            f"{number}{place}",
            f"/data/{number}-{place}.mp4",
            duration_s=duration_s,
            fingerprints=(
                Fingerprint("oshash", f"{number:x}-{place}"),
                *(() if value is None else (Fingerprint("phash", f"{value:x}"),)),
            ),
        )
        for place, value in enumerate(phashes or (None,))
    )
    return Scene(
        str(number),
        files=files,
        performers=tuple(PerformerRef(p) for p in performers),
        studio=StudioRef(studio) if studio else None,
        stash_ids=tuple(StashId(*one) for one in stash_ids),
        **more,
    )


def names(table: SceneTable, codes: np.ndarray) -> set[tuple[str, str]]:
    """Returns the pairs of ids that codes mean; fails where one comes twice."""
    pairs = [(table.ids[code // len(table)], table.ids[code % len(table)]) for code in codes.tolist()]
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


def batches(table: SceneTable, rows: list[tuple[int, float, int, np.ndarray, int]]) -> list[pa.RecordBatch]:
    """Record batches of frames (place of the scene, time, pHash64, PDQ as (32,) uint8, quality), as scans keep them."""
    schema = pa.schema([FRAME_SCHEMA.field(name) for name in COLUMNS])
    if not rows:
        return []
    place, time_s, phash, pdq, quality = zip(*rows, strict=True)
    columns = [
        pa.array(["scene"] * len(rows)),
        pa.array([table.ids[one] for one in place]),
        pa.array([table.fingerprints[one] for one in place]),
        pa.array(time_s, pa.float32()),
        pa.array(phash, pa.uint64()),
        pa.array([one.tobytes() for one in pdq], pa.binary(32)),
        pa.array(quality, pa.uint8()),
    ]
    whole = pa.RecordBatch.from_arrays([c.cast(f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
    return [whole.slice(start, 1000) for start in range(0, len(rows), 1000)]


class Film:
    """Invented pictures at whole seconds: their pHash64 and PDQ, and those of copies and mirror images."""

    def __init__(self, seed: int, seconds: int = 600) -> None:
        self.random = np.random.default_rng(seed)
        self.phash = self.random.integers(0, 2**64, seconds, dtype=np.uint64)
        self.pdq = self.random.integers(0, 256, (seconds, 32), dtype=np.uint8)

    def frames(
        self, place: int, times: list[int], *, shift: float = 0.0, bits: int = 3, mirrored: bool = False
    ) -> list[tuple[int, float, int, np.ndarray, int]]:
        """Frames of a copy: the picture of `times` shows `shift` s later, `bits` bits of its hashes differ."""
        odd = 0x5555_5555_5555_5555
        rows = []
        for t in times:
            flips = sum(1 << int(b) for b in self.random.choice(64, bits, replace=False))
            value = int(self.phash[t]) ^ flips ^ (odd if mirrored else 0)
            pdq = self.pdq[t] ^ (0x55 if mirrored else 0)
            rows.append((place, t + shift, value, pdq, 100))
        return rows


def frame_table(table: SceneTable, rows: list[tuple[int, float, int, np.ndarray, int]]) -> FrameTable:
    return FrameTable.from_batches(batches(table, rows), table)
