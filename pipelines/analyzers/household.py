"""Who is who: the performers of Stash, the people of the performer database, and which of them are one person.

Lives here: `Household`. A performer of Stash and a person of the database are the same when they share an id: an entry
of a stash-box, also one that the database has merged with another, or `stash:ID` of the performer's own enrolment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines.analyzers.names import Called
from pipelines.errors import DatabaseMissing
from pipelines.faces.gallery import PERFORMER_SCHEMA
from pipelines.faces.id_rows import IdRows
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import Performer, PerformerRef
from pipelines.store.performers import PerformerDatabase

LOCAL = "stash"


@dataclass(eq=False)
class Household:
    """The performers of one Stash, and the people of one version of the performer database.

    Attributes:
        performers: of Stash, by id.
        people: PERFORMER_SCHEMA.
        excluded: ids of people who are never named.
    """

    performers: dict[str, Performer]
    people: pa.Table
    excluded: frozenset[str] = frozenset()
    _rows: IdRows = field(init=False, repr=False)
    _holders: dict[str, list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._rows = IdRows(self.people["ids"])
        self._holders = defaultdict(list)
        for performer in self.performers.values():
            for one in own_ids(performer):
                self._holders[one].append(performer.id)

    def row(self, ids: Iterable[str]) -> int | None:
        """Returns the first row of the database's person who has one of these ids."""
        return next((self._rows[one] for one in ids if one in self._rows), None)

    def rows(self, ids: Iterable[str]) -> tuple[int, ...]:
        """Returns the different rows of the people who have one of these ids, in order of the ids."""
        return tuple(dict.fromkeys(self._rows[one] for one in ids if one in self._rows))

    def ids_of(self, universal_id: str) -> tuple[str, ...]:
        """Returns every id of a person, at least the one that is given."""
        row = self.row([universal_id])
        return (universal_id,) if row is None else (universal_id, *self.ids_at(row))

    def ids_at(self, row: int) -> tuple[str, ...]:
        """Returns every id of the person of a row."""
        return tuple(self.people["ids"][row].as_py())

    def name_at(self, row: int) -> str:
        return str(self.people["name"][row].as_py())

    def called_at(self, row: int) -> Called:
        """Returns what the person of a row is called."""
        record = self.people.slice(row, 1).select(["name", "aliases", "disambiguation"]).to_pylist()[0]
        return Called(record["name"], tuple(record["aliases"] or ()), record["disambiguation"] or "")

    def holders(self, ids: Iterable[str]) -> list[Performer]:
        """Returns the performers of Stash who have one of these ids, those with most scenes first."""
        found = {performer_id for one in ids for performer_id in self._holders.get(one, ())}
        return sorted((self.performers[i] for i in found), key=lambda p: (-p.scene_count, int(p.id)))


async def household(library: StashLibrary, database: PerformerDatabase) -> Household:
    """Returns what Stash and the current version know; nobody is enrolled where there is no version."""
    performers = {one.id: one async for one in library.performers()}
    return Household(performers, people_of(database), excluded_ids(database))


def people_of(database: PerformerDatabase) -> Any:
    """Returns PERFORMER_SCHEMA of the current version, empty without one. Raises DatabaseCorrupt."""
    try:
        return database.performers().combine_chunks()
    except DatabaseMissing:
        return PERFORMER_SCHEMA.empty_table()


def excluded_ids(database: PerformerDatabase) -> frozenset[str]:
    """Returns every id of everybody on the exclusion list. Raises DatabaseCorrupt."""
    return frozenset(one for entry in database.excluded() for one in entry.ids)


def own_ids(performer: Performer | PerformerRef) -> tuple[str, ...]:
    """Returns the ids that a performer of Stash has by itself: `stash:ID` and its links."""
    return (f"{LOCAL}:{performer.id}", *performer.universal_ids)


def called(performer: Performer) -> Called:
    """Returns what a performer of Stash is called."""
    return Called(performer.name, performer.aliases, performer.disambiguation)


def scored(performers: Sequence[Performer]) -> list[tuple[Performer, tuple[float, ...]]]:
    """Returns performers with how much would be lost of each: what is tagged, links, picture, favourite, facts."""
    return sorted(((p, worth(p)) for p in performers), key=lambda pair: (pair[1], -int(pair[0].id)), reverse=True)


FACTS = (
    *("gender", "birthdate", "death_date", "ethnicity", "country", "eye_color", "hair_color", "measurements"),
    *("tattoos", "piercings", "details", "career_length", "career_start"),
)


def worth(performer: Performer) -> tuple[float, ...]:
    """Returns what a performer is worth to keep, compared place by place."""
    tagged = performer.scene_count + performer.image_count + performer.gallery_count
    facts = sum(bool(getattr(performer, name)) for name in FACTS)
    return (tagged, len(performer.stash_ids), performer.has_image, performer.favorite, facts + len(performer.urls))
