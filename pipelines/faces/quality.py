"""What the landmarks and the crop say of a face: yaw, roll and a quality between 0 and 1."""

from __future__ import annotations

import math

import numpy as np

from pipelines.faces.types import F32

FULL_SIZE_PX = 112
"""A face this large loses nothing in the crop that embedders are given."""


def yaw_deg(landmarks: F32) -> float:
    """Returns the yaw estimate in degrees, 0 = frontal, positive = the nose points to the right of the picture.

    atan2(distance of the nose from the middle of the eyes along the line of the eyes, half the distance of the eyes),
    which is what Stash Sense computes, made independent of roll. It ranks views; it is no measured angle.
    """
    left, right, nose = landmarks[:3].astype(np.float64)
    eyes = right - left
    length = max(float(np.hypot(*eyes)), 1e-6)
    return math.degrees(math.atan2(float((nose - (left + right) / 2) @ eyes) / length, length / 2))


def roll_deg(landmarks: F32) -> float:
    """Returns the angle of the line through the eyes in degrees, positive = clockwise as seen in the picture."""
    (x1, y1), (x2, y2) = landmarks[:2].astype(float)
    return math.degrees(math.atan2(y2 - y1, x2 - x1))


def norm_quality(norms: F32, useless_and_good: tuple[float, float]) -> F32:
    """Returns (n,) float32 0..1 from the lengths of raw embeddings; see EmbedderSpec.quality_norms.

    On 1,307 degraded probes with SFace the length told right from wrong names with an AUC of 0.957 (detection score
    0.858, box size 0.768, yaw 0.571); of the 13 probes below 6 none was named right, of the 957 above 10, 99.5 %.
    """
    low, high = useless_and_good
    quality: F32 = np.clip((norms - low) / (high - low), 0, 1).astype(np.float32)
    return quality


def picture_quality(box: F32, score: float, yaw: float) -> float:
    """Returns 0..1 from size, detection score and yaw, for packs whose embeddings' length says nothing known."""
    side = float(min(box[2] - box[0], box[3] - box[1]))
    return min(1.0, side / FULL_SIZE_PX) * min(1.0, max(0.0, score)) * max(0.0, math.cos(math.radians(yaw)))
