"""Frames to faces: the only door that replicas, pipelines and commands use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipelines.faces.alignment import ARCFACE_SIZE_PX, align_face
from pipelines.faces.detector import Detections, FaceDetector
from pipelines.faces.embedder import FaceEmbedder, unit_length
from pipelines.faces.finder import FaceFinder
from pipelines.faces.packs import Alignment, ModelPack
from pipelines.faces.quality import norm_quality, picture_quality, roll_deg, yaw_deg
from pipelines.faces.sessions import CPU
from pipelines.faces.sharing import shared_rows
from pipelines.faces.types import F32, U8, Frame


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face of one picture.

    Attributes:
        box: (4,) float32, x1 y1 x2 y2 px, within the picture.
        landmarks: (5, 2) float32 px; may lie outside the picture.
        detection_score: 0..1.
        yaw_deg: see quality.yaw_deg.
        roll_deg: see quality.roll_deg.
        quality: 0..1, see quality.norm_quality and quality.picture_quality.
        template: (pack.template_dim,) float32, the embedders' unit vectors side by side.
        crop: (112, 112, 3) uint8 RGB, aligned to the ArcFace template.
    """

    box: F32
    landmarks: F32
    detection_score: float
    yaw_deg: float
    roll_deg: float
    quality: float
    template: F32
    crop: U8


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine runs and which faces it reports.

    Attributes:
        threads: ONNX threads inside one operator.
        providers: execution providers as ONNX Runtime names them; one that cannot be used is an error.
        batch_size: pictures or crops in one model call.
        min_face_px: smaller faces (shorter side of the box) are dropped. Faces of 20 to 30 px were still named in
            99 % of the searches at FPIR 1 % (`eval folder --degrade`, conditions size16 and size24, 2026-11-22).
        min_detection_score: least detection score, the pack's when None.
        min_quality: faces of less quality are dropped; 0 keeps all.
    """

    threads: int = 1
    providers: tuple[str, ...] = (CPU,)
    batch_size: int = 16
    min_face_px: int = 24
    min_detection_score: float | None = None
    min_quality: float = 0.01

    def __post_init__(self) -> None:
        for name in ("threads", "batch_size", "min_face_px"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.min_detection_score is not None and not 0 < self.min_detection_score < 1:
            raise ValueError(f"min_detection_score is {self.min_detection_score}, must be between 0 and 1")
        if not 0 <= self.min_quality <= 1:
            raise ValueError(f"min_quality is {self.min_quality}, must be between 0 and 1")


class FaceEngine:
    """A pack's detector, aligner and embedders behind one door. Methods may be called from several threads at once.

    Args:
        pack: what runs.
        folder: where the pack's files are.
        options: see EngineOptions.

    Raises:
        ModelMissing, ModelContractMismatch, ProviderUnavailable.
    """

    def __init__(self, pack: ModelPack, folder: Path, options: EngineOptions = EngineOptions()) -> None:
        cv2.setNumThreads(1)  # parallel work is many frames at once, not threads inside one resize
        self.pack = pack
        self.options = options
        detector = FaceDetector(
            pack.detector,
            folder / pack.detector.file.name,
            threads=options.threads,
            providers=options.providers,
            batch_size=options.batch_size,
        )
        self._finder = FaceFinder(detector, min_score=options.min_detection_score, min_face_px=options.min_face_px)
        self._embedders = [
            FaceEmbedder(
                spec,
                folder / spec.file.name,
                threads=options.threads,
                providers=options.providers,
                batch_size=options.batch_size,
            )
            for spec in pack.embedders
        ]

    def detect(self, images: Sequence[Frame], *, retry: bool = True) -> list[Detections]:
        """Returns the faces of each picture that are large and certain enough, largest box first.

        Args:
            images: (h, w, 3) uint8 RGB each, of any sizes.
            retry: see `analyze`.

        Raises:
            InputError: something that is no (h, w, 3) uint8 picture.
        """
        found = self._finder.find(images, retry=retry)
        return [_within(d, image) for d, image in zip(found, images, strict=True)]

    def analyze(self, images: Sequence[Frame], *, retry: bool = True) -> list[list[Face]]:
        """Returns the faces of each picture with templates, largest box first; an empty list where there is none.

        Args:
            images: (h, w, 3) uint8 RGB each, of any sizes.
            retry: true for photos: look harder where no face is found (see finder.py). False for frames of one video:
                that would take too long, and faces that look the same share a template (see sharing.py).

        Raises:
            InputError: something that is no (h, w, 3) uint8 picture.
        """
        detections = self.detect(images, retry=retry)
        seen = [(image, marks) for image, d in zip(images, detections, strict=True) for marks in d.landmarks]
        crops = _align(seen, "arcface", ARCFACE_SIZE_PX)
        rows = np.arange(len(seen)) if retry else shared_rows(crops, _picture_qualities(detections))
        embedded, place = np.unique(rows, return_inverse=True)
        chosen = [seen[row] for row in embedded]
        raw = [self._embed(embedder, chosen, crops[embedded])[place] for embedder in self._embedders]
        templates = np.concatenate([unit_length(r) for r in raw], axis=1)
        qualities = self._qualities(detections, raw)
        faces = []
        row = 0
        for found in detections:
            numbers = [i for i in range(len(found)) if qualities[row + i] >= self.options.min_quality]
            faces.append([_face(found, i, qualities[row + i], templates[row + i], crops[row + i]) for i in numbers])
            row += len(found)
        return faces

    def _embed(self, embedder: FaceEmbedder, seen: Sequence[tuple[Frame, F32]], crops: U8) -> F32:
        """Returns (n, dimension) raw embeddings; `crops` are used again where the embedder takes the same ones."""
        spec = embedder.spec
        if (spec.alignment, spec.input_px) == ("arcface", ARCFACE_SIZE_PX):
            return embedder.embed_raw(crops)
        return embedder.embed_raw(_align(seen, spec.alignment, spec.input_px))

    def _qualities(self, detections: Sequence[Detections], raw: Sequence[F32]) -> list[float]:
        for embedder, embeddings in zip(self._embedders, raw, strict=True):
            if embedder.spec.quality_norms:
                norms = np.linalg.norm(embeddings, axis=1)
                return [float(q) for q in norm_quality(norms, embedder.spec.quality_norms)]
        return _picture_qualities(detections)


def _picture_qualities(detections: Sequence[Detections]) -> list[float]:
    return [
        picture_quality(box, float(score), yaw_deg(marks))
        for d in detections
        for box, marks, score in zip(d.boxes, d.landmarks, d.scores, strict=True)
    ]


def _within(found: Detections, image: Frame) -> Detections:
    """Returns the faces with boxes cut at the picture's edges, largest first."""
    height, width = image.shape[:2]
    boxes = np.clip(found.boxes, 0, np.array([width, height, width, height], np.float32))
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")
    return Detections(boxes, found.landmarks, found.scores).select(order)


def _align(seen: Sequence[tuple[Frame, F32]], alignment: Alignment, size_px: int) -> U8:
    """Returns the (n, size_px, size_px, 3) crops of n faces, each given as picture and landmarks."""
    crops = np.empty((len(seen), size_px, size_px, 3), np.uint8)
    for crop, (image, landmarks) in zip(crops, seen, strict=True):
        crop[:] = align_face(image, landmarks, alignment, size_px)
    return crops


def _face(found: Detections, i: int, quality: float, template: F32, crop: U8) -> Face:
    landmarks = found.landmarks[i]
    yaw, roll, score = yaw_deg(landmarks), roll_deg(landmarks), float(found.scores[i])
    return Face(found.boxes[i], landmarks, score, yaw, roll, quality, template, crop)
