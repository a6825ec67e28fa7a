"""The same person in several sources is one person.

Lives here: `combine`. Entries that have a universal id in common are the same person, and so are entries that share one
with a third entry: people are the connected components of entries and ids. Everything is vectorised; the answer does
not depend on the order of sources or rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pipelines.faces.gallery import PERFORMER_SCHEMA
from pipelines.store.domains import domain_order

MEMBER_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("universal_id", pa.string(), nullable=False),  # as the source has it
        pa.field("row", pa.int32(), nullable=False),  # of the person
    ]
)

I64 = npt.NDArray[np.int64]
_OWN = {"universal_id", "name"}
_UNIONS = {"aliases", "ids"}


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people of several sources.

    Attributes:
        table: PERFORMER_SCHEMA, one row a person, in order of universal id.
        members: MEMBER_SCHEMA, one row an entry of a source, in the order of the sources' tables.
    """

    table: pa.Table
    members: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def rows_of(self, source: str) -> npt.NDArray[np.int32]:
        """Returns the person row of each entry of a source, in the order of its table."""
        own = self.members.filter(pc.equal(self.members["source"], source))
        rows: npt.NDArray[np.int32] = own["row"].to_numpy()
        return rows

    def without(self, gone: npt.NDArray[np.bool_]) -> People:
        """Returns the people that are not `gone` (one value a person), rows counted anew."""
        if not gone.any():
            return self
        numbers = (np.cumsum(~gone) - 1).astype(np.int32)
        rows = self.members["row"].to_numpy()
        members = self.members.filter(pa.array(~gone[rows]))
        renumbered = members.set_column(2, MEMBER_SCHEMA.field("row"), pa.array(numbers[members["row"].to_numpy()]))
        return People(self.table.filter(pa.array(~gone)), renumbered)


def having(table: pa.Table, ids: Collection[str]) -> npt.NDArray[np.bool_]:
    """Returns, for each row of PERFORMER_SCHEMA, whether one of its ids is among these."""
    found = np.zeros(len(table), dtype=bool)
    if len(table) and ids:
        wanted = pa.array(list(ids), pa.string())
        parents, values = _entries(table["ids"])
        found[parents[pc.is_in(values, value_set=wanted).to_numpy(zero_copy_only=False)]] = True
        found |= pc.is_in(table["universal_id"], value_set=wanted).to_numpy()
    return found


