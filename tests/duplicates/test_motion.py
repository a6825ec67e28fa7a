from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipelines.duplicates.align import best_match
from pipelines.duplicates.motion import motion_residual
from tests.duplicates.pictures import Film, grid_of

TAKE, OTHER_TAKE = Film(1, 1), Film(1, 2)
SPAN = (0.0, 40.0)


def test_copies_move_alike_and_other_takes_of_one_set_do_not() -> None:
    take, other = grid_of(TAKE.at, 0, 40), grid_of(OTHER_TAKE.at, 0, 40)
    copy = grid_of(TAKE.at, 0, 40, late_s=0.07)
    same = motion_residual(take, copy, SPAN, 0.0)
    different = motion_residual(take, other, SPAN, 0.0)
    assert same is not None
    assert different is not None
    assert same > 0.9
    assert different < 0.5
    match = best_match(take, other)
    assert match is not None
    assert match.d < 90, "the same rooms in the same order: only their motion tells the takes apart"


def test_an_offset_known_to_half_a_second_is_enough() -> None:
    take = grid_of(TAKE.at, 0, 40)
    later = grid_of(TAKE.at, 5, 45)
    found = motion_residual(take, later, (6.0, 38.0), -5.4)
    assert found is not None
    assert found > 0.9


def test_mirror_images_are_turned() -> None:
    take = grid_of(TAKE.at, 0, 40)
    mirror = grid_of(lambda t: TAKE.at(t)[:, ::-1].copy(), 0, 40)
    turned = motion_residual(take, mirror, SPAN, 0.0, mirrored=True)
    assert turned is not None
    assert turned > 0.95


def test_speed_is_followed() -> None:
    take = grid_of(TAKE.at, 0, 40)
    faster = grid_of(lambda t: TAKE.at(t * 1.042), 0, 38)
    found = motion_residual(take, faster, (0.0, 36.0), 0.0, 1 / 1.042)
    assert found is not None
    assert found > 0.85


@pytest.mark.parametrize("still", [TAKE.at(1.0), np.zeros((90, 160), np.uint8)])
def test_without_motion_there_is_nothing_to_say(still: np.ndarray) -> None:
    grid = grid_of(lambda _: still, 0, 40)
    assert motion_residual(grid, grid, SPAN, 0.0) is None


def test_short_shots_and_short_spans_say_nothing() -> None:
    quick = grid_of(Film(1, 1, shot_s=1.0).at, 0, 40)
    assert motion_residual(quick, quick, SPAN, 0.0) is None
    take = grid_of(TAKE.at, 0, 40)
    assert motion_residual(take, take, (0.0, 4.0), 0.0) is None
    assert motion_residual(take, grid_of(TAKE.at, 0, 0), SPAN, 0.0) is None


def nearly_still(motion: int, *, coded: int = 0):
    """Returns a film in which little moves but for 4 s of an intro that all of a studio have; `coded`: with noise."""
    film, intro = Film(1, motion, blob_px=(2, 4)), Film(7, 1)
    noise = np.random.default_rng(coded)

    def at(time_s: float) -> np.ndarray:
        picture = (intro if time_s < 4 else film).at(time_s)
        added = noise.normal(0, 2, picture.shape) if coded else 0
        return np.asarray(np.clip(picture + added, 0, 255), np.uint8)

    return at


def test_a_shared_intro_does_not_speak_for_shots_in_which_little_moves() -> None:
    take, copy, other = (
        grid_of(nearly_still(motion, coded=coded), 0, 40) for motion, coded in ((1, 0), (1, 5), (2, 6))
    )
    same, different = (motion_residual(take, one, SPAN, 0.0) for one in (copy, other))
    assert same is not None
    assert different is not None
    assert same > 0.6
    assert different < 0.3


def test_small_motion_is_found_in_a_copy_whose_edges_are_cut_off() -> None:
    film = Film(1, 1, blob_px=(3, 5))

    def cut(time_s: float) -> np.ndarray:
        return np.asarray(cv2.resize(film.at(time_s)[4:-4, 7:-7], (160, 90)), np.uint8)

    take, copy = grid_of(film.at, 0, 40), grid_of(cut, 0, 40)
    for pair in ((take, copy), (copy, take)):
        found = motion_residual(*pair, SPAN, 0.0)
        assert found is not None
        assert found > 0.75


def test_one_shared_shot_does_not_speak_for_all() -> None:
    """A studio's intro moves more than what follows."""
    take, other = grid_of(TAKE.at, 0, 40), grid_of(lambda t: (TAKE if t < 8 else OTHER_TAKE).at(t), 0, 40)
    found = motion_residual(take, other, (0.0, 24.0), 0.0)
    assert found is not None
    assert found < 0.7
