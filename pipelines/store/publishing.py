"""The files of one version: shards by source, the people of all of them, and the index over the people.

    <version>/manifest.json          see `manifest`
    <version>/performers.parquet     the people that are searched: the same person of several sources is one row
    <version>/members.parquet        which entry of which source is which person
    <version>/space.json, index.json, *.faiss, *.npy    over the mean template of every person
    <version>/sources/<source>/      see `shards`

Sources are combined here, when a version is written, and not when it is loaded: a start or a swap maps what is there.
Lives here: filling the folder of a version. Reading it is `loading`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.durable import check_space, sync
from pipelines.errors import InputError
from pipelines.faces.index import INDEX_FILES, IndexDtype, file_sha256
from pipelines.faces.packs import ModelPack
from pipelines.store.loading import build_gallery
from pipelines.store.manifest import DATABASE_FORMAT, FileEntry, Manifest, SourceInfo
from pipelines.store.people import People, combine
from pipelines.store.rules import left_out
from pipelines.store.shards import SHARD_FILES, Shard, link_shard, shard_folder, write_shard

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
