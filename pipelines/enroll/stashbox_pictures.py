"""Looking at the pictures of performers of a stash-box: fetch, decode, find faces, choose, write.

Fetching runs a few pictures ahead in threads, so that the engine seldom waits for one; every performer is written
before the next begins. The process around it is `enroll_stashbox_worker`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.enroll.crop_writer import CropWriter
from pipelines.enroll.report import ENROLLED, EXAMPLES, small_jpeg
from pipelines.enroll.stashbox_ledger import Ledger, SeenPicture
from pipelines.errors import (
    InputError,
    LimitExceeded,
    MediaError,
    MediaNotFound,
    MediaUnreachable,
    MediaUnsupported,
    StashUnreachable,
    UrlNotAllowed,
)
from pipelines.faces.catalogue import get_pack
from pipelines.faces.gates import Gates, choose_faces
from pipelines.faces.types import Frame
from pipelines.identify_media import Analyzer
from pipelines.media.crops import cut_face
from pipelines.media.images import load_image
from pipelines.scan_worker import LOOK_S, ScanStopped, open_scan_engine
from pipelines.settings import Settings
from pipelines.stash.records import StashBox
from pipelines.stash.stashbox import domain_of
from pipelines.stash.stashbox_connect import box_limiter
from pipelines.stash.stashbox_images import WAITS_S, ImageFetcher
from pipelines.stash.stashbox_records import BoxImage, BoxPerformer

FETCHED_AHEAD = 8
FETCHERS = 4
MOST_PICTURES = 100
"""Pictures of one performer that are looked at; no box showed that many (own look, 2026-11)."""
PIXELS_AT_ONCE = 16_000_000
UNREACHABLE_IN_A_ROW = 3
"""Pictures whose server does not answer, one after another, from which the box is taken to be down."""
CRASHES = 2
"""Processes that may end while they look at a performer before its pictures are left alone."""


@dataclass(frozen=True, slots=True)
class BoxRun:
    """One run of an enrolment, as its workers see it. It goes on as long as the file `going` is there.

    Attributes:
        number: of the run, for the ledger.
        ledger: folder of the ledger.
        folder: of the run; marks and examples are below it.
        box: without its key: pictures are fetched without one.
        waits_s: waits before a picture is tried again.
    """

    number: int
    ledger: Path
    folder: Path
    going: Path
    box: StashBox
    gates: Gates
    waits_s: tuple[float, ...] = WAITS_S

    def stopped(self) -> bool:
        try:
            return not self.going.exists()
        except OSError:  # a file server that does not answer for a moment
            return False


class PictureLooker:
    """Looks at the pictures of performers. The engine is opened when it is first needed."""

    def __init__(self, settings: Settings, run: BoxRun, engine: Analyzer | None = None) -> None:
        self._settings = settings
        self._run = run
        self._pack = get_pack(settings.pack)
        self._engine = engine
        self.ledger = Ledger(run.ledger, self._pack.template_dim)
        self._domain = domain_of(run.box)
        self._crops = CropWriter(settings, self._domain)
        self._silent = 0
        self._fetcher = ImageFetcher(
            run.box.endpoint,
            box_limiter(settings, run.box),
            allowed_hosts=settings.stashbox_image_hosts,
            pause_s=settings.stashbox_pause_s,
            waits_s=run.waits_s,
            sleep=self._sleep,
        )

    def look(self, performers: Iterable[tuple[BoxPerformer, bool]]) -> Iterator[dict[str, Any]]:
        """Looks at each performer and writes what was seen; yields one status row each.

        Args:
            performers: each with whether the ledger knows it.

        Raises StashUnreachable when the box does not answer any more, ScanStopped when the run was stopped.
        """
        left = [(p, known) for p, known in performers if not self.ledger.written(self._run.number, p.id)]
        pictures = self.ledger.pictures([p.id for p, known in left if known])
        waiting = [self._plan(p, pictures.get(p.id, ())) for p, _ in left]
        wanted = (image for _, _, images in waiting for image in images)
        with ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch") as pool:
            ahead = _Ahead(wanted, lambda image: pool.submit(self._fetch, image))
            try:
                for performer, known, images in waiting:
                    yield self._performer(performer, known, len(images), ahead)
            finally:
                ahead.cancel()

    def _plan(
        self, performer: BoxPerformer, pictures: Iterable[SeenPicture]
    ) -> tuple[BoxPerformer, dict[str, SeenPicture], list[BoxImage]]:
        """Returns the performer, its pictures that are known, and those to be fetched, in order."""
        known = {p.image_id: p for p in pictures}
        images = _distinct(performer)[:MOST_PICTURES]
        return performer, known, [i for i in images if self._wanted(i, known.get(i.id))]

    def _wanted(self, image: BoxImage, known: SeenPicture | None) -> bool:
        side = min(image.width, image.height)
        return not 0 < side < self._run.gates.min_image_side_px and (known is None or known.open)

    def _performer(
        self, performer: BoxPerformer, known: dict[str, SeenPicture], fetched: int, ahead: _Ahead
    ) -> dict[str, Any]:
        mark = self._run.folder / "marks" / performer.id
        crashed = mark.stat().st_size if mark.exists() else 0
        with suppress(FileNotFoundError), mark.open("ab") as file:
            file.write(b".")
        try:
            return self._looked_at(performer, known, fetched, ahead, crashed=crashed >= CRASHES)
        finally:
            mark.unlink(missing_ok=True)  # a process that ends here leaves it

    def _looked_at(
        self, performer: BoxPerformer, known: dict[str, SeenPicture], fetched: int, ahead: _Ahead, *, crashed: bool
    ) -> dict[str, Any]:
        pictures: list[SeenPicture] = []
        frames: list[tuple[SeenPicture, Frame]] = []
        shown: dict[str, bytes] = {}
        cut: dict[str, list[bytes]] = {}
        for image in _distinct(performer)[:MOST_PICTURES]:
            before = known.get(image.id)
            if before is not None and not before.open:
                pictures.append(replace(before, reason="", detail="", chosen=-1))
                continue
            picture = SeenPicture(image.id, image.url, side_px=min(image.width, image.height))
            pictures.append(picture)
            if not self._wanted(image, before):
                continue
            picture.tries = before.tries if before else 0
            frame = self._frame(picture, ahead.take(), crashed=crashed)
            if frame is not None:
                frames.append((picture, frame))
            if sum(f.shape[0] * f.shape[1] for _, f in frames) >= PIXELS_AT_ONCE:
                shown |= self._analyse(frames, cut)
                frames = []
        shown |= self._analyse(frames, cut)
        self._choose(pictures)
        self._keep_examples(pictures, shown)
        self._keep_crops(f"{self._domain}:{performer.id}", pictures, cut)
        self.ledger.write(
            self._run.number, performer.id, pictures, updated=performer.updated, facts=facts_of(performer)
        )
        reasons = Counter(p.reason for p in pictures)
        faces = reasons[ENROLLED]
        return {
            "performer": performer.id,
            "pictures": len(pictures),
            "fetched": fetched,
            "faces": faces,
            "reasons": json.dumps(reasons),
        }

    def _frame(self, picture: SeenPicture, answer: bytes | Exception, *, crashed: bool) -> Frame | None:
        """Returns the decoded picture, or None and fills in why not."""
        self._checkpoint()
        if isinstance(answer, MediaUnreachable):
            self._silent += 1
            picture.fault, picture.detail, picture.tries = "unreachable", answer.message, picture.tries + 1
            if self._silent >= UNREACHABLE_IN_A_ROW:
                raise StashUnreachable(
                    f"The pictures of {self._run.box.endpoint} cannot be fetched: {answer.message}",
                    "What was enrolled so far is kept; the same command goes on where this one was.",
                )
            return None
        if isinstance(answer, UrlNotAllowed):
            picture.fault, picture.detail = "refused", answer.message
            return None
        if isinstance(answer, MediaNotFound | LimitExceeded):
            picture.fault = "missing" if isinstance(answer, MediaNotFound) else "too_large"
            picture.detail = answer.message
            return None
        if isinstance(answer, Exception):
            raise answer
        self._silent = 0
        picture.sha256 = hashlib.sha256(answer).hexdigest()
        if crashed:
            picture.fault, picture.detail = "crashed", "The process ended while it was looked at."
            picture.tries += 1
            return None
        try:
            frame = load_image(answer, max_megapixels=self._settings.max_image_megapixels)
        except MediaUnsupported as error:
            picture.fault, picture.detail = "not_an_image", error.message
        except (MediaError, InputError) as error:
            picture.fault, picture.detail = "unreadable", error.message
        else:
            picture.side_px = min(frame.shape[:2])
            return frame
        return None

    def _analyse(self, frames: Sequence[tuple[SeenPicture, Frame]], cut: dict[str, list[bytes]]) -> dict[str, bytes]:
        """Fills in the faces, and their pictures in `cut`; returns a small JPEG of each picture, for the examples."""
        if not frames:
            return {}
        self._checkpoint()
        engine = self._opened()
        shown = {}
        for (picture, frame), faces in zip(frames, engine.analyze([f for _, f in frames]), strict=True):
            picture.faces = list(faces)
            cut[picture.image_id] = self._crops.cut(frame, [face.box.tolist() for face in faces])
            shown[picture.image_id] = small_jpeg(cut_face(frame, faces[0].box.tolist()) if faces else frame)
        return shown

    def _choose(self, pictures: Sequence[SeenPicture]) -> None:
        """Fills in reason, detail and chosen face of each picture."""
        seen: set[str] = set()
        candidates = []
        for picture in pictures:
            if picture.fault:
                picture.reason = picture.fault
            elif picture.sha256 and picture.sha256 in seen:
                picture.reason = "duplicate"
            else:
                seen.add(picture.sha256)
                candidates.append(picture)
        choices, _ = choose_faces(
            [p.faces for p in candidates],
            np.zeros((0, self._pack.template_dim), np.float32),
            self._pack,
            self._run.gates,
            [p.side_px for p in candidates],
        )
        for picture, choice in zip(candidates, choices, strict=True):
            picture.reason, picture.detail = choice.reason or ENROLLED, choice.detail
            picture.chosen = next((i for i, face in enumerate(picture.faces) if face is choice.face), -1)

    def _keep_examples(self, pictures: Sequence[SeenPicture], shown: dict[str, bytes]) -> None:
        for picture in pictures:
            jpeg = shown.get(picture.image_id)
            folder = self._run.folder / "examples" / picture.reason
            if jpeg and (not folder.is_dir() or len(list(folder.iterdir())) < EXAMPLES):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{picture.image_id}.jpg").write_bytes(jpeg)

    def _keep_crops(
        self, universal_id: str, pictures: Sequence[SeenPicture], cut: Mapping[str, Sequence[bytes]]
    ) -> None:
        for picture in pictures:
            if picture.reason == ENROLLED and picture.chosen >= 0 and picture.image_id in cut:
                face = picture.faces[picture.chosen]
                self._crops.keep(universal_id, face, cut[picture.image_id][picture.chosen])

    def _fetch(self, image: BoxImage) -> bytes | Exception:
        try:
            self._checkpoint()
            return self._fetcher.fetch(image.url)
        except Exception as error:  # noqa: BLE001 - sorted where the picture is wanted
            return error

    def _opened(self) -> Analyzer:
        if self._engine is None:
            self._engine = open_scan_engine(self._settings)
        return self._engine

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._checkpoint()
            time.sleep(min(LOOK_S, left))

    def _checkpoint(self) -> None:
        if self._run.stopped():
            raise ScanStopped


class _Ahead:
    """Pictures in order, some of which are being fetched already."""

    def __init__(self, images: Iterator[BoxImage], submit: Callable[[BoxImage], Future[bytes | Exception]]) -> None:
        self._images = images
        self._submit = submit
        self._under_way: deque[Future[bytes | Exception]] = deque()

    def take(self) -> bytes | Exception:
        """Returns the next picture, or why it cannot be had."""
        while len(self._under_way) < FETCHED_AHEAD and (image := next(self._images, None)) is not None:
            self._under_way.append(self._submit(image))
        return self._under_way.popleft().result()

    def cancel(self) -> None:
        for future in self._under_way:
            future.cancel()


def facts_of(performer: BoxPerformer) -> dict[str, Any]:
    """Returns what the database is told of a performer."""
    names = ("name", "disambiguation", "aliases", "gender", "birth_date", "country", "career_start", "career_end")
    return {
        **{name: getattr(performer, name) for name in (*names, "merged_ids", "merged_into_id")},
        "image_url": performer.images[0].url if performer.images else "",
    }


def _distinct(performer: BoxPerformer) -> list[BoxImage]:
    return list({image.id: image for image in performer.images}.values())
