"""The files of one version: shards by source, the people of all of them, and the index over the people.

    <version>/manifest.json          see `manifest`
    <version>/performers.parquet     the people that are searched: the same person of several sources is one row
    <version>/members.parquet        which entry of which source is which person
    <version>/space.json, index.json, *.faiss, *.npy    over the mean template of every person
    <version>/sources/<source>/      see `shards`

Sources are combined here, when a version is written, and not when it is loaded: a start or a swap maps what is there.
Lives here: filling the folder of a version. Memory is that of the means (float32) and of the index, not of the
templates, which are read a row group at a time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.durable import check_space, sync
from pipelines.errors import InputError
from pipelines.faces.gallery import Gallery, RawTemplates
from pipelines.faces.index import INDEX_FILES, IndexDtype, file_sha256
from pipelines.faces.packs import ModelPack
from pipelines.faces.types import F32, I32
from pipelines.store.manifest import DATABASE_FORMAT, FileEntry, Manifest, SourceInfo
from pipelines.store.people import People, combine
from pipelines.store.rules import left_out
from pipelines.store.shards import SHARD_FILES, Shard, face_batches, link_shard, shard_folder, write_shard
from pipelines.store.tables import batch_templates

PEOPLE_FILES = ("performers.parquet", "members.parquet", "space.json")


@dataclass(frozen=True, slots=True, eq=False)
class VersionPlan:
    """What a version is to hold.

    Attributes:
        shards: one a source.
        excluded: ids of people who are left out.
        replaces: see `Manifest`.
        today: for the rule of age; now by default.
    """

    pack: ModelPack
    dtype: IndexDtype
    shards: Sequence[Shard]
    excluded: Collection[str]
    replaces: str | None = None
    today: date | None = None


class NoFaces(InputError):
    """Nothing is left that could be searched."""


@dataclass(frozen=True, slots=True, eq=False)
class Casting:
    """Who is in a version and who is left out.

    Attributes:
        people: those who are in it.
        gone: universal ids that are left out, by source.
        counts: see `Manifest.left_out`.
        excluded_ids: all ids of each excluded person that was found.
    """

    people: People
    gone: Mapping[str, Sequence[str]]
    counts: dict[str, int]
    excluded_ids: Sequence[Sequence[str]]


def cast(plan: VersionPlan) -> Casting:
    """Returns who will be in a version."""
    tables = {shard.info.id: shard.performers for shard in plan.shards}
    people = combine(tables)
    out = left_out(people, tables, plan.excluded, plan.today)
    rows = people.members["row"].to_numpy()
    dropped = people.members.filter(pa.array(out.any[rows]))
    gone = {
        source: dropped.filter(pc.equal(dropped["source"], source))["universal_id"].to_pylist() for source in tables
    }
    excluded_ids = people.table["ids"].filter(pa.array(out.excluded)).to_pylist()
    return Casting(people.without(out.any), gone, out.counts, excluded_ids)


def fill(plan: VersionPlan, casting: Casting, folder: Path, version: str) -> Manifest:
    """Writes all files of a version into an existing folder and syncs them; returns the manifest.

    Raises:
        NoFaces: no source gives a face, or everybody is left out.
        InputError: see `shards.write_shard`.
        NoSpace, OSError: it cannot be written.
    """
    sources: dict[str, SourceInfo] = {}
    files: dict[str, FileEntry] = {}
    for shard in plan.shards:
        gone, below = casting.gone[shard.info.id], shard_folder(Path(), shard.info.id).as_posix()
        if shard.before is not None and shard.files is not None and not gone:
            link_shard(shard, folder)
            sources[shard.info.id] = shard.info
            files |= {f"{below}/{name}": entry for name, entry in shard.files.items()}
        else:
            sources[shard.info.id] = write_shard(shard, folder, plan.pack.template_dim, gone)
            files |= {f"{below}/{name}": _entry(folder / below / name) for name in SHARD_FILES}
    faces = sum(info.faces for info in sources.values())
    if not faces:
        raise NoFaces("There is no face to enrol.")
    people = casting.people
    pq.write_table(people.table, folder / "performers.parquet")
    pq.write_table(people.members, folder / "members.parquet")
    _write_index(folder, version, plan, people)
    files |= {name: _entry(folder / name) for name in (*PEOPLE_FILES, *INDEX_FILES)}
    manifest = Manifest(
        format=DATABASE_FORMAT,
        version=version,
        created=datetime.now(UTC),
        pack=plan.pack.id,
        template_id=plan.pack.template_id,
        performers=len(people),
        faces=faces,
        sources=sources,
        left_out=casting.counts,
        replaces=plan.replaces,
        index_dtype=plan.dtype,
        files=files,
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n")
    for name in (*PEOPLE_FILES, *INDEX_FILES, "manifest.json"):
        sync(folder / name)
    for path in (*(folder / "sources").iterdir(), folder / "sources", folder):
        sync(path)
    return manifest


def build_gallery(
    folder: Path,
    version: str,
    pack: ModelPack,
    people: People,
    sources: Sequence[str],
    *,
    dtype: IndexDtype,
    threads: int = 0,
) -> Gallery:
    """Returns the gallery of the shards in a version's folder; centre and index are computed from them."""
    means, counts = _means(folder, pack.template_dim, people, sources)
    enrolled = np.flatnonzero(counts)
    if len(enrolled) < len(means):
        means = means[enrolled]
    return Gallery.of_means(
        pack,
        people.table,
        means,
        enrolled,
        lambda: read_templates(folder, people, sources),
        version=version,
        dtype=dtype,
        threads=threads,
    )


