"""The faces that an answer rests on, as columns, whichever way they were found: in a picture, a video, a stored scan.

Lives here: `Evidence` and where it comes from. Who the faces are is the FaceIndex's to say, how they are shown is
`serve_app.answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from pipelines.faces.engine import Face
from pipelines.faces.identify import SceneSightings
from pipelines.faces.sightings import Sightings
from pipelines.faces.types import F32, U8
from pipelines.identify_media import VideoFaces
from pipelines.store.templates import ContentScan


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """n faces of one picture, video or gallery.

    Attributes:
        faces: boxes in px of the picture or video as it is shown.
        times: (n,) float32 s, NaN for pictures.
        crops: aligned crop of each face; empty where no pixels are at hand.
        frame_times: of every sampled frame of a video, those without faces included.
        frames_wanted: pictures that were to be looked at.
        width, height: px as shown; 0 for galleries.
        found: faces before any were left out.
        gallery: whether frames are pictures of a gallery.
        scanned_at: when a stored scan was made; None for what was looked at just now.
        kept: whether what was looked at just now has been stored as a scan.
    """

    faces: Sightings
    times: F32
    crops: Sequence[U8] = ()
    frame_times: tuple[float, ...] = ()
    frames_wanted: int = 1
    duration_s: float | None = None
    width: int = 0
    height: int = 0
    found: int = 0
    warnings: tuple[str, ...] = ()
    scanned_at: datetime | None = None
    decode_ms: float = 0.0
    engine_ms: float = 0.0
    gallery: bool = False
    kept: bool = False

    @property
    def scene(self) -> SceneSightings:
        """What naming the people of a video needs."""
        return SceneSightings(self.faces, self.frame_times, self.duration_s or None)

    def at_least(self, min_face_px: float, min_detection_score: float) -> Evidence:
        """Returns the evidence without smaller and less certain faces."""
        sides = (self.faces.boxes[:, 2:] - self.faces.boxes[:, :2]).min(axis=1, initial=np.inf)
        rows = np.flatnonzero((sides >= min_face_px) & (self.faces.scores >= min_detection_score))
        if len(rows) == len(self.faces):
            return self
        crops = [self.crops[row] for row in rows.tolist()] if self.crops else ()
        return replace(self, faces=self.faces.take(rows), times=self.times[rows], crops=crops)


def of_picture(
    faces: Sequence[Face], width: int, height: int, template_dim: int, decode_ms: float, engine_ms: float
) -> Evidence:
    """Returns the evidence of one picture."""
    return Evidence(
        columns(faces, np.zeros(len(faces), np.int32), template_dim),
        np.full(len(faces), np.nan, np.float32),
        [face.crop for face in faces],
        width=width,
        height=height,
        found=len(faces),
        decode_ms=decode_ms,
        engine_ms=engine_ms,
    )


def of_video(video: VideoFaces, max_side_px: int, template_dim: int) -> Evidence:
    """Returns the evidence of one video whose frames were decoded with that longest side."""
    info = video.info
    scale = min(1.0, max_side_px / max(info.width, info.height, 1))
    frames = np.array([s.frame for s in video.seen], np.int32)
    faces = columns([s.face for s in video.seen], frames, template_dim)
    return Evidence(
        replace(faces, boxes=(faces.boxes / np.float32(scale)).astype(np.float32)),
        np.array([s.time_s for s in video.seen], np.float32),
        [s.face.crop for s in video.seen],
        frame_times=video.frame_times,
        frames_wanted=video.report.wanted,
        duration_s=info.duration_s,
        width=info.width,
        height=info.height,
        found=len(video.seen),
        warnings=(video.report.reason,) if video.report.partial else (),
        decode_ms=video.timing_ms["decode"],
        engine_ms=video.timing_ms["detect_embed"],
    )


def of_scan(scan: ContentScan, template_dim: int) -> Evidence:
    """Returns the evidence that a stored scan kept; there are no pixels in it."""
    kept = scan.faces
    templates = kept.template if len(kept) else np.zeros((0, template_dim), np.float16)
    return Evidence(
        Sightings(kept.frame, kept.box, kept.quality, kept.score, templates),
        kept.time_s,
        frame_times=scan.frame_times,
        frames_wanted=max(1, len(scan.frames)),
        duration_s=scan.duration_s if scan.key.kind == "scene" else None,
        width=scan.width,
        height=scan.height,
        found=len(kept),
        warnings=(scan.reason,) if scan.status == "partial" else (),
        scanned_at=scan.scanned_at,
    )


def of_gallery(pictures: Sequence[Evidence | None], template_dim: int) -> Evidence:
    """Returns the evidence of several pictures together; the frame of a face is the number of its picture."""
    there = [(number, picture) for number, picture in enumerate(pictures) if picture is not None and picture.found]
    if not there:
        return replace(of_picture([], 0, 0, template_dim, 0.0, 0.0), gallery=True)
    own = [p.faces for _, p in there]
    faces = Sightings(
        np.concatenate([np.full(len(p.faces), number, np.int32) for number, p in there]),
        np.concatenate([f.boxes for f in own]),
        np.concatenate([f.qualities for f in own]),
        np.concatenate([f.scores for f in own]),
        np.concatenate([f.templates.astype(np.float32) for f in own]),
    )
    crops = [crop for _, p in there for crop in (p.crops or [NO_CROP] * len(p.faces))]
    found = sum(p.found for _, p in there)
    return Evidence(faces, np.full(len(faces), np.nan, np.float32), crops, found=found, gallery=True)


NO_CROP: U8 = np.zeros((0, 0, 3), np.uint8)
"""Stands for the crop of a face of which only the template was kept."""


def columns(faces: Sequence[Face], frames: np.ndarray[tuple[int], np.dtype[np.int32]], template_dim: int) -> Sightings:
    """Returns faces as columns, none included."""
    if not faces:
        none = np.zeros(0, np.float32)
        boxes, templates = np.zeros((0, 4), np.float32), np.zeros((0, template_dim), np.float32)
        return Sightings(np.zeros(0, np.int32), boxes, none, none, templates)
    return Sightings(
        frames,
        np.stack([f.box for f in faces]).astype(np.float32, copy=False),
        np.array([f.quality for f in faces], np.float32),
        np.array([f.detection_score for f in faces], np.float32),
        np.stack([f.template for f in faces]),
    )
