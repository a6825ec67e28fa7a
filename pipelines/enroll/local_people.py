"""The performers of Stash as they were last seen: what an unchanged one need not be asked for again.

Lives here: `LocalPerformer`, its file, and what of Stash's performer becomes a performer of the database. The file is a
record of what was asked, so that losing it costs requests and nothing else. Asking is `enroll_local_stash`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.durable import replace_table
from pipelines.faces.gallery import Performer
from pipelines.stash.records import Performer as StashPerformer

DOMAIN = "stash"
FILE_FORMAT = "1"
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class LocalPerformer:
    """One performer of Stash.

    Attributes:
        updated_at: Stash's text; what is below was asked for when it was that.
        links: universal ids of its entries on stash-boxes.
        image_url: as Stash gives it, without a key; "" for its silhouette.
        picture_of: `updated_at` at which the picture was last fetched, "" when it has to be fetched.
        sha256, etag: of the picture's bytes; "" when never fetched.
    """

    id: str
    updated_at: str
    name: str
    disambiguation: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    gender: str = ""
    country: str = ""
    birth_date: str = ""
    career_start: int | None = None
    career_end: int | None = None
    image_url: str = ""
    picture_of: str = ""
    sha256: str = ""
    etag: str = ""

    @property
    def universal_id(self) -> str:
        return f"{DOMAIN}:{self.id}"

    @property
    def ids(self) -> tuple[str, ...]:
        """Every universal id of the person, the own one first."""
        return (self.universal_id, *self.links)

    @property
    def picture_due(self) -> bool:
        return bool(self.image_url) and self.picture_of != self.updated_at


def local_performer(found: StashPerformer, before: LocalPerformer | None) -> LocalPerformer:
    """Returns Stash's performer; what is known of its picture stays known."""
    start, end = _career(found)
    return LocalPerformer(
        id=found.id,
        updated_at=found.updated_at,
        name=found.name,
        disambiguation=found.disambiguation,
        aliases=found.aliases,
        links=tuple(i for i in found.universal_ids if not re.search(r"\s", i)),
        gender=found.gender,
        country=found.country,
        birth_date=found.birthdate,
        career_start=start,
        career_end=end,
        image_url=_without_query(found.image_url) if found.has_image else "",
        picture_of=before.picture_of if before else "",
        sha256=before.sha256 if before else "",
        etag=before.etag if before else "",
    )


def enrolled_performer(known: LocalPerformer) -> Performer:
    """Returns the performer as the database keeps it."""
    return Performer(
        universal_id=known.universal_id,
        name=known.name.strip() or known.universal_id,
        aliases=known.aliases,
        disambiguation=known.disambiguation or None,
        gender=known.gender or None,
        country=known.country or None,
        birth_date=known.birth_date or None,
        image_url=known.image_url or None,
        ids=known.ids,
        career_start=known.career_start,
        career_end=known.career_end,
    )


def _career(found: StashPerformer) -> tuple[int | None, int | None]:
    """Returns the years of a career: of its two fields, before Stash 0.31 of the one text "2010 - 2015"."""
    if found.career_start or found.career_end:
        return _year(found.career_start), _year(found.career_end)
    start, _, end = found.career_length.partition("-")
    return _year(start), _year(end)


def _year(text: str) -> int | None:
    year = _YEAR.search(text)
    return int(year[0]) if year else None


def _without_query(url: str) -> str:
    """Returns an address without what changes with every edit of the performer, and without a key."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


# --- the file

_SCHEMA = pa.schema(
    [
        pa.field(f.name, {"aliases": pa.list_(pa.string()), "links": pa.list_(pa.string())}.get(f.name, pa.string()))
        if not f.name.startswith("career")
        else pa.field(f.name, pa.int32())
        for f in fields(LocalPerformer)
    ]
)


def read_performers(path: Path) -> dict[str, LocalPerformer]:
    """Returns the performers by id; none when there is no file, or one of another format or that cannot be read."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException):
        return {}
    if not table.schema.equals(_SCHEMA) or (table.schema.metadata or {}).get(b"format") != FILE_FORMAT.encode():
        return {}
    rows = (row | {"aliases": tuple(row["aliases"]), "links": tuple(row["links"])} for row in table.to_pylist())
    return {row["id"]: LocalPerformer(**row) for row in rows}


def write_performers(path: Path, performers: Iterable[LocalPerformer]) -> None:
    """Replaces the file. Raises NotWritable."""
    names = _SCHEMA.names
    rows = list(performers)
    columns: Mapping[str, list[Any]] = {name: [getattr(p, name) for p in rows] for name in names}
    replace_table(path, pa.table(columns, schema=_SCHEMA.with_metadata({"format": FILE_FORMAT})))
