"""Performer databases on disk: versions side by side, one of them current.

    <root>/current                 text file: id of the current version, replaced by rename
    <root>/<version>/manifest.json format, pack, counts, sources; size and sha256 of every other file
    <root>/<version>/performers.parquet, faces.parquet, space.json, index.json, *.faiss, *.npy

A version is written to a hidden folder, flushed to disk and renamed, so a reader sees all of it or nothing, and never
changes afterwards. Lives here: writing, reading, verifying and removing versions. What a gallery can do is
`pipelines.faces.gallery`; where the faces come from is `pipelines.enroll`.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.durable import rename_synced, sync
from pipelines.errors import DatabaseCorrupt, DatabaseMissing, NotWritable, PackMismatch
from pipelines.faces.catalogue import get_pack
from pipelines.faces.gallery import Gallery, Performer, performer_table
from pipelines.faces.index import FaceIndex, IndexDtype, file_sha256
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import TemplateSpace
from pipelines.store.tables import EnrolledFaces, check_tables, new_faces, raw_templates

DATABASE_FORMAT = 1
_VERSION = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{4}")
_CURRENT = "current"
_RESTORE = "Restore a backup of the folder or enrol again."


class FileEntry(BaseModel):
    """Size and sha256 (lower-case hex) of one file of a version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size_bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a version is made of; manifest.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    version: str
    created: datetime
    pack: str
    template_id: str
    performers: int
    faces: int
    sources: list[str]
    index_dtype: IndexDtype
    files: dict[str, FileEntry]

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.files.values())


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

    def versions(self) -> list[str]:
        """Returns the ids of all versions, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if _VERSION.fullmatch(p.name) and p.is_dir())

    def current(self) -> str | None:
        """Returns the id of the current version, None when nothing is enrolled."""
        try:
            version = (self.root / _CURRENT).read_text().strip()
        except FileNotFoundError:
            return None
        if not _VERSION.fullmatch(version):
            raise DatabaseCorrupt(f"{self.root / _CURRENT} names {version!r}, which is no version.", _RESTORE)
        return version

    def manifest(self, version: str | None = None) -> Manifest:
        """Returns the manifest of a version (the current one by default), checked against the sizes of its files.

        Raises:
            DatabaseMissing: no such version, or nothing enrolled.
            DatabaseCorrupt: the manifest cannot be read, or a file is missing or of another size.
        """
        folder = self._folder(version)
        try:
            manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        except FileNotFoundError:
            raise DatabaseCorrupt(f"{folder} has no manifest.", _RESTORE) from None
        except ValidationError as error:
            raise DatabaseCorrupt(f"{folder / 'manifest.json'} cannot be read: {error}.", _RESTORE) from error
        for name, entry in manifest.files.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != entry.size_bytes:
                raise DatabaseCorrupt(f"{path} has {size} bytes, should have {entry.size_bytes}.", _RESTORE)
        return manifest

    def verify(self, version: str | None = None) -> Manifest:
        """Returns the manifest after comparing the sha256 of every file. Raises like `manifest`."""
        manifest, folder = self.manifest(version), self._folder(version)
        for name, entry in manifest.files.items():
            if file_sha256(folder / name) != entry.sha256:
                raise DatabaseCorrupt(f"{folder / name} was changed: its sha256 is not the manifest's.", _RESTORE)
        return manifest

    def load(self, version: str | None = None, *, pack: ModelPack | None = None, threads: int = 0) -> Gallery:
        """Returns a version as a gallery, the current one by default; vectors and templates are mapped, not read.

        Args:
            pack: the pack that will be searched with; the version's own by default.
            threads: CPU threads of one search; 0 = all that this process may use.

        Raises:
            DatabaseMissing, DatabaseCorrupt: see `manifest`.
            PackMismatch: the version holds templates of another pack, or of other model files.
        """
        manifest = self.manifest(version)
        folder = self.root / manifest.version
        pack = pack or get_pack(manifest.pack)
        self._same_templates(manifest, pack)
        try:
            return self._gallery(folder, manifest, pack, threads)
        except (OSError, KeyError, pa.ArrowException, ValueError) as error:
            raise DatabaseCorrupt(f"{folder} cannot be read: {error}.", _RESTORE) from error

    def performers(self, version: str | None = None) -> pa.Table:
        """Returns performers.parquet of a version."""
        return pq.read_table(self._folder(version) / "performers.parquet", memory_map=True)

    def faces(self, version: str | None = None, columns: list[str] | None = None) -> pa.Table:
        """Returns faces.parquet of a version, see `face_schema`; all columns by default."""
        return pq.read_table(self._folder(version) / "faces.parquet", columns=columns, memory_map=True)

    def write(
        self,
        pack: ModelPack,
        performers: Sequence[Performer] | pa.Table,
        faces: pa.Table,
        *,
        sources: Sequence[str] = (),
        dtype: IndexDtype = "float16",
    ) -> str:
        """Writes a version, makes it current, removes old ones; returns its id.

        Args:
            faces: `face_schema(pack.template_dim)`; every universal id is one of the performers'.
            sources: where the faces come from, for the manifest.

        Raises:
            InputError: no face, an unknown or doubled universal id.
            NotWritable: the folder cannot be written, or the disk is full.
        """
        table = performers if isinstance(performers, pa.Table) else performer_table(performers)
        check_tables(table, faces)
        with self._writing() as before:
            return self._publish(pack, table, faces, list(sources), dtype, before)

    def add(
        self,
        pack: ModelPack,
        performers: Sequence[Performer],
        faces: pa.Table,
        *,
        sources: Sequence[str] = (),
        dtype: IndexDtype = "float16",
    ) -> str:
        """Writes the current version with these performers and faces added, like `write`; returns the new id.

        What is known of a performer stays as it is. A face of the same performer and the same bytes is added once.
        Raises PackMismatch when the current version holds templates of another pack.
        """
        table = performer_table(performers)
        check_tables(table, faces)
        with self._writing() as before:
            if before is not None:
                self._same_templates(self.manifest(before), pack)
                known, enrolled = self.performers(before), self.faces(before)
                new = pc.invert(pc.is_in(table["universal_id"], known["universal_id"]))
                table = pa.concat_tables([known, table.filter(new)])
                faces = pa.concat_tables([enrolled, new_faces(faces, enrolled)])
                sources = [*self.manifest(before).sources, *sources]
            return self._publish(pack, table, faces, list(dict.fromkeys(sources)), dtype, before)

    def enrolled_faces(self, pack: ModelPack) -> EnrolledFaces:
        """Returns the faces of the current version. Raises like `load`."""
        manifest = self.manifest()
        self._same_templates(manifest, pack)
        return EnrolledFaces(self.faces(manifest.version))

    def use(self, version: str) -> None:
        """Makes an existing version the current one. Raises DatabaseMissing, DatabaseCorrupt."""
        self.manifest(version)
        with self._writing():
            _replace_text(self.root / _CURRENT, version)

    def _folder(self, version: str | None) -> Path:
        chosen = version or self.current()
        if chosen is None:
            raise DatabaseMissing("No performers are enrolled yet.", "Run `stash-sense enroll folder DIR` first.")
        if not _VERSION.fullmatch(chosen) or not (self.root / chosen).is_dir():
            raise DatabaseMissing(
                f"There is no performer database version {chosen!r}.", f"There are: {', '.join(self.versions())}."
            )
        return self.root / chosen

    def _same_templates(self, manifest: Manifest, pack: ModelPack) -> None:
        if manifest.template_id != pack.template_id:
            raise PackMismatch(
                f"The performer database holds templates {manifest.template_id}, the pack makes {pack.template_id}.",
                f"Choose the pack {manifest.pack}, or enrol anew with `--replace`.",
            )

    def _publish(
        self,
        pack: ModelPack,
        table: pa.Table,
        faces: pa.Table,
        sources: list[str],
        dtype: IndexDtype,
        before: str | None,
    ) -> str:
        """Writes a version, makes it current and removes old ones; the lock is held."""
        version = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(2)}"
        partial = self.root / f".partial-{version}"
        try:
            partial.mkdir()
            self._write_files(partial, version, pack, table, faces, sources, dtype)
            partial.rename(self.root / version)
            sync(self.root)
            _replace_text(self.root / _CURRENT, version)
        except OSError as error:
            raise NotWritable(
                f"{self.root} cannot be written: {error}.", "Free some space or choose another data folder."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._prune({version, before})
        return version

    def _gallery(self, folder: Path, manifest: Manifest, pack: ModelPack, threads: int) -> Gallery:
        table = pq.read_table(folder / "performers.parquet", memory_map=True)
        space = TemplateSpace.from_dict(json.loads((folder / "space.json").read_text()))
        if not space.fits(pack):
            raw = raw_templates(folder, table)
            return Gallery.build(
                pack,
                table,
                raw.templates,
                raw.rows,
                version=manifest.version,
                dtype=manifest.index_dtype,
                threads=threads,
            )
        index = FaceIndex.load(folder, threads=threads)
        return Gallery(manifest.version, pack, table, space, index, lambda: raw_templates(folder, table))

    def _write_files(
        self,
        folder: Path,
        version: str,
        pack: ModelPack,
        table: pa.Table,
        faces: pa.Table,
        sources: list[str],
        dtype: IndexDtype,
    ) -> None:
        rows = pc.index_in(faces["universal_id"], table["universal_id"])
        faces = faces.take(pc.array_sort_indices(rows))
        pq.write_table(table, folder / "performers.parquet")
        pq.write_table(faces, folder / "faces.parquet", use_dictionary=["universal_id"], row_group_size=1 << 16)
        raw = raw_templates(folder, table)
        gallery = Gallery.build(pack, table, raw.templates, raw.rows, version=version, dtype=dtype)
        gallery.index.save(folder)
        (folder / "space.json").write_text(json.dumps(gallery.space.to_dict()) + "\n")
        manifest = Manifest(
            format=DATABASE_FORMAT,
            version=version,
            created=datetime.now(UTC),
            pack=pack.id,
            template_id=pack.template_id,
            performers=len(table),
            faces=len(faces),
            sources=sources,
            index_dtype=dtype,
            files={
                path.name: FileEntry(size_bytes=path.stat().st_size, sha256=file_sha256(path))
                for path in sorted(folder.iterdir())
            },
        )
        (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n")
        for path in (*folder.iterdir(), folder):
            sync(path)

    @contextmanager
    def _writing(self) -> Iterator[str | None]:
        """Holds the writer's lock and gives the version that was current; folders of killed writers are removed."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            raise NotWritable(f"{self.root} cannot be written: {error}.", "Choose another data folder.") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for stale in self.root.glob(".partial-*"):
                shutil.rmtree(stale, ignore_errors=True)
            yield self.current()

    def _prune(self, kept: set[str | None]) -> None:
        for version in self.versions()[: -(self.keep + 1)]:
            if version not in kept:
                # Renamed first: a version is there as a whole or not at all, also when this process is killed.
                removed = (self.root / version).rename(self.root / f".partial-{version}")
                shutil.rmtree(removed, ignore_errors=True)


def _replace_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text + "\n")
    rename_synced(partial, path)
