"""Downloading the files of a release: `pipelines.transfer` with the sizes, digests and signatures of releases.

A file has its name in the folder only once it is whole and verified, so what is there after a crash is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.durable import check_space
from pipelines.errors import NotWritable, ReleaseCorrupt, ReleaseUnreachable, ReleaseUnsigned
from pipelines.models.files import sha256_of
from pipelines.releases.signature import LARGEST_SIGNATURE_BYTES, check_signature
from pipelines.releases.source import SIGNATURE_SUFFIX, ReleaseFile
from pipelines.transfer import PATIENT, Failures, FetchOptions, Part, Transfer, transfer

UNPACKED_FACTOR = 1.5
"""Unpacked to packed size of a released bundle, rounded up: 1.4 for the one of February 2026."""
VERSION_FACTOR = 1.0
"""Size of the version that a bundle becomes to that of its zip, rounded up: about 0.7 with templates in float16."""

FAILURES = Failures(
    broken=ReleaseUnreachable,
    other=ReleaseCorrupt,
    disk=NotWritable,
    retry_hint="Check the network and the source of releases.",
    missing_hint="The release may have been withdrawn; check for updates again.",
    other_hint="Nothing of it was kept and the performer database is as it was. Try again; if it stays so, the "
    "release itself is damaged.",
)


def needed_bytes(file: ReleaseFile, folder: Path) -> int:
    """Returns what is needed on the disk to download, unpack and store a file, less what has arrived already."""
    return round((file.size_bytes or 0) * (1 + UNPACKED_FACTOR + VERSION_FACTOR)) - _arrived(file, folder)


def _arrived(file: ReleaseFile, folder: Path) -> int:
    there = folder / file.name
    return there.stat().st_size if there.is_file() else Part(there, file.url).size_bytes


def download_file(
    file: ReleaseFile,
    folder: Path,
    *,
    max_bytes: int,
    public_key: str | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
    options: FetchOptions = PATIENT,
) -> Path:
    """Returns a file of a release, downloaded into a folder unless it is there, verified as far as that is possible.

    Args:
        max_bytes: more than that is never taken.
        public_key: of minisign; with it, the file must have a valid signature.

    Raises:
        ReleaseUnreachable: no answer, too many broken ones, or no such file.
        ReleaseCorrupt: another size or sha256 than was announced.
        ReleaseUnsigned: no signature, or one that is not valid.
        NotWritable: the disk is full, or the folder cannot be written.
        Stopped: what has arrived is kept.
    """
    path = folder / file.name
    if public_key is not None and file.signature_url is None:
        raise ReleaseUnsigned(
            f"{file.name} has no signature.", "Unset `release_public_key` only if you trust the source without one."
        )

    def is_genuine(there: Path) -> bool:
        if not there.is_file() or (file.size_bytes is not None and there.stat().st_size != file.size_bytes):
            return False
        return file.sha256 is None or sha256_of(there) == file.sha256

    if not is_genuine(path):
        check_space(folder, (file.size_bytes or 0) - _arrived(file, folder))
        wanted = Transfer(
            url=file.url,
            name=file.name,
            size_bytes=file.size_bytes,
            max_bytes=max_bytes,
            is_genuine=is_genuine,
            failures=FAILURES,
            progress=progress,
            should_stop=should_stop,
        )
        transfer(wanted, path, options)
    if public_key is not None and file.signature_url is not None:
        _check_signed(path, file.signature_url, public_key, should_stop, options)
    return path


def _check_signed(
    path: Path, url: str, public_key: str, should_stop: Callable[[], bool], options: FetchOptions
) -> None:
    """Downloads and checks the signature; a file without a valid one is not kept. Raises ReleaseUnsigned as well."""
    signature = path.with_name(path.name + SIGNATURE_SUFFIX)
    signature.unlink(missing_ok=True)
    wanted = Transfer(
        url=url,
        name=signature.name,
        size_bytes=None,
        max_bytes=LARGEST_SIGNATURE_BYTES,
        is_genuine=Path.is_file,
        failures=FAILURES,
        progress=lambda *_: None,
        should_stop=should_stop,
    )
    transfer(wanted, signature, options)
    try:
        check_signature(path, signature, public_key)
    except ReleaseUnsigned:
        path.unlink(missing_ok=True)
        raise
    finally:
        signature.unlink(missing_ok=True)
