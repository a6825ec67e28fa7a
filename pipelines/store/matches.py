"""Who is in which scene or image, in the SQL store: what was matched with what, and the people that were found.

Lives here: the records and `MatchStore`. Rows are replaced a content at a time, all of one content in one transaction,
and transactions are short, so that other writers get their turn. Matching is `pipelines.match_contents`, the same
people as one Parquet file are `match_table`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Self

from sqlalchemy import Row, Text, bindparam, cast, delete, insert, select, update
from sqlalchemy.orm import Session

from pipelines.store.scan_schema import ContentKind
from pipelines.store.schema import ContentMatchRow, ContentPersonRow, Table
from pipelines.store.sql import Store

ROWS_A_TRANSACTION = 500
"""Rows written before other writers get their turn. 1000 rows took 24 ms of CPU time on SQLite, 100 ms by the clock on
a machine with eight times as much to do as it has cores (own measurement, 2026-11-22)."""
_ROWS_READ = 5000

_CONTENTS = Table.metadata.tables[ContentMatchRow.__tablename__]
_PEOPLE = Table.metadata.tables[ContentPersonRow.__tablename__]

Key = tuple[ContentKind, str]


@dataclass(frozen=True, slots=True)
class MatchStamp:
    """What a match was made from. It is current while nothing of this differs from what is in force.

    Attributes:
        file_fingerprint, recipe, scanned_at: of the scan.
        database_version: of the performer database.
        options_digest: see `pipelines.match_options`.
    """

    file_fingerprint: str
    recipe: str
    scanned_at: datetime
    database_version: str
    options_digest: str


@dataclass(frozen=True, slots=True)
class MatchCandidate:
    """A performer that a person may be."""

    universal_id: str
    name: str
    distance: float
    confidence: float


@dataclass(frozen=True, slots=True)
class ContentPerson:
    """One person of a scene or image.

    Attributes:
        universal_id, name, confidence, distance: of the performer; None for somebody unknown.
        faces: number of faces seen.
        frames: number of different sampled frames they are in.
        share: of the sampled frames, 0..1.
        ranges: when the person is seen, (start_s, end_s) in order; empty for images.
        candidates: best first; those that are taken by others or below the threshold included.
        best_time_s: when the face of the highest quality is seen; None for images.
        best_box: where, x1 y1 x2 y2 px of the source picture.
    """

    universal_id: str | None
    name: str | None
    faces: int
    frames: int
    share: float
    confidence: float | None
    distance: float | None
    ranges: tuple[tuple[float, float], ...]
    candidates: tuple[MatchCandidate, ...]
    best_time_s: float | None
    best_box: tuple[float, float, float, float] | None

    @classmethod
    def from_row(cls, row: ContentPersonRow | Row[Any]) -> Self:
        """Returns the record of a row with the columns of content_people."""
        return cls(
            row.universal_id,
            row.name,
            row.faces,
            row.frames,
            row.share,
            row.confidence,
            row.distance,
            tuple((start, end) for start, end in row.ranges),
            tuple(MatchCandidate(**candidate) for candidate in row.candidates),
            row.best_time_s,
            None if row.best_box is None else tuple(row.best_box),
        )

    def columns(self) -> dict[str, Any]:
        """Returns the values of the columns of content_people, without its key."""
        candidates = [
            {"universal_id": c.universal_id, "name": c.name, "distance": c.distance, "confidence": c.confidence}
            for c in self.candidates
        ]
        return {
            "universal_id": self.universal_id,
            "name": self.name,
            "faces": self.faces,
            "frames": self.frames,
            "share": self.share,
            "confidence": self.confidence,
            "distance": self.distance,
            "ranges": [list(r) for r in self.ranges],
            "candidates": candidates,
            "best_time_s": self.best_time_s,
            "best_box": None if self.best_box is None else list(self.best_box),
        }


@dataclass(frozen=True, slots=True)
class ContentMatch:
    """The people of one scene or image; a content without a face has none.

    Attributes:
        status: of the scan: ok, partial or no_face.
        faces: number of faces in the scan, those of people left out included.
        frames: number of sampled frames; 1 for images.
        duration_s: None for images.
        people: named ones first, then by number of frames; those of an image in the order of its faces.
    """

    kind: ContentKind
    content_id: str
    stamp: MatchStamp
    status: str
    faces: int
    frames: int
    duration_s: float | None
    people: tuple[ContentPerson, ...]
    matched_at: datetime

    @property
    def key(self) -> Key:
        return self.kind, self.content_id

    @classmethod
    def from_row(cls, row: ContentMatchRow, people: Iterable[ContentPersonRow]) -> Self:
        """Returns the record of a row of content_matches and its rows of content_people in order of rank."""
        stamp = MatchStamp(row.file_fingerprint, row.recipe, row.scanned_at, row.database_version, row.options_digest)
        found = tuple(ContentPerson.from_row(p) for p in people)
        kind: Any = row.kind
        return cls(
            kind, row.content_id, stamp, row.status, row.faces, row.frames, row.duration_s, found, row.matched_at
        )

    def columns(self) -> dict[str, Any]:
        """Returns the values of the columns of content_matches."""
        return {
            "kind": self.kind,
            "content_id": self.content_id,
            "file_fingerprint": self.stamp.file_fingerprint,
            "recipe": self.stamp.recipe,
            "scanned_at": self.stamp.scanned_at,
            "database_version": self.stamp.database_version,
            "options_digest": self.stamp.options_digest,
            "status": self.status,
            "faces": self.faces,
            "frames": self.frames,
            "duration_s": self.duration_s,
            "matched_at": self.matched_at,
        }


class MatchStore:
    """The matches of one SQL store. All methods raise StoreUnreachable when it does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def replace(self, matches: Sequence[ContentMatch]) -> None:
        """Writes matches, each in place of what there was of its content; a kill leaves each old or new, never half.

        A content is in `matches` at most once.
        """
        for part in _parts(matches):
            people = [
                {"kind": m.kind, "content_id": m.content_id, "rank": rank, **person.columns()}
                for m in part
                for rank, person in enumerate(m.people)
            ]
            contents = [m.columns() for m in part]
            with self._store.session() as session:
                _delete(session, [m.key for m in part])
                connection = session.connection()
                connection.execute(insert(_CONTENTS), contents)
                if people:
                    connection.execute(insert(_PEOPLE), people)

    def remove(self, keys: Collection[Key]) -> None:
        """Removes what there is of these contents."""
        waiting = iter(keys)
        while part := list(islice(waiting, ROWS_A_TRANSACTION)):
            with self._store.session() as session:
                _delete(session, part)

    def stamps(self) -> dict[Key, MatchStamp]:
        """Returns what every content was last matched from."""
        columns = [_CONTENTS.c[name] for name in ("kind", "content_id", *MatchStamp.__dataclass_fields__)]
        stamps: dict[Key, MatchStamp] = {}
        with self._store.reading() as session:
            for kind, content_id, *stamp in session.execute(select(*columns).execution_options(yield_per=_ROWS_READ)):
                stamps[kind, content_id] = MatchStamp(*stamp)
        return stamps

    def matched_since(self, kind: str, since: datetime | None) -> list[tuple[str, datetime]]:
        """Returns id and time of the contents of a kind that were matched after a time; of all without one."""
        query = select(_CONTENTS.c.content_id, _CONTENTS.c.matched_at).where(_CONTENTS.c.kind == kind)
        if since is not None:
            query = query.where(_CONTENTS.c.matched_at > since)
        with self._store.reading() as session:
            return [(content_id, at) for content_id, at in session.execute(query).tuples()]

    def recognised(self, kind: str) -> list[tuple[str, str]]:
        """Returns (content id, universal id) for everybody who was named in contents of a kind."""
        query = select(_PEOPLE.c.content_id, _PEOPLE.c.universal_id)
        query = query.where(_PEOPLE.c.kind == kind, _PEOPLE.c.universal_id.is_not(None))
        with self._store.reading() as session:
            return list(session.execute(query).tuples())

    def get(self, kind: ContentKind, content_id: str) -> ContentMatch | None:
        """Returns the match of one content, None when it was never matched."""
        own = select(ContentPersonRow).where(ContentPersonRow.kind == kind, ContentPersonRow.content_id == content_id)
        with self._store.reading() as session:
            row = session.get(ContentMatchRow, (kind, content_id))
            if row is None:
                return None
            return ContentMatch.from_row(row, session.scalars(own.order_by(ContentPersonRow.rank)))

    def many(self, kind: ContentKind, content_ids: Collection[str]) -> list[ContentMatch]:
        """Returns the matches of those of these contents that were matched, by content id."""
        found: list[ContentMatch] = []
        for part in _slices(content_ids):
            contents = select(ContentMatchRow).where(ContentMatchRow.kind == kind, ContentMatchRow.content_id.in_(part))
            people = select(ContentPersonRow).where(
                ContentPersonRow.kind == kind, ContentPersonRow.content_id.in_(part)
            )
            own: dict[str, list[ContentPersonRow]] = {}
            with self._store.reading() as session:
                for person in session.scalars(people.order_by(ContentPersonRow.content_id, ContentPersonRow.rank)):
                    own.setdefault(person.content_id, []).append(person)
                rows = session.scalars(contents.order_by(ContentMatchRow.content_id))
                found.extend(ContentMatch.from_row(row, own.get(row.content_id, ())) for row in rows)
        return found

    def contents_naming(self, kind: ContentKind, ids: Collection[str]) -> list[str]:
        """Returns the contents of a kind in which somebody is named by one of these universal ids."""
        found: dict[str, None] = {}
        with self._store.reading() as session:
            for part in _slices(ids):
                query = select(_PEOPLE.c.content_id).where(_PEOPLE.c.kind == kind, _PEOPLE.c.universal_id.in_(part))
                found.update(dict.fromkeys(session.scalars(query.distinct())))
        return list(found)

    def unknown(self, kind: ContentKind, least_frames: int) -> Iterator[tuple[str, str, ContentPerson]]:
        """Yields content id, file fingerprint and person of all unknown people in so many frames, by content."""
        key = (_CONTENTS.c.kind == _PEOPLE.c.kind) & (_CONTENTS.c.content_id == _PEOPLE.c.content_id)
        query = (
            select(_CONTENTS.c.file_fingerprint, _PEOPLE)
            .join(_PEOPLE, key)
            .where(_PEOPLE.c.kind == kind, _PEOPLE.c.universal_id.is_(None), _PEOPLE.c.frames >= least_frames)
            .order_by(_PEOPLE.c.content_id, _PEOPLE.c.rank)
        )
        with self._store.reading() as session:
            for row in session.execute(query.execution_options(yield_per=_ROWS_READ)):
                yield row.content_id, row.file_fingerprint, ContentPerson.from_row(row)

    def named(self, kind: ContentKind) -> Iterator[tuple[str, str, float, int]]:
        """Yields content id, universal id, confidence and number of frames of all named people, by content."""
        columns = (_PEOPLE.c.content_id, _PEOPLE.c.universal_id, _PEOPLE.c.confidence, _PEOPLE.c.frames)
        query = (
            select(*columns)
            .where(_PEOPLE.c.kind == kind, _PEOPLE.c.universal_id.is_not(None))
            .order_by(_PEOPLE.c.content_id, _PEOPLE.c.rank)
        )
        with self._store.reading() as session:
            for content_id, universal_id, confidence, frames in session.execute(
                query.execution_options(yield_per=_ROWS_READ)
            ):
                yield content_id, universal_id, confidence or 0.0, frames

    def naming(self, ids: Collection[str]) -> dict[Key, ContentMatch]:
        """Returns the matches in which somebody is named by one of these universal ids."""
        column = _PEOPLE.c.universal_id
        named = [select(_PEOPLE.c.kind, _PEOPLE.c.content_id).where(column.in_(part)) for part in _slices(ids)]
        with self._store.reading() as session:
            keys = dict.fromkeys(tuple(row) for query in named for row in session.execute(query))
        return {key: match for key in keys if (match := self.get(*key)) is not None}

    def forget_people(self, ids: Collection[str]) -> tuple[int, int]:
        """Removes people who are named by one of these universal ids, and the ids from the candidates of all others.

        Returns the number of people and of candidates that were removed. A kill leaves some of them, another call
        removes the rest.
        """
        people = candidates = 0
        for part in _slices(ids):
            with self._store.session() as session:
                gone = session.connection().execute(delete(_PEOPLE).where(_PEOPLE.c.universal_id.in_(part)))
                people += gone.rowcount
        texts = {json.dumps(universal_id, ensure_ascii=escaped) for universal_id in ids for escaped in (True, False)}
        stored = cast(_PEOPLE.c.candidates, Text)
        columns = (_PEOPLE.c.kind, _PEOPLE.c.content_id, _PEOPLE.c.rank, _PEOPLE.c.candidates)
        for text in sorted(texts):
            with self._store.reading() as session:
                rows = session.execute(select(*columns).where(stored.contains(text, autoescape=True))).all()
            for first in range(0, len(rows), ROWS_A_TRANSACTION):
                with self._store.session() as session:
                    candidates += _without_candidates(session, rows[first : first + ROWS_A_TRANSACTION], set(ids))
        return people, candidates

    def rows(self, database_version: str, options_digest: str) -> Iterator[Row[Any]]:
        """Yields the matches made with these, by kind, content id and rank: one row a person, one for nobody.

        Columns are those of content_people (rank None for nobody), then file_fingerprint, status, content_faces,
        content_frames, duration_s. All are of one moment.
        """
        contents = ContentMatchRow
        people = ContentPersonRow
        key = (contents.kind == people.kind) & (contents.content_id == people.content_id)
        own = [c for c in _PEOPLE.c if c.name not in {"kind", "content_id"}]
        query = (
            select(
                contents.kind,
                contents.content_id,
                *own,
                contents.file_fingerprint,
                contents.status,
                contents.faces.label("content_faces"),
                contents.frames.label("content_frames"),
                contents.duration_s,
            )
            .outerjoin(people, key)
            .where(contents.database_version == database_version, contents.options_digest == options_digest)
            .order_by(contents.kind, contents.content_id, people.rank)
        )
        with self._store.reading() as session:
            yield from session.execute(query.execution_options(yield_per=_ROWS_READ))


