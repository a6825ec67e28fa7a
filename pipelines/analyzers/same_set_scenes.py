"""Scenes that are other takes of one set: worth to know, never a duplicate, and nothing is to be done about them.

Nothing is decoded or searched here: the runs of `duplicate_scenes` keep their candidates and their proofs, and this
lists the pairs of which the pictures are alike while the motion is not. Pairs with an equal entry of a stash-box are
duplicates by that, and stay out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.analyzers.base import BaseAnalyzer, Failed, Scope
from pipelines.analyzers.pair_details import SignalDetails, files_of, keywords_of, signal_details
from pipelines.analyzers.scene_details import Details, SceneSummary, scene_summary, scene_title
from pipelines.analyzers.sources import ProofChanges, StashChanges
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:  # numpy comes with the run
    from pipelines.analyzers.duplicate_pairs import Pair
    from pipelines.analyzers.tools import Tools

UNRELATED_BITS = 128.0
"""Of PDQ's 256, what unrelated pictures differ in."""


class SameSetDetails(Details):
    """What the page shows of two takes."""

    scenes: tuple[SceneSummary, SceneSummary]
    relation: str
    reasons: tuple[str, ...]
    signals: SignalDetails
    actions: dict[str, dict[str, Any]]


class SameSetScenes(BaseAnalyzer["Pair", float]):
    """Pairs of scenes that show the same set in different takes."""

    id = "same_set_scenes"
    title = "Same set, other take"
    description = "Scenes that were shot on the same set, in different takes. For information: they are no duplicates."
    target_type = "scene"
    reads = (StashChanges("scene"), ProofChanges("same_set"))
    details = SameSetDetails
    whole = True
    informational = True
    follows = "duplicate_scenes"
    closing = "The scenes are no longer found to be takes of one set: one has changed or is gone."
    resources: ClassVar[dict[str, float]] = {"CPU": 1}

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[Pair | Failed]]:  # noqa: ARG002 - everything
        from pipelines.analyzers.duplicate_pairs import pairs_of_relation

        async for pairs in pairs_of_relation(tools, "same_set"):
            yield pairs

    def score(self, tools: Tools, candidates: Sequence[Pair]) -> Sequence[float | Failed | None]:  # noqa: ARG002 - nothing is read
        return [nearness(pair) for pair in candidates]

    def explain(self, candidate: Pair, score: float) -> Finding:
        from pipelines.duplicates.score import reasons_of

        a, b = candidate.a, candidate.b
        said = () if candidate.proof is None else reasons_of(candidate.signals, candidate.proof)
        reasons = ("The pictures are alike and the motion is not: another take of the same set.", *said)
        details = SameSetDetails(
            scenes=(scene_summary(a), scene_summary(b)),
            relation="same_set",
            reasons=reasons,
            signals=signal_details(candidate.signals, candidate.proof),
            actions={},
        )
        return Finding(
            target_type="scene",
            target_id=f"{a.id}:{b.id}",
            finding=digest("same set"),
            evidence=digest(files_of(a), files_of(b)),
            title=f"{scene_title(a)} / {scene_title(b)}",
            summary=" ".join(reasons),
            confidence=score,
            details=details.model_dump(mode="json"),
            keywords=tuple(keywords_of(a, b)),
        )


def nearness(pair: Pair) -> float | None:
    """Returns how alike the pictures are, 100 for equal ones, 0 for unrelated ones: a rank, no probability."""
    if pair.proof is None or pair.proof.d is None:
        return None
    return round(max(0.0, 100.0 * (1 - pair.proof.d / UNRELATED_BITS)), 1)
