"""Zips from elsewhere: unpacked so that nothing in them can reach outside a folder or fill a disk.

What a zip says of itself is not believed: sizes are counted while they are written, checksums of the entries compared.
What is in the files is not looked at.
"""

from __future__ import annotations

import lzma
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from pipelines.durable import check_space
from pipelines.errors import InputError, NotWritable, ReleaseCorrupt
from pipelines.releases.facts import ImportStep, Watch

MAX_BYTES = 16 << 30
"""Unpacked; the largest released bundle has 2 GB (366,794 faces, February 2026)."""
MAX_FILES = 64
MAX_RATIO = 100
"""Unpacked to packed size of a whole zip; templates hardly shrink, a released bundle has 1.4."""
RATIO_FREE_BYTES = 64 << 20
"""A zip may always unpack to as much, however small it is."""
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises for contents it cannot unpack."""


def unpack(
    zip_path: Path,
    folder: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    progress: Callable[[ImportStep], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Unpacks a zip into a folder, which is made; what was written stays when it fails.

    Raises:
        ReleaseCorrupt: an entry that is encrypted, damaged, a link, doubled, outside the folder or too large.
        NoSpace: the disk has not enough room for what the zip says it holds.
        NotWritable: the folder cannot be written.
        Stopped: `should_stop` said so.
    """
    watch = Watch(progress, should_stop)
    with _opened(zip_path) as archive:
        entries = _checked(archive, zip_path, max_bytes, max_files)
        total = sum(entry.file_size for entry in entries)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritable(f"{folder} cannot be written: {error}.", "Choose another folder.") from error
        check_space(folder, total)
        allowed = min(max_bytes, max(RATIO_FREE_BYTES, MAX_RATIO * zip_path.stat().st_size))
        written = 0
        for entry in entries:
            written += _write(archive, entry, folder, zip_path, allowed - written, written, total, watch)


def entry_sizes(zip_path: Path) -> dict[str, int]:
    """Returns the stated size of every file of a zip by its path. Raises ReleaseCorrupt."""
    with _opened(zip_path) as archive:
        return {e.filename: e.file_size for e in archive.infolist()[: 4 * MAX_FILES] if not e.is_dir()}


def read_entry(zip_path: Path, name: str, max_bytes: int) -> bytes:
    """Returns the content of one file of a zip. Raises ReleaseCorrupt when it is damaged or larger than allowed."""
    with _opened(zip_path) as archive:
        try:
            with archive.open(name) as entry:
                content = entry.read(max_bytes + 1)
        except (*_DAMAGED, OSError) as error:
            raise _bad(zip_path, name, f"cannot be unpacked ({error})") from error
    if len(content) > max_bytes:
        raise _bad(zip_path, name, f"is larger than {max_bytes} bytes")
    return content


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (*_DAMAGED, OSError, struct.error) as error:
        raise ReleaseCorrupt(f"{path.name} is no zip that can be read: {error}.", "Download it again.") from error


def _checked(archive: zipfile.ZipFile, path: Path, max_bytes: int, max_files: int) -> list[zipfile.ZipInfo]:
    """Returns the entries that are files. Raises ReleaseCorrupt for what no release has."""
    entries = archive.infolist()
    if len(entries) > max_files:
        raise ReleaseCorrupt(f"{path.name} has {len(entries)} entries, at most {max_files} are allowed.")
    seen: set[str] = set()
    for entry in entries:
        reason = _refused(entry)
        if reason:
            raise _bad(path, entry.orig_filename, reason)
        # Some file systems take names for the same that differ in case or in how accents are written.
        key = unicodedata.normalize("NFKC", entry.filename.rstrip("/")).casefold()
        if key in seen:
            raise _bad(path, entry.filename, "is there twice")
        seen.add(key)
    files = [entry for entry in entries if not entry.is_dir()]
    total = sum(entry.file_size for entry in files)
    if total > max_bytes:
        raise ReleaseCorrupt(f"{path.name} would unpack to {total} bytes, at most {max_bytes} are allowed.")
    return files


def _refused(entry: zipfile.ZipInfo) -> str:
    """Returns why an entry is not unpacked, empty when it may be."""
    name = entry.orig_filename
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or "\0" in name or ":" in name or ".." in parts:
        return "would be written outside the folder"
    if not name.isprintable() or len(name.encode()) > 255:
        return "has a name that cannot be used"
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return ""


def _write(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    folder: Path,
    path: Path,
    allowed: int,
    before: int,
    total: int,
    watch: Watch,
) -> int:
    """Unpacks one entry and returns its size in bytes; `before` bytes of `total` were written earlier."""
    target = folder / entry.filename
    if not target.resolve().is_relative_to(folder.resolve()):
        raise _bad(path, entry.filename, "would be written outside the folder")
    size = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            source = archive.open(entry)
            while chunk := _read(source, path, entry):
                size += len(chunk)
                if size > allowed:
                    raise _bad(path, entry.filename, f"unpacks to more than its share, {MAX_RATIO} times the zip")
                out.write(chunk)
                watch.step("unpack", before + size, total)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _bad(path, entry.filename, "has the name of another entry's folder, or is there already") from error
    except OSError as error:
        raise NotWritable(
            f"{target} cannot be written: {error}.", "Free some space or choose another folder."
        ) from error
    except _DAMAGED as error:
        raise _bad(path, entry.filename, f"cannot be unpacked ({error})") from error
    return size


def _read(source: IO[bytes], path: Path, entry: zipfile.ZipInfo) -> bytes:
    try:
        return source.read(_CHUNK)
    except (*_DAMAGED, OSError) as error:  # bz2 raises OSError for damaged data
        raise _bad(path, entry.filename, f"cannot be unpacked ({error})") from error


def _bad(path: Path, entry: str, reason: str) -> ReleaseCorrupt:
    return ReleaseCorrupt(f"{path.name}: the entry {entry!r} {reason}.", "Download it again, from where you trust.")
