"""Degraded pictures: sizes, strengths, landmarks that move with the face, and noise that repeats."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.faces.degrade import CONDITIONS, CutFace, cut_face, roll, shrink

LANDMARKS = np.array([[420, 400], [580, 400], [500, 500], [440, 560], [560, 560]], np.float32)
BY_NAME = {c.name: c for c in CONDITIONS}


@pytest.fixture(scope="module")
def photo(data: Path) -> np.ndarray:
    image = cv2.imread(str(data / "faces" / "people" / "barack_obama" / "02.jpg"))
    assert image is not None
    return cv2.resize(image, (1000, 1200))[:, :, ::-1].copy()


@pytest.fixture(scope="module")
def cut(photo: np.ndarray) -> CutFace:
    return cut_face(photo, LANDMARKS)


def test_there_are_thirteen_conditions_and_three_combinations() -> None:
    sizes = ["size48", "size32", "size24", "size16"]
    rest = ["jpeg10", "blur3", "blur5", "noise", "dark", "roll30", "mask", "video"]
    assert [c.name for c in CONDITIONS if not c.hard] == ["clean", *sizes, *rest]
    assert [c.name for c in CONDITIONS if c.hard] == ["c16jpg", "c24dark", "c24occl"]


def test_a_cut_has_the_face_at_110_px_in_its_middle(cut: CutFace) -> None:
    assert cut.eye_chin_px == pytest.approx(110, abs=0.5)
    assert cut.image.shape == (320, 320, 3)
    np.testing.assert_allclose(cut.centre, [160, 160], atol=1.5)


def test_a_small_face_is_never_enlarged_and_the_cut_ends_with_the_photo(photo: np.ndarray) -> None:
    tight = cut_face(photo[380:580, 400:600].copy(), LANDMARKS - np.float32([400, 380]))
    assert tight.image.shape == (81, 81, 3)  # 200 px at 110 / 272
    small = cut_face(cv2.resize(photo, None, fx=0.1, fy=0.1).astype(np.uint8), LANDMARKS / 10)
    assert small.eye_chin_px == pytest.approx(27.2, abs=0.1)


@pytest.mark.parametrize(("name", "size"), [("size48", 48), ("size16", 16), ("video", 40), ("c24occl", 24)])
def test_the_face_has_the_size_in_the_name(cut: CutFace, name: str, size: int) -> None:
    worse = BY_NAME[name].apply(cut, "a/1.jpg")
    assert worse.eye_chin_px == pytest.approx(size, rel=0.02)
    assert worse.image.shape[0] == pytest.approx(320 * size / 110, abs=1)


def test_landmarks_stay_on_the_face_when_the_picture_shrinks_and_turns() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    points = np.array([[120, 90], [260, 100], [190, 150], [140, 210], [250, 215]], np.float32)
    for number, (x, y) in enumerate(points.astype(int)):
        cv2.circle(image, (int(x), int(y)), 8, (50 * number + 50,) * 3, -1)
    moved = roll(shrink(CutFace(image, points), 120), 30)
    for number, (x, y) in enumerate(moved.landmarks):
        assert moved.image[round(float(y)), round(float(x)), 0] == pytest.approx(50 * number + 50, abs=3)
    assert not np.allclose(moved.landmarks, points)


@pytest.mark.parametrize("name", ["noise", "dark", "c24dark"])
def test_noise_repeats_for_a_photo_and_differs_between_photos(cut: CutFace, name: str) -> None:
    condition = BY_NAME[name]
    first = condition.apply(cut, "a/1.jpg").image
    np.testing.assert_array_equal(first, condition.apply(cut, "a/1.jpg").image)
    assert (first != condition.apply(cut, "a/2.jpg").image).any()


def test_strengths(cut: CutFace) -> None:
    flat = CutFace(np.full((320, 320, 3), 128, np.uint8), cut.landmarks)
    assert BY_NAME["noise"].apply(flat, "k").image.std() == pytest.approx(35, rel=0.03)
    dark = BY_NAME["dark"].apply(flat, "k").image
    mean = 255 * 0.16 * (128 / 255) ** 1.6
    assert dark.mean() == pytest.approx(mean, rel=0.02)
    assert dark.astype(float).var() == pytest.approx(2 * mean, rel=0.05)
    edge = CutFace(np.repeat(np.uint8([[0] * 160 + [255] * 160]), 320, axis=0)[:, :, None].repeat(3, 2), cut.landmarks)
    slope = np.diff(BY_NAME["blur5"].apply(edge, "k").image[160, :, 0].astype(float)).max()
    assert slope == pytest.approx(255 / (5 * np.sqrt(2 * np.pi)), rel=0.05)


def test_the_mask_covers_the_mouth_and_leaves_the_eyes(cut: CutFace) -> None:
    masked = BY_NAME["mask"].apply(cut, "k").image
    changed = (masked != cut.image).any(axis=2)
    for x, y in cut.landmarks[2:].round().astype(int):
        assert changed[y - 2 : y + 3, x - 2 : x + 3].all()
    for x, y in cut.landmarks[:2].round().astype(int):
        assert not changed[y - 5 : y + 6, x - 5 : x + 6].any()


def test_the_original_is_left_alone(cut: CutFace) -> None:
    before = cut.image.copy()
    for condition in CONDITIONS:
        condition.apply(cut, "k")
    np.testing.assert_array_equal(cut.image, before)
