"""Quality: angles are right by construction, and quality falls as pictures get worse."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.faces.alignment import ARCFACE_TEMPLATE
from pipelines.faces.catalogue import OPEN
from pipelines.faces.degrade import CONDITIONS, cut_face
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.quality import norm_quality, picture_quality, roll_deg, yaw_deg
from pipelines.faces.types import F32
from pipelines.media.images import load_image

FRONTAL = np.array([[30, 50], [70, 50], [50, 70], [35, 90], [65, 90]], np.float32)


def turned(degrees: float) -> F32:
    """FRONTAL turned clockwise as seen in the picture."""
    turn = cv2.getRotationMatrix2D((50, 60), -degrees, 1.0)
    return (FRONTAL @ turn[:, :2].T + turn[:, 2]).astype(np.float32)


def test_a_frontal_face_has_no_yaw():
    assert yaw_deg(FRONTAL) == pytest.approx(0)
    assert abs(yaw_deg(ARCFACE_TEMPLATE)) < 1


@pytest.mark.parametrize(("nose_x", "expected"), [(70, 45), (30, -45), (60, 26.565)])
def test_yaw_is_the_angle_of_the_nose_over_half_the_eyes(nose_x: float, expected: float):
    marks = FRONTAL.copy()
    marks[2, 0] = nose_x
    assert yaw_deg(marks) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("degrees", [-170, -90, -20, 0, 35, 90, 179])
def test_roll_is_measured_and_does_not_change_yaw(degrees: float):
    assert roll_deg(turned(degrees)) == pytest.approx(degrees, abs=0.01)
    assert yaw_deg(turned(degrees)) == pytest.approx(0, abs=0.01)


def test_eyes_in_one_place_are_no_error():
    assert np.isfinite(yaw_deg(np.zeros((5, 2), np.float32)))


def test_norms_are_mapped_and_clipped():
    np.testing.assert_allclose(norm_quality(np.array([3, 6, 10, 14, 20], np.float32), (6, 14)), [0, 0, 0.5, 1, 1])


def test_picture_quality_falls_with_size_score_and_yaw():
    box = np.array([0, 0, 112, 150], np.float32)
    best = picture_quality(box, 1.0, 0.0)
    assert best == pytest.approx(1)
    assert picture_quality(box / 2, 1.0, 0.0) == pytest.approx(0.5)
    assert picture_quality(box, 0.6, 0.0) == pytest.approx(0.6)
    assert picture_quality(box, 1.0, 60.0) == pytest.approx(0.5)
    assert picture_quality(box * 9, 1.0, 0.0) == pytest.approx(1)


def test_worse_pictures_of_a_face_have_less_quality(open_models: Path, data: Path):
    engine = FaceEngine(OPEN, open_models, EngineOptions(threads=2, min_face_px=16, min_quality=0))
    steps = {c.name: c for c in CONDITIONS}
    means = {}
    photos = [
        load_image(data / f"faces/people/{name}/01.jpg") for name in ("barack_obama", "joe_biden", "compreface_b")
    ]
    cuts = [cut_face(photo, engine.analyze([photo])[0][0].landmarks) for photo in photos]
    for name in ("clean", "size24", "blur5", "c16jpg"):
        found = engine.analyze([steps[name].apply(cut, str(i)).image for i, cut in enumerate(cuts)])
        means[name] = float(np.mean([faces[0].quality for faces in found if faces]))
    assert means["clean"] > 0.75
    assert means["clean"] > means["size24"] > means["c16jpg"]
    assert means["clean"] > means["blur5"] > means["c16jpg"]
    assert means["c16jpg"] < 0.5
