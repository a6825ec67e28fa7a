"""Moving pictures without files: a room that stands still, and somebody who moves in it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.duplicates.grid import RATE, Grid, make_grid

U8 = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 160, 90


class Film:
    """A film whose picture at any time is known: shots of 4 s, in each a room and blobs on paths of their own."""

    def __init__(self, rooms: int, motion: int, *, shot_s: float = 4.0, blob_px: tuple[int, int] = (8, 14)) -> None:
        self._rooms, self._motion, self._shot_s, self._blob_px = rooms, motion, shot_s, blob_px

    def at(self, time_s: float) -> U8:
        shot = int(time_s // self._shot_s)
        picture = self._room(shot)
        rng = np.random.default_rng(self._motion * 1000 + shot)
        for _ in range(3):
            phase, rate = rng.uniform(0, 6.28, 2), rng.uniform(0.4, 1.2, 2)
            x = WIDTH * (0.5 + 0.4 * np.sin(phase[0] + rate[0] * time_s))
            y = HEIGHT * (0.5 + 0.4 * np.sin(phase[1] + rate[1] * time_s))
            cv2.circle(picture, (int(x), int(y)), int(rng.integers(*self._blob_px)), int(rng.integers(0, 255)), -1)
        return np.asarray(cv2.GaussianBlur(picture, (5, 5), 0), np.uint8)

    def _room(self, shot: int) -> U8:
        rng = np.random.default_rng(self._rooms * 1000 + shot)
        picture = np.zeros((HEIGHT, WIDTH), np.float32)
        for lines, weight in ((5, 0.5), (11, 0.3), (22, 0.3)):  # detail of every size, as PDQ needs
            blocks = rng.uniform(0, 255, (lines, lines * 16 // 9)).astype(np.float32)
            picture += weight * cv2.resize(blocks, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.clip(picture - 15, 0, 255), np.uint8)


def grid_of(
    film: Callable[[float], U8], start_s: float, end_s: float, *, rate: float = RATE, late_s: float = 0.0
) -> Grid:
    """Returns the grid of a film from `start_s` to `end_s`, whose own times begin at 0; samples come `late_s` late."""
    times = np.arange(0, end_s - start_s, 1 / rate)
    return make_grid([film(start_s + t + late_s) for t in times], (times + late_s).tolist(), 0.0, end_s - start_s)


def letterboxed(picture: U8) -> U8:
    """Returns the picture between black bars of a sixth of its height."""
    bar = np.zeros((HEIGHT // 6, WIDTH), np.uint8)
    return np.vstack([bar, picture, bar])
