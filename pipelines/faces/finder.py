"""Second looks: what is done where one pass of the detector finds nothing, is unsure, or sees a tilted face.

All figures in this file were measured on 2026-11-22 with the `open` pack: "found" counts the faces found of 90 photos
in 16 degraded conditions (degrade.py, 1,440 in all), "false" the pictures with a box of 40 px or more among 416 without
a person (10 photos, a painting, two dogs, 190 video frames, 214 backgrounds cut from photos).

| looks | found | false |
|---|---|---|
| one pass at 0.7 | 1178 | 2 (the dogs, and a background that its quality drops) |
| + half scale at 0.5 | 1403 | 2 |
| + half scale smoothed by a median at 0.5 | 1417 | 2 |
| + border at 0.7 | 1417 | 2 |
| + quarter turns at 0.7 | | 2 |

The border is for SCRFD, which finds no face in 150 px crops without one. Quarter turns find photos that lie on their
side; half turns are not tried, because upside-down faces get boxes
with false landmarks already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from pipelines.faces.detector import Detections, FaceDetector, box_iou, transform_points
from pipelines.faces.landmarks import LandmarkRefiner
from pipelines.faces.quality import roll_deg
from pipelines.faces.types import F32, Frame

SECOND_LOOK_MIN_SCORE = 0.5
"""Least score in a half-scale look after nothing was found at full scale, unless the caller asked for a score."""

UNSURE_SCORE = 0.9
UNSURE_SIDE_PX = 150
"""A face this large in the canvas and below this score gets a look at half scale; the better scored result stays. It
named 1,224 of 1,328 degraded probes right instead of 1,197, of 83 in noise 80 instead of 68. Tried on faces of 157 px
and more of the canvas."""

SAME_FACE_IOU = 0.4
PAD_SHARE = 0.25
MEDIAN_PX = 5
TILTED_DEG = 10.0
"""As the detector reads it: 10 to 13 degrees at a true roll of 30. With 15, faces rolled by 45 degrees were named right
in 36 of 42 cases, with 10 in 41; nothing got worse. 7 gained nothing more."""
UPRIGHT_ROUNDS = 3
"""Rounds of turning upright: of 26 faces rolled by 60 degrees 15 were named right with 3 rounds, 9 with one."""
UPRIGHT_SIDE_PX = 320
UPRIGHT_FACE_SHARE = 0.45
"""A tilted face is turned upright into a square of this side, of which its box takes this share."""


class FaceFinder:
    """The detector with its second looks. `find` may be called from several threads at once.

    Args:
        detector: runs all passes.
        min_score: least score; None = the pack's, and SECOND_LOOK_MIN_SCORE in second looks.
        min_face_px: nothing counts as found below this box side, in px of the picture.
    """

    def __init__(self, detector: FaceDetector, *, min_score: float | None, min_face_px: int) -> None:
        self._detector = detector
        self._min_score = detector.spec.min_score if min_score is None else min_score
        self._second_score = min(self._min_score, SECOND_LOOK_MIN_SCORE) if min_score is None else min_score
        self._min_face_px = min_face_px
        self._half_px = detector.spec.input_px // 2
        self._refiner = LandmarkRefiner(detector) if detector.spec.refine else None

    def find(self, images: Sequence[Frame], *, retry: bool) -> list[Detections]:
        """Returns the faces of each picture that are large and certain enough.

        Args:
            images: (h, w, 3) uint8 RGB each.
            retry: look again at pictures without a face in the ways that cost more: smoothed, with a border, turned.
        """
        found = [self._large(d) for d in self._detector.detect(images, self._min_score)]
        self._look_at_half_scale(images, found)
        if retry:
            self._look_again(images, found, self._at_quarter_scale)
            self._look_again(images, found, self._smoothed)
            self._look_again(images, found, self._padded)
        found = [self._upright(image, d) for image, d in zip(images, found, strict=True)]
        if retry:
            self._look_again(images, found, self._turned)
        return self._refiner.refine(images, found) if self._refiner else found

    def _large(self, found: Detections) -> Detections:
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        large: Detections = found.select(sides.min(axis=1) >= self._min_face_px)
        return large

    def _look_at_half_scale(self, images: Sequence[Frame], found: list[Detections]) -> None:
        rows = [i for i, d in enumerate(found) if not len(d) or self._unsure(images[i], d)]
        looks = self._detector.detect([images[i] for i in rows], self._second_score, longest_px=self._half_px)
        for i, look in zip(rows, looks, strict=True):
            found[i] = _better(found[i], look) if len(found[i]) else self._large(look)

    def _unsure(self, image: Frame, found: Detections) -> bool:
        scale = self._detector.spec.input_px / max(image.shape[:2])
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).min(axis=1) * scale
        return bool(((sides >= UNSURE_SIDE_PX) & (found.scores < UNSURE_SCORE)).any())

    def _look_again(
        self, images: Sequence[Frame], found: list[Detections], look: Callable[[Frame], Detections]
    ) -> None:
        for i, image in enumerate(images):
            if not len(found[i]):
                found[i] = self._large(look(image))

    def _at_quarter_scale(self, image: Frame) -> Detections:
        """Large faces in noise or darkness: c24dark 61 to 80 %, noise 86 to 99 % found; false 2 of 138."""
        return self._detector.detect([image], self._second_score, longest_px=self._half_px // 64 * 32)[0]

    def _smoothed(self, image: Frame) -> Detections:
        smooth = np.asarray(cv2.medianBlur(image, MEDIAN_PX), np.uint8)
        return self._detector.detect([smooth], self._second_score, longest_px=self._half_px)[0]

    def _padded(self, image: Frame) -> Detections:
        border = round(max(image.shape[:2]) * PAD_SHARE)
        padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
        look = self._detector.detect([np.asarray(padded, np.uint8)], self._min_score)[0]
        return look.transformed(np.array([[1, 0, -border], [0, 1, -border]], np.float32))

    def _turned(self, image: Frame) -> Detections:
        """Tries both quarter turns and keeps the one with the better best score."""
        height, width = image.shape[:2]
        turns = [np.ascontiguousarray(np.rot90(image, k)) for k in (1, 3)]
        left, right = self._detector.detect(turns, self._min_score)
        if max(left.scores, default=0) >= max(right.scores, default=0):
            return left.transformed(np.array([[0, -1, width - 1], [1, 0, 0]], np.float32))
        return right.transformed(np.array([[0, 1, 0], [-1, 0, height - 1]], np.float32))

    def _upright(self, image: Frame, found: Detections) -> Detections:
        """Replaces the landmarks of tilted faces by those found when the face is turned upright, as often as it takes.

        The detector reads less roll than there is (13 degrees at 30, 23 at 45), so one turn may not be enough.
        """
        landmarks = found.landmarks.copy()
        rows = [i for i, marks in enumerate(landmarks) if abs(roll_deg(marks)) > TILTED_DEG]
        for _ in range(UPRIGHT_ROUNDS):
            if not rows:
                break
            turns = [_turn_upright(found.boxes[i], roll_deg(landmarks[i])) for i in rows]
            crops = [_warp(image, turn) for turn in turns]
            looks = self._detector.detect(crops, self._second_score, longest_px=UPRIGHT_SIDE_PX)
            tilted = []
            for i, turn, look in zip(rows, turns, looks, strict=True):
                marks = _middle_landmarks(look)
                if marks is not None:
                    landmarks[i] = transform_points(marks, np.asarray(cv2.invertAffineTransform(turn), np.float32))
                    tilted += [i] if abs(roll_deg(marks)) > TILTED_DEG else []
            rows = tilted
        return Detections(found.boxes, landmarks, found.scores)


def _warp(image: Frame, turn: F32) -> Frame:
    return np.asarray(cv2.warpAffine(image, turn, (UPRIGHT_SIDE_PX, UPRIGHT_SIDE_PX)), np.uint8)


def _middle_landmarks(look: Detections) -> F32 | None:
    """Returns the (5, 2) landmarks of the face in the middle of an upright square, None when there is none."""
    middles = (look.boxes[:, :2] + look.boxes[:, 2:]) / 2 - UPRIGHT_SIDE_PX / 2
    offsets = np.abs(middles).max(axis=1)
    if not len(look) or offsets.min() > UPRIGHT_SIDE_PX * UPRIGHT_FACE_SHARE / 4:
        return None
    marks: F32 = look.landmarks[offsets.argmin()]
    return marks


def _better(found: Detections, look: Detections) -> Detections:
    """Returns `found` with each face replaced by the same face in `look` where that has the better score."""
    boxes, landmarks, scores = found.boxes.copy(), found.landmarks.copy(), found.scores.copy()
    for i in range(len(found)):
        same = np.flatnonzero((box_iou(found.boxes[i], look.boxes) > SAME_FACE_IOU) & (look.scores > scores[i]))
        if len(same):
            boxes[i], landmarks[i], scores[i] = look.boxes[same[0]], look.landmarks[same[0]], look.scores[same[0]]
    return Detections(boxes, landmarks, scores)


def _turn_upright(box: F32, roll: float) -> F32:
    """Returns the (2, 3) affine map that turns by `roll` and brings the box to the middle of the upright square."""
    scale = UPRIGHT_SIDE_PX * UPRIGHT_FACE_SHARE / float((box[2:] - box[:2]).max())
    centre = (box[:2] + box[2:]) / 2
    turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), roll, scale)
    upright: F32 = turn.astype(np.float32)
    upright[:, 2] += np.float32(UPRIGHT_SIDE_PX / 2) - centre
    return upright