def combine(sources: Mapping[str, pa.Table]) -> People:
    """Returns the people of tables of PERFORMER_SCHEMA, by source id.

    The member of the best domain gives the universal id and the name, see `domains.domain_order`; of members of one
    domain the first by universal id, of the same entry in two sources that of the source which is not a release.
    Aliases are all other names and aliases, ids all ids; every other field is the first one that is known, in the same
    order of members.
    """
    order = sorted(sources, key=lambda source: (source.startswith("release:"), source))
    tables = [sources[source].select(PERFORMER_SCHEMA.names) for source in order]
    entries = pa.concat_tables([PERFORMER_SCHEMA.empty_table(), *tables]).combine_chunks()
    origins = np.repeat(np.arange(len(order)), [len(t) for t in tables])
    links, codes, ids = _links(entries)
    labels = _components(len(entries), links, codes, len(ids))
    places = np.empty(len(ids), dtype=np.int64)
    places[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    # The first links are those of each entry with its own id.
    own = places[codes[: len(entries)]]
    best = np.lexsort((origins, own, _domain_places(entries["universal_id"])))
    first = np.full(int(labels.max(initial=-1)) + 1, -1, dtype=np.int64)
    first[labels[best[::-1]]] = best[::-1]
    person_of_label = np.empty(len(first), dtype=np.int64)
    person_of_label[np.argsort(own[first])] = np.arange(len(first))
    persons = person_of_label[labels]
    best = best[np.argsort(persons[best], kind="stable")]
    table = _shown(
        entries.take(pa.array(best)), persons[best], len(first), _id_lists(persons[links], places[codes], ids)
    )
    names = pa.DictionaryArray.from_arrays(pa.array(origins.astype(np.int32)), pa.array(order, pa.string()))
    members = [names.cast(pa.string()), entries["universal_id"].combine_chunks(), pa.array(persons.astype(np.int32))]
    return People(table, pa.Table.from_arrays(members, schema=MEMBER_SCHEMA))


def _links(entries: pa.Table) -> tuple[I64, I64, pa.Array]:
    """Returns which entry has which id, as rows and codes, and the ids; the own id of every entry comes first."""
    parents, values = _entries(entries["ids"])
    own = entries["universal_id"].combine_chunks()
    encoded = pa.concat_arrays([_one(own), values]).dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    return np.concatenate([np.arange(len(entries)), parents]), codes, encoded.dictionary


def _components(count: int, links: I64, codes: I64, ids: int) -> I64:
    """Returns the number of the component of each of `count` entries."""
    size = count + ids
    graph = coo_matrix((np.ones(len(links), np.int8), (links, count + codes)), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    # Every id has an entry, so the components of the entries are all there are.
    return np.asarray(labels[:count], dtype=np.int64)


def _domain_places(universal_ids: pa.ChunkedArray) -> I64:
    """Returns the place of each id's domain, 0 for the one that is shown first."""
    if not len(universal_ids):
        return np.zeros(0, dtype=np.int64)
    domains = _one(pc.list_element(pc.split_pattern(universal_ids, ":", max_splits=1), 0)).dictionary_encode()
    named = domains.dictionary.to_pylist()
    place = {domain: number for number, domain in enumerate(domain_order(named))}
    places: I64 = np.array([place[domain] for domain in named], dtype=np.int64)[domains.indices.to_numpy()]
    return places


def _shown(entries: pa.Table, persons: I64, count: int, ids: pa.Array) -> pa.Table:
    """Returns one row a person of entries that are ordered by person, the member that is shown first."""
    starts = np.searchsorted(persons, np.arange(count))
    columns = []
    for field in PERFORMER_SCHEMA:
        if field.name == "ids":
            columns.append(ids)
        elif field.name == "aliases":
            columns.append(_aliases(entries, persons, starts))
        else:
            rows = starts if field.name in _OWN else _first_known(entries[field.name], starts)
            columns.append(_one(entries[field.name].take(pa.array(rows, mask=rows == len(entries)))))
    return pa.Table.from_arrays(columns, schema=PERFORMER_SCHEMA)


def _first_known(column: pa.ChunkedArray, starts: I64) -> I64:
    """Returns the first row of each person that is not null; the number of rows where all are."""
    if not len(starts):
        return starts
    known = column.is_valid().to_numpy()
    return np.asarray(np.minimum.reduceat(np.where(known, np.arange(len(known)), len(known)), starts))


def _aliases(entries: pa.Table, persons: I64, starts: I64) -> pa.Array:
    """Returns every other name of each person once, those of the member that is shown first at the front."""
    parents, aliases = _entries(entries["aliases"])
    encoded = pa.concat_arrays([_one(entries["name"]), aliases]).dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    rows = np.concatenate([np.arange(len(entries)), parents])
    order = np.argsort(rows, kind="stable")  # the name of an entry, then its aliases
    rows, codes = rows[order], codes[order]
    shown = codes[np.searchsorted(rows, starts)]
    other = codes != shown[persons[rows]]
    return _lists(persons[rows[other]], codes[other], encoded.dictionary, len(starts))


def _id_lists(persons: I64, places: I64, ids: pa.Array) -> pa.Array:
    """Returns the sorted ids of each person."""
    order = np.lexsort((places, persons))
    return _lists(persons[order], places[order], ids.take(pc.sort_indices(ids)), int(persons.max(initial=-1)) + 1)


def _lists(owners: I64, codes: I64, values: pa.Array, count: int) -> pa.Array:
    """Returns `count` lists of values without repetition, in the order of their first mention by each owner."""
    _, first = np.unique(owners * np.int64(len(values) + 1) + codes, return_index=True)
    kept = np.sort(first)
    kept = kept[np.argsort(owners[kept], kind="stable")]
    offsets = np.searchsorted(owners[kept], np.arange(count + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.take(pa.array(codes[kept])))


def _entries(lists: pa.ChunkedArray) -> tuple[I64, pa.Array]:
    """Returns the row and the value of everything that is in these lists, without nulls."""
    column = _one(lists)
    values, parents = column.flatten(), pc.list_parent_indices(column).to_numpy().astype(np.int64)
    known = values.is_valid()
    return parents[known.to_numpy(zero_copy_only=False)], values.filter(known)


def _one(column: Any) -> Any:
    """Returns a column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
