"""Folders of photos to a performer database version: DIR/<identity>/*.

Lives here: `enroll_folder`. Which face of a photo is enrolled is decided by `faces.gates`, the version is written by
`store.performers`; a photo that is not good enough is counted with its reason, never an exception.
"""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.enroll.crop_writer import CropWriter
from pipelines.errors import InputError, MediaError
from pipelines.faces.engine import Face, FaceEngine
from pipelines.faces.gallery import Performer
from pipelines.faces.gates import REASONS, Choice, Gates, choose_faces
from pipelines.faces.index import IndexDtype
from pipelines.faces.types import F32, Frame
from pipelines.media.images import load_image
from pipelines.media.kind import media_kind
from pipelines.store.performers import PerformerDatabase, SourceInfo
from pipelines.store.tables import EnrolledFaces, face_table

FOLDER_SOURCE = "folder"
"""Source id of enrolled folders, all of them together."""
_PIXELS_AT_ONCE = 16_000_000
"""Photos are analysed in blocks of about this many pixels (48 MB) while the next block is decoded."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One file that was not enrolled. `reason` is a key of `gates.REASONS`."""

    path: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` files are analysed; `path` was the last one."""

    done: int
    total: int
    path: str


@dataclass(frozen=True, slots=True)
class EnrolmentReport:
    """What became of a folder.

    Attributes:
        version: the database version that is current now; the one before when every file was enrolled already.
        performers, faces: in that version.
        new_performers, new_faces: added by this run.
        duplicates: files whose bytes are enrolled for the same performer already.
        rejected: every other file that was left out, in order of path.
        warnings: what the owner should look at.
    """

    version: str
    performers: int
    faces: int
    new_performers: int
    new_faces: int
    duplicates: int
    rejected: tuple[Rejection, ...]
    warnings: tuple[str, ...]
    duration_s: float

    @property
    def reasons(self) -> dict[str, int]:
        """Number of rejected files by reason, the most frequent first."""
        return dict(Counter(r.reason for r in self.rejected).most_common())


_UNDECIDED = Choice(None)


@dataclass(slots=True)
class _Photo:
    path: Path
    identity: str
    sha256: str = ""
    faces: list[Face] = field(default_factory=list)
    crops: list[bytes] = field(default_factory=list)
    choice: Choice = _UNDECIDED

    @property
    def universal_id(self) -> str:
        return local_id(self.identity)


def local_id(identity: str) -> str:
    """Returns the universal id of an enrolled folder: `local:` and its name in lower case, other signs as `-`.

    Letters of all scripts are kept; a name without any letter or digit gets a UUID of its own.
    """
    slug = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFKC", identity).casefold()).strip("-")
    return f"local:{slug or uuid.uuid5(uuid.NAMESPACE_URL, identity)}"


def enroll_folder(
    folder: Path,
    engine: FaceEngine,
    database: PerformerDatabase,
    *,
    replace: bool = False,
    gates: Gates | None = None,
    dtype: IndexDtype = "float16",
    max_megapixels: int = 100,
    crops: CropWriter | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> EnrolmentReport:
    """Enrols DIR/<identity>/* and makes the new version current; the folder's name is the performer's name.

    Files are added to what is enrolled; the same bytes are never enrolled twice. Nothing changes when it fails.

    Args:
        replace: start anew instead of adding to the current version; what other sources gave is dropped as well.
        crops: keeps a small picture of each face that is enrolled; none by default.
        progress: called after each block of files.

    Raises:
        InputError: no such folder, no identity in it, or not one face that passes the gates.
        PackMismatch: the current version holds templates of another pack, and `replace` is not set.
        NotWritable: the version cannot be written.
    """
    started = time.monotonic()
    photos = _photos(folder)
    before = None if replace or database.current() is None else database.enrolled_faces(engine.pack)
    duplicates = _take_duplicates(photos, before)
    _leave_out(photos, {universal_id for one in database.excluded() for universal_id in one.ids})
    _analyse(photos, engine, max_megapixels, crops, progress)
    warnings = _choose(photos, before, engine, gates or Gates())
    accepted = [p for p in photos if p.choice.face is not None]
    rejected = tuple(Rejection(str(p.path), p.choice.reason, p.choice.detail) for p in photos if p.choice.face is None)
    if not accepted and not duplicates:
        raise _nothing(folder, rejected)
    if accepted:
        performers = {p.universal_id: Performer(p.universal_id, p.identity) for p in accepted}
        source = _source(folder, database, replace=replace)
        if replace:
            database.put(engine.pack, source, list(performers.values()), _table(accepted), dtype=dtype, only=True)
        else:
            database.add(engine.pack, source, list(performers.values()), _table(accepted), dtype=dtype)
        if crops is not None:
            _keep_crops(accepted, crops)
    manifest = database.manifest()
    return EnrolmentReport(
        version=manifest.version,
        performers=manifest.performers,
        faces=manifest.faces,
        new_performers=len({p.universal_id for p in accepted} - (before.universal_ids if before else set())),
        new_faces=len(accepted),
        duplicates=duplicates,
        rejected=rejected,
        warnings=warnings,
        duration_s=time.monotonic() - started,
    )


def _source(folder: Path, database: PerformerDatabase, *, replace: bool) -> SourceInfo:
    """Returns what the manifest says of enrolled folders; the details name all of them."""
    before = None if replace or database.current() is None else database.manifest().sources.get(FOLDER_SOURCE)
    folders = [str(folder)] if before is None else [*before.details.get("folders", []), str(folder)]
    details = {"folders": list(dict.fromkeys(folders))}
    return SourceInfo(id=FOLDER_SOURCE, kind="folder", label=str(folder), updated=datetime.now(UTC), details=details)


def _photos(folder: Path) -> list[_Photo]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Give a folder with one sub-folder of photos per person.")
    identities = sorted(d for d in folder.iterdir() if d.is_dir() and not d.name.startswith("."))
    if not identities:
        raise InputError(f"{folder} has no sub-folder.", "Photos are expected as DIR/<identity>/*.")
    return [
        _Photo(path, d.name)
        for d in identities
        for path in sorted(d.iterdir())
        if path.is_file() and not path.name.startswith(".")
    ]


def _take_duplicates(photos: list[_Photo], before: EnrolledFaces | None) -> int:
    """Removes the files that are enrolled already, marks those that belong to another performer; returns how many."""
    owners = dict(before.owner_of_file) if before else {}
    kept = []
    for photo in photos:
        try:
            with photo.path.open("rb") as file:
                photo.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            photo.choice = Choice(None, "unreadable", str(error))
        owner = owners.get(photo.sha256)
        if owner == photo.universal_id:
            continue
        if owner is not None:
            photo.choice = Choice(None, "other_performer", owner)
        elif photo.sha256:
            owners[photo.sha256] = photo.universal_id
        kept.append(photo)
    count = len(photos) - len(kept)
    photos[:] = kept
    return count


def _leave_out(photos: Sequence[_Photo], excluded: Collection[str]) -> None:
    """Marks the files of people who are on the exclusion list; nobody looks at them."""
    for photo in photos:
        if photo.universal_id in excluded and not photo.choice.reason:
            photo.choice = Choice(None, "excluded")


def _analyse(
    photos: Sequence[_Photo],
    engine: FaceEngine,
    max_megapixels: int,
    crops: CropWriter | None,
    progress: Callable[[Progress], None],
) -> None:
    """Fills in the faces of each photo with their pictures, decoding one block ahead of the engine."""
    blocks = _decoded(photos, max_megapixels)
    with ThreadPoolExecutor(1, thread_name_prefix="decode") as decoder:
        ahead = decoder.submit(next, blocks, None)
        done = 0
        while (block := ahead.result()) is not None:
            ahead = decoder.submit(next, blocks, None)
            readable = [(photo, image) for photo, image in block if image is not None]
            for (photo, image), faces in zip(readable, engine.analyze([i for _, i in readable]), strict=True):
                photo.faces = faces
                if crops is not None:
                    photo.crops = crops.cut(image, [face.box.tolist() for face in faces])
            done += len(block)
            progress(Progress(done, len(photos), str(block[-1][0].path)))


def _decoded(photos: Sequence[_Photo], max_megapixels: int) -> Iterator[list[tuple[_Photo, Frame | None]]]:
    block: list[tuple[_Photo, Frame | None]] = []
    pixels = 0
    for photo in photos:
        image = None if photo.choice.reason else _decode(photo, max_megapixels)
        block.append((photo, image))
        pixels += 0 if image is None else image.shape[0] * image.shape[1]
        if pixels >= _PIXELS_AT_ONCE:
            yield block
            block, pixels = [], 0
    if block:
        yield block


def _decode(photo: _Photo, max_megapixels: int) -> Frame | None:
    try:
        if media_kind(photo.path) == "image":
            return load_image(photo.path, max_megapixels=max_megapixels)
        photo.choice = Choice(None, "not_an_image")
    except (MediaError, InputError) as error:
        photo.choice = Choice(None, "unreadable", error.message)
    return None


def _choose(
    photos: Sequence[_Photo], before: EnrolledFaces | None, engine: FaceEngine, gates: Gates
) -> tuple[str, ...]:
    """Fills in the choice of each readable photo, person by person; returns the warnings."""
    warnings = []
    for universal_id in dict.fromkeys(p.universal_id for p in photos):
        own = [p for p in photos if p.universal_id == universal_id and not p.choice.reason]
        choices, warning = choose_faces(
            [p.faces for p in own], _enrolled(before, universal_id, engine.pack.template_dim), engine.pack, gates
        )
        for photo, choice in zip(own, choices, strict=True):
            photo.choice = choice
        if warning:
            warnings.append(f"{universal_id}: {warning}")
    return tuple(warnings)


def _enrolled(before: EnrolledFaces | None, universal_id: str, template_dim: int) -> F32:
    return before.templates_of(universal_id) if before else np.zeros((0, template_dim), dtype=np.float32)


def _table(accepted: Sequence[_Photo]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - pyarrow has no types
    faces = [p.choice.face for p in accepted if p.choice.face is not None]
    columns: dict[str, list[Any]] = {
        "universal_id": [p.universal_id for p in accepted],
        "source": [f"{p.identity}/{p.path.name}" for p in accepted],
        "source_sha256": [p.sha256 for p in accepted],
        "quality": [f.quality for f in faces],
        "yaw_deg": [f.yaw_deg for f in faces],
        "detection_score": [f.detection_score for f in faces],
    }
    return face_table(columns, np.stack([f.template for f in faces]))


def _keep_crops(accepted: Sequence[_Photo], crops: CropWriter) -> None:
    for photo in accepted:
        for face, jpeg in zip(photo.faces, photo.crops, strict=True):
            if face is photo.choice.face:
                crops.keep(photo.universal_id, face, jpeg)
    crops.tidy()


def _nothing(folder: Path, rejected: Sequence[Rejection]) -> InputError:
    reasons = Counter(r.reason for r in rejected).most_common()
    said = ", ".join(f"{count} x {REASONS[reason]}" for reason, count in reasons) or "there are no files"
    return InputError(
        f"No face of {folder} can be enrolled: {said}.", "Give photos with one clear face each, as DIR/<identity>/*."
    )
