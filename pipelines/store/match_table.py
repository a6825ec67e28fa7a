"""The people of all scenes and images as one Parquet file a performer database version: what analyzers read.

Lives here: `PEOPLE_SCHEMA` and writing the file from the SQL store. The file is replaced by rename, so a reader sees
all of one moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
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


def _table(rows: list[Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in PEOPLE_SCHEMA.names}
    columns["ranges"] = [
        None if own is None else [{"start_s": start, "end_s": end} for start, end in own] for own in columns["ranges"]
    ]
    return pa.table(columns, schema=PEOPLE_SCHEMA)
