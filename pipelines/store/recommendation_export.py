"""Recommendations as one CSV or Parquet file, piece by piece: however many there are, a thousand are in memory.

Both have the same columns: those of `Recommendation` in its order, the dismissal as three columns, details as JSON.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.store.recommendation_records import Recommendation

Format = Literal["csv", "parquet"]
_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("type", pa.string()),
        ("status", pa.string()),
        ("target_type", pa.string()),
        ("target_id", pa.string()),
        ("finding", pa.string()),
        ("evidence", pa.string()),
        ("title", pa.string()),
        ("summary", pa.string()),
        ("confidence", pa.float64()),
        ("reason", pa.string()),
        ("dismissal_mode", pa.string()),
        ("dismissal_reason", pa.string()),
        ("dismissed_at", _TIME),
        ("action_id", pa.int64()),
        ("logic_version", pa.int32()),
        ("created_at", _TIME),
        ("updated_at", _TIME),
        ("details", pa.string()),
    ]
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How text begins that spreadsheets run as a formula (OWASP, CSV injection); an apostrophe keeps it text."""


def exported(lists: Iterable[Sequence[Recommendation]], format: Format) -> Iterator[bytes]:  # noqa: A002 - the word of the route
    """Yields the bytes of the file."""
    return _parquet(lists) if format == "parquet" else _csv(lists)


def row_of(one: Recommendation) -> dict[str, Any]:
    """Returns the values of the columns."""
    dismissal = one.dismissal
    own = {name: getattr(one, name) for name in SCHEMA.names if hasattr(one, name)}
    return own | {
        "dismissal_mode": dismissal.mode if dismissal else None,
        "dismissal_reason": dismissal.reason if dismissal else None,
        "dismissed_at": dismissal.at if dismissal else None,
        "details": json.dumps(one.details, ensure_ascii=False),
    }


def _csv(lists: Iterable[Sequence[Recommendation]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(SCHEMA.names)
    for part in lists:
        for one in part:
            row = row_of(one)
            writer.writerow([_cell(row[name]) for name in SCHEMA.names])
        yield _taken(text)
    rest = _taken(text)
    if rest:
        yield rest


def _parquet(lists: Iterable[Sequence[Recommendation]]) -> Iterator[bytes]:
    sink = _Sink()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
        for part in lists:
            writer.write_table(pa.Table.from_pylist([row_of(one) for one in part], SCHEMA))
            yield sink.taken()
    yield sink.taken()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return value.isoformat() if hasattr(value, "isoformat") else value


def _taken(text: io.StringIO) -> bytes:
    written = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return written


class _Sink(io.RawIOBase):
    """A file that is only written to; what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        """Returns what was written since the last time."""
        pieces, self._pieces = b"".join(self._pieces), []
        return pieces
