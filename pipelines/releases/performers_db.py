"""performers.db of a released bundle: who is in it, and what is known of each face.

Columns come and go between releases, so they are read by name: unknown ones are not looked at, missing ones are null,
and so is a missing table, but for `performers`. Values are cast by SQLite, whatever was stored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import ReleaseCorrupt
from pipelines.faces.types import F32
from pipelines.store.domains import SHORT_NAMES

_ROWS = 50_000
Columns = Mapping[str, str]
"""SQL type by column name."""

_PERFORMERS: Columns = {
    "id": "INTEGER",
    "canonical_name": "TEXT",
    "disambiguation": "TEXT",
    "gender": "TEXT",
    "country": "TEXT",
    "birth_date": "TEXT",
    "image_url": "TEXT",
    "career_start_year": "INTEGER",
    "career_end_year": "INTEGER",
}
_FACTS = ("disambiguation", "gender", "country", "birth_date", "image_url", "career_start", "career_end")
"""Fields of the other columns, in their order."""
_STASHBOX_IDS: Columns = {"performer_id": "INTEGER", "endpoint": "TEXT", "stashbox_performer_id": "TEXT"}
_MERGED_IDS: Columns = {"performer_id": "INTEGER", "endpoint": "TEXT", "merged_stashbox_id": "TEXT"}
_ALIASES: Columns = {"performer_id": "INTEGER", "alias": "TEXT"}


@dataclass(slots=True)
class KnownPerformer:
    """One row of `performers` with what other tables say of it.

    Attributes:
        ids: universal ids, the best catalogue's first; those of merged performers at the end.
        linked: how many of `ids` are its own, not merged ones.
    """

    name: str
    disambiguation: str | None = None
    gender: str | None = None
    country: str | None = None
    birth_date: str | None = None
    image_url: str | None = None
    career_start: int | None = None
    career_end: int | None = None
    ids: list[str] = field(default_factory=list)
    linked: int = 0
    aliases: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KnownPerformers:
    """The performers of a database.

    Attributes:
        by_id: by every universal id of a stash-box, merged ones included.
        by_number: by `performers.id`, which means something within one file alone.
    """

    by_id: dict[str, KnownPerformer]
    by_number: dict[int, KnownPerformer]


@dataclass(frozen=True, slots=True, eq=False)
class KnownFaces:
    """What is known of the faces that have a row, in ascending order of their index.

    Attributes:
        index: (n,) int64, number in the vector index, each once.
        quality, yaw_deg: (n,) float32, NaN where unknown.
        image_url, image_sha256: (n,) text or null.
        conflicts: rows left out because their number was no number, doubled, or not the same in both indices.
    """

    index: npt.NDArray[np.int64]
    quality: F32
    yaw_deg: F32
    image_url: pa.Array
    image_sha256: pa.Array
    conflicts: int = 0


def universal_id(endpoint: str, own_id: str) -> str:
    """Returns `domain:id` for a short endpoint name ("stashdb"), a host name or a URL of a stash-box."""
    name = endpoint.strip().lower()
    if "//" in name:
        name = urlsplit(name).hostname or name
    domain = SHORT_NAMES.get(name) or (name if "." in name else f"{name}.org")
    return f"{domain}:{own_id.strip()}"


def catalogue_number(own_id: str) -> int | None:
    """Returns the number in `catalogue:number`; None for ids of stash-boxes, some of which have numbers too."""
    domain, _, number = own_id.partition(":")
    if domain in SHORT_NAMES.values() or not (number.isascii() and number.isdigit()):
        return None
    return int(number)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Gives a database of strangers, read-only, with nothing of its own that could run. Raises ReleaseCorrupt."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            for rule in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0"):
                connection.execute(f"PRAGMA {rule}")
            yield connection
    except sqlite3.Error as error:
        raise ReleaseCorrupt(f"{path.name} cannot be read: {error}.", "Download the release again.") from error


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Returns whether there is a table (no view) of that name."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
    return found is not None


def columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    """Returns the names of a table's columns."""
    return {row[1] for row in connection.execute("SELECT * FROM pragma_table_info(?)", (table,))}


