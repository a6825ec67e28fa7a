"""Stored scans to faces of the one person that is tagged: scenes, single images, and galleries as a whole.

Lives here: `Place`, what was found in one (`Judged`), and the rules of it. Nothing is decoded. Whether the face is the
tagged performer's is for `enroll_local_choice`, remembering what was found for `enroll_local_judged`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.faces.options import IdentifyOptions
from pipelines.faces.packs import ModelPack
from pipelines.faces.sightings import Sightings
from pipelines.faces.templates import TemplateSpace
from pipelines.faces.tracks import find_tracks, seen_side_by_side
from pipelines.faces.types import F32
from pipelines.store.enrolled_faces import face_sources
from pipelines.store.scan_schema import F16, ContentScan

PlaceKind = Literal["scene", "image", "gallery"]
PlaceKey = tuple[PlaceKind, str]
_NAMING = IdentifyOptions()
ONE_PERSON = ""
"""The reason of a place where one person is seen whose faces are good enough."""


@dataclass(frozen=True, slots=True)
class PlaceGates:
    """What a scene, image or gallery must show.

    Attributes:
        min_face_px: shorter side of a face in the decoded frame. Frames are decoded at most `max_side_px` large.
        min_detection_score, max_yaw_deg, min_quality: of a face that is enrolled.
        min_frames: a scene shows the person in so many sampled frames, a gallery in two images.
        faces_a_scene, faces_a_gallery: most faces that are taken, spread over it.
        stray_frames, stray_quality: faces of others count as a second person when seen in so many frames, and clearly;
            what is less is a stray (`IdentifyOptions` has the reasons).
    """

    min_face_px: float = 48.0
    min_detection_score: float = 0.7
    max_yaw_deg: float = 45.0
    min_quality: float = 0.25
    min_frames: int = 3
    faces_a_scene: int = 4
    faces_a_gallery: int = 8
    stray_frames: int = _NAMING.min_unique_frames
    stray_quality: float = _NAMING.min_unknown_quality

    @property
    def digest(self) -> str:
        """What is remembered counts only for the same gates."""
        return repr(self)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one performer alone is tagged.

    Attributes:
        images: of a gallery, those that are scanned.
    """

    kind: PlaceKind
    content_id: str
    performer_id: str
    images: tuple[str, ...] = ()

    @property
    def key(self) -> PlaceKey:
        return self.kind, self.content_id


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What one place shows, whoever is tagged there.

    Attributes:
        stamp: of the scans that it was found in.
        performer_id: who was tagged there when it was last remembered.
        reason: ONE_PERSON, or a key of `gates.REASONS`; there are no faces then.
        sources: (n,) where each face is, such as "scene/42@12.50".
        quality, yaw, score: (n,) float32.
        template: (n, template_dim) float16.
    """

    stamp: str
    reason: str
    detail: str = ""
    sources: tuple[str, ...] = ()
    quality: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    yaw: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    score: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    template: F16 = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    performer_id: str = ""


class Judge:
    """Looks at stored scans with one pack and one set of gates."""

    def __init__(self, pack: ModelPack, gates: PlaceGates, max_side_px: int) -> None:
        self._pack = pack
        self._gates = gates
        self._max_side_px = max_side_px
        # Without anybody enrolled, so that what is found does not depend on who is.
        self._space = TemplateSpace.for_gallery(pack, np.zeros((0, pack.template_dim), np.float32))

    def judge(self, kind: PlaceKind, scans: Sequence[ContentScan], stamp: str) -> Judged:
        """Returns what the scans of a place show: of a gallery those of its images, but for short clips, else one."""
        seen = [scan for scan in scans if len(scan.faces) and (kind != "gallery" or np.isnan(scan.faces.time_s[0]))]
        if not seen:
            return Judged(stamp, "no_face")
        video = len(seen) == 1 and not np.isnan(seen[0].faces.time_s[0])
        frames = seen[0].faces.frame if video else np.repeat(np.arange(len(seen)), [len(s.faces) for s in seen])
        total = max(len(seen[0].frames), 1) if video else len(seen)
        faces = Sightings(
            frames.astype(np.int32),
            np.concatenate([s.faces.box for s in seen]),
            np.concatenate([s.faces.quality for s in seen]),
            np.concatenate([s.faces.score for s in seen]),
            np.concatenate([s.faces.template for s in seen]),
        )
        rows, reason, detail = self._one_person(faces, total, min(self._gates.min_frames if video else 2, total))
        if reason:
            return Judged(stamp, reason, detail)
        size = np.concatenate([self._sides_px(s) for s in seen])
        yaw = np.concatenate([s.faces.yaw for s in seen])
        good, reason = self._good(rows, size, faces.scores, yaw, faces.qualities)
        if reason:
            return Judged(stamp, reason)
        most = self._gates.faces_a_gallery if kind == "gallery" else self._gates.faces_a_scene
        rows = spread(good, faces.frames, faces.qualities, most)
        sources = np.array([text for scan in seen for text in face_sources(scan)], dtype=object)
        return Judged(
            stamp,
            ONE_PERSON,
            sources=tuple(sources[rows]),
            quality=faces.qualities[rows],
            yaw=yaw[rows],
            score=faces.scores[rows],
            template=faces.templates[rows].astype(np.float16),
        )

    def _one_person(self, faces: Sightings, total: int, least: int) -> tuple[npt.NDArray[np.intp], str, str]:
        """Returns the rows of the one person, or none and why: reason and detail.

        One person's faces may fall into several tracks (profiles, other light): a track that is never beside the
        longest one and whose mean looks like it is the same person's.
        """
        none = np.zeros(0, np.intp)
        vectors = self._space.project(faces.templates.astype(np.float32))
        alike = self._pack.calibration.same_person_score
        tracks = find_tracks(faces, vectors, alike)
        rows = [tracks.rows([t]) for t in range(len(tracks))]
        frames = np.array([len(np.unique(faces.frames[r])) for r in rows])
        clear = np.array([faces.qualities[r].max() for r in rows]) >= self._gates.stray_quality
        people = np.flatnonzero(clear & (frames >= min(self._gates.stray_frames, total)))
        if not len(people):
            return none, "low_quality", ""
        main = people[frames[people].argmax()]
        apart = seen_side_by_side(tracks, faces)[main]
        same = ~apart & (tracks.templates @ tracks.templates[main] >= alike)
        others = [t for t in people if not same[t]]
        if others:
            return none, "several_people", f"{len(others) + 1} people"
        own = tracks.rows([int(t) for t in np.flatnonzero(same)])
        count = len(np.unique(faces.frames[own]))
        if count < least:
            return none, "too_few_frames", f"{count} of {total}, at least {least} are needed"
        return own, "", ""

    def _sides_px(self, scan: ContentScan) -> F32:
        """Returns (n,) the shorter sides of the faces in the pictures that they were found in."""
        box = scan.faces.box
        longest = max(scan.width, scan.height)
        video = len(scan.faces) and not np.isnan(scan.faces.time_s[0])
        scale = min(1.0, self._max_side_px / longest) if longest and video else 1.0
        sides: F32 = ((box[:, 2:] - box[:, :2]).min(axis=1) * scale).astype(np.float32)
        return sides

    def _good(
        self, rows: npt.NDArray[np.intp], side: F32, score: F32, yaw: F32, quality: F32
    ) -> tuple[npt.NDArray[np.intp], str]:
        """Returns the rows that pass, or none and the gate that most of them failed."""
        gates = self._gates
        failed = {
            "small_face": side[rows] < gates.min_face_px,
            "low_score": score[rows] < gates.min_detection_score,
            "turned_away": np.abs(yaw[rows]) > gates.max_yaw_deg,
            "low_quality": quality[rows] < gates.min_quality,
        }
        good = rows[~np.any(list(failed.values()), axis=0)]
        worst = Counter({name: int(mask.sum()) for name, mask in failed.items()}).most_common(1)[0][0]
        return good, "" if len(good) else worst


def spread(rows: npt.NDArray[np.intp], frames: npt.NDArray[np.int32], quality: F32, most: int) -> npt.NDArray[np.intp]:
    """Returns at most `most` of the rows in order of frame: the best one of each of so many stretches."""
    ordered = rows[np.argsort(frames[rows], kind="stable")]
    parts = np.array_split(ordered, min(most, len(ordered)))
    return np.array([part[quality[part].argmax()] for part in parts], dtype=np.intp)
