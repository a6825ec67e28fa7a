"""Small pictures of enrolled faces, beside the versions of the performer database, for people to look at.

    <root>/<source>/<two digits>/<digest of the universal id>/<digest of the template>.jpg

A face is known by its template, whichever version or source it is in. Lives here: `FaceCrops`. What a picture shows is
for the enrolments to say; imported faces have none, because their pictures were never here. All of it can be lost.
One of 96 px takes 2.4 kB, the mean of the 35 enrolled photos of tests/data (2026-11-26).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import NotWritable
from pipelines.store.domains import source_folder


def face_key(template: npt.NDArray[np.floating[Any]]) -> str:
    """Returns what a face is known by: 32 hex digits of its raw template as it is stored, float16."""
    return hashlib.sha256(np.ascontiguousarray(template, np.float16).tobytes()).hexdigest()[:32]


class FaceCrops:
    """The pictures of the faces that one source gave, below a folder of it that is made when first written."""

    def __init__(self, root: Path, source: str) -> None:
        """
        Args:
            root: of all sources; source: id of the source.
        """
        self._folder = root / source_folder(source)

    def put(self, universal_id: str, key: str, jpeg: bytes) -> None:
        """Keeps the picture of a face. Raises NotWritable."""
        path = self._owner(universal_id) / f"{key}.jpg"
        partial = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.write_bytes(jpeg)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise NotWritable(f"{path} cannot be written: {error}.", "Free some space.") from error

    def get(self, universal_id: str, key: str) -> bytes | None:
        """Returns the picture of a face as JPEG, None when there is none."""
        with suppress(OSError):
            return (self._owner(universal_id) / f"{key}.jpg").read_bytes()
        return None

    def keys(self, universal_id: str) -> set[str]:
        """Returns which faces of somebody have a picture."""
        return {path.stem for path in self._owner(universal_id).glob("*.jpg")}

    def keep_only(self, universal_id: str, keys: Collection[str]) -> None:
        """Removes the pictures of all other faces of somebody. Raises NotWritable."""
        for key in self.keys(universal_id) - set(keys):
            _remove(self._owner(universal_id) / f"{key}.jpg")

    def keep_people(self, universal_ids: Iterable[str]) -> None:
        """Removes the pictures of everybody else. Raises NotWritable."""
        known = {_digest(universal_id) for universal_id in universal_ids}
        for folder in self._folder.glob("??/*"):
            if folder.name not in known:
                _remove(folder)

    def _owner(self, universal_id: str) -> Path:
        digest = _digest(universal_id)
        return self._folder / digest[:2] / digest


def forget_faces(root: Path, universal_ids: Iterable[str]) -> int:
    """Removes all pictures of these people, of every source; returns how many. Raises NotWritable."""
    digests = [_digest(universal_id) for universal_id in universal_ids]
    folders = [source / digest[:2] / digest for source in root.glob("*") for digest in digests]
    count = sum(len(list(folder.glob("*.jpg"))) for folder in folders)
    for folder in folders:
        _remove(folder)
    return count


def _digest(universal_id: str) -> str:
    return hashlib.sha256(universal_id.encode()).hexdigest()[:32]


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotWritable(f"{path} cannot be removed: {error}.") from error