def select(connection: sqlite3.Connection, table: str, columns: Columns, order: str = "") -> Iterator[tuple[Any, ...]]:
    """Yields the rows of a table with these columns, cast to their type; null for a column that is not there."""
    present = columns_of(connection, table)
    wanted = [
        (f'"{name}"' if kind == "BLOB" else f'CAST("{name}" AS {kind})') if name in present else "NULL"
        for name, kind in columns.items()
    ]
    # Names are of this module, never of the file.
    query = f'SELECT {", ".join(wanted)} FROM "{table}"' + (f' ORDER BY "{order}"' if order else "")  # noqa: S608
    cursor = connection.execute(query)
    while rows := cursor.fetchmany(_ROWS):
        yield from rows


def read_performers(path: Path) -> KnownPerformers:
    """Returns the performers of a database. Raises ReleaseCorrupt when it cannot be read or has no table of them."""
    by_number: dict[int, KnownPerformer] = {}
    with opened(path) as connection:
        if not has_table(connection, "performers"):
            raise ReleaseCorrupt(f"{path.name} has no table performers.", "Download the release again.")
        for number, name, *facts in select(connection, "performers", _PERFORMERS):
            if number is not None:
                by_number[number] = KnownPerformer(name or "", **dict(zip(_FACTS, facts, strict=True)))
        for performer, endpoint, own_id in _owned(connection, "stashbox_ids", _STASHBOX_IDS, by_number):
            performer.ids.append(universal_id(endpoint, own_id))
            performer.linked += 1
        for performer, endpoint, own_id in _owned(connection, "merged_ids", _MERGED_IDS, by_number):
            performer.ids.append(universal_id(endpoint, own_id))
        for performer, alias in _owned(connection, "aliases", _ALIASES, by_number):
            performer.aliases.append(alias.strip())
    by_id: dict[str, KnownPerformer] = {}
    for performer in by_number.values():
        by_id.update(dict.fromkeys(performer.ids[: performer.linked], performer))
    for performer in by_number.values():
        for merged in performer.ids[performer.linked :]:
            by_id.setdefault(merged, performer)
    return KnownPerformers(by_id, by_number)


def read_faces(path: Path, index_columns: Sequence[str]) -> KnownFaces:
    """Returns what a database knows of its faces; nothing when it has no table of them.

    Args:
        index_columns: names of the columns that hold a face's number in the vector index; where there are two, they
            must agree. Raises ReleaseCorrupt when the database cannot be read.
    """
    columns = dict.fromkeys(index_columns, "INTEGER") | {
        "quality_score": "REAL",
        "yaw": "REAL",
        "image_url": "TEXT",
        "image_sha256": "TEXT",
    }
    index: list[int] = []
    facts: list[tuple[Any, ...]] = []
    conflicts = 0
    with opened(path) as connection:
        for row in _select_if_there(connection, "faces", columns, order=index_columns[0]):
            numbers = row[: len(index_columns)]
            if numbers[0] is None or len(set(numbers)) > 1 or numbers[0] < 0 or (index and index[-1] == numbers[0]):
                conflicts += 1
                continue
            index.append(numbers[0])
            facts.append(row[len(index_columns) :])
    quality, yaw, urls, digests = zip(*facts, strict=True) if facts else ((), (), (), ())
    return KnownFaces(
        np.array(index, dtype=np.int64),
        np.array(quality, dtype=np.float32),
        np.array(yaw, dtype=np.float32),
        pa.array(urls, pa.string()),
        pa.array(digests, pa.string()),
        conflicts,
    )


def _select_if_there(
    connection: sqlite3.Connection, table: str, columns: Columns, order: str = ""
) -> Iterator[tuple[Any, ...]]:
    if has_table(connection, table) and (not order or order in columns_of(connection, table)):
        yield from select(connection, table, columns, order)


def _owned(
    connection: sqlite3.Connection, table: str, columns: Columns, by_number: Mapping[int, KnownPerformer]
) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of known performers, with the performer in place of its number; none with an empty text."""
    for number, *texts in _select_if_there(connection, table, columns):
        if number in by_number and all(text and text.strip() for text in texts):
            yield by_number[number], *texts