def read_templates(folder: Path, people: People, sources: Sequence[str]) -> RawTemplates:
    """Returns the raw templates of all shards of a version, float16, in ascending order of person row."""
    found = [(rows, batch_templates(batch)) for rows, batch in _blocks(folder, people, sources)]
    rows = np.concatenate([rows for rows, _ in found])
    order = np.argsort(rows, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    templates = np.empty((len(rows), found[0][1].shape[1]), dtype=np.float16)
    start = 0
    for own, values in found:
        templates[place[start : start + len(own)]] = values
        start += len(own)
    return RawTemplates(templates, rows[order])


def _means(folder: Path, template_dim: int, people: People, sources: Sequence[str]) -> tuple[F32, npt.NDArray[np.intp]]:
    """Returns (people, template_dim) float32 mean raw templates and the number of templates of each person."""
    sums: F32 = np.zeros((len(people), template_dim), dtype=np.float32)
    counts = np.zeros(len(people), dtype=np.intp)
    for rows, batch in _blocks(folder, people, sources):
        order = np.argsort(rows, kind="stable")
        persons, starts, sizes = np.unique(rows[order], return_index=True, return_counts=True)
        values = batch_templates(batch)[order].astype(np.float32)
        sums[persons] += np.add.reduceat(values, starts, axis=0)
        counts[persons] += sizes
    sums /= np.maximum(counts, 1)[:, None].astype(np.float32)
    return sums, counts


def _blocks(folder: Path, people: People, sources: Sequence[str]) -> Iterator[tuple[I32, pa.RecordBatch]]:
    """Yields (n,) person rows and a batch with the column `template`, a row group at a time."""
    for source in sources:
        path = shard_folder(folder, source) / "faces.parquet"
        entries = people.members.filter(pc.equal(people.members["source"], source))
        owners = pq.read_table(path, columns=["universal_id"], memory_map=True)["universal_id"]
        numbers = pc.index_in(owners, value_set=entries["universal_id"].combine_chunks())
        rows = entries["row"].to_numpy()[numbers.to_numpy()]
        start = 0
        for batch in face_batches(path, ["template"]):
            yield rows[start : start + len(batch)], batch
            start += len(batch)


def _write_index(folder: Path, version: str, plan: VersionPlan, people: People) -> None:
    check_space(folder, len(people) * plan.pack.template_dim * (2 if plan.dtype == "float16" else 4))
    sources = [shard.info.id for shard in plan.shards]
    gallery = build_gallery(folder, version, plan.pack, people, sources, dtype=plan.dtype)
    try:
        gallery.index.save(folder)
    except RuntimeError as error:  # what FAISS makes of a write that fails
        raise OSError(str(error)) from error
    (folder / "space.json").write_text(json.dumps(gallery.space.to_dict()) + "\n")


def _entry(path: Path) -> FileEntry:
    return FileEntry(size_bytes=path.stat().st_size, sha256=file_sha256(path))
