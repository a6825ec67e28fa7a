"""The people of all scenes and images as one Parquet file a performer database version: what analyzers read.

Lives here: `PEOPLE_SCHEMA` and writing the file from the SQL store. The file is replaced by rename, so a reader sees
all of one moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.durable import rename_synced
from pipelines.errors import NotWritable

FILE_FORMAT = 1
_ROWS_A_GROUP = 32_768
_RANGE = pa.struct([pa.field("start_s", pa.float64()), pa.field("end_s", pa.float64())])
_CANDIDATE = pa.struct(
    [
        pa.field("universal_id", pa.string()),
        pa.field("name", pa.string()),
        pa.field("distance", pa.float32()),
        pa.field("confidence", pa.float32()),
    ]
)

PEOPLE_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # scene or image
        pa.field("content_id", pa.string(), nullable=False),  # Stash's id
        pa.field("file_fingerprint", pa.string(), nullable=False),  # of the file that was scanned
        pa.field("status", pa.string(), nullable=False),  # of the scan: ok, partial, no_face
        pa.field("duration_s", pa.float64()),  # null for images
        pa.field("content_faces", pa.int32(), nullable=False),  # faces in the scan
        pa.field("content_frames", pa.int32(), nullable=False),  # sampled frames
        pa.field("rank", pa.int32()),  # 0 = first person; null: nobody was found, the columns below are null too
        pa.field("universal_id", pa.string()),  # null for somebody unknown
        pa.field("name", pa.string()),
        pa.field("faces", pa.int32()),
        pa.field("frames", pa.int32()),  # different sampled frames
        pa.field("share", pa.float32()),  # frames / content_frames
        pa.field("confidence", pa.float32()),  # 0..1; null for somebody unknown
        pa.field("distance", pa.float32()),  # 0..2; null for somebody unknown
        pa.field("ranges", pa.list_(_RANGE)),  # empty for images
        pa.field("candidates", pa.list_(_CANDIDATE)),  # best first
        pa.field("best_time_s", pa.float64()),  # of the best face; null for images
        pa.field("best_box", pa.list_(pa.float32())),  # x1 y1 x2 y2, px of the source picture
    ]
)
"""One row a person, one row for a content in which nobody was found; sorted by kind, content id and rank."""


_OF_A_PERSON = PEOPLE_SCHEMA.names[PEOPLE_SCHEMA.get_field_index("rank") :]


def write_people(path: Path, rows: Iterable[Any], metadata: dict[str, str]) -> int:
    """Replaces the file with these rows (`MatchStore.rows`); returns how many there were. Raises NotWritable.

    Args:
        metadata: kept in the file, with the format of it.
    """
    partial = path.with_name(f".{path.name}.partial")
    schema = PEOPLE_SCHEMA.with_metadata({"format": str(FILE_FORMAT), **metadata})
    written, waiting = 0, iter(rows)
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            while part := list(islice(waiting, _ROWS_A_GROUP)):
                writer.write_table(_table(part))
                written += len(part)
        rename_synced(partial, path)
    except OSError as error:
        raise NotWritable(f"{path} cannot be written: {error}.", "Free some space.") from error
    finally:
        partial.unlink(missing_ok=True)
    return written


def forget_people(path: Path, ids: Collection[str]) -> int:
    """Removes people who are named by one of these universal ids from a file, and the ids from the candidates.

    Returns the number of people, and of candidates of others, that were removed; a content whose only people they were
    keeps one row for nobody. Raises NotWritable.
    """
    gone = set(ids)
    with pq.ParquetFile(path) as file:
        metadata = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
        rows = file.read(columns=["universal_id", "candidates"])
        named = pc.is_in(rows["universal_id"], value_set=pa.array(sorted(gone), pa.string()))
        others = pc.list_flatten(rows["candidates"].filter(pc.invert(named)))
        likely = pc.is_in(pc.struct_field(others, "universal_id"), value_set=pa.array(sorted(gone), pa.string()))
        count = int(pc.sum(named).as_py() or 0) + int(pc.sum(likely).as_py() or 0)
        if not count:
            return 0
        people = _Kept(gone)
        write_people(path, people.of(file), {k: v for k, v in metadata.items() if k != "format"})
    return count


class _Kept:
    """The rows of a file without some people."""

    def __init__(self, gone: Collection[str]) -> None:
        self._gone = gone

    def of(self, file: Any) -> Iterator[Any]:
        """Yields rows with the columns of PEOPLE_SCHEMA as attributes, a content after the other."""
        rows = (row for batch in file.iter_batches(_ROWS_A_GROUP) for row in batch.to_pylist())
        for _, own in groupby(rows, key=lambda row: (row["kind"], row["content_id"])):
            content = list(own)
            kept = [row for row in content if row["universal_id"] not in self._gone]
            for row in kept or [{**content[0], **dict.fromkeys(_OF_A_PERSON)}]:
                yield SimpleNamespace(**row | self._lists(row))

    def _lists(self, row: dict[str, Any]) -> dict[str, Any]:
        """Returns ranges and candidates in the form in which the store gives them."""
        ranges, candidates = row["ranges"], row["candidates"]
        return {
            "ranges": None if ranges is None else [(r["start_s"], r["end_s"]) for r in ranges],
            "candidates": candidates and [c for c in candidates if c["universal_id"] not in self._gone],
        }


def _table(rows: list[Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in PEOPLE_SCHEMA.names}
    columns["ranges"] = [
        None if own is None else [{"start_s": start, "end_s": end} for start, end in own] for own in columns["ranges"]
    ]
    return pa.table(columns, schema=PEOPLE_SCHEMA)
