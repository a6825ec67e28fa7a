"""Everything that is read from Stash, as typed calls that return records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Literal, cast

from pipelines.errors import StashNotFound, StashUnknownField
from pipelines.stash import parse
from pipelines.stash.asking import Asking, Query, many_query
from pipelines.stash.features import Features
from pipelines.stash.fields import CONFIGURATION, FINDERS, JOB, STATS, Detail, Kind
from pipelines.stash.limiter import Priority
from pipelines.stash.paging import Criteria
from pipelines.stash.records import (
    Gallery,
    Image,
    Outline,
    Performer,
    Scene,
    StashBox,
    StashConfiguration,
    StashJob,
    StashStats,
    Studio,
    Tag,
    Tagged,
)

PAGE_SIZE = 500


class LibraryReading(Asking):
    """Reads of one Stash. All raise the StashError leaves of `StashClient.execute`.

    Lists come page by page while they are iterated over, sorted by id; performers, studios and tags newest first.
    `filter` is a filter in Stash's own words.
    `detail` "scan" leaves most fields of scenes and images at their defaults (`fields.SCENE_SCAN`), "pairing" even more
    of scenes (`fields.SCENE_PAIRING`).
    """

    # --- one thing

    async def scene(self, scene_id: str, priority: Priority = Priority.INTERACTIVE) -> Scene:
        """Returns one scene. Raises StashNotFound."""
        return cast("Scene", await self._one("scene", scene_id, priority))

    async def image(self, image_id: str, priority: Priority = Priority.INTERACTIVE) -> Image:
        """Returns one image. Raises StashNotFound."""
        return cast("Image", await self._one("image", image_id, priority))

    async def gallery(self, gallery_id: str, priority: Priority = Priority.INTERACTIVE) -> Gallery:
        """Returns one gallery. Raises StashNotFound."""
        return cast("Gallery", await self._one("gallery", gallery_id, priority))

    async def performer(self, performer_id: str, priority: Priority = Priority.INTERACTIVE) -> Performer:
        """Returns one performer. Raises StashNotFound."""
        return cast("Performer", await self._one("performer", performer_id, priority))

    async def studio(self, studio_id: str, priority: Priority = Priority.INTERACTIVE) -> Studio:
        """Returns one studio. Raises StashNotFound."""
        return cast("Studio", await self._one("studio", studio_id, priority))

    async def tag(self, tag_id: str, priority: Priority = Priority.INTERACTIVE) -> Tag:
        """Returns one tag. Raises StashNotFound."""
        return cast("Tag", await self._one("tag", tag_id, priority))

    # --- many

    def scenes(
        self,
        *,
        ids: Iterable[str] | None = None,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        newest_first: bool = False,
        page_size: int = PAGE_SIZE,
        detail: Detail = "full",
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Scene]:
        """Yields scenes: those of `ids` that exist, or those of a filter, or all."""
        return self._many("scene", ids, filter, detail, priority, page_size=page_size, newest_first=newest_first)

    def images(
        self,
        *,
        ids: Iterable[str] | None = None,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        gallery_id: str | None = None,
        newest_first: bool = False,
        page_size: int = PAGE_SIZE,
        detail: Detail = "full",
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Image]:
        """Yields images: those of `ids` that exist, or those of a filter and a gallery, or all."""
        if gallery_id is not None:
            inside = {"galleries": {"value": [gallery_id], "modifier": "INCLUDES"}}
            filter = {**inside, "AND": filter} if filter else inside  # noqa: A001 - as above
        return self._many("image", ids, filter, detail, priority, page_size=page_size, newest_first=newest_first)

    def galleries(
        self,
        *,
        ids: Iterable[str] | None = None,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        newest_first: bool = False,
        page_size: int = PAGE_SIZE,
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Gallery]:
        """Yields galleries: those of `ids` that exist, or those of a filter, or all."""
        return self._many("gallery", ids, filter, "full", priority, page_size=page_size, newest_first=newest_first)

    def performers(
        self,
        *,
        ids: Iterable[str] | None = None,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        page_size: int = PAGE_SIZE,
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Performer]:
        """Yields performers: those of `ids` that exist, or those of a filter, or all."""
        return self._many("performer", ids, filter, "full", priority, page_size=page_size)

    def studios(
        self,
        *,
        ids: Iterable[str] | None = None,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        page_size: int = PAGE_SIZE,
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Studio]:
        """Yields studios: those of `ids` that exist, or those of a filter, or all."""
        return self._many("studio", ids, filter, "full", priority, page_size=page_size)

    def tags(
        self,
        *,
        ids: Iterable[str] | None = None,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        page_size: int = PAGE_SIZE,
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Tag]:
        """Yields tags: those of `ids` that exist, or those of a filter, or all."""
        return self._many("tag", ids, filter, "full", priority, page_size=page_size)

    def outlines(
        self,
        kind: Kind,
        *,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        page_size: int = 10 * PAGE_SIZE,
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Outline]:
        """Yields id and time of the last change of everything of a kind: what has changed, and what is gone."""
        return self._many(kind, None, filter, "outline", priority, page_size=page_size)

    async def scene_files_changed(
        self, since: Criteria | None, *, page_size: int = 10 * PAGE_SIZE, priority: Priority = Priority.BATCH
    ) -> AsyncIterator[Outline]:
        """Yields id and time of the last change of its files of every scene; with a filter of files, of those it hits.

        The time of a scene itself stays when Stash makes a phash or sees that a file is another one. Yields nothing
        for a filter that the server does not know (before 0.30).
        """
        known = (await self.client.features(priority)).knows(FINDERS["scene"].criteria_type, "files_filter")
        if since is not None and not known:
            return
        filter_ = None if since is None else {"files_filter": since}
        async for one in self._many("scene", None, filter_, "file times", priority, page_size=page_size):
            if one.updated_at:
                yield one

    def tagged(
        self,
        kind: Literal["scene", "image", "gallery"],
        *,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        page_size: int = 5 * PAGE_SIZE,
        priority: Priority = Priority.BATCH,
    ) -> AsyncIterator[Tagged]:
        """Yields who is tagged on everything of a kind, and nothing else of it."""
        return self._many(kind, None, filter, "tagged", priority, page_size=page_size)

    async def find_performers(
        self, text: str, *, limit: int = 25, priority: Priority = Priority.INTERACTIVE
    ) -> list[Performer]:
        """Returns performers whose name or alias holds the words of `text`, by name, at most `limit`."""
        finder = FINDERS["performer"]
        page = {"q": text, "page": 1, "per_page": limit, "sort": "name", "direction": "ASC"}
        data = await self.ask(lambda known: many_query(finder, known, "full", {"filter": page}), priority)
        return [parse.read(parse.performer, item) for item in data[finder.many][finder.items]]

    # --- counts and filters

    async def count(
        self,
        kind: Kind,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        priority: Priority = Priority.BATCH,
    ) -> int:
        """Returns how many of a kind there are."""
        finder = FINDERS[kind]
        arguments = {"filter": {"per_page": 0}, finder.criteria: filter or None}
        data = await self.ask(lambda known: many_query(finder, known, None, arguments, counted=True), priority)
        return int(data[finder.many]["count"])

    async def count_scenes(
        self,
        filter: Criteria | None = None,  # noqa: A002 - Stash's word
        priority: Priority = Priority.BATCH,
    ) -> int:
        """Returns how many scenes there are."""
        return await self.count("scene", filter, priority)

    async def linked(
        self, kind: Kind, box: StashBox, stash_id: str | None = None, priority: Priority = Priority.BATCH
    ) -> Criteria:
        """Returns the filter for what is linked to a stash-box, or to one entry of it.

        The box comes from `configuration`, never from a request: Stash puts its address into SQL as it is.
        Raises StashUnknownField where the server has no such links (tags before 0.30).
        """
        kinds = (await self.client.features(priority)).fields.get(FINDERS[kind].criteria_type, frozenset())
        one: Criteria = {"endpoint": box.endpoint, "modifier": "NOT_NULL" if stash_id is None else "EQUALS"}
        if "stash_id_endpoint" in kinds:
            return {"stash_id_endpoint": one if stash_id is None else {**one, "stash_id": stash_id}}
        if "stash_ids_endpoint" in kinds:
            return {"stash_ids_endpoint": one if stash_id is None else {**one, "stash_ids": [stash_id]}}
        raise StashUnknownField(f"This version of Stash keeps no stash-box links of a {kind}.", "Update Stash.")

    # --- the server

    async def configuration(self, priority: Priority = Priority.INTERACTIVE) -> StashConfiguration:
        """Returns the stash-boxes with their keys, the library's folders, and how Stash hashes and deletes."""
        data = await self.ask(
            lambda known: (f"query Configuration {{ configuration {CONFIGURATION.render(known)} }}", {}), priority
        )
        return parse.read(parse.configuration, data["configuration"])

    async def boxes(self, priority: Priority = Priority.INTERACTIVE) -> list[StashBox]:
        """Returns the stash-boxes of Stash that are used, in the order of the choice."""
        return self.choice.used((await self.configuration(priority)).stash_boxes)

    async def version(self, priority: Priority = Priority.INTERACTIVE) -> str:
        """Returns such as "v0.30.1"; "" for a build without a version."""
        data = await self.client.execute("query Version { version { version } }", priority=priority)
        return str(data["version"].get("version") or "")

    async def stats(self, priority: Priority = Priority.INTERACTIVE) -> StashStats:
        """Returns how much there is."""
        data = await self.ask(lambda known: (f"query Stats {{ stats {STATS.render(known)} }}", {}), priority)
        return parse.read(parse.stats, data["stats"])

    async def jobs(self, priority: Priority = Priority.INTERACTIVE) -> list[StashJob]:
        """Returns the live jobs of Stash's own queue, in its order."""
        data = await self.ask(lambda known: (f"query Jobs {{ jobQueue {JOB.render(known)} }}", {}), priority)
        return [parse.read(parse.job, job) for job in data["jobQueue"] or ()]

    async def job(self, job_id: str, priority: Priority = Priority.INTERACTIVE) -> StashJob:
        """Returns one job. Raises StashNotFound: Stash forgets all but the last ten that ended."""

        def query(known: Features) -> Query:
            text = f"query Job($input: FindJobInput!) {{ findJob(input: $input) {JOB.render(known)} }}"
            return text, {"input": {"id": job_id}}

        data = await self.ask(query, priority)
        if data["findJob"] is None:
            raise StashNotFound(f"Stash has no job {job_id}.", "It forgets jobs some time after they end.")
        return parse.read(parse.job, data["findJob"])
