"""Erasure: people, their rows and templates leave every version of the performer database.

Lives here: rewriting versions without some people. Each version is written anew beside the old one, under an id with
the same time, and the old one is removed; the current version comes last and is pointed away from first. What is to be
erased is noted in <root>/erasing.json before anything else, so the next writer finishes what a killed one began.
Scans and matches are erased by `pipelines.erase`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.durable import replace_text, sync
from pipelines.errors import DatabaseCorrupt, PackMismatch, PackUnknown
from pipelines.faces.catalogue import get_pack
from pipelines.faces.packs import ModelPack
from pipelines.store.exclusions import ExclusionList
from pipelines.store.manifest import Manifest
from pipelines.store.people import having
from pipelines.store.publishing import NoFaces, VersionPlan, cast, fill
from pipelines.store.shards import SHARD_FILES, Shard, shard_folder, stored_shard, stored_shards
from pipelines.store.versions import VersionFolders

ERASING = "erasing.json"
ERASED = "erased"
"""When the last erasure was done: who still serves a version that is not on the disk any more has to let go of it."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure removed.

    Attributes:
        ids: every universal id of the people.
        versions: ids of the versions that held something of them; gone, rewritten ones have other ids.
        performers: entries of sources.
        faces: templates; one that several versions had in the same file counts once.
        current: id of the current version now, None when nobody is enrolled any more.
    """

    ids: tuple[str, ...]
    versions: tuple[str, ...] = ()
    performers: int = 0
    faces: int = 0
    current: str | None = None


class _Noted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: tuple[str, ...]


@dataclass(slots=True)
class _Removed:
    """What has been removed so far, and the shards that were written anew, by what they were written from."""

    versions: list[str] = field(default_factory=list)
    performers: set[tuple[str, str]] = field(default_factory=set)
    faces: dict[str, int] = field(default_factory=dict)
    shards: dict[tuple[str, frozenset[str]], Shard] = field(default_factory=dict)


def erase(folders: VersionFolders, ids: Collection[str]) -> Erasure:
    """Removes the people who have one of these ids from every version; the lock is held.

    All ids of these people count, see `every_id`, so that a version in which two entries were not yet known to be the
    same person loses both.

    Raises:
        PackMismatch: the current version is of a pack, or of model files, that this program does not have; old versions
            of that kind are removed as a whole.
        DatabaseCorrupt: the current version is damaged; old ones that are damaged are removed.
    """
    current = folders.current()
    if current is not None:
        _pack(folders.manifest(current), needed=True)
    noted = tuple(sorted(every_id(folders, ids)))
    replace_text(folders.root / ERASING, _Noted(ids=noted).model_dump_json() + "\n")
    return _erase(folders, noted)


def every_id(folders: VersionFolders, ids: Collection[str]) -> frozenset[str]:
    """Returns these ids and all others of the same people, as the current version and the exclusion list know them."""
    every = set(ids)
    for one in ExclusionList(folders.root).read():
        if not every.isdisjoint(one.ids):
            every.update(one.ids)
    if folders.current() is not None:
        people = pq.read_table(folders.folder() / "performers.parquet", columns=["universal_id", "ids"])
        every.update(pc.list_flatten(people.filter(pa.array(having(people, every)))["ids"]).to_pylist())
    return frozenset(every)


def finish_erasure(folders: VersionFolders) -> None:
    """Finishes an erasure that was cut off, if there is one; the lock is held."""
    path = folders.root / ERASING
    try:
        noted = _Noted.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return
    except ValidationError as error:
        raise DatabaseCorrupt(f"{path} cannot be read: {error}.", "Remove it and erase again.") from error
    _erase(folders, noted.ids)


def erasure_stamp(folders: VersionFolders) -> str | None:
    """Returns when the last erasure was done, None before the first one."""
    try:
        return (folders.root / ERASED).read_text()
    except FileNotFoundError:
        return None


def _erase(folders: VersionFolders, ids: Sequence[str]) -> Erasure:
    removed = _Removed()
    _remove_replaced(folders)
    current = folders.current()
    for version in [*(v for v in folders.names() if v != current), *([current] if current else [])]:
        _erase_from(folders, version, ids, removed)
    ExclusionList(folders.root).forget_names(ids)
    replace_text(folders.root / ERASED, f"{datetime.now(UTC).isoformat()}\n")
    (folders.root / ERASING).unlink()
    sync(folders.root)
    return Erasure(
        tuple(ids),
        tuple(removed.versions),
        len(removed.performers),
        sum(removed.faces.values()),
        folders.current(),
    )


def _remove_replaced(folders: VersionFolders) -> None:
    """Finishes what was cut off between writing a version anew and removing the old one."""
    found = {manifest.replaces: name for name in folders.names() if (manifest := _readable(folders, name))}
    for replaced, version in found.items():
        if replaced in folders.names():
            if folders.current() == replaced:
                folders.point(version)
            folders.remove(replaced)


def _erase_from(folders: VersionFolders, version: str, ids: Sequence[str], removed: _Removed) -> None:
    manifest, folder = _readable(folders, version), folders.folder(version)
    if manifest is None:
        removed.versions.append(version)
        folders.remove(version)
        return
    people = pq.read_table(folder / "performers.parquet", columns=["universal_id", "ids"])
    rows = np.flatnonzero(having(people, ids))
    if not len(rows):
        return
    members = pq.read_table(folder / "members.parquet")
    members = members.filter(pc.is_in(members["row"], value_set=pa.array(rows, pa.int32())))
    gone = {
        source: frozenset(members.filter(pc.equal(members["source"], source))["universal_id"].to_pylist())
        for source in members["source"].unique().to_pylist()
    }
    _count(folder, version, manifest, gone, removed)
    new = _without(folders, manifest, gone, ids, removed)
    if folders.current() == version:
        folders.point(new)
    folders.remove(version)


def _without(
    folders: VersionFolders,
    manifest: Manifest,
    gone: Mapping[str, frozenset[str]],
    ids: Sequence[str],
    removed: _Removed,
) -> str | None:
    """Writes a version anew without some people; returns its id, None when nobody is left or its pack is not known."""
    pack = _pack(manifest)
    if pack is None:
        return None
    shards, keys = [], {}
    for shard in stored_shards(folders.root / manifest.version, manifest):
        source = shard.info.id
        if source in gone:
            keys[source] = _file_sha(manifest, source), gone[source]
            shards.append(removed.shards.get(keys[source], shard))
        else:
            shards.append(shard)
    excluded = {*ids, *ExclusionList(folders.root).ids()}
    plan = VersionPlan(pack, manifest.index_dtype, shards, excluded, replaces=manifest.version)
    casting = cast(plan)
    written: list[Manifest] = []
    try:
        new = folders.create(
            lambda folder, name: written.append(fill(plan, casting, folder, name)), instead_of=manifest.version
        )
    except NoFaces:
        return None
    for source, key in keys.items():
        if frozenset(casting.gone[source]) == gone[source]:
            removed.shards[key] = stored_shard(folders.root / new, written[0], source)
    return new


def _readable(folders: VersionFolders, version: str) -> Manifest | None:
    """Returns the manifest of a version; None for an old one that is damaged and thus cannot be written anew."""
    try:
        return folders.manifest(version)
    except DatabaseCorrupt:
        if version == folders.current():
            raise
        return None


def _count(
    folder: Path, version: str, manifest: Manifest, gone: Mapping[str, frozenset[str]], removed: _Removed
) -> None:
    removed.versions.append(version)
    for source, ids in gone.items():
        removed.performers |= {(source, universal_id) for universal_id in ids}
        owners = pq.read_table(shard_folder(folder, source) / SHARD_FILES[1], columns=["universal_id"])["universal_id"]
        count = pc.sum(pc.is_in(owners, value_set=pa.array(list(ids), pa.string()))).as_py() or 0
        removed.faces[_file_sha(manifest, source)] = count


def _file_sha(manifest: Manifest, source: str) -> str:
    return manifest.files[shard_folder(Path(), source).as_posix() + f"/{SHARD_FILES[1]}"].sha256


def _pack(manifest: Manifest, *, needed: bool = False) -> ModelPack | None:
    """Returns the pack of a version as it is now; None when that makes other templates."""
    try:
        pack = get_pack(manifest.pack)
    except PackUnknown:
        if needed:
            raise
        return None
    if pack.template_id == manifest.template_id:
        return pack
    if needed:
        raise PackMismatch(
            f"The performer database holds templates {manifest.template_id}, the pack makes {pack.template_id}.",
            "Enrol anew with `--replace` first.",
        )
    return None
