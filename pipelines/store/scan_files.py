"""The files of a dataset of scans: names, the list of parts, locks, and what killed processes leave behind.

    <root>/dataset.json              schema version, parts, pending files that parts already hold; replaced by rename
    <root>/pending/*.parquet         one file a scan, never changed after its rename
    <root>/parts/<name>.*.parquet    many scans: contents, faces, frames; never changed
    <root>/.readers, .compaction     lock files

A reader holds `.readers` shared; files that `dataset.json` no longer wants are removed under an exclusive lock only, so
whoever began to read can finish.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.durable import rename_synced, sync
from pipelines.errors import NotWritable, StoreCorrupt, StoreTooNew
from pipelines.store.scan_schema import ContentScan, ScanKey

SCHEMA_VERSION = 1
LEFTOVER_AGE_S = 24 * 3600.0
"""Age from which an unfinished file of another machine is taken as left behind."""
_POLL_S = 0.05


class Part(BaseModel):
    """One part: scans made with one pack."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    pack: str
    contents: int
    faces: int
    frames: int


class DatasetList(BaseModel):
    """dataset.json.

    Attributes:
        folded: pending files that are not to be read any more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    parts: tuple[Part, ...] = ()
    folded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DatasetFiles:
    """Paths below one root and the operations on them that must survive a kill at any moment."""

    root: Path

    @property
    def pending(self) -> Path:
        return self.root / "pending"

    @property
    def parts(self) -> Path:
        return self.root / "parts"

    @property
    def list_path(self) -> Path:
        return self.root / "dataset.json"

    def part_path(self, name: str, what: Literal["contents", "faces", "frames"]) -> Path:
        return self.parts / f"{name}.{what}.parquet"

    def prepare(self) -> None:
        """Makes the folders and the list, unless they are there. Raises NotWritable, StoreTooNew, StoreCorrupt."""
        with writable(self.root):
            for folder in (self.pending, self.parts):
                folder.mkdir(parents=True, exist_ok=True)
            if not self.list_path.exists():
                partial = partial_path(self.list_path)
                partial.write_text(DatasetList().model_dump_json() + "\n")
                sync(partial)
                with suppress(FileExistsError):  # another writer was first; a link never replaces
                    self.list_path.hardlink_to(partial)
                partial.unlink()
                sync(self.root)
        self.read_list()

    def read_list(self) -> DatasetList:
        """Returns the list, an empty one where nothing was written yet. Raises StoreTooNew, StoreCorrupt."""
        try:
            text = self.list_path.read_text()
        except FileNotFoundError:
            return DatasetList()
        try:
            version = int(json.loads(text)["schema_version"])
            if version > SCHEMA_VERSION:
                raise StoreTooNew(
                    f"{self.root} has the schema {version}, this version knows {SCHEMA_VERSION}.",
                    "Update this program, or choose another data folder.",
                )
            return DatasetList.model_validate_json(text)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise StoreCorrupt(f"{self.list_path} cannot be read: {error}.", "Restore it from a backup.") from error

    def write_list(self, listed: DatasetList) -> None:
        """Replaces the list: the moment at which a change of the parts happens."""
        with writable(self.root):
            partial = partial_path(self.list_path)
            partial.write_text(listed.model_dump_json() + "\n")
            rename_synced(partial, self.list_path)

    def pending_names(self, prefix: str = "") -> list[str]:
        """Returns the names of finished pending files, sorted."""
        try:
            found = os.listdir(self.pending)  # noqa: PTH208 - names only: no stat and no Path for each of thousands
        except FileNotFoundError:
            return []
        return sorted(name for name in found if name.startswith(prefix) and name.endswith(".parquet"))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing is removed inside the block."""
        if not self.root.is_dir():
            yield
            return
        with _locked(self.root / ".readers", fcntl.LOCK_SH):
            yield

    @contextmanager
    def compacting(self, *, wait: bool = False) -> Iterator[bool]:
        """Gives True to one process at a time; False to others, which may also wait for their turn."""
        self.prepare()
        with ExitStack() as stack:
            try:
                how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
                stack.enter_context(_locked(self.root / ".compaction", how))
            except BlockingIOError:
                yield False
            else:
                yield True

    def sweep(self, *, wait_s: float = 2.0) -> bool:
        """Removes folded pending files and parts that are not listed; False while somebody reads.

        For the holder of `compacting` only.
        """
        end = time.monotonic() + wait_s
        while True:
            try:
                with _locked(self.root / ".readers", fcntl.LOCK_EX | fcntl.LOCK_NB):
                    self._remove_unlisted()
                    return True
            except BlockingIOError:
                if time.monotonic() > end:
                    return False
                time.sleep(_POLL_S)

    def remove_leftovers(self) -> int:
        """Removes unfinished files, and folders of runs, of processes that are gone; returns how many."""
        removed = 0
        for folder in (self.root, self.pending, self.parts):
            for path in folder.glob(".*.partial"):
                if _left_behind(path):
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _remove_unlisted(self) -> None:
        listed = self.read_list()
        for name in listed.folded:
            (self.pending / name).unlink(missing_ok=True)
        if listed.folded:
            self.write_list(listed.model_copy(update={"folded": frozenset()}))
        wanted = {part.name for part in listed.parts}
        for path in self.parts.glob("*.parquet"):
            if path.name.split(".")[0] not in wanted:
                path.unlink(missing_ok=True)


def content_prefix(kind: str, content_id: str) -> str:
    """Returns how the names of all pending files of one content begin."""
    return f"{kind}.{content_id}."


def key_prefix(key: ScanKey) -> str:
    """Returns how the names of all pending files of one content, file and recipe begin."""
    return f"{content_prefix(key.kind, key.content_id)}{key.digest}."


def pending_name(scan: ContentScan) -> str:
    """Returns the name of the file of one scan: equal scans, equal names."""
    return f"{key_prefix(scan.key)}{scan.scanned_at.astimezone(UTC):%Y%m%dT%H%M%S%f}.parquet"


def part_name() -> str:
    """Returns a new name; names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"


def partial_path(path: Path) -> Path:
    """Returns the name under which `path` is written at first; it says who writes it."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(3)}.partial")


@contextmanager
def writable(root: Path) -> Iterator[None]:
    """Turns what the system says inside the block into NotWritable."""
    try:
        yield
    except OSError as error:
        raise NotWritable(
            f"{root} cannot be written: {error}.", "Free some space or choose another data folder."
        ) from error


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _left_behind(path: Path) -> bool:
    host, pid = path.name.split(".")[-4:-2]
    try:
        age_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if host == _host() and pid.isdigit():
        return not _alive(int(pid))
    return age_s > LEFTOVER_AGE_S


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
