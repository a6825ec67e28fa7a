"""The pictures of performers of Stash: fetched when they may have changed, looked at when their bytes did.

Lives here: `Pictures`. What was found in a picture is kept by the sha256 of its bytes, so that an edit of the performer
costs a question (If-None-Match), and a new address of the same picture costs nothing more. What is kept is durable
picture by picture: a killed run has lost nothing that was looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.enroll.crop_writer import CropWriter
from pipelines.enroll.local_people import LocalPerformer
from pipelines.enroll.report import small_jpeg
from pipelines.errors import LimitExceeded, MediaError, StashRejected, StashUnreachable
from pipelines.faces.engine import Face
from pipelines.identify_media import Analyzer
from pipelines.media.access import MediaAccess
from pipelines.media.crops import cut_face
from pipelines.media.images import load_image
from pipelines.media.video import SamplingPlan
from pipelines.scan_content import scan_content
from pipelines.stash.library import StashLibrary
from pipelines.store.scan_schema import ContentScan, ScanKey, ScannedFaces, ScanRecipe
from pipelines.store.templates import ScanDataset

MOST_BYTES = 32 << 20
AT_ONCE = 4
"""Pictures fetched at a time; how many a second is for the limiter."""
GIVE_UP_AFTER = 3
"""Pictures in a row for which Stash does not answer: one alone may be broken, so many mean that Stash is away."""
SAVE_EVERY_S = 30.0
COMPACT_FROM = 1000
CROPS_KEPT = 2000
"""About 12 MB."""
_ANY_PLAN = SamplingPlan()
_NO_CROP = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What was found in the picture of one performer.

    Attributes:
        reason: why it cannot be read; "" when it can.
        side_px: shorter side.
    """

    sha256: str
    reason: str
    detail: str
    side_px: int
    faces: tuple[Face, ...]


class Pictures:
    """The pictures that were looked at with one recipe. Nothing is there before the first is written."""

    def __init__(self, folder: Path, recipe: ScanRecipe) -> None:
        self._dataset = ScanDataset(folder)
        self._recipe = recipe
        done = self._dataset.done(("content_id", "file_fingerprint", "recipe"))
        columns = [done[name].to_pylist() for name in done.schema.names]
        self._known = {(i, print_) for i, print_, digest in zip(*columns, strict=True) if digest == recipe.digest}
        self._ids = set(columns[0])

    def knows(self, performer: LocalPerformer) -> bool:
        """Returns whether the bytes last seen were looked at."""
        return (performer.id, _fingerprint(performer.sha256)) in self._known

    def write(self, scan: ContentScan) -> None:
        self._dataset.write(scan)
        self._known.add((scan.key.content_id, scan.key.file_fingerprint))
        self._ids.add(scan.key.content_id)

    def key(self, performer_id: str, sha256: str) -> ScanKey:
        return ScanKey("image", performer_id, _fingerprint(sha256), self._recipe)

    def keep_only(self, ids: Collection[str]) -> int:
        """Removes the pictures of all others from the disk; returns how many performers they were of."""
        return len(self.forget(self._ids - set(ids)))

    def forget(self, ids: Collection[str]) -> set[str]:
        """Removes the pictures of these performers from the disk; returns those who had one."""
        gone = self._ids & set(ids)
        if gone:
            self._dataset.forget("image", gone)
            self._ids -= gone
            self._known = {known for known in self._known if known[0] not in gone}
        return gone

    def compact(self, should_stop: Callable[[], bool]) -> None:
        """Turns small files into large ones when there are many."""
        if self._dataset.pending_count() >= COMPACT_FROM:
            self._dataset.compact(should_stop=should_stop)

    def of(self, performers: Iterable[LocalPerformer]) -> dict[str, Picture]:
        """Returns what is known of the pictures of these performers, by id; without those that were never looked at."""
        wanted = {p.id: _fingerprint(p.sha256) for p in performers if self.knows(p)}
        found: dict[str, Picture] = {}
        if not wanted:
            return found
        every = len(wanted) * 2 > len(self._ids)
        keys = None if every else {("image", performer_id) for performer_id in wanted}
        for scan in self._dataset.scans(pack=self._recipe.pack, with_frames=False, keys=keys):
            print_ = scan.key.file_fingerprint
            if wanted.get(scan.key.content_id) == print_ and scan.key.recipe_digest == self._recipe.digest:
                found[scan.key.content_id] = _picture(scan)
        return found


def _picture(scan: ContentScan) -> Picture:
    code, _, words = scan.reason.partition(": ")
    faces = tuple(_face(scan.faces, i) for i in range(len(scan.faces)))
    side_px = min(scan.width, scan.height)
    sha256 = scan.key.file_fingerprint.partition(":")[2]
    if scan.status != "failed":
        return Picture(sha256, "", "", side_px, faces)
    return Picture(sha256, "not_an_image" if code == "media_unsupported" else "unreadable", words, side_px, faces)


