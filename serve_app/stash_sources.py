"""From the words of a request to something that can be looked at: ids and URLs of Stash, and of its stash-boxes.

Lives here: `StashSources`, of which the ingress has one. It keeps one connection to Stash, the cluster's limiter in
front. The modules of Stash are imported at the first question about it, in a thread: a start need not wait for them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipelines.errors import MediaNotFound, StashError
from pipelines.media.access import MediaAccess
from serve_app.contents import Content, Medium
from serve_app.live_settings import LiveSettings
from serve_app.sources import Asked, Host, Source, StashName, UrlName, allowed_url, host_of

if TYPE_CHECKING:
    from pipelines.stash.library import StashLibrary
    from pipelines.stash.records import Image, PerformerRef, Scene

BOXES_FOR_S = 600.0
"""How long the list of stash-boxes counts before Stash is asked for it again."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What Stash knows of a scene, image or gallery, and what of it is to be looked at.

    Attributes:
        about: what `schemas.ContentAnswer` shows.
        media: one medium for a scene or image; the images of a gallery, in order of id.
        tagged: universal ids of the performers already tagged.
        left_out: images of a gallery beyond the limit.
    """

    about: dict[str, Any]
    media: tuple[Medium, ...]
    tagged: tuple[str, ...]
    left_out: int = 0


class StashSources:
    """Resolves what requests name, with the settings of the moment."""

    def __init__(self, live: LiveSettings) -> None:
        self._live = live
        self._opening = asyncio.Lock()
        self._open: tuple[tuple[Any, ...], StashLibrary, AsyncExitStack] | None = None
        self._boxes: tuple[float, frozenset[Host]] = (0.0, frozenset())

    async def medium(self, asked: Asked) -> Medium:
        """Returns what an upload, path or URL is. Raises UrlNotAllowed. Ids are for the methods below."""
        if isinstance(asked, UrlName):
            return Medium(await self.url(asked.url))
        if isinstance(asked, StashName):
            raise TypeError("ids of Stash have methods of their own")
        return Medium(asked)

    async def url(self, url: str) -> Source:
        """Returns the source of a URL on Stash, on a stash-box that is set in it, or on one of `allowed_hosts`.

        Raises UrlNotAllowed for every other host.
        """
        settings = self._live.settings
        host = host_of(url)
        if settings.stash_url is not None and host is not None and host == host_of(settings.stash_url):
            return self._access().remote(url)
        boxes: frozenset[Host] = frozenset()
        if settings.stash_url is not None and host is not None:
            boxes = await self._box_hosts()
        return allowed_url(url, settings, boxes)

    async def scene(self, scene_id: str) -> Shown:
        """Returns a scene. Raises StashNotFound, the other StashError leaves, MediaNotFound when it has no file."""
        library = await self.library()
        scene = await library.scene(scene_id)
        tagged = universal_ids(scene.performers)
        medium = await asyncio.to_thread(self._scene_medium, scene, tagged)
        return Shown(_about("scene", scene.id, scene.title, tagged), (medium,), tagged)

    async def image(self, image_id: str) -> Shown:
        """Returns an image. Raises like `scene`."""
        library = await self.library()
        image = await library.image(image_id)
        tagged = universal_ids(image.performers)
        medium = await asyncio.to_thread(self._image_medium, image, tagged)
        return Shown(_about("image", image.id, image.title, tagged), (medium,), tagged)

    async def gallery(self, gallery_id: str) -> Shown:
        """Returns a gallery with its first `max_gallery_images` images. Raises like `scene`; its images need files."""
        library = await self.library()
        gallery = await library.gallery(gallery_id)
        most = self._live.settings.max_gallery_images
        images: list[Image] = []
        async for image in library.images(
            gallery_id=gallery_id, page_size=min(most, 500), detail="scan", priority=_interactive()
        ):
            images.append(image)
            if len(images) == most:
                break
        media = await asyncio.to_thread(lambda: [self._image_medium(i, ()) for i in images if i.primary_file])
        if not media:
            raise MediaNotFound(f"Gallery {gallery_id} has no images.")
        total = max(gallery.image_count, len(images))
        tagged = universal_ids(gallery.performers)
        about = _about("gallery", gallery.id, gallery.title, tagged) | {"images": total}
        return Shown(about, tuple(media), tagged, total - len(media))

    async def library(self) -> StashLibrary:
        """Returns the open library of the settings in force. Raises StashUnreachable when no Stash is set."""
        settings = self._live.settings
        choice = (settings.stashbox_order, settings.stashbox_off)
        wanted = (settings.stash_url, settings.stash_api_key, settings.stash_requests_per_s, *choice)
        async with self._opening:
            if self._open is None or self._open[0] != wanted:
                connect = await asyncio.to_thread(import_module, "pipelines.stash.connect")
                stack = AsyncExitStack()
                library = await stack.enter_async_context(connect.open_library(settings))
                before, self._open = self._open, (wanted, library, stack)
                self._boxes = (0.0, frozenset())
                if before is not None:
                    await before[2].aclose()
            return self._open[1]

    async def _box_hosts(self) -> frozenset[Host]:
        """Returns the hosts of the stash-boxes that are used; none while Stash does not say."""
        try:
            library = await self.library()
            asked_at, hosts = self._boxes
            if time.monotonic() - asked_at > BOXES_FOR_S or not asked_at:
                hosts = frozenset(host for box in await library.boxes() if (host := host_of(box.endpoint)))
                self._boxes = (time.monotonic(), hosts)
        except StashError:
            return frozenset()
        return hosts

    def _access(self) -> MediaAccess:
        settings = self._live.settings
        return MediaAccess(settings.path_map, settings.stash_url, settings.stash_api_key)

    def _scene_medium(self, scene: Scene, tagged: tuple[str, ...]) -> Medium:
        from pipelines.stash.records import content_fingerprint

        file = scene.primary_file
        if file is None:
            raise MediaNotFound(f"Scene {scene.id} has no file.")
        content = Content("scene", scene.id, content_fingerprint(file), scene.galleries)
        return Medium(self._access().video(file.path, scene.paths.stream), content, tagged)

    def _image_medium(self, image: Image, tagged: tuple[str, ...]) -> Medium:
        from pipelines.stash.records import content_fingerprint

        file = image.primary_file
        if file is None:
            raise MediaNotFound(f"Image {image.id} has no file.")
        content = Content("image", image.id, content_fingerprint(file), image.galleries)
        return Medium(self._access().picture(file.path, image.paths.image), content, tagged)


def universal_ids(performers: tuple[PerformerRef, ...]) -> tuple[str, ...]:
    """Returns the ids of all performers, in Stash (`stash:ID`) and on all stash-boxes, each once."""
    return tuple(dict.fromkeys(i for p in performers for i in (f"stash:{p.id}", *p.universal_ids)))


def _about(kind: str, content_id: str, title: str, tagged: tuple[str, ...]) -> dict[str, Any]:
    return {"kind": kind, "id": content_id, "title": title, "tagged": list(tagged)}


def _interactive() -> Any:
    from pipelines.stash.limiter import Priority

    return Priority.INTERACTIVE
