"""Asking Stash what there is and writing down what has to be scanned, stoppable at any moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.jobs import ScanRequest
from pipelines.parts import media_access
from pipelines.scan_manifest import ListingCounts, Manifest, Settled, entries_to_scan, recipes
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.library import StashLibrary
from pipelines.store.templates import ScanDataset

LOOK_S = 0.2

LibraryOpener = Callable[[Settings], AbstractAsyncContextManager[StashLibrary]]


@dataclass(slots=True)
class Listing:
    """What has to be scanned.

    Attributes:
        total: entries of the manifest.
        stopped: the listing was stopped before its end.
    """

    manifest: Manifest
    total: int = 0
    counts: ListingCounts = field(default_factory=ListingCounts)
    stopped: bool = False


def list_contents(
    settings: Settings,
    request: ScanRequest,
    path: Path,
    *,
    library_opener: LibraryOpener | None = None,
    on_progress: Callable[[int, ListingCounts], None] = lambda _total, _counts: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Listing:
    """Writes the manifest of what has to be scanned to `path`.

    Raises the StashError leaves once Stash stays away for longer than the client's patience, StoreTooNew, StoreCorrupt,
    PackUnknown, InputError.
    """
    listing = Listing(Manifest(path))
    settled = Settled(ScanDataset(settings.scans_path), request)
    access, used = media_access(settings), recipes(settings)

    def on_row(total: int) -> None:
        listing.total = total

    async def ask() -> None:
        async with (library_opener or open_library)(settings) as library:
            entries = entries_to_scan(library, access, request, settled, used, listing.counts)
            await listing.manifest.write(entries, on_row)

    listing.stopped = not run_loop_stoppable(ask, should_stop, lambda: on_progress(listing.total, listing.counts))
    return listing


def run_loop_stoppable(
    work: Callable[[], Coroutine[Any, Any, None]], should_stop: Callable[[], bool], tick: Callable[[], None]
) -> bool:
    """Runs a coroutine function in a thread with a loop of its own; returns False when it was stopped."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    thread = threading.Thread(target=_finish, args=(loop, task), name="listing", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_S)
        tick()
        if should_stop() and thread.is_alive():
            loop.call_soon_threadsafe(task.cancel)
            thread.join(LOOK_S * 5)
            return False
    task.result()
    return True


def _finish(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    try:
        loop.run_until_complete(asyncio.wait([task]))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
