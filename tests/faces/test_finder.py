"""Second looks: what one pass misses is found, tilted faces get their landmarks, and nothing is made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.faces.catalogue import OPEN
from pipelines.faces.degrade import CutFace, add_noise, blur, cut_face, darken, roll
from pipelines.faces.detector import FaceDetector
from pipelines.faces.finder import FaceFinder
from pipelines.faces.types import Frame
from pipelines.media.images import load_image

NOFACE = (
    "azure_cheese_clipart.png",
    "azure_dog.jpg",
    "azure_handwritten_text.jpg",
    "azure_lion_drawing.png",
    "azure_printed_text.jpg",
    "compreface_017_0.jpg",
    "eagle.jpg",
)


@pytest.fixture(scope="module")
def detector(open_models: Path) -> FaceDetector:
    return FaceDetector(OPEN.detector, open_models / OPEN.detector.file.name, threads=2)


@pytest.fixture(scope="module")
def finder(detector: FaceDetector) -> FaceFinder:
    return FaceFinder(detector, min_score=None, min_face_px=40)


@pytest.fixture(scope="module")
def portrait(data: Path) -> Frame:
    return load_image(data / "faces/people/barack_obama/01.jpg")


def error_of(found: np.ndarray, expected: np.ndarray) -> float:
    """Root mean square distance of landmarks, in eye distances."""
    eyes = float(np.linalg.norm(expected[1] - expected[0]))
    return float(np.sqrt(((found - expected) ** 2).sum(axis=1).mean())) / eyes


@pytest.mark.parametrize(
    ("worsen", "retry"),
    [
        (lambda cut: darken(cut, np.random.default_rng(0)), True),
        (lambda cut: add_noise(cut, 35, np.random.default_rng(0)), True),
        (lambda cut: blur(cut, 5), False),
    ],
    ids=["dark", "noise", "blur"],
)
def test_close_ups_that_one_pass_misses_are_found(
    detector: FaceDetector, finder: FaceFinder, data: Path, worsen: Callable[[CutFace], CutFace], retry: bool
):
    plain, errors = 0, []
    for path in sorted((data / "faces/people").glob("*/01.*")):
        photo = load_image(path)
        cut = worsen(cut_face(photo, detector.detect([photo])[0].landmarks[0]))
        plain += len(detector.detect([cut.image])[0])
        found = finder.find([cut.image], retry=retry)[0]
        errors.append(min((error_of(marks, cut.landmarks) for marks in found.landmarks), default=9.0))
    placed = sum(error < 0.4 for error in errors)
    assert placed >= len(errors) - 1
    assert placed > plain
    assert np.median(errors) < 0.2


@pytest.mark.parametrize("degrees", [-45, -30, 30, 45])
def test_tilted_faces_get_landmarks_of_the_upright_face(
    detector: FaceDetector, finder: FaceFinder, portrait: Frame, degrees: float
):
    cut = roll(cut_face(portrait, detector.detect([portrait])[0].landmarks[0]), degrees)
    plain = detector.detect([cut.image], 0.5)[0]
    found = finder.find([cut.image], retry=False)[0]
    assert len(found) == 1
    assert error_of(found.landmarks[0], cut.landmarks) < 0.12
    assert error_of(found.landmarks[0], cut.landmarks) < error_of(plain.landmarks[0], cut.landmarks)


@pytest.mark.parametrize("turns", [1, 3])
def test_a_photo_on_its_side_is_turned_only_when_asked(finder: FaceFinder, portrait: Frame, turns: int):
    side = np.ascontiguousarray(np.rot90(portrait, turns))
    assert len(finder.find([side], retry=False)[0]) == 0
    found = finder.find([side], retry=True)[0]
    upright = finder.find([portrait], retry=False)[0]
    height, width = portrait.shape[:2]
    x, y = upright.landmarks[0].T
    expected = np.stack([y, width - 1 - x] if turns == 1 else [height - 1 - y, x], axis=1)
    assert error_of(found.landmarks[0], expected) < 0.03
    assert found.boxes[0, 2] > found.boxes[0, 0]
    assert found.boxes[0, 3] > found.boxes[0, 1]


def test_a_tight_crop_is_found(detector: FaceDetector, finder: FaceFinder, portrait: Frame):
    x1, y1, x2, y2 = detector.detect([portrait])[0].boxes[0].round().astype(int)
    tight = np.ascontiguousarray(portrait[y1 + 20 : y2 - 10, x1 + 10 : x2 - 10])
    assert len(finder.find([tight], retry=True)[0]) == 1


@pytest.mark.parametrize("name", NOFACE)
def test_nothing_is_made_up(finder: FaceFinder, data: Path, name: str):
    assert len(finder.find([load_image(data / "faces/noface" / name)], retry=True)[0]) == 0


def test_small_faces_do_not_count(detector: FaceDetector, data: Path):
    picture = load_image(data / "faces/groups/compreface_015_6.jpg")
    counts = [
        len(FaceFinder(detector, min_score=None, min_face_px=px).find([picture], retry=False)[0]) for px in (16, 42)
    ]
    assert counts[0] == 6
    assert 1 <= counts[1] < 6


def test_a_score_that_was_asked_for_holds_in_second_looks(detector: FaceDetector, portrait: Frame):
    cut = darken(cut_face(portrait, detector.detect([portrait])[0].landmarks[0]), np.random.default_rng(0))
    strict = FaceFinder(detector, min_score=0.97, min_face_px=40)
    assert len(strict.find([portrait, cut.image], retry=True)[1]) == 0
