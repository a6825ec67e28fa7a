"""Parts of a dataset of scans: many scans in three files with the same order of contents.

Contents are sorted by kind and id, the faces and frames of the i-th content follow those of the (i-1)-th, and a row
group of faces or frames holds whole contents. So counts alone say where the rows of a content are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.durable import rename_synced
from pipelines.errors import StoreCorrupt
from pipelines.store.scan_files import DatasetFiles, Part, part_name, partial_path, writable
from pipelines.store.scan_schema import CONTENT_SCHEMA, FRAME_SCHEMA, REPEATED, face_schema

ROWS_A_GROUP = 8192
"""Rows of a row group, and of what is in memory at once: 8 MB of faces with templates of 512 numbers."""
CONTENTS_A_GROUP = 4096
CONTENTS_AT_ONCE = 512

I64 = npt.NDArray[np.int64]
Rows = Literal["faces", "frames"]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what Arrow says of a damaged or missing file inside the block into StoreCorrupt."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreCorrupt(
            f"{path} cannot be read: {error}.", "Restore it from a backup, or remove it and scan again what it held."
        ) from error


class PartReader:
    """One part. Its files are opened when first needed and stay open."""

    def __init__(self, files: DatasetFiles, part: Part) -> None:
        self._files = files
        self.part = part

    def contents(self, columns: Sequence[str]) -> pa.Table:
        """Returns all rows of contents, superseded ones too."""
        path = self._files.part_path(self.part.name, "contents")
        with readable(path):
            return pq.read_table(path, columns=list(columns))

    @cached_property
    def whole(self) -> pa.Table:
        """All rows and columns of contents."""
        return self.contents(CONTENT_SCHEMA.names)

    def batches(
        self, what: Rows, live: npt.NDArray[np.bool_], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        """Yields the rows of the contents that are `live`, at most a row group at a time, contents kept together."""
        counts = self._counts[what]
        wanted, start = np.repeat(live, counts), 0
        for group in range(self._rows_file(what).num_row_groups if wanted.any() else 0):
            length = self._rows_file(what).metadata.row_group(group).num_rows
            mask = wanted[start : start + length]
            if mask.any():
                table = self._group(what, group, columns)
                kept = table if mask.all() else table.filter(pa.array(mask))
                yield _one_batch(kept)
            start += length

    def rows_of(self, what: Rows, content: int) -> pa.Table:
        """Returns the rows of the content with that number in the part."""
        counts = self._counts[what]
        if not counts[content]:
            return _empty(what)
        start = int(self._offsets[what][content])
        group = bisect_right(self._group_starts[what], start) - 1
        if self._loaded.get(what, (-1,))[0] != group:
            self._loaded[what] = (group, self._group(what, group, None))
        return self._loaded[what][1].slice(start - self._group_starts[what][group], int(counts[content]))

    @cached_property
    def _loaded(self) -> dict[str, tuple[int, Any]]:
        return {}

    @cached_property
    def _opened(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _counts(self) -> dict[str, I64]:
        table = self.contents(["face_count", "frame_count"])
        return {
            "faces": table["face_count"].to_numpy().astype(np.int64),
            "frames": table["frame_count"].to_numpy().astype(np.int64),
        }

    @cached_property
    def _offsets(self) -> dict[str, I64]:
        return {what: np.cumsum(counts) - counts for what, counts in self._counts.items()}

    @cached_property
    def _group_starts(self) -> dict[str, list[int]]:
        starts = {}
        for what in ("faces", "frames"):
            if self._counts[what].sum():
                meta = self._rows_file(what).metadata
                lengths = np.array([meta.row_group(i).num_rows for i in range(meta.num_row_groups)], np.int64)
                starts[what] = (np.cumsum(lengths) - lengths).tolist()
        return starts

    def _rows_file(self, what: Rows) -> Any:
        if what not in self._opened:
            path = self._files.part_path(self.part.name, what)
            with readable(path):
                self._opened[what] = pq.ParquetFile(path)
                rows, wanted = self._opened[what].metadata.num_rows, int(self._counts[what].sum())
                if rows != wanted:
                    raise StoreCorrupt(f"{path} has {rows} rows, should have {wanted}.", "Restore it from a backup.")
        return self._opened[what]

    def _group(self, what: Rows, group: int, columns: Sequence[str] | None) -> pa.Table:
        with readable(self._files.part_path(self.part.name, what)):
            return self._rows_file(what).read_row_group(group, columns=None if columns is None else list(columns))


class PartWriter:
    """Writes one part. Contents are given in order of kind and id; `finish` makes the files durable.

    Nothing refers to the part before its name is listed, so what a killed writer leaves is never read.
    """

    def __init__(self, files: DatasetFiles, pack: str) -> None:
        self._files = files
        self._pack = pack
        self.name = part_name()
        self._contents: list[Any] = []
        self._gathered: list[Any] = []
        self._waiting: dict[str, list[Any]] = {"faces": [], "frames": []}
        self._writers: dict[str, Any] = {}
        self._partials: dict[str, Path] = {}
        self._rows = {"faces": 0, "frames": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()
        for path in self._partials.values():
            path.unlink(missing_ok=True)

    def add(self, content: pa.Table, faces: pa.Table, frames: pa.Table) -> None:
        """Adds one content: its row, and its rows of faces and frames."""
        self._contents.append(content)
        if len(self._contents) >= CONTENTS_AT_ONCE:
            self._gather()
        for what, rows in (("faces", faces), ("frames", frames)):
            if len(rows):
                self._waiting[what].append(rows)
            if sum(map(len, self._waiting[what])) >= ROWS_A_GROUP:
                self._flush(what)

    def finish(self) -> Part:
        """Returns the part once its files are on disk under their names."""
        self._gather()
        contents = pa.concat_tables(self._gathered)
        with writable(self._files.root):
            for what in ("faces", "frames"):
                self._flush(what)
            partial = self._partial("contents")
            pq.write_table(contents, partial, compression="zstd", row_group_size=CONTENTS_A_GROUP)
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
            for what, partial in list(self._partials.items()):
                rename_synced(partial, self._files.part_path(self.name, what))  # type: ignore[arg-type]
                del self._partials[what]
        return Part(name=self.name, pack=self._pack, contents=len(contents), **self._rows)

    def _gather(self) -> None:
        """A table of one row takes 10 kB, a row of a large table 0.3."""
        if self._contents:
            self._gathered.append(pa.concat_tables(self._contents).combine_chunks())
            self._contents.clear()

    def _partial(self, what: Literal["contents", "faces", "frames"]) -> Path:
        return self._partials.setdefault(what, partial_path(self._files.part_path(self.name, what)))

    def _flush(self, what: str) -> None:
        waiting = self._waiting[what]
        if not waiting:
            return
        table = pa.concat_tables(waiting)
        waiting.clear()
        with writable(self._files.root):
            if what not in self._writers:
                path = self._partial(what)  # type: ignore[arg-type]
                self._writers[what] = pq.ParquetWriter(path, table.schema, **_how(table.schema))
            self._writers[what].write_table(table, row_group_size=len(table))
        self._rows[what] += len(table)


def with_repeated(content: pa.Table, rows: Any) -> pa.Table:
    """Returns faces or frames of one content (a struct array) with the columns of it that they repeat."""
    n = len(rows)
    names = [*REPEATED, *(f.name for f in rows.type)]
    repeated = [pa.repeat(content[name][0], n) for name in REPEATED]
    fields = [pa.field(name, pa.string(), nullable=False) for name in REPEATED] + list(rows.type)
    return pa.Table.from_arrays([*repeated, *rows.flatten()], schema=pa.schema(fields)).select(names)


def _how(schema: pa.Schema) -> dict[str, Any]:
    """How rows are written: only texts repeat; templates and hashes look like noise to a compressor."""
    texts = [f.name for f in schema if f.type == pa.string()]
    return {"compression": "zstd", "use_dictionary": texts, "write_statistics": texts}


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


def _empty(what: Rows) -> pa.Table:
    return (face_schema(0) if what == "faces" else FRAME_SCHEMA).empty_table()
