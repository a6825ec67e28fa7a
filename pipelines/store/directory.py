"""The directory of who is enrolled: pages of people, search by name, one person with sources and pictures.

Lives here: reading one version of the performer database for people to look at. Nothing about searching faces.
Names are compared without case and accents; whoever is on the exclusion list is shown as such.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import DatabaseMissing
from pipelines.store.coverage import coverage
from pipelines.store.face_crops import face_key
from pipelines.store.people import having
from pipelines.store.performers import PerformerDatabase
from pipelines.store.tables import template_values

MOST_FACES = 500
"""Pictures that are named for one person; sources give 20 at most, enrolled folders as many as there are."""
_EXACT, _BEGINS, _CONTAINS, _ALIAS = range(4)

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the people that were asked for.

    Attributes:
        total: how many there are in all.
        people: as `Directory.entry` has them.
    """

    version: str
    total: int
    people: list[dict[str, Any]]


class Directory:
    """One version of the database. Thread-safe; what it derives is kept until it is dropped."""

    def __init__(self, database: PerformerDatabase, version: str) -> None:
        """Raises DatabaseMissing, DatabaseCorrupt."""
        self.version = version
        self._database = database
        self._sources = list(database.manifest(version).sources)
        self._people = database.performers(version)
        self._members = _members(database.root / version)

    def page(
        self,
        text: str = "",
        *,
        source: str | None = None,
        excluded: bool | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> Page:
        """Returns people by name, those first whose name is what was asked for, then begins with it, then holds it.

        Args:
            text: part of a name or alias, or a whole universal id; everybody when empty.
            source: only people whom this source knows.
            excluded: only people who are on the exclusion list, or only those who are not.
        """
        on_list = self._on_list()
        rows = self._found(text.strip())
        if source is not None:
            rows = rows[np.isin(rows, self._rows_of(source))]
        if excluded is not None:
            rows = rows[on_list[rows] == excluded]
        shown = rows[offset : offset + limit]
        return Page(self.version, len(rows), self._entries(shown, on_list))

    def person(self, universal_id: str) -> dict[str, Any] | None:
        """Returns one person by any id, with what is known and the pictures of the faces; None for nobody."""
        rows = np.flatnonzero(having(self._people, pa.array([universal_id])))
        if not len(rows):
            return None
        (known,) = self._people.take(pa.array(rows[:1])).to_pylist()
        (entry,) = self._entries(rows[:1], self._on_list())
        faces = self._pictures(int(rows[0]))
        return {**known, **entry, "pictures": faces[:MOST_FACES], "coverage": asdict(coverage(faces))}

    def _on_list(self) -> npt.NDArray[np.bool_]:
        excluded = [universal_id for one in self._database.excluded() for universal_id in one.ids]
        return having(self._people, pa.array(excluded, pa.string()))

    def _entries(self, rows: I64, on_list: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
        columns = ["universal_id", "name", "ids", "country", "image_url"]
        people = self._people.select(columns).take(pa.array(rows)).to_pylist()
        entries = self._entries_of(rows)
        return [
            {
                **known,
                "faces": int(self._faces[row]),
                "sources": list(dict.fromkeys(source for source, _ in entries[row])),
                "entries": entries[row],
                "excluded": bool(on_list[row]),
            }
            for known, row in zip(people, rows.tolist(), strict=True)
        ]

    def _entries_of(self, rows: I64) -> dict[int, list[tuple[str, str]]]:
        """Returns source and universal id of every entry of each person."""
        chosen = self._members.filter(pc.is_in(self._members["row"], value_set=pa.array(rows.astype(np.int32))))
        found: dict[int, list[tuple[str, str]]] = {int(row): [] for row in rows}
        columns = (chosen[name].to_pylist() for name in ("row", "source", "universal_id"))
        for row, source, universal_id in zip(*columns, strict=True):
            found[row].append((source, universal_id))
        return found

    def _rows_of(self, source: str) -> npt.NDArray[np.int32]:
        own = self._members.filter(pc.equal(self._members["source"], source))
        rows: npt.NDArray[np.int32] = own["row"].to_numpy()
        return rows

    def _found(self, text: str) -> I64:
        """Returns the rows of the people found, best first."""
        if not text:
            return self._by_name
        wanted = _folded(pa.array([text]))[0].as_py()
        classes = np.full(len(self._people), -1)
        owners, aliases = self._aliases
        classes[owners[_mask(pc.match_substring(aliases, wanted))]] = _ALIAS
        classes[_mask(pc.match_substring(self._names, wanted))] = _CONTAINS
        classes[_mask(pc.starts_with(self._names, wanted))] = _BEGINS
        classes[_mask(pc.equal(self._names, wanted))] = _EXACT
        if ":" in text:
            classes[having(self._people, pa.array([text]))] = _EXACT
        rows = self._by_name[classes[self._by_name] >= 0]
        return rows[np.argsort(classes[rows], kind="stable")]

    @cached_property
    def _names(self) -> pa.Array:
        return _folded(self._people["name"].combine_chunks())

    @cached_property
    def _aliases(self) -> tuple[I64, pa.Array]:
        """The row of the owner and the folded text of every alias."""
        column = self._people["aliases"].combine_chunks()
        return pc.list_parent_indices(column).to_numpy().astype(np.int64), _folded(column.flatten())

    @cached_property
    def _by_name(self) -> I64:
        return np.asarray(pc.sort_indices(self._names).to_numpy(), dtype=np.int64)

    @cached_property
    def _faces(self) -> I64:
        """How many faces each person has."""
        faces = np.zeros(len(self._people), dtype=np.int64)
        for source in self._sources:
            table = self._faces_of(source, ["universal_id"])
            counts = pc.value_counts(table["universal_id"].combine_chunks())
            own = self._members.filter(pc.equal(self._members["source"], source))
            ids = counts.field("values").cast(pa.string())
            places = pc.index_in(ids, value_set=own["universal_id"].combine_chunks())
            known = _mask(places.is_valid())  # people who were left out have no row
            rows = own["row"].to_numpy()[places.filter(places.is_valid()).to_numpy()]
            np.add.at(faces, rows, counts.field("counts").to_numpy()[known])
        return faces

    def _faces_of(self, source: str, columns: list[str], owner: str | None = None) -> pa.Table:
        table = self._database.source_faces(source, self.version, columns, owner=owner)
        if table is None:
            raise DatabaseMissing(f"The faces of {source} are gone.", "The version may have been removed just now.")
        return table

    def _pictures(self, row: int) -> list[dict[str, Any]]:
        """Returns where the faces of a person come from, the best first; `key` is their `face_key`."""
        own = self._members.filter(pc.equal(self._members["row"], row)).to_pylist()
        columns = ["universal_id", "source", "quality", "yaw_deg", "detection_score", "template"]
        pictures: list[dict[str, Any]] = []
        for member in own:
            found = self._faces_of(member["source"], columns, member["universal_id"])
            keys = [face_key(template) for template in template_values(found["template"])]
            faces = found.drop_columns(["template"]).to_pylist()
            pictures += [{**f, "key": key, "origin": member["source"]} for f, key in zip(faces, keys, strict=True)]
        return sorted(pictures, key=lambda face: -(face["quality"] or 0.0))


def _members(folder: Path) -> pa.Table:
    return pq.read_table(folder / "members.parquet", memory_map=True)


def _folded(texts: pa.Array) -> pa.Array:
    """Returns texts in lower case and without accents."""
    decomposed = pc.utf8_normalize(pc.utf8_lower(texts), form="NFKD")
    return pc.replace_substring_regex(decomposed, pattern=r"\p{Mn}", replacement="")


def _mask(found: Any) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = pc.fill_null(found, fill_value=False).to_numpy(zero_copy_only=False)
    return mask


def exclusions(database: PerformerDatabase, ids: Collection[str] = ()) -> list[dict[str, Any]]:
    """Returns the exclusion list, newest first, or those on it who have one of these ids. Raises DatabaseCorrupt."""
    listed = [one for one in database.excluded() if not ids or not set(ids).isdisjoint(one.ids)]
    return [one.model_dump(mode="json") for one in sorted(listed, key=lambda one: one.created, reverse=True)]
