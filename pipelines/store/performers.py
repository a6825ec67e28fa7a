"""The performer database: what sources gave, searched as one; versions side by side, one of them current.

    database = PerformerDatabase(root)
    database.put(pack, SourceInfo(id="stashdb.org", ...), performers, faces)    # replaces what that source gave before
    gallery = database.load()

A version is complete in itself and never changes. Lives here: `PerformerDatabase`, the door to all of it. What is in a
version is `publishing`, how versions appear and disappear `versions`, who is left out `exclusions` and `rules`. What a
gallery can do is `pipelines.faces.gallery`; where faces come from is for the enrolments and importers to say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import DatabaseCorrupt, InputError, PackMismatch
from pipelines.faces.catalogue import get_pack
from pipelines.faces.gallery import Gallery, Performer, performer_table
from pipelines.faces.index import IndexDtype
from pipelines.faces.packs import ModelPack
from pipelines.store.erasure import Erasure, erase, erasure_stamp, every_id, finish_erasure
from pipelines.store.exclusions import Exclusion, ExclusionList, checked_ids, entries
from pipelines.store.export import export
from pipelines.store.loading import load_gallery
from pipelines.store.manifest import DATABASE_FORMAT, FileEntry, Manifest, SourceInfo, SourceKind
from pipelines.store.people import having
from pipelines.store.publishing import NoFaces, VersionPlan, cast, fill
from pipelines.store.shards import SHARD_FILES, Shard, readable, shard_folder, stored_shards
from pipelines.store.tables import EnrolledFaces, check_performers, enrolled_faces, new_faces
from pipelines.store.versions import RESTORE, VersionFolders

__all__ = [
    "DATABASE_FORMAT",
    "Erasure",
    "Exclusion",
    "FileEntry",
    "Manifest",
    "PerformerDatabase",
    "SourceInfo",
    "SourceKind",
]

Faces: TypeAlias = "pa.Table | Iterable[pa.RecordBatch]"


class PerformerDatabase:
    """All versions below one folder. One writer at a time (a lock file), any number of readers."""

    def __init__(self, root: Path, *, keep: int = 2) -> None:
        """
        Args:
            root: made when first written.
            keep: versions before the current one that are kept.
        """
        self.root = root
        self.keep = keep
        self._folders = VersionFolders(root)
        self._exclusions = ExclusionList(root)

    # --- reading -----------------------------------------------------------------------------------------------------

    def versions(self) -> list[str]:
        """Returns the ids of all versions, oldest first."""
        return self._folders.names()

    def current(self) -> str | None:
        """Returns the id of the current version, None when nothing is enrolled. Raises DatabaseCorrupt."""
        return self._folders.current()

    def manifest(self, version: str | None = None) -> Manifest:
        """Returns the manifest of a version (the current one by default), checked against the sizes of its files.

        Raises:
            DatabaseMissing: no such version, or nothing enrolled.
            DatabaseCorrupt: the manifest cannot be read, or a file is missing or of another size.
        """
        return self._folders.manifest(version)

    def verify(self, version: str | None = None) -> Manifest:
        """Returns the manifest after comparing the sha256 of every file. Raises like `manifest`."""
        return self._folders.verify(version)

    def load(
        self,
        version: str | None = None,
        *,
        pack: ModelPack | None = None,
        threads: int = 0,
        everybody: bool = False,
    ) -> Gallery:
        """Returns a version as a gallery, the current one by default; vectors and templates are mapped, not read.

        Whoever is on the exclusion list is not found in it, also in a version that was written before.

        Args:
            pack: the pack that will be searched with; the version's own by default.
            threads: CPU threads of one search; 0 = all that this process may use.
            everybody: also who is on the exclusion list: to erase them, never to answer.

        Raises:
            DatabaseMissing, DatabaseCorrupt: see `manifest`.
            PackMismatch: the version holds templates of another pack, or of other model files.
        """
        manifest = self.manifest(version)
        folder = self.root / manifest.version
        pack = pack or get_pack(manifest.pack)
        self._same_templates(manifest, pack)
        try:
            gallery = load_gallery(folder, manifest, pack, threads)
        except (OSError, KeyError, pa.ArrowException, ValueError) as error:
            raise DatabaseCorrupt(f"{folder} cannot be read: {error}.", RESTORE) from error
        return gallery if everybody else self.hide(gallery)

    def hide(self, gallery: Gallery) -> Gallery:
        """Returns the gallery without those who are on the exclusion list now; nothing is copied."""
        excluded = self._exclusions.ids()
        return gallery.hiding(excluded) if excluded or gallery.hidden else gallery

    def performers(self, version: str | None = None) -> pa.Table:
        """Returns the people of a version, PERFORMER_SCHEMA."""
        return _read(self._folders.folder(version) / "performers.parquet")

    def faces(self, version: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Returns the faces of a version, one source after another.

        Args:
            columns: of `face_schema` and `origin`, the source id; all by default.
        """
        manifest, found = self.manifest(version), []
        own = None if columns is None else [name for name in columns if name != "origin"]
        for source in manifest.sources:
            table = _read(shard_folder(self.root / manifest.version, source) / SHARD_FILES[1], own)
            if columns is None or "origin" in columns:
                origin = pa.array([source]).take(pa.array([0] * len(table)))
                table = table.append_column("origin", origin)
            found.append(table if columns is None else table.select(list(columns)))
        return pa.concat_tables(found)

    def entries(self, source: str) -> set[str]:
        """Returns the universal ids of all entries of a source in any version that can be read."""
        found: set[str] = set()
        for version in self.versions():
            with suppress(OSError, pa.ArrowException):
                members = pq.read_table(
                    self.root / version / "members.parquet",
                    columns=["universal_id"],
                    filters=pc.field("source") == source,
                )
                found.update(members["universal_id"].to_pylist())
        return found

    def source_performers(self, source: str, version: str | None = None) -> pa.Table | None:
        """Returns what a source gave, PERFORMER_SCHEMA; None when it is not in the version."""
        path = shard_folder(self._folders.folder(version), source) / SHARD_FILES[0]
        return _read(path) if path.exists() else None

    def source_faces(
        self,
        source: str,
        version: str | None = None,
        columns: Sequence[str] | None = None,
        *,
        owner: str | None = None,
    ) -> pa.Table | None:
        """Returns the faces that a source gave, see `face_schema`; None when it is not in the version.

        Args:
            owner: only of this entry, by its universal id.
        """
        path = shard_folder(self._folders.folder(version), source) / SHARD_FILES[1]
        wanted = None if owner is None else pc.field("universal_id") == owner
        return _read(path, columns, wanted) if path.exists() else None

    def enrolled_faces(self, pack: ModelPack, source: str | None = None) -> EnrolledFaces:
        """Returns the faces of the current version, of all sources by default. Raises like `load`."""
        manifest = self.manifest()
        self._same_templates(manifest, pack)
        folder = self.root / manifest.version
        sources = [own for own in manifest.sources if source in {None, own}]
        return enrolled_faces([shard_folder(folder, own) / SHARD_FILES[1] for own in sources], pack.template_dim)

    # --- writing -----------------------------------------------------------------------------------------------------

    def put(
        self,
        pack: ModelPack,
        source: SourceInfo,
        performers: pa.Table | Sequence[Performer],
        faces: Faces,
        *,
        dtype: IndexDtype = "float16",
        only: bool = False,
    ) -> str:
        """Writes what a source gives in place of what it gave before, with what all others gave; returns the version.

        Args:
            source: its counts are filled in.
            performers: PERFORMER_SCHEMA.
            faces: `face_schema(pack.template_dim)`, a table or batches, which are never held together in memory; every
                universal id is one of the performers'.
            only: drop what all other sources gave.

        Raises:
            InputError: no face, an unknown or doubled universal id.
            PackMismatch: the other sources gave templates of another pack.
            NotWritable: the folder cannot be written; NoSpace: the disk is full.
        """
        table = _table(performers)
        shard = Shard(source, table, lambda: _batches(faces))
        with self._writing() as before:
            others = [] if only or before is None else [s for s in self._shards(before, pack) if s.info.id != source.id]
            return self._publish(pack, [*others, shard], dtype, before)

    def add(
        self,
        pack: ModelPack,
        source: SourceInfo,
        performers: pa.Table | Sequence[Performer],
        faces: Faces,
        *,
        dtype: IndexDtype = "float16",
    ) -> str:
        """Writes what a source gives beside what it gave before, like `put`; returns the version.

        What is known of a performer stays as it is. A face of the same performer and the same bytes is added once.
        """
        table = _table(performers)
        with self._writing() as before:
            shards = {s.info.id: s for s in self._shards(before, pack)} if before is not None else {}
            batches = _batches(faces)
            old = shards.get(source.id)
            if old is not None and before is not None:
                new = pc.invert(pc.is_in(table["universal_id"], old.performers["universal_id"].combine_chunks()))
                table = pa.concat_tables([old.performers, table.filter(new)])
                enrolled = self.source_faces(source.id, before, ["universal_id", "source_sha256"])
                batches = chain(old.batches(), new_faces(batches, enrolled))
            shards[source.id] = Shard(source, table, lambda: batches)
            return self._publish(pack, list(shards.values()), dtype, before)

    def remove_source(self, source: str) -> str | None:
        """Writes a version without what a source gave; returns its id, None when nothing is enrolled any more.

        Raises InputError when the source is not in the current version.
        """
        with self._writing() as before:
            manifest = self.manifest(before)
            if source not in manifest.sources:
                raise InputError(
                    f"{source} is no source of the performer database.", f"There are: {', '.join(manifest.sources)}."
                )
            return self._rewrite(manifest, [s for s in self._shards(manifest.version) if s.info.id != source])

    def use(self, version: str) -> None:
        """Makes an existing version the current one. Raises DatabaseMissing, DatabaseCorrupt."""
        with self._writing():
            self.manifest(version)
            self._folders.point(version)

    def written_anew(self, version: str) -> str | None:
        """Returns the version in place of one that an erasure removed, None when there is none."""
        return self._folders.same_time(version)

    def remove(self, version: str) -> None:
        """Removes an old version. Raises DatabaseMissing, and InputError for the current one."""
        with self._writing() as current:
            folder = self._folders.folder(version)
            if folder.name == current:
                raise InputError(f"{version} is the version in use.", "Use another one first, or erase what it holds.")
            self._folders.remove(folder.name)

    def export(
        self,
        folder: Path,
        version: str | None = None,
        *,
        format: Literal["parquet", "csv"] = "parquet",  # noqa: A002 - the word of the command
        templates: bool = True,
        ids: Collection[str] | None = None,
    ) -> list[Path]:
        """Writes a version as plain files into a folder; returns their paths. See `export.export`."""
        manifest = self.manifest(version)
        return export(self.root / manifest.version, manifest, folder, format=format, templates=templates, ids=ids)

    # --- who is left out ---------------------------------------------------------------------------------------------

    def excluded(self) -> list[Exclusion]:
        """Returns who is never enrolled nor answered. Raises DatabaseCorrupt."""
        return list(self._exclusions.read())

    def exclusion_stamp(self) -> object:
        """Returns what changes whenever the exclusion list does; cheap."""
        return self._exclusions.stamp()

    def erasure_stamp(self) -> object:
        """Returns what changes with every erasure; cheap."""
        return erasure_stamp(self._folders)

    def exclude(self, ids: Iterable[str], reason: str = "") -> str | None:
        """Enters people into the exclusion list; returns the version written without them.

        None when there was no need for one, or when nobody else is enrolled: then there is no current version any
        more. From the moment the list is written nobody on it is found, whichever version is loaded.
        """
        chosen = checked_ids(ids)
        with self._writing() as before:
            known = self.performers(before) if before is not None else None
            self._exclusions.add(entries(chosen, known, reason))
            if before is None or known is None or not having(known, self._exclusions.ids()).any():
                return None
            return self._rewrite(self.manifest(before), self._shards(before))

    def include(self, ids: Iterable[str]) -> None:
        """Removes people from the exclusion list. What a version was written without does not come back."""
        chosen = checked_ids(ids)
        with self._writing():
            self._exclusions.remove(chosen)

    def every_id(self, ids: Iterable[str]) -> frozenset[str]:
        """Returns these ids and all others of the same people, as the current version and the exclusion list know."""
        return every_id(self._folders, checked_ids(ids))

    def erase(self, ids: Iterable[str]) -> Erasure:
        """Removes people, their templates and rows, from every version; see `erasure`. They may be enrolled again."""
        chosen = checked_ids(ids)
        with self._writing():
            return erase(self._folders, chosen)

    # --- steps -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[str | None]:
        """Holds the writer's lock and gives the current version; an erasure that was cut off is finished first."""
        try:
            with self._folders.writing():
                finish_erasure(self._folders)
                yield self.current()
        except _FacesFailed as failed:
            raise failed.error from None

    def _shards(self, version: str, pack: ModelPack | None = None) -> list[Shard]:
        manifest = self.manifest(version)
        self._same_templates(manifest, pack or get_pack(manifest.pack))
        return stored_shards(self.root / version, manifest)

    def _rewrite(self, manifest: Manifest, shards: Sequence[Shard]) -> str | None:
        """Writes a version of stored shards; None, and no current version, when nobody is left."""
        try:
            return self._publish(get_pack(manifest.pack), shards, manifest.index_dtype, manifest.version)
        except NoFaces:
            self._folders.point(None)
            return None

    def _publish(self, pack: ModelPack, shards: Sequence[Shard], dtype: IndexDtype, before: str | None) -> str:
        """Writes a version, makes it current and removes old ones; the lock is held."""
        plan = VersionPlan(pack, dtype, shards, self._exclusions.ids())
        casting = cast(plan)
        self._exclusions.learn(casting.excluded_ids)
        version = self._folders.create(lambda folder, name: fill(plan, casting, folder, name))
        self._folders.point(version)
        self._folders.prune(self.keep, {version, before})
        return version

    def _same_templates(self, manifest: Manifest, pack: ModelPack) -> None:
        if manifest.template_id != pack.template_id:
            raise PackMismatch(
                f"The performer database holds templates {manifest.template_id}, the pack makes {pack.template_id}.",
                f"Choose the pack {manifest.pack}, or enrol anew with `--replace`.",
            )


class _FacesFailed(Exception):
    """What the caller's faces raised: not to be taken for a failure of this folder."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def _table(performers: pa.Table | Sequence[Performer]) -> pa.Table:
    table = performers if isinstance(performers, pa.Table) else performer_table(performers)
    check_performers(table)
    return table


def _batches(faces: Faces) -> Iterator[pa.RecordBatch]:
    """Yields what the caller gives. Raises InputError when that is nothing."""
    count = 0
    try:
        for batch in faces.to_batches() if isinstance(faces, pa.Table) else faces:
            count += len(batch)
            yield batch
    except OSError as error:
        raise _FacesFailed(error) from error
    if not count:
        raise InputError("There is no face to enrol.")


def _read(path: Path, columns: Sequence[str] | None = None, wanted: Any = None) -> pa.Table:
    with readable(path):
        return pq.read_table(path, columns=None if columns is None else list(columns), filters=wanted, memory_map=True)
