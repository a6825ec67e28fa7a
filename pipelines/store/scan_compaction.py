"""Many small files into few large ones, one crash-safe step at a time.

A step writes a new part, then replaces the list of the dataset by rename (the moment of the change), then removes what
the list no longer names. A kill before the rename leaves files that nothing refers to, a kill after it leaves files
that the next step removes; readers see the scans before or after the step, never neither nor both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.store.scan_files import DatasetFiles, DatasetList, Part
from pipelines.store.scan_parts import PartWriter
from pipelines.store.scan_snapshot import Snapshot

MERGE_AT = 8
"""Parts of about the same size that are merged into one: a scan is written log8(number of scans) times over."""
SMALLEST_CLASS = 500
"""Contents up to which a part is of the smallest size class; each further class is MERGE_AT times as large."""
LARGEST_PART = 50_000
"""Contents in a part that is not merged any more: 3 million faces, about 1 GB with templates of 128 numbers."""
LEAST_LIVE_SHARE = 0.7
"""A part in which fewer of the scans count is written anew."""


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        ran: False where another process is at it.
        folded: pending files that went into parts.
        rewritten: parts that were merged or written anew.
        parts: parts afterwards.
    """

    ran: bool
    folded: int = 0
    rewritten: int = 0
    parts: int = 0


class _Stopped(Exception):
    """The step that was under way is given up; nothing refers to what it wrote."""


Stop = Callable[[], bool]
Change = Callable[[Any, Any, Any], tuple[Any, Any, Any]]
"""From content, faces and frames of a scan to those that are written."""


def _unchanged(content: Any, faces: Any, frames: Any) -> tuple[Any, Any, Any]:
    return content, faces, frames


def compact(files: DatasetFiles, should_stop: Stop = lambda: False) -> CompactionReport:
    """Folds all pending files into parts and merges parts; `should_stop` is looked at after every content."""
    with files.compacting() as alone:
        if not alone:
            return CompactionReport(ran=False)
        files.remove_leftovers()
        files.sweep()
        folded = rewritten = 0
        with suppress(_Stopped):
            folded = _fold(files, should_stop)
            while chosen := _choose(files):
                _rewrite(files, chosen, should_stop=should_stop)
                rewritten += len(chosen)
        return CompactionReport(ran=True, folded=folded, rewritten=rewritten, parts=len(files.read_list().parts))


def forget(files: DatasetFiles, kind: str, ids: Iterable[str]) -> int:
    """Removes every scan of these contents for good; returns how many contents were there. Waits for a compaction."""
    gone = {(kind, content_id) for content_id in ids}
    with files.compacting(wait=True):
        with files.reading():
            snapshot = Snapshot(files)
            keys = _keys(snapshot)
            known = {keys[row] for row in snapshot.live} & gone
            rows = [row for row, key in enumerate(keys) if key in gone]
            pending = {name for row in rows if (name := snapshot.pending_name(row)) is not None}
            chosen = {part.name: part for row in rows if (part := snapshot.part(row)) is not None}
        listed = files.read_list()
        files.write_list(listed.model_copy(update={"folded": listed.folded | pending}))
        for part in chosen.values():
            _rewrite(files, [part], without=gone)
        files.sweep()
    return len(known)


def erase_faces(files: DatasetFiles, faces: Mapping[tuple[str, str], tuple[datetime, Collection[int]]]) -> int:
    """Removes rows of faces for good; returns how many. Waits for a compaction.

    The whole row goes: a template cannot be null, and one of zeros would be a face like any other to whoever reads
    faces. The content stays, with fewer faces, so that it is not scanned again. Scans that do not count any more and
    are stored beside it go as well.

    Args:
        faces: by kind and id of a content, when it was scanned and the rows; left alone if it was scanned again since.
    """
    with files.compacting(wait=True):
        _fold(files, lambda: False)
        with files.reading():
            snapshot = Snapshot(files)
            keys = _keys(snapshot)
            rows = [row for row, key in enumerate(keys) if key in faces]
            chosen = {part.name: part for row in rows if (part := snapshot.part(row)) is not None}
        erasing = _Erasing(faces)
        for part in chosen.values():
            _rewrite(files, [part], change=erasing)
        files.sweep()
    return erasing.removed


