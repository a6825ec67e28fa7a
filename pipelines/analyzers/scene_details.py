"""Scenes, files and people as the details of recommendations show them; the page needs nothing else to draw them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pipelines.stash.records import PerformerRef, Scene, StashId, StudioRef, TagRef, VideoFile


class Details(BaseModel):
    """Base of the models of details."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(Details):
    """A performer, studio or tag."""

    id: str
    name: str


class BoxLink(Details):
    """A link to an entry of a stash-box."""

    endpoint: str
    stash_id: str


class SceneFile(Details):
    """A video file; `bit_rate` bits per second, `frame_rate` frames per second."""

    id: str
    path: str
    size_bytes: int
    duration_s: float
    width: int
    height: int
    video_codec: str
    bit_rate: int
    frame_rate: float


class SceneSummary(Details):
    """A scene; `rating` counts 0 to 100, `files[0]` is the primary one."""

    id: str
    title: str
    date: str
    studio: Named | None
    performers: tuple[Named, ...]
    tags: tuple[Named, ...]
    files: tuple[SceneFile, ...]
    stash_ids: tuple[BoxLink, ...]
    play_count: int
    o_counter: int
    organized: bool
    rating: int | None


def named(ref: PerformerRef | StudioRef | TagRef) -> Named:
    """Returns who or what is named."""
    return Named(id=ref.id, name=ref.name)


def link(stash_id: StashId) -> BoxLink:
    """Returns a link without the time of its last update."""
    return BoxLink(endpoint=stash_id.endpoint, stash_id=stash_id.stash_id)


def scene_file(file: VideoFile) -> SceneFile:
    """Returns what is shown of a file."""
    return SceneFile(
        id=file.id,
        path=file.path,
        size_bytes=file.size_bytes,
        duration_s=file.duration_s,
        width=file.width,
        height=file.height,
        video_codec=file.video_codec,
        bit_rate=file.bit_rate,
        frame_rate=file.frame_rate,
    )


def scene_summary(scene: Scene) -> SceneSummary:
    """Returns what is shown of a scene."""
    return SceneSummary(
        id=scene.id,
        title=scene.title,
        date=scene.date,
        studio=None if scene.studio is None else named(scene.studio),
        performers=tuple(named(p) for p in scene.performers),
        tags=tuple(named(t) for t in scene.tags),
        files=tuple(scene_file(f) for f in scene.files),
        stash_ids=tuple(link(s) for s in scene.stash_ids),
        play_count=scene.play_count,
        o_counter=scene.o_counter,
        organized=scene.organized,
        rating=scene.rating,
    )


def scene_title(scene: Scene) -> str:
    """Returns the title, else the name of the primary file, else the id."""
    file = scene.primary_file
    return scene.title or (file.basename or file.path.rsplit("/", 1)[-1] if file else "") or f"Scene {scene.id}"
