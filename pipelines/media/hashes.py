"""Perceptual hashes of frames: pHash64 and PDQ, made of the frames that face detection decodes anyway.

Both come from one small grey picture. What reading a frame costs is memory: only every fifth row of 1280 x 720 is
touched, and copied first, because memory is read ahead along a row but not along the few pixels that scaling takes. A
hash of a frame that is not in the CPU's cache takes 0.18 ms then, 0.31 ms without the copy (127 frames, 2026-11-26).
PDQ is the library's; it is given 64 x 64 px, the size that PDQ itself reduces every picture to. Measured on 127 frames
of 1280 x 720 (median and largest number of the 256 bits that differ, 2026-11-23): against PDQ of whole frames 10 and
22; against themselves at 640 x 360 in JPEG 40, 6 and 18; at 854 x 480, 4 and 18; at 426 x 240, 4 and 22. Reading
between all rows gave the same (10 and 22; 4 and 18; 2 and 18; 4 and 18) for 1.3 times the time, single pixels 14 and 28
against whole frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pdqhash

from pipelines.faces.types import U8, Frame
from pipelines.media.bars import NO_BARS, find_bars, without_bars

HASH_VERSION = "phash64+pdq/2"
"""Of a picture. Changes whenever a hash of the same picture changes."""
VIDEO_HASH_VERSION = f"{HASH_VERSION}, without bars"
"""Of the frames of a video: they differ from those of pictures, and from those of older scans, where there are bars."""

_GRID_PX = 64
_STEP_PX = 256
"""Long side after the first step: bilinear reading of a few of the pixels is enough for a grid of 64. With 320 the
first step took 1.4 times as long for the same distances."""
_LARGEST_STEP = 5
_FRAMES_FOR_BARS = 24
_PHASH_PX = 32
_PHASH_SIDE = 8
_MIDDLE = (_PHASH_SIDE**2 // 2 - 1, _PHASH_SIDE**2 // 2)
"""Where the two middle numbers are once they are in place; their mean is the median."""
_BIT = np.uint64(1) << np.arange(_PHASH_SIDE**2 - 1, -1, -1, dtype=np.uint64)


Hashes = tuple[int, U8, int]
"""pHash64, PDQ as (32,) uint8 and PDQ's quality 0..100."""


class VideoHashes:
    """Hashes of the frames of one video, without the bars around them: so a letterboxed copy has those of its original.

    Bars are known when all frames are, so each is kept as a small grey picture until then, 37 kB.
    """

    def __init__(self) -> None:
        self._greys: list[U8] = []

    def add(self, image: Frame) -> None:
        """Takes an (h, w, 3) uint8 RGB frame."""
        self._greys.append(_small_grey(image))

    def result(self) -> list[Hashes]:
        """Returns what `frame_hashes` says of each frame, or of what is left of it without bars."""
        bars = _bars(self._greys)
        return [_hashes(grey if bars == NO_BARS else without_bars(grey, bars)) for grey in self._greys]


def _bars(greys: Sequence[U8]) -> tuple[int, int, int, int]:
    """Returns the bars that all frames have; none where frames are of several sizes."""
    return find_bars(greys, _FRAMES_FOR_BARS) if len({grey.shape for grey in greys}) == 1 else NO_BARS


def frame_hashes(image: Frame) -> Hashes:
    """Returns pHash64, PDQ as (32,) uint8 and PDQ's quality 0..100 of an (h, w, 3) uint8 RGB frame.

    The bits of pHash64 (the lowest 8 x 8 of a DCT of 32 x 32 px against their median) are those of the DCT row by row,
    the first one highest. A quality below 50 says that there is little to see in the frame.
    """
    return _hashes(_small_grey(image))


def _hashes(grey: U8) -> Hashes:
    grid = _grid(grey)
    library: Any = pdqhash  # its stubs leave out that it exports the function
    bits, quality = library.compute(cv2.merge([grid, grid, grid]))
    return _phash64(grid), np.packbits(np.asarray(bits, np.uint8)), int(quality)


def _small_grey(image: Frame) -> U8:
    """Returns (h, w) uint8, at most _STEP_PX long."""
    height, width = image.shape[:2]
    scale = _STEP_PX / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if scale >= 1 / _LARGEST_STEP:
            rows = np.ascontiguousarray(image[height // size[1] // 2 :: height // size[1]])
            image = np.asarray(cv2.resize(rows, (size[0], len(rows)), interpolation=cv2.INTER_LINEAR), np.uint8)
        else:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _grid(grey: U8) -> U8:
    """Returns (64, 64) uint8."""
    height, width = grey.shape
    if min(height, width) >= 2 * _GRID_PX:
        half = grey[: height // 2 * 2, : width // 2 * 2]
        grey = np.asarray(cv2.resize(half, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(grey, (_GRID_PX, _GRID_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _phash64(grid: U8) -> int:
    small = cv2.resize(grid, (_PHASH_PX, _PHASH_PX), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:_PHASH_SIDE, :_PHASH_SIDE].ravel()
    return int(_BIT[low > np.partition(low, _MIDDLE)[list(_MIDDLE)].mean()].sum())
