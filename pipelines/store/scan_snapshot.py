"""What a dataset of scans holds at one moment: which scan of each content counts, and where its rows are.

One content may be in several files: scanned again, or in a pending file and in the part that took it in a moment ago.
Of all its scans one counts: what may be tried again never replaces what is final; otherwise the newest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.store.scan_files import DatasetFiles, DatasetList, Part, content_prefix
from pipelines.store.scan_parts import I64, ROWS_A_GROUP, PartReader, Rows, readable, with_repeated
from pipelines.store.scan_schema import CONTENT_SCHEMA, FRAME_SCHEMA, ContentScan, content_scan

KEY = ("kind", "content_id", "retryable", "scanned_at")
"""What decides which scan of a content counts."""


def winners(contents: pa.Table) -> I64:
    """Returns the row numbers of the scans that count, one a content, sorted by kind and content id."""
    if not len(contents):
        return np.zeros(0, np.int64)
    order = [
        ("kind", "ascending"),
        ("content_id", "ascending"),
        ("retryable", "descending"),
        ("scanned_at", "ascending"),
    ]
    rows = pc.sort_indices(contents.select(list(KEY)), sort_keys=order).to_numpy().astype(np.int64)
    last = np.ones(len(rows), np.bool_)
    for name in ("kind", "content_id"):
        column = contents[name].take(pa.array(rows)).combine_chunks()
        differs = pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
        last[:-1] = differs if name == "kind" else last[:-1] | differs
    chosen: I64 = rows[last]
    return chosen


class Snapshot:
    """Made and used inside `DatasetFiles.reading()`.

    Attributes:
        listed: the list as it was read.
        pending: names of the pending files that count as sources.
        contents: all rows with the columns of KEY and those asked for, parts first, then pending files.
        live: row numbers in `contents` of the scans that count, by kind and content id.
    """

    def __init__(
        self,
        files: DatasetFiles,
        columns: Sequence[str] = (),
        *,
        prefix: str = "",
        keys: Collection[tuple[str, str]] | None = None,
    ) -> None:
        """
        Args:
            prefix: only pending files whose names begin so; for looking up one content.
            keys: only these contents, as kind and id; other pending files are not opened, other rows not live.
        """
        self._files = files
        names = files.pending_names(prefix)
        if keys is not None:
            own = {content_prefix(kind, content_id) for kind, content_id in keys}
            names = [name for name in names if name[: name.index(".", name.index(".") + 1) + 1] in own]
        # before the list: what is folded in between is in both, and counts once
        self.listed: DatasetList = files.read_list()
        self.pending = [name for name in names if name not in self.listed.folded]
        self.readers = [PartReader(files, part) for part in self.listed.parts]
        wanted = list(dict.fromkeys([*KEY, *columns]))
        schema = pa.schema([CONTENT_SCHEMA.field(name) for name in wanted])
        tables = [reader.contents(wanted) for reader in self.readers]
        heads = [self._single(name, wanted) for name in self.pending]
        self.contents = pa.concat_tables([schema.empty_table(), *(t.cast(schema) for t in (*tables, *heads))])
        lengths = [*map(len, tables), *([1] * len(heads))]
        self._starts: I64 = np.cumsum([0, *lengths])[:-1].astype(np.int64)
        self._source: I64 = np.repeat(np.arange(len(lengths)), lengths)
        self.live = winners(self.contents) if keys is None else self._live_among(keys)

    def _live_among(self, keys: Collection[tuple[str, str]]) -> I64:
        """Returns the live rows of these contents; only theirs are sorted."""
        wanted = pa.array([f"{kind}/{content_id}" for kind, content_id in keys], pa.string())
        names = pc.binary_join_element_wise(self.contents["kind"], self.contents["content_id"], "/")
        rows = pc.indices_nonzero(pc.is_in(names, value_set=wanted)).to_numpy().astype(np.int64)
        live: I64 = rows[winners(self.contents.take(pa.array(rows)))]
        return live

    def live_of(self, reader_number: int) -> npt.NDArray[np.bool_]:
        """Returns, for each content of a part, whether it counts."""
        start, length = self._starts[reader_number], self.readers[reader_number].part.contents
        mask = np.zeros(len(self.contents), np.bool_)
        mask[self.live] = True
        return mask[start : start + length]

    def live_pending(self) -> list[str]:
        """Returns the pending files whose scans count, by kind and content id."""
        return [name for row in self.live if (name := self.pending_name(int(row))) is not None]

    def pending_name(self, row: int) -> str | None:
        """Returns the pending file that a row of `contents` is from, None where it is of a part."""
        number = int(self._source[row]) - len(self.readers)
        return self.pending[number] if number >= 0 else None

    def part(self, row: int) -> Part | None:
        """Returns the part that a row of `contents` is from, None where it is of a pending file."""
        number = int(self._source[row])
        return self.readers[number].part if number < len(self.readers) else None

    def rows(self, row: int, *, with_frames: bool = True) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Returns content (all columns), faces and frames (or none) of one row of `contents`."""
        name = self.pending_name(row)
        if name is not None:
            return self.single(name)
        reader, number = self.readers[int(self._source[row])], int(row - self._starts[self._source[row]])
        content = reader.whole.slice(number, 1)
        frames = reader.rows_of("frames", number) if with_frames else FRAME_SCHEMA.empty_table()
        return content, reader.rows_of("faces", number), frames

    def scan(self, row: int, *, with_frames: bool = True) -> ContentScan:
        """Returns the record of one row of `contents`."""
        content, faces, frames = self.rows(row, with_frames=with_frames)
        return content_scan(content.to_pylist()[0], faces, frames)

    def single(self, name: str) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Returns content, faces and frames of a pending file."""
        table = self._single(name, None)
        content = table.select(CONTENT_SCHEMA.names)
        faces, frames = (table[what].combine_chunks().flatten() for what in ("faces", "frames"))
        return content, with_repeated(content, faces), with_repeated(content, frames)

    def batches(self, what: Rows, columns: Sequence[str] | None, pack: str | None) -> Iterator[pa.RecordBatch]:
        """Yields the rows of the scans that count, contents kept together; one length of templates in a batch."""
        for number, reader in enumerate(self.readers):
            if pack is None or reader.part.pack == pack:
                yield from reader.batches(what, self.live_of(number), columns)
        yield from _gathered(self._pending_rows(what, columns, pack))

    def _pending_rows(self, what: Rows, columns: Sequence[str] | None, pack: str | None) -> Iterator[pa.Table]:
        for name in self.live_pending():
            content, faces, frames = self.single(name)
            rows = faces if what == "faces" else frames
            if len(rows) and (pack is None or content["pack"][0].as_py() == pack):
                yield rows if columns is None else rows.select(list(columns))

    def _single(self, name: str, columns: list[str] | None) -> pa.Table:
        path = self._files.pending / name
        with readable(path), pq.ParquetFile(path) as file:
            return file.read(columns=columns)


def _gathered(tables: Iterable[Any]) -> Iterator[pa.RecordBatch]:
    """Yields batches of ROWS_A_GROUP rows or a little more; a table is never divided."""
    waiting: list[Any] = []
    for table in tables:
        if waiting and (table.schema != waiting[0].schema or sum(map(len, waiting)) >= ROWS_A_GROUP):
            yield pa.concat_tables(waiting).combine_chunks().to_batches()[0]
            waiting = []
        waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks().to_batches()[0]
