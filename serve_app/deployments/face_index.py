"""The one owner of the performer database: people in, names out; versions are swapped without a pause.

`user_config` is `{"version": ID}` to pin a version, or `{"version": null}` to follow the current one: a new version is
loaded beside the old one within a second of being written, then one reference is replaced. Requests that are under way
finish on the version they began with. The exclusion list is followed in the same way, also with a version that is
pinned; a pinned version that an erasure wrote anew is replaced by the new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from ray import serve

from pipelines.errors import DatabaseMissing, StashSenseError
from pipelines.faces.catalogue import get_pack
from pipelines.faces.gallery import Gallery
from pipelines.faces.identify import FoundPerson, Identifier, SceneSightings
from pipelines.faces.options import IdentifyOptions
from pipelines.faces.sightings import Sightings
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from serve_app.deployments.loopback import confine_inner_port
from serve_app.deployments.outcome import returns_errors
from serve_app.deployments.performers import Performers, source_of

logger = logging.getLogger("ray.serve")

FOLLOW_EVERY_S = 1.0
ABOUT = ("country", "image_url")


class IndexConfig(BaseModel):
    """The deployment's user_config: the version to serve, None for the current one, whichever that is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """People as rows of the faces that were asked about.

    Attributes:
        version: the database version that named them.
        about: what else is known of the candidates, by universal id: country and image_url, where there are any.
    """

    people: list[FoundPerson]
    version: str
    about: dict[str, dict[str, str]]


class FaceIndex:
    """Serves one version of the performer database at a time."""

    def __init__(self, settings: Settings) -> None:
        confine_inner_port()
        self._settings = settings
        self._pack = get_pack(settings.pack)
        self._database = PerformerDatabase(settings.database_path)
        self._performers = Performers(settings)
        self._gallery: Gallery | None = None
        self._excluded: object = None
        self._erased: object = None
        self._problem: StashSenseError | None = None
        self._config = IndexConfig()
        self._swapping = asyncio.Lock()
        self._follower: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: dict[str, str | None]) -> None:
        """Pins a version or follows the current one. A pinned version that cannot be served fails the deployment."""
        self._config = IndexConfig.model_validate(user_config)
        if self._config.version is not None:
            pinned = await asyncio.to_thread(self._database.written_anew, self._config.version)
            await self._swap(pinned or self._config.version)
        else:
            await self.reload()
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())

    async def reload(self) -> str | None:
        """Makes sure that the version in force is the one being served; returns its id, None when there is none."""
        pinned = self._config.version
        try:
            version = await asyncio.to_thread(self._database.current if pinned is None else self._still_pinned)
            await self._swap(version)
        except StashSenseError as error:
            self._note(error)
        return self._gallery.version if self._gallery else None

    @returns_errors
    async def image(self, faces: Sightings, options: IdentifyOptions, tagged: Sequence[str]) -> Named:
        """Names the faces of one picture; one person a face, in the order of the faces."""
        return await self._name(lambda one: one.images([faces], tagged=tagged)[0], options)

    @returns_errors
    async def gallery(self, faces: Sightings, images: int, options: IdentifyOptions, tagged: Sequence[str]) -> Named:
        """Names the people of a gallery; the frame of a face is the number of its image."""
        return await self._name(lambda one: one.gallery_of(faces, images, tagged=tagged), options)

    @returns_errors
    async def scene(self, scene: SceneSightings, options: IdentifyOptions, tagged: Sequence[str]) -> Named:
        """Names the people of a video."""
        return await self._name(lambda one: one.scenes([scene], tagged=tagged)[0], options)

    @returns_errors
    async def info(self) -> dict[str, Any]:
        """Returns what is being served. Raises like `image` when nothing is."""
        gallery = self._serving()
        return {
            **await asyncio.to_thread(self._performers.described, gallery.version),
            "version": gallery.version,
            "performer_count": gallery.size,
            "pinned": self._config.version is not None,
            "pack": gallery.pack.id,
            "template_id": gallery.pack.template_id,
            "dtype": gallery.index.dtype,
            "index_bytes": gallery.index.size_bytes,
            "threshold_score": Identifier(gallery).threshold,
        }

    @returns_errors
    async def library_status(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """Returns how far scans, matches and jobs are. It is here because this process has all that reading needs.

        Args:
            changed: settings that are in force now and differ from those at the start.
        """
        return await asyncio.to_thread(library_status, self._settings, changed)

    @returns_errors
    async def stored_people(self, kind: Literal["scene", "image"], content_id: str) -> dict[str, Any] | None:
        """Returns who is in a scene or image as its stored scan says, None when it was never matched."""
        return await asyncio.to_thread(stored_people, self._settings, kind, content_id)

    @returns_errors
    async def versions(self) -> dict[str, Any]:
        """Returns all versions, see `Performers.versions`."""
        return await asyncio.to_thread(self._performers.versions, self._gallery.version if self._gallery else None)

    @returns_errors
    async def use(self, version: str) -> None:
        """Makes a version the current one and serves it. Raises like `Performers.use`."""
        await asyncio.to_thread(self._performers.use, version, self._config.version)
        await self._swap(version)

    @returns_errors
    async def remove_version(self, version: str) -> None:
        """Removes an old version. Raises like `Performers.remove`."""
        await asyncio.to_thread(self._performers.remove, version, self._config.version)

    @returns_errors
    async def source(self, source: str) -> dict[str, Any]:
        """Returns one source of the current version. Raises SourceUnknown."""
        return await asyncio.to_thread(source_of, self._settings, source)

    @returns_errors
    async def people(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a page of the people who are served, see `Performers.page`. Raises like `image` when nobody is."""
        return await asyncio.to_thread(self._performers.page, self._serving().version, **question)

    @returns_errors
    async def person(self, universal_id: str) -> dict[str, Any]:
        """Returns one person. Raises PersonUnknown, and like `image` when nobody is served."""
        return await asyncio.to_thread(self._performers.person, self._serving().version, universal_id)

    @returns_errors
    async def faces(self, universal_id: str) -> dict[str, Any]:
        """Returns one person with what can be shown of each enrolled face. Raises like `person`."""
        return await asyncio.to_thread(self._performers.faces, self._serving().version, universal_id)

    async def version(self) -> str | None:
        """Returns the id of the version being served, None when there is none."""
        return self._gallery.version if self._gallery else None

    async def _name(self, name: Callable[[Identifier], list[FoundPerson]], options: IdentifyOptions) -> Named:
        identifier = Identifier(self._serving(), options)
        return await asyncio.to_thread(_named, name, identifier)

    def _serving(self) -> Gallery:
        if self._gallery is not None:
            return self._gallery
        if self._problem is not None:
            raise self._problem
        raise DatabaseMissing("No performers are enrolled yet.", "Run `stash-sense enroll folder DIR` first.")

    async def _swap(self, version: str | None) -> None:
        """Serves a version, nothing for None; with the exclusion list as it is now."""
        async with self._swapping:
            excluded = await asyncio.to_thread(self._database.exclusion_stamp)
            erased = await asyncio.to_thread(self._database.erasure_stamp)
            if version is None:
                self._gallery = None
            elif self._gallery is None or self._gallery.version != version:
                self._gallery = await asyncio.to_thread(self._load, version)
                self._erased = erased
                self._problem = None
                logger.info("serving performer database %s: %d performers", version, self._gallery.size)
            elif excluded != self._excluded:
                self._gallery = await asyncio.to_thread(_ready, self._database.hide, self._gallery)
            self._excluded = excluded

    def _still_pinned(self) -> str | None:
        """Returns what to serve of the pinned version: what an erasure made of it, itself otherwise.

        One that was removed is served on until the next erasure, which could not reach it.
        """
        pinned = self._config.version
        anew = self._database.written_anew(pinned) if pinned else None
        return anew or (pinned if self._database.erasure_stamp() == self._erased else None)

    def _load(self, version: str) -> Gallery:
        return _ready(lambda chosen: self._database.load(chosen, pack=self._pack), version)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_EVERY_S)
            await self.reload()

    def _note(self, error: StashSenseError) -> None:
        """Keeps why nothing, or nothing newer, can be served; says it once."""
        if self._problem is None or self._problem.message != error.message:
            logger.error("performer database: %s", error)
        self._problem = error