def _face(faces: ScannedFaces, i: int) -> Face:
    return Face(
        faces.box[i],
        faces.landmarks[i],
        float(faces.score[i]),
        float(faces.yaw[i]),
        float(faces.roll[i]),
        float(faces.quality[i]),
        faces.template[i].astype(np.float32),
        _NO_CROP,
    )


def _fingerprint(sha256: str) -> str:
    return f"sha256:{sha256}"


class PictureRound:
    """One round over the pictures that may have changed.

    Attributes:
        done, total: pictures.
        counts: fetched (asked for), unchanged (the same bytes as before), looked_at, failed (could not be fetched).
        crops: a small JPEG of the first pictures that were looked at, by performer id, for the report.
    """

    def __init__(
        self,
        pictures: Pictures,
        engine: Callable[[], Analyzer],
        max_megapixels: int,
        faces: CropWriter,
        save: Callable[[], None],
    ) -> None:
        """
        Args:
            faces: keeps a picture of every face that is found; which one is enrolled is not known yet.
            engine: opens it when there is a picture to look at.
            save: called now and then in a thread, when what is known of performers has changed.
        """
        self.done = self.total = 0
        self.counts: Counter[str] = Counter()
        self.crops: dict[str, bytes] = {}
        self._pictures = pictures
        self._engine = engine
        self._max_megapixels = max_megapixels
        self._faces = faces
        self._save = save
        self._saved = time.monotonic()
        self._looking = asyncio.Lock()
        self._silent = 0

    async def go(
        self,
        library: StashLibrary,
        performers: dict[str, LocalPerformer],
        due: Collection[str],
        on_failure: Callable[[LocalPerformer, str], None],
    ) -> None:
        """Brings the pictures of the performers `due` up to date, in `performers` and on disk.

        A picture that cannot be fetched is counted, told to `on_failure`, and due again the next time. Raises the
        StashError leaves when Stash stays away.
        """
        self.total = len(due)
        access = MediaAccess((), library.client.address)
        waiting = iter(due)

        async def work() -> None:
            for performer_id in waiting:
                before = performers[performer_id]
                try:
                    performers[performer_id] = await self._one(library, access, before)
                    self._silent = 0
                except (MediaError, LimitExceeded, StashRejected, StashUnreachable) as error:
                    self._silent += isinstance(error, StashUnreachable)
                    if self._silent >= GIVE_UP_AFTER:
                        raise
                    self.counts["failed"] += 1
                    on_failure(before, error.message)
                    performers[performer_id] = replace(before, picture_of="", sha256="", etag="")
                self.done += 1
                if time.monotonic() - self._saved > SAVE_EVERY_S:
                    self._saved = time.monotonic()
                    await asyncio.to_thread(self._save)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, self.total)):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _one(self, library: StashLibrary, access: MediaAccess, performer: LocalPerformer) -> LocalPerformer:
        etag = performer.etag if self._pictures.knows(performer) else ""
        self.counts["fetched"] += 1
        found = await library.client.fetch(access.rebase(performer.image_url), etag=etag, most_bytes=MOST_BYTES)
        if found.data is None:
            self.counts["unchanged"] += 1
            return replace(performer, picture_of=performer.updated_at)
        sha256 = hashlib.sha256(found.data).hexdigest()
        seen = replace(performer, picture_of=performer.updated_at, sha256=sha256, etag=found.etag)
        if self._pictures.knows(seen):
            self.counts["unchanged"] += 1
            return seen
        async with self._looking:  # the engine has all cores already
            await asyncio.to_thread(self._look, seen, found.data)
        self.counts["looked_at"] += 1
        return seen

    def _look(self, performer: LocalPerformer, data: bytes) -> None:
        key = self._pictures.key(performer.id, performer.sha256)
        scan = scan_content(key, data, self._engine(), _ANY_PLAN, max_megapixels=self._max_megapixels)
        self._pictures.write(scan)
        if scan.status == "failed":
            return
        image = load_image(data, max_megapixels=self._max_megapixels)
        cut = self._faces.cut(image, scan.faces.box.tolist())
        for number, jpeg in enumerate(cut):
            self._faces.keep(performer.universal_id, _face(scan.faces, number), jpeg)
        if len(self.crops) < CROPS_KEPT:
            sides = (scan.faces.box[:, 2:] - scan.faces.box[:, :2]).prod(axis=1)
            shown = cut_face(image, scan.faces.box[sides.argmax()].tolist()) if len(sides) else image
            self.crops[performer.id] = small_jpeg(shown)