@dataclass(slots=True)
class _Erasing:
    """What becomes of the content, faces and frames of a scan; counts the faces that are left out."""

    faces: Mapping[tuple[str, str], tuple[datetime, Collection[int]]]
    removed: int = 0

    def __call__(self, content: pa.Table, faces: pa.Table, frames: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
        head = content.select(["kind", "content_id", "scanned_at"]).to_pylist()[0]
        scanned_at, rows = self.faces.get((head["kind"], head["content_id"]), (None, ()))
        if scanned_at != head["scanned_at"]:
            return content, faces, frames
        kept = np.ones(len(faces), dtype=bool)
        kept[list(rows)] = False
        self.removed += len(faces) - int(kept.sum())
        place = content.schema.get_field_index("face_count")
        count = pa.array([int(kept.sum())], pa.int32())
        return content.set_column(place, content.schema.field(place), count), faces.filter(pa.array(kept)), frames


def _fold(files: DatasetFiles, should_stop: Stop) -> int:
    with files.reading():
        snapshot = Snapshot(files, ["pack"])
        if not snapshot.pending:
            return 0
        packs = snapshot.contents["pack"].to_pylist()
        rows = [int(row) for row in snapshot.live if snapshot.pending_name(int(row)) is not None]
        parts = [
            _write(files, snapshot, pack, [row for row in rows if packs[row] == pack], should_stop)
            for pack in sorted({packs[row] for row in rows})
        ]
        listed = files.read_list()
        files.write_list(DatasetList(parts=(*listed.parts, *parts), folded=listed.folded | frozenset(snapshot.pending)))
    files.sweep()
    return len(snapshot.pending)


def _rewrite(
    files: DatasetFiles,
    chosen: Sequence[Part],
    *,
    without: Collection[tuple[str, str]] = (),
    change: Change = _unchanged,
    should_stop: Stop = lambda: False,
) -> None:
    """Writes the scans of some parts of one pack that count into one part, which takes their place."""
    with files.reading():
        snapshot = Snapshot(files)
        names, keys = {part.name for part in chosen}, _keys(snapshot)
        rows = [int(row) for row in snapshot.live if (part := snapshot.part(int(row))) and part.name in names]
        kept = [row for row in rows if keys[row] not in without]
        parts = [_write(files, snapshot, chosen[0].pack, kept, should_stop, change)] if kept else []
        listed = files.read_list()
        others = tuple(part for part in listed.parts if part.name not in names)
        files.write_list(listed.model_copy(update={"parts": (*others, *parts)}))
    files.sweep()


def _write(
    files: DatasetFiles,
    snapshot: Snapshot,
    pack: str,
    rows: Iterable[int],
    should_stop: Stop,
    change: Change = _unchanged,
) -> Part:
    with PartWriter(files, pack) as writer:
        for row in rows:
            if should_stop():
                raise _Stopped
            writer.add(*change(*snapshot.rows(row)))
        return writer.finish()


def _choose(files: DatasetFiles) -> list[Part]:
    """Returns the parts that the next step writes anew as one, of one pack; none when all is well."""
    with files.reading():
        snapshot = Snapshot(files)
        parts = [reader.part for reader in snapshot.readers]
        live = [int(snapshot.live_of(number).sum()) for number in range(len(parts))]
    for part, count in zip(parts, live, strict=True):
        if count < LEAST_LIVE_SHARE * part.contents:
            return [part]
    classes: dict[tuple[str, int], list[Part]] = {}
    for part, count in zip(parts, live, strict=True):
        classes.setdefault((part.pack, _size_class(count)), []).append(part)
    for same in classes.values():
        if len(same) >= MERGE_AT and sum(p.contents for p in same[:MERGE_AT]) <= LARGEST_PART:
            return same[:MERGE_AT]
    return []


def _size_class(contents: int) -> int:
    return max(0, math.ceil(math.log(max(1, contents) / SMALLEST_CLASS, MERGE_AT)))


def _keys(snapshot: Snapshot) -> list[tuple[str, str]]:
    kinds, ids = (snapshot.contents[name].to_pylist() for name in ("kind", "content_id"))
    return list(zip(kinds, ids, strict=True))