def _ready(give: Callable[[Any], Gallery], what: Any) -> Gallery:
    """Returns a gallery that answers its first request as fast as any other."""
    gallery = give(what)
    len(gallery.row_of)
    return gallery


def _named(name: Callable[[Identifier], list[FoundPerson]], identifier: Identifier) -> Named:
    people = name(identifier)
    return Named(people, identifier.enrolled.version, about(people, identifier.enrolled))


def library_status(settings: Settings, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `library.status`; SQL is imported when it is first asked for, not at the start."""
    from serve_app.deployments import library

    return library.status(settings, changed)


def stored_people(settings: Settings, kind: Literal["scene", "image"], content_id: str) -> dict[str, Any] | None:
    """Returns `library.stored_people`, imported as above."""
    from serve_app.deployments import library

    return library.stored_people(settings, kind, content_id)


def about(people: Sequence[FoundPerson], gallery: Gallery) -> dict[str, dict[str, str]]:
    """Returns country and image_url of all candidates that have one, by universal id."""
    wanted = {match.universal_id for person in people for match in person.candidates}
    wanted |= {person.match.universal_id for person in people if person.match}
    names = [name for name in ABOUT if gallery.table[name].null_count < len(gallery.table)]
    if not wanted or not names:
        return {}
    rows = sorted(gallery.row_of[universal_id] for universal_id in wanted)
    records = gallery.table.select(["universal_id", *names]).take(pa.array(rows)).to_pylist()
    return {r.pop("universal_id"): {k: v for k, v in r.items() if v} for r in records}


FaceIndexDeployment: serve.Deployment = serve.deployment(name="FaceIndex")(FaceIndex)
