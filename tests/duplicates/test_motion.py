from __future__ import annotations

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


def test_one_shared_shot_does_not_speak_for_all() -> None:
    """A studio's intro moves more than what follows."""
    take, other = grid_of(TAKE.at, 0, 40), grid_of(lambda t: (TAKE if t < 8 else OTHER_TAKE).at(t), 0, 40)
    found = motion_residual(take, other, (0.0, 24.0), 0.0)
    assert found is not None
    assert found < 0.7
