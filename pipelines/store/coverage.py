"""What there is to recognise somebody by, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TURNED_DEG = 15.0
"""From this yaw on a face is one from the side: 90 % of the 35 enrolled photos of tests/data lie between -13 and 12
degrees (pack `open`, 2026-11-26), and 45 is the most that enrolments take (`faces.gates`)."""
GOOD_QUALITY = 0.5
"""Quality from which on a face is clear; nine of ten of those photos have more than 0.62."""
FEW_FACES = 5


@dataclass(frozen=True, slots=True)
class Coverage:
    """What there is to recognise somebody by.

    Attributes:
        left, front, right: faces turned to each side, as far as their yaw is known.
        clear: faces of good quality; unknown: those of which neither yaw nor quality is known.
        sources: faces by source.
        missing: in words of the code: one_face, few_faces, no_left, no_right, no_clear.
    """

    faces: int
    left: int
    front: int
    right: int
    clear: int
    unknown: int
    sources: dict[str, int]
    missing: tuple[str, ...]


def coverage(faces: Sequence[Mapping[str, Any]]) -> Coverage:
    """Returns what the faces of one person cover; each has yaw_deg, quality and origin, the id of its source."""
    yaws = [face["yaw_deg"] for face in faces if face["yaw_deg"] is not None]
    qualities = [face["quality"] for face in faces if face["quality"] is not None]
    left, right = sum(yaw <= -TURNED_DEG for yaw in yaws), sum(yaw >= TURNED_DEG for yaw in yaws)
    clear = sum(quality >= GOOD_QUALITY for quality in qualities)
    missing = {
        "one_face": len(faces) == 1,
        "few_faces": 1 < len(faces) < FEW_FACES,
        "no_left": bool(yaws) and not left,
        "no_right": bool(yaws) and not right,
        "no_clear": bool(qualities) and not clear,
    }
    return Coverage(
        faces=len(faces),
        left=left,
        front=len(yaws) - left - right,
        right=right,
        clear=clear,
        unknown=sum(face["yaw_deg"] is None and face["quality"] is None for face in faces),
        sources=dict(Counter(face["origin"] for face in faces).most_common()),
        missing=tuple(word for word, said in missing.items() if said),
    )
