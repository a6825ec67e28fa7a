"""What is remembered of the pictures of a video: PDQ and small grey pictures of regular samples, or of key frames.

Decoding happens in `footage`; nothing here opens a file. Every frame is hashed as it is and, where it has bars, without
them; and each of both also mirrored, so that two videos can be compared in all four ways without decoding again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pdqhash

from pipelines.faces.types import U8
from pipelines.media.bars import FLAT_STD, find_bars, without_bars

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

GRID_VERSION = 2
"""Changes whenever the samples of the same file change."""

RATE = 6.0
"""Samples a second. Of one side of a pair PDQ takes every third, 2 a second as measured 2026-11-22, of the other side
all, and so does motion: with 2 a second of both, copies whose samples fall between those of the original differed by up
to 92 bits where much moves, with 6 a second by 39 at most (own measurement, 2026-11-26). Decoding is the price, samples
are not; and up to 6 of 24 a second, frames that no other frame needs can be left out."""

SAMPLE_PX = 160
"""Longest side of a sample before it is hashed."""

THUMB_WIDTH, THUMB_HEIGHT = 32, 18

_PDQ_PX = 64


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Samples of a stretch of a video in order of time.

    Attributes:
        start_s, end_s: the stretch that was looked at.
        times_s: (n,) float64, the samples' own times.
        pdq, mirrored: (v, n, 32) uint8, PDQ of the pictures and of their mirror images; v is 2 where there are bars (as
            they are, without bars), else 1.
        thumbs: (v, n, THUMB_HEIGHT, THUMB_WIDTH) uint8.
        contrast: (n,) float32, standard deviation of grey levels.
        bars: (top, bottom, left, right) as shares of the picture.
    """

    start_s: float
    end_s: float
    times_s: F64
    pdq: U8
    mirrored: U8
    thumbs: U8
    contrast: F32
    bars: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        v, n = self.pdq.shape[:2]
        shapes = (self.pdq.shape, self.mirrored.shape, self.thumbs.shape, self.times_s.shape, self.contrast.shape)
        wanted = ((v, n, 32), (v, n, 32), (v, n, THUMB_HEIGHT, THUMB_WIDTH), (n,), (n,))
        if shapes != wanted or v not in {1, 2}:
            raise ValueError(f"arrays of a grid have the shapes {shapes}, {wanted} belong together")

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """(n,) which samples show something."""
        return np.asarray(self.contrast >= FLAT_STD)

    @property
    def nbytes(self) -> int:
        parts = (self.times_s, self.pdq, self.mirrored, self.thumbs, self.contrast)
        return sum(array.nbytes for array in parts)


def make_grid(pictures: Sequence[U8], times_s: Sequence[float], start_s: float, end_s: float) -> Grid:
    """Returns the grid of grey pictures, all (h, w) uint8 of one size."""
    bars = find_bars(pictures)
    views = [pictures] if bars == (0, 0, 0, 0) else [pictures, [without_bars(p, bars) for p in pictures]]
    height, width = pictures[0].shape if pictures else (1, 1)
    hashes = [[_hashes(picture) for picture in view] for view in views]
    n = len(pictures)
    return Grid(
        start_s,
        end_s,
        np.asarray(times_s, np.float64),
        np.array([[h[0] for h in view] for view in hashes], np.uint8).reshape(len(views), n, 32),
        np.array([[h[1] for h in view] for view in hashes], np.uint8).reshape(len(views), n, 32),
        np.array([[_thumb(p) for p in view] for view in views], np.uint8).reshape(
            len(views), n, THUMB_HEIGHT, THUMB_WIDTH
        ),
        np.array([float(without_bars(p, bars).std()) for p in pictures], np.float32),
        (bars[0] / height, bars[1] / height, bars[2] / width, bars[3] / width),
    )


def _hashes(picture: U8) -> tuple[U8, U8]:
    """Returns PDQ of a grey picture and of its mirror image, each (32,) uint8."""
    small = cv2.resize(picture, (_PDQ_PX, _PDQ_PX), interpolation=cv2.INTER_AREA)
    return _pdq(small), _pdq(small[:, ::-1])


def _pdq(small: Any) -> U8:
    library: Any = pdqhash  # its stubs leave out that it exports the function
    bits, _ = library.compute(cv2.merge([np.ascontiguousarray(small)] * 3))
    return np.packbits(np.asarray(bits, np.uint8))


def _thumb(picture: U8) -> U8:
    return np.asarray(cv2.resize(picture, (THUMB_WIDTH, THUMB_HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
