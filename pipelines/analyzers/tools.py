"""What an analyzer is given: Stash, the store, the scans, the matches, the performers; each opened when it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import cached_property
from typing import Any, TypeVar

from pipelines.analyzers.base import Scope
from pipelines.settings import Settings
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import Image, Performer, Scene
from pipelines.store.matches import MatchStore
from pipelines.store.performers import PerformerDatabase
from pipelines.store.sql import Store
from pipelines.store.templates import ScanDataset

T = TypeVar("T")


class Tools:
    """The toolbox of one run.

    Attributes:
        library: Stash, on the event loop of the run.
        store: the SQL store.
        should_stop: whether the run is to end; ask it several times a second in long work.
        progress: tells how far a scope is, as (done, total or None); by subject the run does so itself.
        gone: ids of the scope that Stash does not have any more.
        worked, waiting: what a bounded evaluation of everything did of its costly work, and what it left over: as long
            as it leaves some and gets on, the next run is queued by itself.
    """

    def __init__(
        self,
        settings: Settings,
        library: StashLibrary,
        store: Store,
        should_stop: Callable[[], bool],
        progress: Callable[[int, int | None], None],
    ) -> None:
        self.settings = settings
        self.library = library
        self.store = store
        self.should_stop = should_stop
        self.progress = progress
        self.gone: set[str] = set()
        self.worked = 0
        self.waiting = 0

    @cached_property
    def matches(self) -> MatchStore:
        """Who is in scanned scenes and images."""
        return MatchStore(self.store)

    @cached_property
    def scans(self) -> ScanDataset:
        """Scanned faces and frame hashes, as Arrow."""
        return ScanDataset(self.settings.scans_path)

    @cached_property
    def performers(self) -> PerformerDatabase:
        """Enrolled performers."""
        return PerformerDatabase(self.settings.database_path)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Returns what a call gives that blocks or computes: the event loop stays free for Stash."""
        return await asyncio.to_thread(call)

    async def scenes(self, scope: Scope) -> AsyncIterator[Scene]:
        """Yields the scenes of a scope in full; notes those that are gone."""
        async for scene in self._present(scope, self.library.scenes):
            yield scene

    async def images(self, scope: Scope) -> AsyncIterator[Image]:
        """Yields the images of a scope in full; notes those that are gone."""
        async for image in self._present(scope, self.library.images):
            yield image

    async def local_performers(self, scope: Scope) -> AsyncIterator[Performer]:
        """Yields the performers of Stash of a scope; notes those that are gone."""
        async for performer in self._present(scope, self.library.performers):
            yield performer

    async def _present(self, scope: Scope, find: Callable[..., AsyncIterator[Any]]) -> AsyncIterator[Any]:
        missing = set(scope.subjects or ())
        async for one in find(ids=scope.subjects):
            missing.discard(one.id)
            yield one
        self.gone |= missing

    def note_gone(self, ids: Iterable[str]) -> None:
        """Notes ids that do not exist any more, for analyzers that look themselves."""
        self.gone |= set(ids)
