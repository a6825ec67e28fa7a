"""The folder where releases are downloaded and unpacked: <data_dir>/releases, one update or import at a time.

    .lock                          held while something is downloaded or imported
    work/                          of the import that is under way; nobody needs it afterwards
    <source>/taken.json            which release of a source was imported last, and as what
    <source>/<release>/            files of a release that is being downloaded

A process that dies leaves its folders to the next one, which goes on with whole and partial downloads of the release
that it wants itself and removes everything else.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.durable import replace_text
from pipelines.errors import Stopped
from pipelines.folder_lock import alone_in

_TAKEN = "taken.json"
_WORK = "work"


class TakenRelease(BaseModel):
    """The release of a source that was imported last.

    Attributes:
        release: as the source calls it.
        source_id, bundle_release: the database's source and what the bundle itself said; while the current version of
            the database says the same, the release is the one that is installed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    release: str
    source_id: str
    bundle_release: str


class Staging:
    """The folder, while its lock is held; see `staged`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def work(self) -> Path:
        """Folder of the import that is under way."""
        return self.root / _WORK

    def folder(self, source: str, release: str) -> Path:
        """Returns the folder for the files of a release."""
        return self.root / source / release

    def clear(self, configured: Collection[str], source: str = "", release: str = "") -> None:
        """Removes what dead or finished runs left: all work, and downloads that no run will go on with.

        What is kept are the files of `release` of `source`, and those of other configured sources.
        """
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            if folder.is_dir() and folder.name not in configured:
                shutil.rmtree(folder, ignore_errors=True)
        own = self.root / source
        for folder in own.iterdir() if source and own.is_dir() else ():
            if folder.is_dir() and folder.name != release:
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.name.endswith(".partial"):
                folder.unlink(missing_ok=True)

    def note_taken(self, source: str, taken: TakenRelease) -> None:
        """Remembers what a source's release was imported as."""
        (self.root / source).mkdir(parents=True, exist_ok=True)
        replace_text(self.root / source / _TAKEN, taken.model_dump_json() + "\n")


def taken_release(root: Path, source: str) -> TakenRelease | None:
    """Returns what was imported last of a source; None when nothing was, or the note cannot be read."""
    try:
        return TakenRelease.model_validate_json((root / source / _TAKEN).read_bytes())
    except (OSError, ValidationError):
        return None


@contextmanager
def staged(root: Path, should_stop: Callable[[], bool]) -> Iterator[Staging]:
    """Holds the lock of the folder, which is made. Raises NotWritable; Stopped while it waits for another holder."""
    with alone_in(root, should_stop) as first:
        if not first:
            raise Stopped("It was stopped while it waited for another update or import to end.")
        yield Staging(root)
