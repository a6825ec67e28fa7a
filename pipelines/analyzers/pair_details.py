"""Pairs of scenes as the details of recommendations show them: what was measured, how they lie on each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.analyzers.scene_details import Details
from pipelines.stash.records import Scene, content_fingerprint

if TYPE_CHECKING:  # numpy comes with the run
    from pipelines.duplicates.candidates import Signals
    from pipelines.duplicates.types import Proof


class AlignmentDetails(Details):
    """How the scenes lie on each other, see `pipelines.duplicates.types.Alignment`."""

    offset_s: float
    speed: float
    mirrored: bool
    a: tuple[float, float]
    b: tuple[float, float]


class SignalDetails(Details):
    """What was measured; None where it was not."""

    stash_id: bool
    phash_distance: int | None
    frame_votes: int
    pdq_distance: float | None
    motion: float | None
    faces_jaccard: float | None
    metadata: tuple[str, ...]


def signal_details(signals: Signals, proof: Proof | None) -> SignalDetails:
    """Returns what is shown of what was measured."""
    rules = (("studio and date", signals.studio_date), ("cast and duration", signals.cast_duration))
    return SignalDetails(
        stash_id=signals.stash_id,
        phash_distance=signals.phash_distance,
        frame_votes=signals.frame_votes,
        pdq_distance=None if proof is None else proof.d,
        motion=None if proof is None else proof.r,
        faces_jaccard=signals.faces_jaccard,
        metadata=tuple(name for name, holds in rules if holds),
    )


def alignment_details(proof: Proof | None) -> AlignmentDetails | None:
    """Returns where two scenes are the same, None where they are not."""
    if proof is None or proof.alignment is None or not proof.duplicate:
        return None
    where = proof.alignment
    return AlignmentDetails(offset_s=where.offset_s, speed=where.speed, mirrored=where.mirrored, a=where.a, b=where.b)


def files_of(scene: Scene) -> list[str]:
    """Returns what tells the contents of a scene's files apart, sorted."""
    return sorted(content_fingerprint(file) for file in scene.files)


def keywords_of(*scenes: Scene) -> Iterator[str]:
    """Yields the words by which scenes are searched for beside their titles: paths, performers, studios."""
    for scene in scenes:
        yield from (file.path for file in scene.files)
        yield from (performer.name for performer in scene.performers)
        if scene.studio is not None:
            yield scene.studio.name
