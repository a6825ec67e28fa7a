"""Who is not in a scene, image or gallery, whatever their face says: what somebody rejected, for ever.

Lives here: the records and `RejectionStore`. A rejection holds every id that was known of the person when it was made,
so that the same person under another id stays rejected. All methods raise StoreUnreachable when the store is away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from sqlalchemy import ColumnElement, func, select

from pipelines.errors import InputError
from pipelines.faces.gallery import is_universal_id
from pipelines.store.schema import PersonRejectionRow
from pipelines.store.sql import Store

RejectedIn = Literal["scene", "image", "gallery"]
_READ_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Rejection:
    """One person who is not in one content.

    Attributes:
        universal_id: as it was rejected.
        ids: every id of the person, the one above included; sorted.
        name: as it was known then, "" for nobody known.
    """

    kind: RejectedIn
    content_id: str
    universal_id: str
    ids: tuple[str, ...]
    name: str
    created_at: datetime

    def __post_init__(self) -> None:
        if self.kind not in get_args(RejectedIn):
            raise InputError(f"kind is {self.kind!r}.", f"{', '.join(get_args(RejectedIn))} are allowed.")
        for universal_id in self.ids:
            if not is_universal_id(universal_id):
                raise InputError(f"The universal id is {universal_id!r}.", "It has the form domain:id.")


@dataclass(frozen=True, slots=True)
class RejectionPage:
    """Some rejections, newest first, and how many there are in all."""

    rejections: list[Rejection]
    total: int


class RejectionStore:
    """The rejections of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, kind: RejectedIn, content_id: str, universal_id: str, ids: Iterable[str] = (), name: str = ""
    ) -> Rejection:
        """Keeps a rejection; one that is there keeps its time and gains the ids. Raises InputError."""
        with self._store.session() as session:
            row = session.get(PersonRejectionRow, (kind, content_id, universal_id))
            known = () if row is None else tuple(row.ids)
            every = tuple(sorted({universal_id, *known, *ids}))
            at = datetime.now(UTC) if row is None else row.created_at
            rejection = Rejection(kind, content_id, universal_id, every, name or ("" if row is None else row.name), at)
            session.merge(
                PersonRejectionRow(
                    kind=kind,
                    content_id=content_id,
                    universal_id=universal_id,
                    ids=list(every),
                    name=rejection.name,
                    created_at=at,
                )
            )
            return rejection

    def remove(self, kind: RejectedIn, content_id: str, universal_id: str) -> int:
        """Forgets that somebody was rejected there, whichever of the ids is given; returns how many rows that were."""
        with self._store.session() as session:
            rows = session.scalars(select(PersonRejectionRow).where(*_of(kind, content_id)))
            gone = [row for row in rows if universal_id in row.ids]
            for row in gone:
                session.delete(row)
            return len(gone)

    def forget_people(self, ids: Collection[str]) -> list[Rejection]:
        """Forgets all rejections of people who have one of these ids; returns them."""
        wanted = set(ids)
        with self._store.session() as session:
            rows = session.scalars(select(PersonRejectionRow).execution_options(yield_per=_READ_AT_ONCE))
            gone = [row for row in rows if not wanted.isdisjoint(row.ids)]
            for row in gone:
                session.delete(row)
            return [_record(row) for row in gone]

    def page(
        self,
        kind: RejectedIn | None = None,
        content_id: str | None = None,
        *,
        offset: int = 0,
        limit: int = 100,
    ) -> RejectionPage:
        """Returns rejections, newest first."""
        where = _of(kind, content_id)
        order = (
            PersonRejectionRow.created_at.desc(),
            PersonRejectionRow.kind,
            PersonRejectionRow.content_id,
            PersonRejectionRow.universal_id,
        )
        query = select(PersonRejectionRow).where(*where).order_by(*order).offset(offset).limit(limit)
        with self._store.reading() as session:
            total = session.scalar(select(func.count()).select_from(PersonRejectionRow).where(*where)) or 0
            return RejectionPage([_record(row) for row in session.scalars(query)], total)

    def ids(self, kind: RejectedIn, content_id: str) -> frozenset[str]:
        """Returns every id of everybody who was rejected in one content."""
        query = select(PersonRejectionRow.ids).where(*_of(kind, content_id))
        with self._store.reading() as session:
            return frozenset(one for ids in session.scalars(query) for one in ids)

    def by_content(self, kind: RejectedIn, content_ids: Collection[str]) -> dict[str, frozenset[str]]:
        """Returns the same of those of some contents that have any; `content_ids` are at most some hundred."""
        query = select(PersonRejectionRow.content_id, PersonRejectionRow.ids).where(
            PersonRejectionRow.kind == kind, PersonRejectionRow.content_id.in_(content_ids)
        )
        found: dict[str, set[str]] = defaultdict(set)
        with self._store.reading() as session:
            for content_id, ids in session.execute(query):
                found[content_id].update(ids)
        return {content_id: frozenset(ids) for content_id, ids in found.items()}

    def counted(self, kind: RejectedIn) -> dict[str, str]:
        """Returns, by content, what changes with its rejections: their number and the newest time."""
        columns = PersonRejectionRow.content_id, func.count(), func.max(PersonRejectionRow.created_at)
        query = select(*columns).where(PersonRejectionRow.kind == kind).group_by(PersonRejectionRow.content_id)
        with self._store.reading() as session:
            return {content_id: f"{count} {newest}" for content_id, count, newest in session.execute(query)}


def _of(kind: str | None, content_id: str | None) -> list[ColumnElement[bool]]:
    wanted = {PersonRejectionRow.kind: kind, PersonRejectionRow.content_id: content_id}
    return [column == value for column, value in wanted.items() if value is not None]


def _record(row: PersonRejectionRow) -> Rejection:
    kind: RejectedIn = row.kind  # type: ignore[assignment]
    return Rejection(kind, row.content_id, row.universal_id, tuple(row.ids), row.name, row.created_at)
