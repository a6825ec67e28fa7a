"""Candidates on disk: the pairs of the last search, and what they were searched in, so that no search is repeated.

A search reads every frame hash of the library; a run that goes on where the one before ended, or a library in which
nothing that counts has changed, has the same pairs. Lives here: the file, and the digest of everything that decides
what a search finds. Names are not in it: scenes and files are, by id and fingerprint.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.duplicates.candidates import CandidateCounts, Candidates
from pipelines.duplicates.scene_table import Links, SceneTable
from pipelines.durable import replace_table

SEARCH_VERSION = 1
"""Raise it when the same library would give other candidates."""
_COLUMNS = ("stash_id", "phash_distance", "frame_votes", "offset_s", "mirrored", "rules", "faces_jaccard")
_SEARCHED = b"searched"


@dataclass(frozen=True, slots=True, eq=False)
class ScenePairs:
    """Candidates with what is needed of their scenes.

    Attributes:
        ids: Stash's ids of the scenes that `found` means by their places.
        fingerprints: of their primary files, "" without one.
        searched: `digest_of_search` of what was searched.
    """

    ids: tuple[str, ...]
    fingerprints: tuple[str, ...]
    found: Candidates
    searched: str

    def scenes(self, row: int) -> tuple[str, str]:
        """Returns the ids of the scenes of a pair."""
        return self.ids[self.found.a[row]], self.ids[self.found.b[row]]

    def files(self) -> list[tuple[str, str]]:
        """Returns the fingerprints of both files of every pair, in order."""
        prints = self.fingerprints
        return [(prints[a], prints[b]) for a, b in zip(self.found.a, self.found.b, strict=True)]


def digest_of_search(table: SceneTable, people: Links, scans: str) -> str:
    """Returns what changes with anything that a search reads.

    Args:
        scans: `ScanDataset.stamp` of the dataset whose frame hashes are searched.
    """
    digest = hashlib.blake2b(f"{SEARCH_VERSION} {scans}".encode(), digest_size=16)
    for one in fields(table):
        value = getattr(table, one.name)
        if isinstance(value, tuple):
            digest.update("\n".join(value).encode())
        else:
            for array in (value.scene, value.item) if isinstance(value, Links) else (value,):
                digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"|")
    order = np.lexsort((people.item, people.scene))
    digest.update(people.scene[order].tobytes() + people.item[order].tobytes())
    return digest.hexdigest()


def pairs_of(table: SceneTable, found: Candidates, searched: str) -> ScenePairs:
    """Returns candidates with those scenes of a library that are in any of them."""
    used, places = np.unique(np.concatenate([found.a, found.b]), return_inverse=True)
    a, b = places[: len(found)].astype(np.int64), places[len(found) :].astype(np.int64)
    ids, prints = (tuple(column[place] for place in used) for column in (table.ids, table.fingerprints))
    return ScenePairs(ids, prints, replace(found, a=a, b=b), searched)


def write_pairs(path: Path, pairs: ScenePairs) -> None:
    """Replaces the file. Raises NotWritable."""
    found = pairs.found
    columns = {name: pa.array(getattr(found, name)) for name in _COLUMNS}
    for side, places in (("a", found.a), ("b", found.b)):
        columns[f"scene_{side}"] = pa.array(pairs.ids, pa.string()).take(pa.array(places))
        columns[f"file_{side}"] = pa.array(pairs.fingerprints, pa.string()).take(pa.array(places))
    table = pa.table(columns)
    replace_table(path, table.replace_schema_metadata({_SEARCHED: pairs.searched.encode()}))


def read_pairs(path: Path) -> ScenePairs | None:
    """Returns the pairs of the last search; None where there are none, or the file cannot be read."""
    try:
        table = pq.read_table(path).combine_chunks()
        columns = {name: table[name].to_numpy() for name in _COLUMNS}
        scenes = pa.chunked_array([*table["scene_a"].chunks, *table["scene_b"].chunks], pa.string())
        prints = pa.chunked_array([*table["file_a"].chunks, *table["file_b"].chunks], pa.string())
        searched = (table.schema.metadata or {})[_SEARCHED].decode()
    except (OSError, KeyError, pa.ArrowInvalid):
        return None
    numbers = pc.cast(scenes, pa.int64()).to_numpy()
    used, first, places = np.unique(numbers, return_index=True, return_inverse=True)
    size = len(table)
    a, b = places[:size].astype(np.int64), places[size:].astype(np.int64)
    found = Candidates(a, b, **columns, counts=CandidateCounts())
    return ScenePairs(tuple(map(str, used)), tuple(prints.take(pa.array(first)).to_pylist()), found, searched)


def searched_in(path: Path) -> str:
    """Returns `ScenePairs.searched` of the file without reading the pairs; "" where there are none."""
    try:
        return str((pq.read_schema(path).metadata or {})[_SEARCHED].decode())
    except (OSError, KeyError, pa.ArrowInvalid):
        return ""
