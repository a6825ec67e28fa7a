"""One face cut out of a picture, and the one frame of a video that a face was seen in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipelines.errors import MediaEmpty
from pipelines.faces.types import Frame
from pipelines.media.container import named_errors, open_video
from pipelines.media.deadline import Deadline
from pipelines.media.pyav_reader import PyavReader
from pipelines.media.video import SampledFrame, VideoSource, source_name

MARGIN = 0.35
"""Room around the box on every side, of its longer side: hair, chin and neck are in the picture."""
LARGEST_PX = 240
FRAME_SIDE_PX = 4096


def cut_face(image: Frame, box: Sequence[float], *, margin: float = MARGIN, largest_px: int = LARGEST_PX) -> Frame:
    """Returns a square (s, s, 3) uint8 around a box, s <= `largest_px`; what lies outside of the picture is black.

    Args:
        image: (h, w, 3) uint8 RGB.
        box: x1, y1, x2, y2 px.
    """
    x1, y1, x2, y2 = box
    side = max(1, round((1 + 2 * margin) * max(x2 - x1, y2 - y1)))
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    height, width = image.shape[:2]
    cut = np.zeros((side, side, 3), np.uint8)
    x, y = max(0, left), max(0, top)
    part = image[y : max(y, min(height, top + side)), x : max(x, min(width, left + side))]
    cut[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] = part
    if side <= largest_px:
        return cut
    return np.asarray(cv2.resize(cut, (largest_px, largest_px), interpolation=cv2.INTER_AREA), np.uint8)


def frame_at(source: VideoSource, time_s: float, *, timeout_s: float = 60.0) -> SampledFrame:
    """Returns the frame that is shown at a time, or the last one before it. Raises a MediaError leaf."""
    deadline = Deadline(timeout_s, source_name(source))
    with named_errors(source, deadline), open_video(source, deadline) as video:
        found = PyavReader(video, FRAME_SIDE_PX, deadline).frame_at(time_s)
    if found is None:
        raise MediaEmpty(f"{source_name(source)}: no picture of it could be decoded at {time_s:.2f} s.")
    return found
