"""Alignment: the closed form is the least-squares optimum, and crops are those of insightface and dlib."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insightface.utils import face_align

from pipelines.errors import InputError
from pipelines.faces.alignment import ARCFACE_TEMPLATE, DLIB_TEMPLATE, align_face, similarity, template
from pipelines.faces.packs import Alignment
from pipelines.faces.types import F32
from pipelines.media.images import load_image

OBAMA_LANDMARKS = np.array([[439.9, 213.7], [555.5, 213.8], [496.3, 267.1], [440.4, 318.2], [547.0, 320.9]], np.float32)


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-4000, 4000), st.floats(-4000, 4000)),
)
def test_a_known_similarity_is_recovered(angle: float, scale: float, shift: tuple[float, float]):
    a = scale * np.exp(1j * angle)
    points = ARCFACE_TEMPLATE.astype(np.float64) @ np.array([[a.real, a.imag], [-a.imag, a.real]]) + shift
    matrix = similarity(ARCFACE_TEMPLATE, points)
    np.testing.assert_allclose(
        matrix, [[a.real, -a.imag, shift[0]], [a.imag, a.real, shift[1]]], atol=1e-6 * scale + 1e-6
    )


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_the_umeyama_estimate_of_insightface(seed: int):
    rng = np.random.default_rng(seed)
    turn = cv2.getRotationMatrix2D((56, 56), rng.uniform(-180, 180), rng.uniform(0.3, 8))
    landmarks = ARCFACE_TEMPLATE @ turn[:, :2].T + turn[:, 2] + rng.normal(0, 4, (5, 2)) + rng.uniform(0, 900, 2)
    ours = similarity(landmarks.astype(np.float32), template("arcface", 112))
    np.testing.assert_allclose(ours, face_align.estimate_norm(landmarks.astype(np.float32), 112), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [112, 224])
def test_the_crop_equals_norm_crop_of_insightface(data: Path, size: int):
    photo = load_image(data / "faces/people/barack_obama/01.jpg")
    ours = align_face(photo, OBAMA_LANDMARKS, "arcface", size)
    theirs = face_align.norm_crop(photo, OBAMA_LANDMARKS, size)
    assert ours.shape == (size, size, 3)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("alignment", "marks", "size"), [("dlib", DLIB_TEMPLATE, 150), ("arcface", ARCFACE_TEMPLATE, 112)]
)
def test_landmarks_at_the_template_give_the_picture_as_it_is(alignment: Alignment, marks: F32, size: int):
    picture = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    crop = align_face(picture, marks + np.float32([20, 30]), alignment, size)
    assert np.abs(crop.astype(int) - picture[30 : 30 + size, 20 : 20 + size]).max() <= 1


def test_dlib_template_scales_with_the_chip():
    np.testing.assert_allclose(template("dlib", 300), DLIB_TEMPLATE * 2)


def test_padded_crops_are_the_112_px_crop_resized_by_area(data: Path):
    photo = load_image(data / "faces/people/barack_obama/01.jpg")
    crop = align_face(photo, OBAMA_LANDMARKS, "arcface", 112)
    padded = align_face(photo, OBAMA_LANDMARKS, "arcface112_padded", 160)
    np.testing.assert_array_equal(padded, cv2.resize(crop, (160, 160), interpolation=cv2.INTER_AREA))


def test_what_lies_outside_the_picture_is_black(data: Path):
    photo = load_image(data / "faces/people/barack_obama/01.jpg")
    crop = align_face(photo, OBAMA_LANDMARKS - np.float32([430, 0]), "arcface", 112)
    assert not crop[:, 0].any()
    assert crop[60, 90].any()


@pytest.mark.parametrize("landmarks", [np.full((5, 2), 7, np.float32), np.full((5, 2), np.nan, np.float32)])
def test_landmarks_without_area_are_refused(landmarks: np.ndarray):
    with pytest.raises(InputError, match="do not span an area"):
        align_face(np.zeros((50, 50, 3), np.uint8), landmarks, "arcface", 112)
