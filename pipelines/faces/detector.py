"""Pictures to boxes and landmarks, with any detector of the SCRFD contract.

The contract: 9 outputs in the order scores, boxes, landmarks at strides 8, 16 and 32; two anchors a cell; distances in
strides from the cell's corner. Outputs are (n, cells * 2, k), or (cells * 2, k) where an export dropped the batch axis.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.errors import InputError
from pipelines.faces.packs import DetectorSpec
from pipelines.faces.sessions import CPU, GraphSession
from pipelines.faces.types import F32, Frame

STRIDES = (8, 16, 32)
ANCHORS = 2
CPU_BATCH_PX = 640 * 640
"""Canvas px in one call on a CPU: more leave the caches. YuNet at 640 x 384, 2 threads: 8 CPU ms a picture in calls of
one, 14 in calls of 4 or 16 (2026-11-22). GPUs are given whole batches."""
MARGIN_PX = 32
"""Least black border beyond the shorter side, as far as a square has one. Without it a face at the edge was placed
0.57 canvas px away from where a square canvas, which insightface uses, places it; with it 0.11 (2026-11-22)."""
_WIDTHS = (1, 4, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Faces of one picture, best score first.

    Attributes:
        boxes: (n, 4) float32, x1 y1 x2 y2 px; may reach beyond the picture.
        landmarks: (n, 5, 2) float32 px.
        scores: (n,) float32, 0..1.
    """

    boxes: F32
    landmarks: F32
    scores: F32

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.landmarks.shape != (n, 5, 2):
            raise ValueError(
                f"boxes {self.boxes.shape} and landmarks {self.landmarks.shape} are not those of {n} faces"
            )

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Detections:
        """Returns the faces that a mask or a list of rows names, in that order."""
        return Detections(self.boxes[rows], self.landmarks[rows], self.scores[rows])

    def transformed(self, matrix: npt.NDArray[np.floating]) -> Detections:
        """Returns the faces in another picture's px, by a (2, 3) affine map; boxes stay upright."""
        corners = transform_points(self.boxes.reshape(-1, 2, 2), matrix)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return Detections(boxes, transform_points(self.landmarks, matrix), self.scores)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies in the net's canvas: resized to (width, height) px, in the top left corner."""

    width: int
    height: int
    canvas_width: int
    canvas_height: int
    scale: float
    """Picture px in one canvas px."""

    @classmethod
    def fit(cls, image: Frame, longest_px: int, fixed_px: int | None = None) -> Letterbox:
        """Returns the letterbox that brings the longest side to `longest_px`.

        The canvas is a multiple of 32 px that holds it and a margin, or a square of `fixed_px`. The shorter side is
        rounded down, and `scale` taken from the height alone, as insightface does: the released databases were made
        that way. Against a scale for each axis a face moves by less than 0.3 % of its distance from the top left.
        """
        ratio = image.shape[0] / image.shape[1]
        width = longest_px if ratio <= 1 else max(1, int(longest_px / ratio))
        height = longest_px if ratio > 1 else max(1, int(longest_px * ratio))
        if fixed_px:
            return cls(width, height, fixed_px, fixed_px, image.shape[0] / height)
        canvas = [min(-(-side // 32) * 32 + MARGIN_PX, -(-longest_px // 32) * 32) for side in (width, height)]
        return cls(width, height, canvas[0], canvas[1], image.shape[0] / height)


class FaceDetector:
    """Runs the detector of a pack. `detect` may be called from several threads at once.

    Args:
        spec: preprocessing and thresholds.
        model_path: the graph.
        threads, providers: see GraphSession.
        batch_size: pictures in one model call, where the graph has a batch axis.
        square: pad every picture to a square, as insightface does; takes up to twice the time.

    Raises:
        ModelMissing, ModelContractMismatch, ProviderUnavailable.
    """

    def __init__(
        self,
        spec: DetectorSpec,
        model_path: Path,
        *,
        threads: int,
        providers: Sequence[str] = (CPU,),
        batch_size: int = 16,
        square: bool = False,
    ) -> None:
        self.spec = spec
        self._session = GraphSession(model_path, threads=threads, providers=providers)
        self._local = threading.local()
        self._fixed_px = self._check_input()
        self._has_batch_axis = self._check_outputs()
        if square:
            self._fixed_px = spec.input_px
        self._batch_size = batch_size if self._has_batch_axis and self._session.input_shape[0] is None else 1

    def detect(
        self, images: Sequence[Frame], min_score: float | None = None, *, longest_px: int | None = None
    ) -> list[Detections]:
        """Returns the faces of each picture, in the order of the pictures.

        Args:
            images: (h, w, 3) uint8 RGB each, of any sizes; those of equal letterboxed size go through the net together.
            min_score: least detection score, the pack's when None.
            longest_px: length to which the longest side is scaled; the pack's `input_px` when None.

        Raises:
            InputError: something that is no (h, w, 3) uint8 picture.
        """
        least = self.spec.min_score if min_score is None else min_score
        for image in images:
            check_frame(image)
        boxes = [Letterbox.fit(image, longest_px or self.spec.input_px, self._fixed_px) for image in images]
        results: list[Detections] = [Detections.empty()] * len(images)
        for batch in self._batches(boxes):
            outputs = self._session.run(self._blob([images[i] for i in batch], [boxes[i] for i in batch]))
            if not self._has_batch_axis:
                outputs = [o[None] for o in outputs]
            scales = np.array([boxes[i].scale for i in batch], np.float32)
            found = _decode(outputs, boxes[batch[0]].canvas_width, scales, least, self.spec.nms_iou)
            for i, detections in zip(batch, found, strict=True):
                results[i] = detections
        return results

    def _batches(self, boxes: Sequence[Letterbox]) -> list[list[int]]:
        def canvas(i: int) -> tuple[int, int]:
            return boxes[i].canvas_height, boxes[i].canvas_width

        batches: list[list[int]] = []
        for _, group in groupby(sorted(range(len(boxes)), key=canvas), key=canvas):
            rows = list(group)
            box = boxes[rows[0]]
            size = self._batch_size
            if self._session.providers[0] == CPU:
                size = min(size, max(1, CPU_BATCH_PX // (box.canvas_width * box.canvas_height)))
            batches += [rows[start : start + size] for start in range(0, len(rows), size)]
        return batches

    def _blob(self, images: Sequence[Frame], boxes: Sequence[Letterbox]) -> F32:
        """Returns the (n, 3, h, w) float32 input, in a buffer that belongs to the calling thread."""
        spec = self.spec
        factor, shift = np.float32(1 / spec.std), np.float32(spec.mean / spec.std)
        blob = self._buffer((len(images), 3, boxes[0].canvas_height, boxes[0].canvas_width))
        for row, image, box in zip(blob, images, boxes, strict=True):
            row[:, box.height :] = -shift
            row[:, : box.height, box.width :] = -shift
            planes = cv2.split(cv2.resize(image, (box.width, box.height), interpolation=cv2.INTER_LINEAR))
            for target, plane in zip(row, planes[::-1] if spec.colour_order == "bgr" else planes, strict=True):
                inside = target[: box.height, : box.width]
                np.multiply(plane, factor, out=inside, dtype=np.float32)
                inside -= shift
        return blob

    def _buffer(self, shape: tuple[int, ...]) -> F32:
        """Returns memory that the thread has used before: fresh pages would cost more than filling them."""
        size = math.prod(shape)
        memory: F32 | None = getattr(self._local, "memory", None)
        if memory is None or memory.size < size:
            memory = self._local.memory = np.empty(size, np.float32)
        return memory[:size].reshape(shape)

    def _check_input(self) -> int | None:
        """Returns the side of the canvas where the graph fixes it; raises ModelContractMismatch for other inputs."""
        side, shape = self.spec.input_px, self._session.input_shape
        if shape[1] not in {None, 3} or any(d not in {None, side} for d in shape[2:]) or shape[0] not in {None, 1}:
            raise self._session.mismatch(f"input (n or 1, 3, h, w) with h and w free or {side}", f"{shape}")
        return None if shape[2] is None and shape[3] is None else side

    def _check_outputs(self) -> bool:
        """Returns whether outputs have a batch axis; raises ModelContractMismatch if they are not SCRFD's."""
        side = self._fixed_px or 64
        outputs = self._session.run(np.zeros((1, 3, side, side), np.float32))
        cells = [(side // stride) ** 2 * ANCHORS for stride in STRIDES]
        expected = [(count, width) for width in _WIDTHS for count in cells]
        found = [o.shape for o in outputs]
        if found == expected:
            return False
        if found == [(1, *shape) for shape in expected]:
            return True
        raise self._session.mismatch(f"outputs {expected} for {side} px, with or without batch axis", f"{found}")


def transform_points(points: F32, matrix: npt.NDArray[np.floating]) -> F32:
    """Returns (..., 2) points moved by a (2, 3) affine map."""
    moved: F32 = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return moved


def box_iou(box: F32, boxes: F32) -> F32:
    """Returns the (n,) intersection over union of one box with (n, 4) boxes; 0 where both are empty."""
    sides = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0)
    overlap = sides[:, 0] * sides[:, 1]
    spans = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    width, height = max(float(box[2] - box[0]), 0.0), max(float(box[3] - box[1]), 0.0)
    union = spans[:, 0] * spans[:, 1] + np.float32(width * height) - overlap
    iou: F32 = overlap / np.maximum(union, np.float32(1e-9))
    return iou


def check_frame(image: Frame) -> None:
    """Raises InputError unless `image` is an (h, w, 3) uint8 array with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"a picture is {found}", "Expected (h, w, 3) uint8, RGB.")
    if not image.size:
        raise InputError(f"a picture is empty: {image.shape}", "Expected at least one pixel.")


@lru_cache(maxsize=64)
def _cells(count: int, width: int) -> F32:
    """Returns the (count, 2) x, y of each anchor, in strides, for a feature map of that width."""
    cell = np.arange(count) // ANCHORS
    return np.stack([cell % width, cell // width], axis=1).astype(np.float32)


def _decode(
    outputs: Sequence[F32], canvas_width: int, scales: F32, min_score: float, nms_iou: float
) -> list[Detections]:
    """Returns the faces in the nine outputs of n pictures, in px of each picture, best score first.

    Args:
        outputs: (n, anchors, k) each.
        scales: (n,) picture px in one canvas px.
    """
    pictures, scores, boxes, landmarks = [], [], [], []
    for level, stride in enumerate(STRIDES):
        level_scores = outputs[level][..., 0]
        at = np.nonzero(level_scores >= min_score)
        corners = _cells(level_scores.shape[1], canvas_width // stride)[at[1]]
        distances = outputs[level + 3][at]
        px = (scales[at[0]] * np.float32(stride))[:, None]
        pictures.append(at[0])
        scores.append(level_scores[at])
        boxes.append(np.concatenate([corners - distances[:, :2], corners + distances[:, 2:]], axis=1) * px)
        landmarks.append((corners[:, None] + outputs[level + 6][at].reshape(-1, 5, 2)) * px[:, None])
    picture = np.concatenate(pictures)
    found = Detections(np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores))
    rows = [np.flatnonzero(picture == i) for i in range(len(scales))]
    return [found.select(r[_nms(found.boxes[r], found.scores[r], nms_iou)]) for r in rows]


def _nms(boxes: F32, scores: F32, max_iou: float) -> npt.NDArray[np.intp]:
    """Returns the rows that stay, best score first: greedy, dropping what overlaps a better one by more than that."""
    order = np.argsort(-scores, kind="stable")
    keep = []
    while len(order):
        keep.append(order[0])
        if len(order) == 1:
            break
        order = order[1:][box_iou(boxes[order[0]], boxes[order[1:]]) <= max_iou]
    return np.array(keep, np.intp)
