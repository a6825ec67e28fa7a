from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipelines.duplicates.grid import THUMB_HEIGHT, THUMB_WIDTH, Grid, find_bars, make_grid
from tests.duplicates.pictures import HEIGHT, Film, grid_of, letterboxed

FILM = Film(1, 1)


def test_bars_are_found_to_the_pixel_and_hashed_beside_the_whole() -> None:
    pictures = [letterboxed(FILM.at(t)) for t in np.arange(0, 8, 0.25)]
    assert find_bars(pictures) == (HEIGHT // 6, HEIGHT // 6, 0, 0)
    sideways = [np.ascontiguousarray(p.T) for p in pictures]
    assert find_bars(sideways) == (0, 0, HEIGHT // 6, HEIGHT // 6)
    grid = make_grid(pictures, list(range(len(pictures))), 0, len(pictures))
    assert grid.pdq.shape == (2, len(pictures), 32)
    assert grid.thumbs.shape == (2, len(pictures), THUMB_HEIGHT, THUMB_WIDTH)
    bare = make_grid([FILM.at(t) for t in np.arange(0, 8, 0.25)], list(range(len(pictures))), 0, len(pictures))
    without = np.unpackbits(grid.pdq[1] ^ bare.pdq[0], axis=1).sum(axis=1)
    as_it_is = np.unpackbits(grid.pdq[0] ^ bare.pdq[0], axis=1).sum(axis=1)
    assert np.median(without) < 24
    assert np.median(as_it_is) > 60


def test_dark_rims_with_noise_or_on_one_side_are_no_bars() -> None:
    rng = np.random.default_rng(1)
    framed = [letterboxed(FILM.at(t)) for t in np.arange(0, 8, 0.25)]
    noisy = [np.clip(p + rng.integers(0, 16, p.shape), 0, 255).astype(np.uint8) for p in framed]
    assert find_bars(noisy) == (0, 0, 0, 0)
    one_side = [p[: -(HEIGHT // 6)] for p in framed]
    assert find_bars(one_side) == (0, 0, 0, 0)
    black = [np.zeros((HEIGHT, 160), np.uint8)] * 12
    assert find_bars(black) == (0, 0, 0, 0)


def test_mirrored_hashes_are_those_of_the_mirror_image() -> None:
    grid = grid_of(FILM.at, 0, 3)
    mirror = grid_of(lambda t: np.ascontiguousarray(FILM.at(t)[:, ::-1]), 0, 3)
    assert np.array_equal(grid.mirrored, mirror.pdq)
    assert not np.array_equal(grid.mirrored, grid.pdq)


def test_black_and_nearly_black_samples_show_nothing() -> None:
    pictures = [np.zeros((90, 160), np.uint8), np.full((90, 160), 200, np.uint8), FILM.at(1.0)]
    assert make_grid(pictures, [0, 1, 2], 0, 3).seen.tolist() == [False, False, True]


def test_a_grid_may_be_empty_and_refuses_arrays_that_do_not_belong_together() -> None:
    empty = make_grid([], [], 0, 5)
    assert len(empty) == 0
    assert empty.pdq.shape == (1, 0, 32)
    full = grid_of(FILM.at, 0, 2)
    with pytest.raises(ValueError, match="belong together"):
        Grid(0, 2, full.times_s[:-1], full.pdq, full.mirrored, full.thumbs, full.contrast, full.bars)


def test_hashes_survive_a_change_of_brightness_and_size() -> None:
    small = grid_of(lambda t: cv2.convertScaleAbs(cv2.resize(FILM.at(t), (120, 68)), alpha=0.7, beta=10), 0, 3)
    distance = np.unpackbits(small.pdq[0] ^ grid_of(FILM.at, 0, 3).pdq[0], axis=1).sum(axis=1)
    assert distance.max() <= 30
