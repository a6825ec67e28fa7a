"""Pictures made worse on purpose: the 13 conditions and 3 hard combinations of the accuracy protocol.

A face is first cut out of its photo at a known size (`cut_face`), then degraded (`Condition.apply`). Strengths are
those of a face with 110 px from the eyes to the chin, and shrink with a smaller face. Nothing here detects or embeds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.faces.landmarks import eye_chin_px, face_centre
from pipelines.faces.types import F32, Frame

REFERENCE_EYE_CHIN_PX = 110.0
CROP_SIDE_PER_EYE_CHIN = 320 / 110
"""Side of the cut, in eye-to-chin distances: a 110 px face fills a 320 px picture as a portrait does."""
GREY_PER_PHOTON = 2
"""Grey levels of one photon in the dark; with the mask's top the two strengths that an earlier study does not state.
They are set so that plain SFace loses about as many faces as there (own measurement, 2026-11-22)."""
MASK_TOP = 0.22
"""Top of the mask under the eyes, in eye-to-chin distances: over the bridge of the nose."""
MASK_COLOUR = (150, 180, 200)


@dataclass(frozen=True, slots=True)
class CutFace:
    """A picture around one face: `image` RGB, `landmarks` (5, 2) in px of it."""

    image: Frame
    landmarks: F32

    @property
    def eye_chin_px(self) -> float:
        return eye_chin_px(self.landmarks)

    @property
    def centre(self) -> F32:
        """(2,) middle of eyes and mouth, px."""
        return face_centre(self.landmarks)


def cut_face(photo: Frame, landmarks: F32) -> CutFace:
    """Cuts a square around the face, shrunk so that eye-to-chin is 110 px; never enlarged, clipped at the photo."""
    size = eye_chin_px(landmarks)
    centre, half = face_centre(landmarks), CROP_SIDE_PER_EYE_CHIN * size / 2
    low = np.maximum(np.floor(centre - half), 0).astype(int)
    high = np.minimum(np.ceil(centre + half), [photo.shape[1], photo.shape[0]]).astype(int)
    cut = CutFace(photo[low[1] : high[1], low[0] : high[0]], (landmarks - low).astype(np.float32))
    return shrink(cut, REFERENCE_EYE_CHIN_PX)


def shrink(cut: CutFace, eye_chin: float) -> CutFace:
    """Returns the picture scaled down to that eye-to-chin size in px; unchanged when the face is smaller already."""
    scale = eye_chin / max(cut.eye_chin_px, 1e-6)
    if scale >= 1:
        return cut
    height, width = cut.image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    ratio = np.array([size[0] / width, size[1] / height], np.float32)
    return CutFace(cv2.resize(cut.image, size, interpolation=cv2.INTER_AREA).astype(np.uint8), cut.landmarks * ratio)


def blur(cut: CutFace, sigma_px: float) -> CutFace:
    sigma = sigma_px * cut.eye_chin_px / REFERENCE_EYE_CHIN_PX
    return CutFace(cv2.GaussianBlur(cut.image, (0, 0), sigma).astype(np.uint8), cut.landmarks)


def add_noise(cut: CutFace, sigma: float, rng: np.random.Generator) -> CutFace:
    """Adds normal noise, independent in each pixel and channel; `sigma` in grey levels at 110 px."""
    strength = sigma * min(1.0, cut.eye_chin_px / REFERENCE_EYE_CHIN_PX)
    noisy = cut.image + rng.normal(0, strength, cut.image.shape)
    return CutFace(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), cut.landmarks)


def darken(cut: CutFace, rng: np.random.Generator) -> CutFace:
    """Low light: gamma 1.6, 16 % of the light left, and the shot noise of half as many photons as grey levels."""
    light = 255 * 0.16 * (cut.image / 255.0) ** 1.6
    grey = rng.poisson(light / GREY_PER_PHOTON) * GREY_PER_PHOTON
    return CutFace(np.clip(grey, 0, 255).astype(np.uint8), cut.landmarks)


def roll(cut: CutFace, degrees: float) -> CutFace:
    """Turns the picture around the face; the border is continued."""
    height, width = cut.image.shape[:2]
    turn = cv2.getRotationMatrix2D([float(v) for v in cut.centre], degrees, 1.0)
    image = cv2.warpAffine(cut.image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    landmarks = cut.landmarks @ turn[:, :2].T + turn[:, 2]
    return CutFace(image.astype(np.uint8), landmarks.astype(np.float32))


def cover_mouth(cut: CutFace) -> CutFace:
    """Paints a plain mask over the lower face: from the bridge of the nose to the chin, cheek to cheek."""
    eyes, mouth = cut.landmarks[:2].mean(axis=0), cut.landmarks[3:].mean(axis=0)
    down = (mouth - eyes) / max(float(np.linalg.norm(mouth - eyes)), 1e-6)
    right = np.array([down[1], -down[0]])
    size = cut.eye_chin_px
    corners = [(-0.62, 0.08), (0.0, 0.0), (0.62, 0.08), (0.55, 0.58), (0.25, 0.83), (-0.25, 0.83), (-0.55, 0.58)]
    polygon = np.array([eyes + right * x * size + down * (MASK_TOP + y) * size for x, y in corners])
    image = cv2.fillPoly(cut.image.copy(), [np.rint(polygon).astype(np.int32)], MASK_COLOUR, lineType=cv2.LINE_AA)
    return CutFace(image.astype(np.uint8), cut.landmarks)


def compress(cut: CutFace, quality: int) -> CutFace:
    """JPEG at that quality and back."""
    _, data = cv2.imencode(".jpg", cut.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return CutFace(np.ascontiguousarray(np.asarray(decoded, np.uint8)[:, :, ::-1]), cut.landmarks)


def move(cut: CutFace) -> CutFace:
    """Horizontal motion blur of 3 px."""
    return CutFace(cv2.blur(cut.image, (3, 1)).astype(np.uint8), cut.landmarks)


@dataclass(frozen=True, slots=True)
class Condition:
    """One way in which a picture is bad. `hard` marks the combinations, which are reported apart."""

    name: str
    step: Callable[[CutFace, np.random.Generator], CutFace]
    hard: bool = False

    def apply(self, cut: CutFace, photo_key: str) -> CutFace:
        """Returns the degraded picture; the same `photo_key` gives the same noise on every machine and run."""
        return self.step(cut, np.random.default_rng(zlib.crc32(f"{photo_key}:{self.name}".encode())))


def _size(eye_chin: float) -> Callable[[CutFace, np.random.Generator], CutFace]:
    return lambda cut, _rng: shrink(cut, eye_chin)


CLEAN = Condition("clean", lambda cut, _rng: cut)
CONDITIONS: tuple[Condition, ...] = (
    CLEAN,
    Condition("size48", _size(48)),
    Condition("size32", _size(32)),
    Condition("size24", _size(24)),
    Condition("size16", _size(16)),
    Condition("jpeg10", lambda cut, _rng: compress(cut, 10)),
    Condition("blur3", lambda cut, _rng: blur(cut, 3)),
    Condition("blur5", lambda cut, _rng: blur(cut, 5)),
    Condition("noise", lambda cut, rng: add_noise(cut, 35, rng)),
    Condition("dark", darken),
    Condition("roll30", lambda cut, _rng: roll(cut, 30)),
    Condition("mask", lambda cut, _rng: cover_mouth(cut)),
    Condition("video", lambda cut, _rng: compress(move(shrink(cut, 40)), 25)),
    Condition("c16jpg", lambda cut, _rng: compress(shrink(cut, 16), 20), hard=True),
    Condition("c24dark", lambda cut, rng: darken(shrink(cut, 24), rng), hard=True),
    Condition("c24occl", lambda cut, _rng: compress(shrink(cover_mouth(cut), 24), 30), hard=True),
)
"""13 single conditions, then 3 hard combinations; `sizeN` is the eye-to-chin distance in px."""
