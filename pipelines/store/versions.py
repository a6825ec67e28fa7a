"""Versions of the performer database as folders: whole or not there, one of them current, one writer at a time.

    <root>/current                 text file: id of the current version, replaced by rename
    <root>/<version>/              see `publishing`; never changed once it has its name
    <root>/.partial-*              what is being written or removed; the next writer removes what a killed one left
    <root>/.lock                   held by the writer

Lives here: which versions there are, reading manifests, the writer's lock, and the renames by which versions appear,
become current and disappear. What is in a version is `publishing`.
"""

from __future__ import annotations

import errno
import fcntl
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from pipelines.durable import replace_text, sync
from pipelines.errors import DatabaseCorrupt, DatabaseMissing, NoSpace, NotWritable
from pipelines.faces.index import file_sha256
from pipelines.store.manifest import Manifest

RESTORE = "Restore a backup of the folder or enrol again."
_VERSION = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{4}")
_CURRENT = "current"
_PARTIAL = ".partial-"
_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class VersionFolders:
    """The versions below one folder, which is made when first written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Returns the ids of all versions, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if _VERSION.fullmatch(p.name) and p.is_dir())

    def current(self) -> str | None:
        """Returns the id of the current version, None when nothing is enrolled. Raises DatabaseCorrupt."""
        try:
            version = (self.root / _CURRENT).read_text().strip()
        except FileNotFoundError:
            return None
        if not _VERSION.fullmatch(version):
            raise DatabaseCorrupt(f"{self.root / _CURRENT} names {version!r}, which is no version.", RESTORE)
        return version

    def same_time(self, version: str) -> str | None:
        """Returns the version that was written anew in place of another one; the other one itself while it is there."""
        stamp = version.partition("-")[0]
        found = [name for name in self.names() if name.partition("-")[0] == stamp]
        return version if version in found else next(iter(found), None)

    def folder(self, version: str | None = None) -> Path:
        """Returns the folder of a version, the current one by default. Raises DatabaseMissing."""
        chosen = version or self.current()
        if chosen is None:
            raise DatabaseMissing("No performers are enrolled yet.", "Run `stash-sense enroll folder DIR` first.")
        if not _VERSION.fullmatch(chosen) or not (self.root / chosen).is_dir():
            raise DatabaseMissing(
                f"There is no performer database version {chosen!r}.", f"There are: {', '.join(self.names())}."
            )
        return self.root / chosen

    def manifest(self, version: str | None = None) -> Manifest:
        """Returns the manifest of a version, checked against the sizes of its files. Raises DatabaseCorrupt as well."""
        folder = self.folder(version)
        try:
            manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        except FileNotFoundError:
            raise DatabaseCorrupt(f"{folder} has no manifest.", RESTORE) from None
        except (OSError, ValidationError) as error:
            raise DatabaseCorrupt(f"{folder / 'manifest.json'} cannot be read: {error}.", RESTORE) from error
        for name, entry in manifest.files.items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != entry.size_bytes:
                raise DatabaseCorrupt(f"{path} has {size} bytes, should have {entry.size_bytes}.", RESTORE)
        return manifest

    def verify(self, version: str | None = None) -> Manifest:
        """Returns the manifest after comparing the sha256 of every file. Raises like `manifest`."""
        manifest, folder = self.manifest(version), self.folder(version)
        for name, entry in manifest.files.items():
            if file_sha256(folder / name) != entry.sha256:
                raise DatabaseCorrupt(f"{folder / name} was changed: its sha256 is not the manifest's.", RESTORE)
        return manifest

    @contextmanager
    def writing(self) -> Iterator[str | None]:
        """Holds the writer's lock and gives the current version; what killed writers left is removed.

        Whatever the system refuses inside the block is NotWritable, or NoSpace where the disk is full.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            raise NotWritable(f"{self.root} cannot be written: {error}.", "Choose another data folder.") from error
        with lock, self._named():
            fcntl.flock(lock, fcntl.LOCK_EX)
            for stale in (*self.root.glob(f"{_PARTIAL}*"), *self.root.glob(".*.partial")):
                shutil.rmtree(stale, ignore_errors=True) if stale.is_dir() else stale.unlink(missing_ok=True)
            yield self.current()

    def create(self, fill: Callable[[Path, str], object], *, instead_of: str | None = None) -> str:
        """Makes a version appear at once; returns its id. The lock is held, the version is not the current one yet.

        Args:
            fill: writes the files into a folder, given with the id of the version to be, and syncs them.
            instead_of: the version whose place in the order of time the new one takes; now by default.
        """
        stamp = instead_of.partition("-")[0] if instead_of else f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        version = f"{stamp}-{secrets.token_hex(2)}"
        while version == instead_of:
            version = f"{stamp}-{secrets.token_hex(2)}"
        partial = self.root / f"{_PARTIAL}{version}"
        try:
            partial.mkdir()
            fill(partial, version)
            partial.rename(self.root / version)
            sync(self.root)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return version

    def point(self, version: str | None) -> None:
        """Makes a version the current one; None: nothing is enrolled any more. The lock is held."""
        if version is None:
            (self.root / _CURRENT).unlink(missing_ok=True)
            sync(self.root)
        else:
            replace_text(self.root / _CURRENT, f"{version}\n")

    def remove(self, version: str) -> None:
        """Removes a version that is not the current one. The lock is held."""
        # Renamed first: a version is there as a whole or not at all, also when this process is killed.
        removed = (self.root / version).rename(self.root / f"{_PARTIAL}{version}")
        sync(self.root)
        shutil.rmtree(removed, ignore_errors=True)

    def prune(self, keep: int, kept: Collection[str | None]) -> None:
        """Removes the oldest versions, but for the newest one, `keep` before it and those of `kept`."""
        for version in self.names()[: -(keep + 1)]:
            if version not in kept:
                self.remove(version)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            named = NoSpace if error.errno in _SPACE else NotWritable
            raise named(
                f"{self.root} cannot be written: {error}.", "Free some space or choose another data folder."
            ) from error
