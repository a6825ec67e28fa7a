"""The gates that built databases use: the picture's size, and the most faces of one person."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.faces.gates import REASONS, Gates, choose_faces
from tests.fakes.people import PACK, People, face

NONE = np.zeros((0, PACK.template_dim), np.float32)


@pytest.fixture
def people() -> People:
    return People(3)


def test_a_small_picture_is_left_out_whatever_its_face_is_like(people):
    photos = [[face(people.template(0))] for _ in range(3)]
    gates = Gates(min_image_side_px=300)
    choices, _ = choose_faces(photos, NONE, PACK, gates, [299, 300, 301])
    assert [c.reason for c in choices] == ["small_image", "", ""]
    assert choices[0].detail.startswith("299 px")
    assert [c.reason for c in choose_faces(photos, NONE, PACK, gates)[0]] == ["", "", ""]


@pytest.mark.parametrize(("enrolled", "kept"), [(0, {1, 3, 4}), (1, {1, 4}), (3, set()), (9, set())])
def test_the_best_faces_are_kept(people, enrolled, kept):
    qualities = [0.3, 0.9, 0.2, 0.8, 0.95]
    photos = [[face(people.template(0, 0.1), quality=q)] for q in qualities]
    before = np.stack([people.template(0, 0.1) for _ in range(enrolled)]) if enrolled else NONE
    choices, _ = choose_faces(photos, before, PACK, Gates(max_faces=3))
    assert {i for i, c in enumerate(choices) if c.face is not None} == kept
    assert {c.reason for c in choices if c.face is None} == {"surplus"}


def test_an_outlier_does_not_take_the_place_of_a_good_photo(people):
    photos = [[face(people.template(0, 0.1), quality=0.5)] for _ in range(3)]
    photos.append([face(people.template(1, 0.1), quality=0.99)])
    choices, _ = choose_faces(photos, NONE, PACK, Gates(max_faces=3))
    assert [c.reason for c in choices] == ["", "", "", "outlier"]


def test_every_reason_has_words():
    assert {"small_image", "surplus", "duplicate"} <= set(REASONS)
