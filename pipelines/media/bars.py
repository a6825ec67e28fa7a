"""Bars around the picture of a video: found in many pictures at once, and cut off.

Who lives here: letterbox and pillarbox, for the hashes of a scan and for the grids of a proof. One picture alone tells
no bar from a dark scene, so that bars are a property of a video.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from pipelines.faces.types import U8

FLAT_STD = 4.0
"""Grey levels. Pictures with less contrast (black, fades) are no evidence; below 4 to 6 they hit everywhere, above 12
whole dark scenes would be left out (measured 2026-11-22)."""
FEWEST = 4
PICTURES = 96

_BAR_LEVELS, _EDGE_LEVELS = 3.0, 4.0
"""A row belongs to a bar when no picture varies by more than the first along it, and an edge of the second ends it."""
_MOST_BAR = 0.35
_LEAST_BAR_PX = 2

NO_BARS = (0, 0, 0, 0)


def find_bars(pictures: Sequence[U8], most: int = PICTURES) -> tuple[int, int, int, int]:
    """Returns rows above and below, columns left and right that are bars, px; 0 where there are none.

    Bars are flat in every picture, free of noise, the same on both sides and end in an edge. That a stretch is always
    dark is not enough: dark scenes would be cut differently in each copy, and d rose from 2 to 107 (measured
    2026-11-22).

    Args:
        pictures: grey, all (h, w) uint8 of one size; fewer than `FEWEST` that show something say nothing.
        most: so many of them are looked at, spread evenly.
    """
    step = max(1, math.ceil(len(pictures) / most))
    bright = [p for p in pictures[::step] if cv2.meanStdDev(p)[1].item() >= FLAT_STD]
    if len(bright) < FEWEST:
        return NO_BARS
    stack = np.stack(bright)
    top, bottom = _bar_pair(stack)
    left, right = _bar_pair(stack.transpose(0, 2, 1))
    return top, bottom, left, right


def _bar_pair(stack: U8) -> tuple[int, int]:
    """Returns the lengths of the bars at the start and the end of axis 1 of (n, lines, px)."""
    lines = stack.shape[1]
    if lines < 2 * _LEAST_BAR_PX:
        return 0, 0
    if stack[:, [0, 1, -2, -1]].std(axis=2).max() > _BAR_LEVELS:  # nearly all videos: 20 times cheaper than the rest
        return 0, 0
    longest = int(lines * _MOST_BAR)
    level = stack.mean(axis=2, dtype=np.float32)
    spread = np.sqrt(np.maximum(0, np.square(stack, dtype=np.float32).mean(axis=2) - level**2)).max(axis=0)
    flat = (spread <= _BAR_LEVELS) & (level.std(axis=0) <= _BAR_LEVELS)
    first = int(np.argmin(flat)) if not flat.all() else lines
    last = int(np.argmin(flat[::-1])) if not flat.all() else lines
    if min(first, last) < _LEAST_BAR_PX or max(first, last) > longest or abs(first - last) > max(2, 0.04 * lines):
        return 0, 0
    # One line is blurred between bar and picture, so the line after it is looked at.
    edge = stack[:, [0, min(first + 1, lines - 1), max(lines - 2 - last, 0), lines - 1]].astype(np.int16)
    upper, lower = (np.abs(edge[:, one] - edge[:, other]).mean(axis=1) for one, other in ((0, 1), (3, 2)))
    edges = np.percentile(upper, 95), np.percentile(lower, 95)
    return (first, last) if min(edges) >= _EDGE_LEVELS else (0, 0)


def without_bars(picture: U8, bars: tuple[int, int, int, int]) -> U8:
    """Returns the picture without its bars, and without the line between them that is blurred of both."""
    top, bottom, left, right = bars
    height, width = picture.shape
    blur = tuple(int(side > 0) for side in bars)
    return picture[top + blur[0] : height - bottom - blur[1], left + blur[2] : width - right - blur[3]]
