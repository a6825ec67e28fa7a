"""How people are named: the options, without anything that is needed to do it."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.errors import InputError


@dataclass(frozen=True, slots=True)
class IdentifyOptions:
    """How people are named.

    Attributes:
        top_k: candidates reported for one person.
        min_unique_frames: people of a video seen in fewer frames are left out; 1 where a video gives one frame.
        max_distance: largest accepted distance; None for the pack's calibrated value.
        tagged_boost: added to the score of performers already tagged.
        min_unknown_quality: unknown people of whom no better face was seen are left out of scenes and galleries: dark
            or blurred spots that the detector took for faces, mostly (best quality 0.04 to 0.15 in the test videos).
        join_gap_s: ranges of one person closer than this are one.
        same_person_score: least average score of the faces of one person; None for the pack's.
    """

    top_k: int = 5
    min_unique_frames: int = 2
    max_distance: float | None = None
    tagged_boost: float = 0.03
    min_unknown_quality: float = 0.15
    join_gap_s: float = 1.0
    same_person_score: float | None = None

    def __post_init__(self) -> None:
        if self.top_k < 1 or self.min_unique_frames < 1:
            raise InputError(f"top_k is {self.top_k}, min_unique_frames {self.min_unique_frames}; both must be >= 1.")
        if self.max_distance is not None and not 0 < self.max_distance <= 2:
            raise InputError(f"max_distance is {self.max_distance}, must be above 0 and at most 2.")
