"""Scenes in which somebody is clearly seen who is not tagged there.

One finding a person, so that tagging or dismissing one says nothing about the others. Who is in a scene is what its
stored match says; who is tagged is read from Stash, some hundred scenes at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.people_details import (
    BestFace,
    DatabaseChanges,
    Near,
    RejectionChanges,
    best_face,
    clock,
    seen_finding,
)
from pipelines.analyzers.scene_details import Details, Named, SceneSummary, named, scene_summary, scene_title
from pipelines.analyzers.sources import MatchChanges, StashChanges
from pipelines.stash.records import Scene
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.household import Household
    from pipelines.analyzers.seen_people import Missing
    from pipelines.analyzers.tools import Tools
    from pipelines.store.matches import ContentMatch

HIGHEST = 99.9
"""Confidence is never 100: a face may always be that of a twin."""


class SeenPerson(Details):
    """Somebody seen in a scene.

    Attributes:
        performer_id, performer_name: of Stash, None where there is nobody of that id yet.
        also: ids of further performers of Stash who have ids of the person.
        confidence: calibrated probability, 0..1.
        frames, share: sampled frames with the person, and their share of all.
        ranges: when, (start_s, end_s) in order.
    """

    universal_id: str
    name: str
    performer_id: str | None
    performer_name: str | None
    also: tuple[str, ...]
    confidence: float
    distance: float
    frames: int
    share: float
    ranges: tuple[tuple[float, float], ...]
    best: BestFace | None
    candidates: tuple[Near, ...]


class UnidentifiedSceneDetails(Details):
    """What the page shows: the scene, who is missing there, and which of its performers were never seen."""

    scene: SceneSummary
    people: tuple[SeenPerson, ...]
    tagged_not_seen: tuple[Named, ...]
    actions: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sight:
    """A scene of Stash with its stored match and who was rejected there."""

    scene: Scene
    match: ContentMatch
    rejected: frozenset[str]


@dataclass(frozen=True, slots=True)
class Absent:
    """One person who is not tagged in a scene, and the tagged performers who were never seen there."""

    sight: Sight
    missing: Missing
    unseen: tuple[Named, ...]


class UnidentifiedScene(BaseAnalyzer[Absent, float]):
    """People seen clearly who are not tagged."""

    id = "unidentified_scene"
    title = "People who are not tagged"
    description = "Scenes in which a known performer is clearly seen who is not tagged there."
    target_type = "scene"
    reads = (
        MatchChanges("scene"),
        StashChanges("scene"),
        RejectionChanges(),
        StashChanges("performer"),
        DatabaseChanges(),
    )
    details = UnidentifiedSceneDetails
    actions = (
        OfferedAction("tag_performers", "Tag the performer"),
        OfferedAction("create_performer", "Create the performer and tag it"),
    )
    closing = "The person is tagged now, was rejected, or is not clearly seen any more."

    def __init__(self) -> None:
        self._household: Household | None = None

    async def affected(self, tools: Tools, kind: str, ids: Sequence[str]) -> Iterable[str]:
        """Returns scenes that changed, and those in which somebody is named who is a performer that changed.

        Another version of the performer database leads to other matches, which are seen as such.
        """
        if kind == "scene":
            return ids
        if kind != "performer":
            return ()
        known = await self._who(tools)
        from pipelines.analyzers.household import own_ids

        people: set[str] = set()
        for performer_id in ids:
            performer = known.performers.get(performer_id)
            own = (f"stash:{performer_id}",) if performer is None else own_ids(performer)
            people.update(one for universal_id in own for one in known.ids_of(universal_id))
        return await tools.in_thread(lambda: tools.matches.contents_naming("scene", people))

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[Absent | Failed]]:
        from pipelines.analyzers.seen_people import clear_people, missing_people, never_seen
        from pipelines.store.rejections import RejectionStore

        subjects = scope.subjects or ()
        matches = await tools.in_thread(lambda: tools.matches.many("scene", subjects))
        clear = {match.content_id: match for match in matches if clear_people(match)}
        if not clear:
            return
        known = await self._who(tools)
        rejected = await tools.in_thread(lambda: RejectionStore(tools.store).by_content("scene", tuple(clear)))
        found: list[Absent] = []
        async for scene in tools.scenes(Scope(tuple(clear))):
            sight = Sight(scene, clear[scene.id], rejected.get(scene.id, frozenset()))
            missing = missing_people(scene, sight.match, known, sight.rejected)
            unseen = tuple(named(p) for p in never_seen(scene, sight.match, known)) if missing else ()
            found.extend(Absent(sight, one, unseen) for one in missing)
        yield found

    def score(self, tools: Tools, candidates: Sequence[Absent]) -> Sequence[float | Failed | None]:  # noqa: ARG002 - of the match
        return [min(HIGHEST, round(100 * one.missing.confidence, 1)) for one in candidates]

    def explain(self, candidate: Absent, score: float) -> Finding:
        sight, missing = candidate.sight, candidate.missing
        scene, match, person, performer = sight.scene, sight.match, missing.person, missing.performer
        if performer is None:
            create = {"universal_id": missing.universal_id, "tag": {"entity": "scene", "entity_id": scene.id}}
            offered: dict[str, dict[str, Any]] = {"create_performer": create}
        else:
            offered = {
                "tag_performers": {"entity": "scene", "entity_id": scene.id, "performer_ids": [performer.id]},
            }
        details = UnidentifiedSceneDetails(
            scene=scene_summary(scene),
            people=(_seen(missing, match),),
            tagged_not_seen=candidate.unseen,
            actions=offered,
        )
        return Finding(
            target_type="scene",
            target_id=scene.id,
            finding=seen_finding(missing.universal_id),
            evidence=digest(match.stamp.file_fingerprint, performer.id if performer else None),
            title=scene_title(scene),
            summary=_summary(candidate),
            confidence=score,
            details=details.model_dump(mode="json"),
            keywords=(
                missing.name,
                *((performer.name,) if performer else ()),
                *(p.name for p in scene.performers),
                *(file.path for file in scene.files),
                *(str(c.name) for c in person.candidates[:1]),
            ),
        )

    async def _who(self, tools: Tools) -> Household:
        if self._household is None:
            from pipelines.analyzers.household import household

            self._household = await household(tools.library, tools.performers)
        return self._household


def _seen(missing: Missing, match: ContentMatch) -> SeenPerson:
    person, performer = missing.person, missing.performer
    fingerprint = match.stamp.file_fingerprint
    box = person.best_box
    return SeenPerson(
        universal_id=missing.universal_id,
        name=missing.name,
        performer_id=performer.id if performer else None,
        performer_name=performer.name if performer else None,
        also=tuple(other.id for other in missing.others),
        confidence=round(missing.confidence, 4),
        distance=round(person.distance or 0.0, 4),
        frames=person.frames,
        share=round(person.share, 4),
        ranges=person.ranges,
        best=None if box is None else best_face(match.content_id, person.best_time_s, box, fingerprint),
        candidates=tuple(
            Near(
                universal_id=c.universal_id,
                name=c.name,
                distance=round(c.distance, 4),
                confidence=round(c.confidence, 4),
            )
            for c in person.candidates
        ),
    )


def _summary(absent: Absent) -> str:
    missing, match = absent.missing, absent.sight.match
    person = missing.person
    when = f" from {clock(person.ranges[0][0])}" if person.ranges else ""
    text = (
        f"{missing.name} is seen in {person.frames} of {match.frames} frames ({person.share:.0%}){when}, "
        f"a match of {missing.confidence:.0%}, and is not tagged."
    )
    if missing.performer is None:
        text += " Stash has no performer with an id of that person."
    elif missing.others:
        text += f" {len(missing.others) + 1} performers of Stash have ids of that person."
    if absent.unseen:
        text += f" Tagged but never seen: {', '.join(one.name for one in absent.unseen)}."
    return text
