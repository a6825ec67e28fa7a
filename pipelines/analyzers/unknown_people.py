"""Unknown people who are in several scenes: give them a name once, and all their scenes have it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.duplicate_performers import gallery_of
from pipelines.analyzers.people_details import BestFace, DatabaseChanges, Near, best_face
from pipelines.analyzers.scene_details import Details, scene_title
from pipelines.analyzers.sources import MatchChanges
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.tools import Tools
    from pipelines.analyzers.unknown_faces import UnknownFace, UnknownPerson

SHOWN_SCENES = 100
"""Scenes of one person that the page lists and one naming tags; the others are found again."""
SHOWN_FACES = 8
HIGHEST = 99.0
_PEOPLE_AT_ONCE = 50


class UnknownScene(Details):
    """A scene in which the unknown person is seen; `ranges` (start_s, end_s) in order."""

    id: str
    title: str
    ranges: tuple[tuple[float, float], ...]
    best: BestFace | None


class UnknownPersonDetails(Details):
    """What the page shows of an unknown person.

    Attributes:
        cluster: stays the same when scenes are added.
        scenes: those with most frames first, at most SHOWN_SCENES of `scene_count`.
        faces: faces seen, over all scenes.
        near: enrolled performers whose faces are nearest; none of them near enough to be named.
    """

    cluster: str
    scenes: tuple[UnknownScene, ...]
    scene_count: int
    faces: int
    best: tuple[BestFace, ...]
    near: tuple[Near, ...]
    actions: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Shown:
    """An unknown person with the titles of the scenes that Stash has of it."""

    person: UnknownPerson
    titles: dict[str, str]


class UnknownPeople(BaseAnalyzer[Shown, float]):
    """Unknown people seen in several scenes."""

    id = "unknown_person"
    title = "Unknown people in several scenes"
    description = "Faces that belong to nobody enrolled and are seen in at least three scenes, to be named."
    target_type = "person"
    reads = (MatchChanges("scene"), DatabaseChanges())
    details = UnknownPersonDetails
    actions = (
        OfferedAction("tag_performers", "Tag a performer of Stash"),
        OfferedAction("create_performer", "Create a performer and tag it"),
    )
    whole = True
    closing = "The person was named, or is not in three scenes any more."

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[Shown | Failed]]:  # noqa: ARG002 - always everything
        from pipelines.analyzers.unknown_faces import LEAST_SCENES, unknown_people

        def found() -> list[UnknownPerson] | None:
            gallery = gallery_of(tools)
            if gallery is None:
                return []
            return unknown_people(
                tools.settings, tools.matches, gallery, progress=tools.progress, should_stop=tools.should_stop
            )

        people = await tools.in_thread(found) or []
        for start in range(0, len(people), _PEOPLE_AT_ONCE):
            part = people[start : start + _PEOPLE_AT_ONCE]
            wanted = dict.fromkeys(one for person in part for one in person.scene_ids[:SHOWN_SCENES])
            scenes = tools.library.scenes(ids=list(wanted), detail="scan")
            titles = {scene.id: scene_title(scene) async for scene in scenes}
            yield [Shown(p, titles) for p in part if sum(s in titles for s in p.scene_ids) >= LEAST_SCENES]

    def score(self, tools: Tools, candidates: Sequence[Shown]) -> Sequence[float | Failed | None]:  # noqa: ARG002 - of the group
        return [min(HIGHEST, round(100 * one.person.confidence, 1)) for one in candidates]

    def explain(self, candidate: Shown, score: float) -> Finding:
        person, titles = candidate.person, candidate.titles
        own: dict[str, UnknownFace] = {}
        for face in person.faces:
            if face.scene_id in titles:
                own.setdefault(face.scene_id, face)
        shown = list(own.values())[:SHOWN_SCENES]
        scenes = tuple(
            UnknownScene(id=f.scene_id, title=titles[f.scene_id], ranges=f.person.ranges, best=_best(f)) for f in shown
        )
        near = tuple(Near(universal_id=i, name=n, distance=d, confidence=c) for i, n, d, c in person.near)
        tags = [{"entity": "scene", "entity_id": face.scene_id} for face in shown]
        count = len(person.scene_ids)
        hint = f" Nearest: {near[0].name}, at a distance of {near[0].distance:.2f}." if near else ""
        details = UnknownPersonDetails(
            cluster=person.id,
            scenes=scenes,
            scene_count=count,
            faces=sum(face.person.faces for face in person.faces),
            best=tuple(scene.best for scene in scenes[:SHOWN_FACES] if scene.best is not None),
            near=near,
            actions={"tag_performers": {"places": tags}, "create_performer": {"tag": tags}},
        )
        return Finding(
            target_type="person",
            target_id=person.id,
            finding=digest("unknown"),
            evidence=digest(sorted(person.scene_ids)),
            title=f"Unknown person in {count} scenes",
            summary=f"One face, alike by {person.likeness:.2f} on average; it is of nobody enrolled.{hint}",
            confidence=score,
            details=details.model_dump(mode="json"),
            keywords=tuple(titles[face.scene_id] for face in shown),
        )


def _best(face: UnknownFace) -> BestFace | None:
    person = face.person
    if person.best_box is None:
        return None
    return best_face(face.scene_id, person.best_time_s, person.best_box, face.file_fingerprint)
