"""The faces of one image, scene or gallery as columns: what grouping and naming need of them, and no more.

Lives here: `SeenFace`, a face and where it was seen, and `Sightings`, many of them as arrays, in the order of a stored
scan. Online answers make the columns from faces that the engine has just found, stored scans have them already, so both
go the same way from here on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipelines.errors import InputError
from pipelines.faces.engine import Face
from pipelines.faces.types import F32, I32

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """A face and where it was seen.

    Attributes:
        time_s: time of the frame in the video; None for images.
        frame: number of the sampled frame, or of the image in a gallery.
    """

    face: Face
    time_s: float | None
    frame: int


@dataclass(frozen=True, slots=True, eq=False)
class Sightings:
    """n faces, in any order.

    Attributes:
        frames: (n,) int32, number of the sampled frame, or of the image in a gallery.
        boxes: (n, 4) float32, px of one picture size, whichever.
        qualities: (n,) float32.
        scores: (n,) float32, detection scores.
        templates: (n, template_dim) raw templates, float16 or float32.
    """

    frames: I32
    boxes: F32
    qualities: F32
    scores: F32
    templates: npt.NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        count = len(self.frames)
        lengths = {len(self.boxes), len(self.qualities), len(self.scores), len(self.templates)}
        if lengths != {count} or self.boxes.shape != (count, 4):
            raise InputError(f"The columns of {count} faces have lengths {sorted(lengths)}.")

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def of(cls, seen: Sequence[SeenFace]) -> Self:
        """Returns the columns of at least one face, row by row."""
        return cls(
            frames=np.array([s.frame for s in seen], dtype=np.int32),
            boxes=np.stack([s.face.box for s in seen]).astype(np.float32, copy=False),
            qualities=np.array([s.face.quality for s in seen], dtype=np.float32),
            scores=np.array([s.face.detection_score for s in seen], dtype=np.float32),
            templates=np.stack([s.face.template for s in seen]),
        )

    def take(self, rows: Rows) -> Self:
        """Returns the faces of these rows, in their order."""
        return type(self)(
            self.frames[rows], self.boxes[rows], self.qualities[rows], self.scores[rows], self.templates[rows]
        )

    def canonical_order(self) -> Rows:
        """Returns (n,) an order that depends on the faces alone: by frame, box and template."""
        keys = (*self.boxes.T[::-1], self.frames)
        order = np.lexsort(keys)
        same = (self.boxes[order[1:]] == self.boxes[order[:-1]]).all(axis=1)
        if (same & (self.frames[order[1:]] == self.frames[order[:-1]])).any():
            order = np.lexsort((*self.templates.T[::-1], *keys))
        return order

    def best(self, rows: Rows) -> int:
        """Returns which of these rows has the highest quality; of equal ones the surest, then the earliest."""
        ranked = np.lexsort((rows, self.frames[rows], -self.scores[rows], -self.qualities[rows]))
        return int(rows[ranked[0]])


def same_frame_pairs(frames: npt.NDArray[np.integer[Any]]) -> tuple[Rows, Rows]:
    """Returns all pairs of different rows of one frame, each once: first and second row, first < second.

    Args:
        frames: (n,) in ascending order.
    """
    last = np.searchsorted(frames, frames, side="right")
    partners = last - np.arange(len(frames)) - 1
    first = np.repeat(np.arange(len(frames)), partners)
    begins = np.cumsum(partners) - partners
    second = first + 1 + np.arange(len(first)) - np.repeat(begins, partners)
    return first, second
