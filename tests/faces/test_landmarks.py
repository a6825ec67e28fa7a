"""Landmarks looked up again: geometry on drawn faces, and fewer errors on real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.faces.catalogue import OPEN
from pipelines.faces.degrade import CONDITIONS, CutFace, cut_face, roll
from pipelines.faces.detector import Detections, FaceDetector
from pipelines.faces.landmarks import LOOK_PX, LandmarkRefiner, eye_chin_px
from pipelines.faces.quality import roll_deg
from pipelines.faces.types import Frame
from pipelines.media.images import load_image

LANDMARKS = np.array([[420, 400], [580, 400], [500, 500], [440, 560], [560, 560]], np.float32)
BY_NAME = {c.name: c for c in CONDITIONS}


@pytest.fixture(scope="module")
def detector(open_models: Path) -> FaceDetector:
    return FaceDetector(OPEN.detector, open_models / OPEN.detector.file.name, threads=1)


@pytest.fixture(scope="module")
def faces(data: Path, detector: FaceDetector) -> list[tuple[str, CutFace]]:
    found = []
    for folder in sorted((data / "faces" / "people").iterdir()):
        file = min(folder.iterdir())
        photo = load_image(file)
        detections = detector.detect([photo], 0.5, longest_px=320)[0]
        if len(detections):
            found.append((f"{folder.name}/{file.name}", cut_face(photo, detections.landmarks[0])))
    assert len(found) >= 12
    return found


class Dots:
    """Stands in for the net: finds the five colours that a test painted on black, wherever they are."""

    COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))

    def detect(self, images: Sequence[Frame], _min_score: float, *, longest_px: int) -> list[Detections]:
        assert longest_px == LOOK_PX
        return [self._one(image) for image in images]

    def _one(self, image: Frame) -> Detections:
        bright = image > 100
        points = [
            np.argwhere((bright == (np.array(colour) > 0)).all(axis=2)).mean(axis=0)[::-1] for colour in self.COLOURS
        ]
        left, right = points[0], points[1]
        if left[0] > right[0]:  # a detector calls the left one in the picture "left eye"
            points = [points[i] for i in (1, 0, 2, 4, 3)]
        marks = np.array(points, np.float32)[None]
        return Detections(np.zeros((1, 4), np.float32), marks, np.ones(1, np.float32))


@pytest.mark.parametrize("scale", [0.15, 0.5, 1.0, 3.0])
def test_looks_are_mapped_back_to_the_picture(scale: float) -> None:
    truth = LANDMARKS * np.float32(scale)
    image = np.zeros((round(1000 * scale), round(1000 * scale), 3), np.uint8)
    for colour, (x, y) in zip(Dots.COLOURS, truth, strict=True):
        cv2.circle(image, (round(float(x)), round(float(y))), max(3, round(28 * scale)), colour, -1)
    rough = truth + np.float32([3, -4]) * np.float32(scale)
    found = Detections(np.zeros((1, 4), np.float32), rough[None], np.ones(1, np.float32))
    (better,) = LandmarkRefiner(Dots()).refine([image], [found])  # type: ignore[arg-type]
    error = np.linalg.norm(better.landmarks[0] - truth, axis=1).max() / eye_chin_px(truth)
    assert error < 0.02


def test_nothing_found_stays_nothing_and_order_is_kept(
    detector: FaceDetector, faces: list[tuple[str, CutFace]]
) -> None:
    images = [faces[0][1].image, np.zeros((80, 80, 3), np.uint8), faces[1][1].image]
    found = [
        Detections(np.ones((1, 4), np.float32), faces[0][1].landmarks[None], np.full(1, 0.8, np.float32)),
        Detections.empty(),
        Detections(np.ones((1, 4), np.float32), faces[1][1].landmarks[None], np.full(1, 0.9, np.float32)),
    ]
    better = LandmarkRefiner(detector).refine(images, found)
    assert [len(d) for d in better] == [1, 0, 1]
    for before, after in zip(found, better, strict=True):
        np.testing.assert_array_equal(before.scores, after.scores)
        np.testing.assert_array_equal(before.boxes, after.boxes)
    alone = LandmarkRefiner(detector).refine(images[2:], found[2:])[0]
    np.testing.assert_allclose(alone.landmarks, better[2].landmarks, atol=1e-3)
    assert LandmarkRefiner(detector).refine([], []) == []


def test_landmarks_stay_where_no_face_is_seen_again(detector: FaceDetector) -> None:
    found = Detections(np.ones((1, 4), np.float32), LANDMARKS[None], np.ones(1, np.float32))
    (kept,) = LandmarkRefiner(detector).refine([np.full((1000, 1000, 3), 90, np.uint8)], [found])
    np.testing.assert_array_equal(kept.landmarks, found.landmarks)


def test_a_face_outside_the_picture_is_no_crash(detector: FaceDetector) -> None:
    found = Detections(np.ones((1, 4), np.float32), LANDMARKS[None] - 3000, np.ones(1, np.float32))
    (kept,) = LandmarkRefiner(detector).refine([np.full((1000, 1000, 3), 90, np.uint8)], [found])
    np.testing.assert_array_equal(kept.landmarks, found.landmarks)


@pytest.mark.parametrize(("condition", "gain"), [("noise", 0.8), ("mask", 0.9), ("roll30", 0.95), ("c24occl", 0.8)])
def test_real_landmarks_get_closer_to_those_of_the_clean_face(
    detector: FaceDetector, faces: list[tuple[str, CutFace]], condition: str, gain: float
) -> None:
    refiner = LandmarkRefiner(detector)
    before, after = [], []
    for key, cut in faces:
        worse = BY_NAME[condition].apply(cut, key)
        found = detector.detect([worse.image], 0.5, longest_px=320)[0]
        if not len(found):
            continue
        first = found.select(np.array([0]))
        (better,) = refiner.refine([worse.image], [first])
        for errors, marks in ((before, first.landmarks[0]), (after, better.landmarks[0])):
            errors.append(np.linalg.norm(marks - worse.landmarks, axis=1).mean() / worse.eye_chin_px)
    assert np.mean(after) < gain * np.mean(before)


@pytest.mark.parametrize("degrees", [-35, 35])
def test_a_tilt_that_landmarks_do_not_show_is_found(
    detector: FaceDetector, faces: list[tuple[str, CutFace]], degrees: float
) -> None:
    """The detector reads too little roll from tilted faces; after refining, most of the turn is there."""
    refiner, read, refined = LandmarkRefiner(detector), [], []
    for _, cut in faces:
        turned = roll(cut, degrees)
        found = detector.detect([turned.image], 0.5, longest_px=320)[0]
        if len(found):
            first = found.select(np.array([0]))
            (better,) = refiner.refine([turned.image], [first])
            read.append(roll_deg(cut.landmarks) - roll_deg(first.landmarks[0]))
            refined.append(roll_deg(cut.landmarks) - roll_deg(better.landmarks[0]))
    assert abs(np.median(read) - degrees) > abs(np.median(refined) - degrees)
    assert abs(np.median(refined) - degrees) < 12
