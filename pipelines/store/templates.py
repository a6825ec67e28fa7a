"""The dataset of scans: every face and every frame hash that a scan found, in Parquet, for matching without decoding.

`ScanDataset.write` leaves one small file a scan, at once there or not there; `compact` turns many into few. Any number
of processes may read and write at any time; see `scan_files` for the layout and `scan_snapshot` for which scan counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.durable import rename_synced
from pipelines.store import scan_compaction
from pipelines.store.scan_compaction import CompactionReport
from pipelines.store.scan_files import (
    SCHEMA_VERSION,
    DatasetFiles,
    content_prefix,
    key_prefix,
    partial_path,
    pending_name,
    writable,
)
from pipelines.store.scan_schema import (
    CONTENT_SCHEMA,
    FRAME_SCHEMA,
    ContentKind,
    ContentScan,
    FrameHashes,
    ScanKey,
    ScannedFaces,
    ScanRecipe,
    ScanStatus,
    face_schema,
    frame_hashes,
    pdq_values,
    scanned_faces,
    single_table,
    template_matrix,
)
from pipelines.store.scan_snapshot import Snapshot

__all__ = [
    "CONTENT_SCHEMA",
    "FRAME_SCHEMA",
    "SCHEMA_VERSION",
    "CompactionReport",
    "ContentKind",
    "ContentScan",
    "DatasetCounts",
    "FrameHashes",
    "ScanDataset",
    "ScanKey",
    "ScanRecipe",
    "ScanStatus",
    "ScannedFaces",
    "face_schema",
    "frame_hashes",
    "pdq_values",
    "scanned_faces",
    "template_matrix",
]

DONE_COLUMNS = ("kind", "content_id", "file_fingerprint", "recipe", "status", "reason", "retryable", "scanned_at")


@dataclass(frozen=True, slots=True)
class DatasetCounts:
    """What a dataset holds: one scan a content counts.

    Attributes:
        by_status: number of contents by status: ok, no_face, partial, failed.
        pending: scans in files of their own.
        newest: when the last scan was made; None without any.
    """

    scenes: int
    images: int
    by_status: dict[str, int]
    faces: int
    frames: int
    pending: int
    parts: int
    newest: datetime | None


class ScanDataset:
    """Every scan below one folder, which is made when first written. Reading what does not exist finds nothing.

    All methods raise StoreTooNew for a dataset of a later version and StoreCorrupt for a file that cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = DatasetFiles(root)
        self._prepared = False

    def prepare(self) -> None:
        """Makes the folder ready for writing and removes what killed writers left. Raises NotWritable."""
        self._files.prepare()
        self._files.remove_leftovers()
        self._prepared = True

    def write(self, scan: ContentScan) -> None:
        """Makes a scan durable; the same scan may be written again. Raises NotWritable."""
        if not self._prepared:
            self._files.prepare()
            self._prepared = True
        path = self._files.pending / pending_name(scan)
        partial = partial_path(path)
        with writable(self.root):
            try:
                pq.write_table(single_table(scan), partial, compression="zstd")
                rename_synced(partial, path)
            finally:
                partial.unlink(missing_ok=True)

    def done(self, columns: Sequence[str] = DONE_COLUMNS) -> pa.Table:
        """Returns one row a content, sorted by kind and id, with these columns of CONTENT_SCHEMA; no faces are read."""
        with self._files.reading():
            snapshot = Snapshot(self._files, columns)
            return snapshot.contents.take(pa.array(snapshot.live)).select(list(columns)).combine_chunks()

    def read(self, kind: ContentKind, content_id: str) -> ContentScan | None:
        """Returns the scan of one content that counts, None when it was never scanned."""
        with self._files.reading():
            snapshot = Snapshot(self._files, prefix=content_prefix(kind, content_id))
            rows = pc.and_(
                pc.equal(snapshot.contents["kind"], kind), pc.equal(snapshot.contents["content_id"], content_id)
            )
            wanted = set(pc.indices_nonzero(rows).to_pylist())
            return next((snapshot.scan(int(row)) for row in snapshot.live if int(row) in wanted), None)

    def scans(
        self,
        *,
        pack: str | None = None,
        with_frames: bool = True,
        keys: Collection[tuple[str, str]] | None = None,
    ) -> Iterator[ContentScan]:
        """Yields the scan of every content, by kind and id, in bounded memory.

        Args:
            keys: only of these contents, as kind and id; without those that were never scanned.
            pack: only scans made with this pack (`ModelPack.template_id`).
            with_frames: read the frame hashes too; without them `frames` and `frame_times` are empty.
        """
        with self._files.reading():
            snapshot = Snapshot(self._files, ["pack"], keys=keys)
            packs = snapshot.contents["pack"]
            for row in snapshot.live:
                if pack is None or packs[int(row)].as_py() == pack:
                    yield snapshot.scan(int(row), with_frames=with_frames)

    def written_since(self, key: ScanKey, since: datetime) -> bool:
        """Returns whether a scan of exactly this file and recipe was written, and not yet compacted, since then."""
        least = f"{since:%Y%m%dT%H%M%S%f}"
        names = self._files.pending_names(key_prefix(key))
        return any(name.split(".")[-2] >= least for name in names)

    def faces(self, columns: Sequence[str] | None = None, *, pack: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yields all faces that count, about 8,000 at a time, the faces of one content together.

        Args:
            columns: of `face_schema`; all by default.
            pack: only faces of this pack (`ModelPack.template_id`); without it the length of templates may differ from
                one batch to the next.
        """
        with self._files.reading():
            yield from Snapshot(self._files, ["pack"]).batches("faces", columns, pack)

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yields all frame hashes that count, about 8,000 at a time, the frames of one content together."""
        with self._files.reading():
            yield from Snapshot(self._files, ["pack"]).batches("frames", columns, None)

    def counts(self) -> DatasetCounts:
        """Returns how much there is."""
        with self._files.reading():
            snapshot = Snapshot(self._files, ["status", "face_count", "frame_count"])
        table = snapshot.contents.take(pa.array(snapshot.live))
        kinds, statuses = (_value_counts(table[name]) for name in ("kind", "status"))
        return DatasetCounts(
            scenes=kinds.get("scene", 0),
            images=kinds.get("image", 0),
            by_status=statuses,
            faces=pc.sum(table["face_count"]).as_py() or 0,
            frames=pc.sum(table["frame_count"]).as_py() or 0,
            pending=len(snapshot.pending),
            parts=len(snapshot.readers),
            newest=pc.max(table["scanned_at"]).as_py(),
        )

    def stamp(self) -> str:
        """Returns a digest that changes whenever what is stored does; nothing but names is read."""
        with self._files.reading():
            known = [self._files.read_list().model_dump_json(), *self._files.pending_names()]
        return hashlib.blake2b("\n".join(known).encode(), digest_size=16).hexdigest()

    def pending_count(self) -> int:
        """Returns the number of scans in files of their own, without opening any."""
        return len(self._files.pending_names())

    def compact(self, *, should_stop: Callable[[], bool] = lambda: False) -> CompactionReport:
        """Turns small files into large ones and drops replaced scans; safe against kills at any moment."""
        return scan_compaction.compact(self._files, should_stop)

    def forget(self, kind: ContentKind, ids: Iterable[str]) -> int:
        """Removes all scans of these contents from the disk; returns how many of them there were."""
        return scan_compaction.forget(self._files, kind, ids)

    def erase_faces(self, faces: Mapping[tuple[str, str], tuple[datetime, Collection[int]]]) -> int:
        """Removes rows of faces from the disk, see `scan_compaction.erase_faces`; returns how many."""
        return scan_compaction.erase_faces(self._files, faces)


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = column.value_counts()
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
