from __future__ import annotations

import numpy as np
import pytest

from pipelines.duplicates.align import best_match, likely_offsets
from pipelines.duplicates.grid import Grid
from tests.duplicates.pictures import Film, grid_of, letterboxed

FILM, OTHER = Film(1, 1), Film(2, 2)
LENGTH_S = 60.0


@pytest.fixture(scope="module")
def original() -> Grid:
    return grid_of(FILM.at, 0, LENGTH_S)


@pytest.mark.parametrize("trim_s", [0.0, 7.0, 11.37, 30.25])
def test_a_trim_is_found_at_its_offset(original: Grid, trim_s: float) -> None:
    found = best_match(original, grid_of(FILM.at, trim_s, LENGTH_S))
    assert found is not None
    assert found.d < 35
    assert found.offset_s == pytest.approx(-trim_s, abs=0.2)
    assert (found.speed, found.mirrored) == (1.0, False)
    assert found.a_s == pytest.approx((trim_s, LENGTH_S), abs=1.0)
    assert found.b_s == pytest.approx((0, LENGTH_S - trim_s), abs=1.0)
    assert found.evidence_s == pytest.approx(LENGTH_S - trim_s, abs=1.5)


def test_a_clip_inside_other_footage_is_found_with_its_ends(original: Grid) -> None:
    def inside(time_s: float) -> np.ndarray:
        return FILM.at(time_s - 40 + 15) if 40 <= time_s < 70 else OTHER.at(time_s)

    found = best_match(original, grid_of(inside, 0, 110))
    assert found is not None
    assert found.a_s == pytest.approx((15, 45), abs=2.0)
    assert found.b_s == pytest.approx((40, 70), abs=2.0)
    assert found.evidence_s == pytest.approx(30, abs=3)


@pytest.mark.parametrize("speed", [25 / 24, 24 / 25])
def test_speed_is_measured(original: Grid, speed: float) -> None:
    found = best_match(original, grid_of(lambda t: FILM.at(t * speed), 0, LENGTH_S / speed))
    assert found is not None
    assert found.speed == pytest.approx(1 / speed, abs=0.005)
    assert found.a_s == pytest.approx((0, LENGTH_S), abs=2.0)


def test_mirrors_and_bars_are_seen_through(original: Grid) -> None:
    found = best_match(original, grid_of(lambda t: letterboxed(np.ascontiguousarray(FILM.at(t)[:, ::-1])), 0, LENGTH_S))
    assert found is not None
    assert found.mirrored
    assert found.views == (0, 1)
    assert found.d < 30
    turned = best_match(grid_of(lambda t: letterboxed(FILM.at(t)), 0, LENGTH_S), original)
    assert turned is not None
    assert turned.views == (1, 0)
    one_way = best_match(original, grid_of(lambda t: FILM.at(t)[:, ::-1].copy(), 0, LENGTH_S), mirrored=False)
    assert one_way is not None
    assert one_way.d > 70


def test_other_footage_has_no_evidence(original: Grid) -> None:
    found = best_match(original, grid_of(OTHER.at, 0, LENGTH_S))
    assert found is not None
    assert found.d > 80
    assert found.evidence_s < 18


def test_a_shared_intro_is_not_continued(original: Grid) -> None:
    found = best_match(original, grid_of(lambda t: FILM.at(t) if t < 8 else OTHER.at(t), 0, LENGTH_S))
    assert found is not None
    assert found.evidence_s < 12


def test_black_is_no_evidence() -> None:
    black = grid_of(lambda _: np.zeros((90, 160), np.uint8), 0, LENGTH_S)
    assert best_match(black, black) is None
    half = grid_of(lambda t: FILM.at(t) if t < 20 else np.zeros((90, 160), np.uint8), 0, LENGTH_S)
    other = grid_of(lambda t: OTHER.at(t) if t < 20 else np.zeros((90, 160), np.uint8), 0, LENGTH_S)
    found = best_match(half, other)
    assert found is not None
    assert found.d > 80


def test_grids_may_be_empty_or_too_short(original: Grid) -> None:
    assert best_match(original, grid_of(FILM.at, 0, 0)) is None
    assert best_match(grid_of(FILM.at, 0, 4), original) is None
    short = best_match(original, grid_of(FILM.at, 20, 29))
    assert short is not None
    assert short.offset_s == pytest.approx(-20, abs=0.2)


def test_late_and_missing_samples_move_nothing(original: Grid) -> None:
    found = best_match(original, grid_of(FILM.at, 0, LENGTH_S, rate=2.5, late_s=0.1))
    assert found is not None
    assert found.offset_s == pytest.approx(0, abs=0.25)
    assert found.d < 30


def test_key_frames_say_the_offset_and_which_way_round() -> None:
    window = grid_of(FILM.at, 100, 130)
    long = grid_of(FILM.at, 0, 300, rate=1 / 7.3)
    first = likely_offsets(window, long)[0]
    assert first.offset_s == pytest.approx(100, abs=0.5)
    assert not first.mirrored
    mirror = grid_of(lambda t: FILM.at(t)[:, ::-1].copy(), 0, 300, rate=1 / 7.3)
    assert likely_offsets(window, mirror)[0].mirrored
    strangers = likely_offsets(window, grid_of(OTHER.at, 0, 300, rate=1 / 7.3))
    assert all(guess.rank < first.rank / 3 for guess in strangers)
    assert likely_offsets(window, grid_of(FILM.at, 0, 0)) == []
