"""Landmarks to aligned crops: closed-form 5-point similarity to the template of each embedder."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.errors import InputError
from pipelines.faces.packs import Alignment
from pipelines.faces.types import F32, U8, Frame

ARCFACE_SIZE_PX = 112
ARCFACE_TEMPLATE: F32 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where the five landmarks lie in a 112 px crop (insightface, utils/face_align.py)."""

DLIB_SIZE_PX = 150
DLIB_TEMPLATE: F32 = ARCFACE_TEMPLATE * np.float32(1.4926) + np.array([-9.45, -29.9], np.float32)
"""Where they lie in a 150 px dlib chip: fitted to dlib's mean face shape at padding 0.25 (measured 2026-11-22)."""


def align_face(image: Frame, landmarks: F32, alignment: Alignment, size_px: int) -> U8:
    """Returns the aligned crop, (size_px, size_px, 3) uint8; what lies outside the picture is black.

    Args:
        image: (h, w, 3) uint8.
        landmarks: (5, 2) px of `image`.
        alignment: which template.
        size_px: side of the crop.

    Raises:
        InputError: the landmarks do not span an area.
    """
    if alignment == "arcface112_padded":
        return _resize_padded(align_face(image, landmarks, "arcface", ARCFACE_SIZE_PX), size_px)
    matrix = similarity(landmarks, template(alignment, size_px))
    return np.asarray(cv2.warpAffine(image, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR), np.uint8)


def template(alignment: Alignment, size_px: int) -> F32:
    """Returns the (5, 2) landmark positions in a crop of that size, for `arcface` or `dlib`."""
    if alignment == "dlib":
        return DLIB_TEMPLATE * np.float32(size_px / DLIB_SIZE_PX)
    return ARCFACE_TEMPLATE * np.float32(size_px / ARCFACE_SIZE_PX)


def similarity(source: F32, target: F32) -> npt.NDArray[np.float64]:
    """Returns the (2, 3) rotation, scale and shift that takes `source` closest to `target` in the least squares.

    Points are read as complex numbers: target = a * source + b, so that a = <source, target> / |source|^2 after
    centring. It is the solution of Umeyama (1991) without reflections.

    Raises:
        InputError: the points of `source` coincide, or are not finite.
    """
    s, t = (np.ascontiguousarray(p, np.float64).view(np.complex128)[:, 0] for p in (source, target))
    s_mean, t_mean = s.mean(), t.mean()
    s = s - s_mean
    spread = float(np.vdot(s, s).real)
    if not spread > 1e-6:  # catches NaN too
        raise InputError(
            f"landmarks {source.tolist()} do not span an area", "Five different, finite points are needed."
        )
    a = np.vdot(s, t - t_mean) / spread
    b = t_mean - a * s_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _resize_padded(crop: U8, size_px: int) -> U8:
    """The way FaceNet512 was fed when the released databases were built: INTER_AREA, centred, black border."""
    height, width = crop.shape[:2]
    factor = min(size_px / height, size_px / width)
    resized = cv2.resize(crop, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
    top, left = (size_px - resized.shape[0]) // 2, (size_px - resized.shape[1]) // 2
    padded = np.zeros((size_px, size_px, 3), np.uint8)
    padded[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return padded