def _parts(matches: Sequence[ContentMatch]) -> Iterator[list[ContentMatch]]:
    """Yields the matches in lists of about ROWS_A_TRANSACTION rows, at least one content each."""
    part: list[ContentMatch] = []
    rows = 0
    for match in matches:
        own = 1 + len(match.people)
        if part and rows + own > ROWS_A_TRANSACTION:
            yield part
            part, rows = [], 0
        part.append(match)
        rows += own
    if part:
        yield part


def _slices(ids: Collection[str]) -> Iterator[list[str]]:
    waiting = iter(ids)
    while part := list(islice(waiting, ROWS_A_TRANSACTION)):
        yield part


def _without_candidates(session: Session, rows: Sequence[Any], gone: Collection[str]) -> int:
    """Writes rows of people anew without some of their candidates; returns how many there were of these."""
    count = 0
    for kind, content_id, rank, candidates in rows:
        kept = [candidate for candidate in candidates if candidate["universal_id"] not in gone]
        count += len(candidates) - len(kept)
        own = (_PEOPLE.c.kind == kind) & (_PEOPLE.c.content_id == content_id) & (_PEOPLE.c.rank == rank)
        session.connection().execute(update(_PEOPLE).where(own).values(candidates=kept))
    return count


def _delete(session: Session, keys: Sequence[Key]) -> None:
    """Deletes contents; their people go with them."""
    where = (_CONTENTS.c.kind == bindparam("own_kind")) & (_CONTENTS.c.content_id == bindparam("own_id"))
    session.connection().execute(
        delete(_CONTENTS).where(where), [{"own_kind": kind, "own_id": content_id} for kind, content_id in keys]
    )
