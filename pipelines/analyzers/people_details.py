"""People as the details of recommendations show them, and what analyzers of people read beside Stash.

Lives here: the models, light enough for every process, and the sources whose changes make an analyzer of people look
again: the performer database, and who was rejected where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.analyzers.scene_details import BoxLink, Details, link
from pipelines.analyzers.sources import Changes, Mark, Source
from pipelines.errors import DatabaseError
from pipelines.stash.records import Performer
from pipelines.store.recommendation_records import digest

if TYPE_CHECKING:
    from pipelines.analyzers.tools import Tools


class FaceBox(Details):
    """Of the picture as it is stored, px."""

    x: float
    y: float
    width: float
    height: float


class BestFace(Details):
    """The face of the highest quality of somebody in a scene; `file_fingerprint` is of the file that it was seen in."""

    scene_id: str
    time_s: float | None
    box: FaceBox
    file_fingerprint: str


class Near(Details):
    """A performer that somebody may be; `distance` 0..2."""

    universal_id: str
    name: str
    distance: float
    confidence: float


class PerformerSummary(Details):
    """A performer of Stash; `image_url_path` is the path of its picture at Stash."""

    id: str
    name: str
    disambiguation: str
    aliases: tuple[str, ...]
    scene_count: int
    image_count: int
    gallery_count: int
    stash_ids: tuple[BoxLink, ...]
    image_url_path: str
    birthdate: str
    country: str
    gender: str
    favorite: bool


def performer_summary(performer: Performer) -> PerformerSummary:
    """Returns what is shown of a performer."""
    return PerformerSummary(
        id=performer.id,
        name=performer.name,
        disambiguation=performer.disambiguation,
        aliases=performer.aliases,
        scene_count=performer.scene_count,
        image_count=performer.image_count,
        gallery_count=performer.gallery_count,
        stash_ids=tuple(link(s) for s in performer.stash_ids),
        image_url_path=f"/performer/{performer.id}/image",
        birthdate=performer.birthdate,
        country=performer.country,
        gender=performer.gender,
        favorite=performer.favorite,
    )


def best_face(scene_id: str, time_s: float | None, box: tuple[float, ...], file_fingerprint: str) -> BestFace:
    """Returns the face with these corners, x1 y1 x2 y2 px."""
    x1, y1, x2, y2 = (round(px, 1) for px in box)
    shown = FaceBox(x=x1, y=y1, width=round(x2 - x1, 1), height=round(y2 - y1, 1))
    return BestFace(scene_id=scene_id, time_s=time_s, box=shown, file_fingerprint=file_fingerprint)


def clock(time_s: float) -> str:
    """Returns a time in a video for people, such as 1:02:03 or 0:12."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def seen_finding(universal_id: str) -> str:
    """Returns the identity of the finding that somebody is seen in a scene and not tagged."""
    return digest("seen", universal_id)


class DatabaseChanges(Source):
    """The performer database: whether there is another version than was seen. What is in it has no ids here."""

    name = kind = "performer database"

    async def everything(self, tools: Tools) -> Changes:
        return await self.changed(tools, {})

    async def changed(self, tools: Tools, mark: Mark) -> Changes:
        def current() -> str | None:
            try:
                return tools.performers.current()
            except DatabaseError:
                return None

        version = await tools.in_thread(current)
        changed = version is not None and version != mark.get("at")
        return Changes([version] if changed and version else [], {"at": version} if version else {})


class RejectionChanges(Source):
    """Who was rejected in which scenes: scenes in which that is another than was seen."""

    name, kind = "rejections", "scene"

    async def everything(self, tools: Tools) -> Changes:
        return await self.changed(tools, {})

    async def changed(self, tools: Tools, mark: Mark) -> Changes:
        from pipelines.store.rejections import RejectionStore

        now = await tools.in_thread(lambda: RejectionStore(tools.store).counted("scene"))
        seen: dict[str, str] = mark.get("seen", {})
        ids = [one for one in {**seen, **now} if seen.get(one) != now.get(one)]
        return Changes(ids, {"at": None, "seen": now})
