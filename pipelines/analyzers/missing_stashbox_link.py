"""Performers of Stash who lack an id of a stash-box that the performer database knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.duplicate_performers import gallery_of
from pipelines.analyzers.people_details import DatabaseChanges, PerformerSummary, performer_summary
from pipelines.analyzers.scene_details import Details
from pipelines.analyzers.sources import MatchChanges, StashChanges
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.box_links import MissingLink
    from pipelines.analyzers.tools import Tools

LEAST = 50.0
"""Confidence below which nothing is said."""
SHOWN_SCENES = 50


class MissingLinkDetails(Details):
    """What the page shows of a link that is missing.

    Attributes:
        name: what the performer database calls the person.
        confidence: 0..1.
        scenes: ids of scenes in which the performer is tagged and the person is seen, at most SHOWN_SCENES.
        conflict: ids that the performer has at the same stash-box.
    """

    performer: PerformerSummary
    endpoint: str
    stash_id: str
    universal_id: str
    name: str
    confidence: float
    face_similarity: float | None
    scenes: tuple[str, ...]
    conflict: tuple[str, ...]
    reasons: tuple[str, ...]
    actions: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class NamedLink:
    """A missing link and what the person is called."""

    link: MissingLink
    name: str


class MissingStashboxLink(BaseAnalyzer[NamedLink, float]):
    """Links that performers lack."""

    id = "missing_stashbox_link"
    title = "Missing links to stash-boxes"
    description = "Performers who are known to be a person of a stash-box that they are not linked to."
    target_type = "performer"
    reads = (StashChanges("performer"), DatabaseChanges(), MatchChanges("scene"))
    details = MissingLinkDetails
    actions = (OfferedAction("link_stash_id", "Add the link"),)
    whole = True
    closing = "The link is there, another performer has it, or nothing speaks for it any more."

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[NamedLink | Failed]]:  # noqa: ARG002 - always everything
        from pipelines.analyzers.box_links import SeenTogether, missing_links
        from pipelines.analyzers.household import household

        known = await household(tools.library, tools.performers)
        if not len(known.people):
            yield ()
            return
        boxes = await tools.library.boxes()
        used = [s.endpoint for performer in known.performers.values() for s in performer.stash_ids]
        endpoints: dict[str, str] = {}
        for endpoint in (*(box.endpoint for box in boxes), *used):
            host = urlsplit(endpoint).hostname
            if host and tools.library.choice.allows(endpoint):
                endpoints.setdefault(host, endpoint)
        tagged = {one.id: one.performers async for one in tools.library.tagged("scene") if one.performers}

        def found() -> list[NamedLink]:
            together = SeenTogether.of(tools.matches.named("scene"), tagged, known)
            links = missing_links(known, endpoints, gallery_of(tools), together)
            return [NamedLink(link, known.name_at(link.row)) for link in links]

        yield await tools.in_thread(found)

    def score(self, tools: Tools, candidates: Sequence[NamedLink]) -> Sequence[float | Failed | None]:  # noqa: ARG002 - nothing is read
        return [one.link.confidence if one.link.confidence >= LEAST else None for one in candidates]

    def explain(self, candidate: NamedLink, score: float) -> Finding:
        link, performer = candidate.link, candidate.link.performer
        entry = {"endpoint": link.endpoint, "stash_id": link.stash_id}
        reasons = tuple(link.reasons())
        details = MissingLinkDetails(
            performer=performer_summary(performer),
            endpoint=link.endpoint,
            stash_id=link.stash_id,
            universal_id=link.universal_id,
            name=candidate.name,
            confidence=round(score / 100, 4),
            face_similarity=round(link.face_score, 4) if link.face_confidence else None,
            scenes=link.scene_ids[:SHOWN_SCENES],
            conflict=link.others,
            reasons=reasons,
            actions={"link_stash_id": {"entity": "performer", "entity_id": performer.id, **entry}},
        )
        return Finding(
            target_type="performer",
            target_id=performer.id,
            finding=digest(link.universal_id),
            evidence=digest(sorted((s.endpoint, s.stash_id) for s in performer.stash_ids)),
            title=performer.name,
            summary=f"{performer.name} is {candidate.name} ({link.universal_id}). {' '.join(reasons)}",
            confidence=score,
            details=details.model_dump(mode="json"),
            keywords=(performer.name, candidate.name, *performer.aliases),
        )
