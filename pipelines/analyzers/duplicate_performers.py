"""Performers who are in Stash twice: the same link, the same person of the performer database, or face and name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.people_details import DatabaseChanges, PerformerSummary, performer_summary
from pipelines.analyzers.scene_details import Details
from pipelines.analyzers.sources import StashChanges
from pipelines.errors import DatabaseMissing, PackMismatch
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.performer_pairs import PerformerPair
    from pipelines.analyzers.tools import Tools
    from pipelines.faces.gallery import Gallery

LEAST = 50.0
"""Confidence below which nothing is said."""


class KeptPerformer(Details):
    """Which performer is kept, and what it has more of."""

    id: str
    reasons: tuple[str, ...]


class DuplicatePerformersDetails(Details):
    """What the page shows of two who may be one; `face_similarity` is -1..1, None where a face is missing."""

    performers: tuple[PerformerSummary, ...]
    keeper: KeptPerformer
    reasons: tuple[str, ...]
    face_similarity: float | None
    actions: dict[str, dict[str, Any]]


class DuplicatePerformers(BaseAnalyzer["PerformerPair", float]):
    """Pairs of performers who are one person."""

    id = "duplicate_performers"
    title = "Duplicate performers"
    description = "Performers who share a link to a stash-box, or a face and a similar name."
    target_type = "performer"
    reads = (StashChanges("performer"), DatabaseChanges())
    details = DuplicatePerformersDetails
    actions = (OfferedAction("merge_performers", "Merge into the suggested performer", destructive=True),)
    whole = True
    closing = "The performers were merged, or nothing says any more that they are one person."

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[PerformerPair | Failed]]:  # noqa: ARG002 - always everything
        from pipelines.analyzers.household import household
        from pipelines.analyzers.performer_pairs import performer_pairs

        known = await household(tools.library, tools.performers)
        yield await tools.in_thread(lambda: performer_pairs(known, gallery_of(tools)))

    def score(self, tools: Tools, candidates: Sequence[PerformerPair]) -> Sequence[float | Failed | None]:  # noqa: ARG002 - nothing is read
        return [one.confidence if one.confidence >= LEAST else None for one in candidates]

    def explain(self, candidate: PerformerPair, score: float) -> Finding:
        from pipelines.analyzers.performer_pairs import keeper_reasons

        keeper, other = candidate.keeper, candidate.other
        first, second = sorted((keeper, other), key=lambda p: int(p.id))
        why = tuple(keeper_reasons(keeper, other))
        reasons = tuple(candidate.reasons())
        similarity = candidate.face_similarity
        details = DuplicatePerformersDetails(
            performers=(performer_summary(first), performer_summary(second)),
            keeper=KeptPerformer(id=keeper.id, reasons=why),
            reasons=reasons,
            face_similarity=None if similarity is None else round(similarity, 4),
            actions={"merge_performers": {"destination_id": keeper.id, "source_ids": [other.id]}},
        )
        return Finding(
            target_type="performer",
            target_id=f"{first.id}:{second.id}",
            finding=digest("one person"),
            evidence=digest(*(sorted((s.endpoint, s.stash_id) for s in p.stash_ids) for p in (first, second))),
            title=f"{first.name} and {second.name}" if first.name != second.name else first.name,
            summary=" ".join((*reasons, f"Keep {keeper.name} ({keeper.id}): {', '.join(why)}.")),
            confidence=score,
            details=details.model_dump(mode="json"),
            keywords=(first.name, second.name, *first.aliases, *second.aliases),
        )


def gallery_of(tools: Tools) -> Gallery | None:
    """Returns the current version of the performer database, None without one or of another pack than the settings."""
    from pipelines.faces.catalogue import get_pack

    try:
        return tools.performers.load(pack=get_pack(tools.settings.pack))
    except (DatabaseMissing, PackMismatch):
        return None
