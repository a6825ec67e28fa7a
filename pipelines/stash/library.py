"""Stash's library: all reads and writes as one object, with Stash's own jobs and its word that a scan is done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pipelines.stash.combining import LibraryCombining
from pipelines.stash.limiter import Priority
from pipelines.stash.subscriptions import Reconnects


class StashLibrary(LibraryCombining):
    """One Stash; `connect.open_library` makes it. Use it on one event loop."""

    async def generate(
        self,
        scene_ids: Sequence[str] = (),
        *,
        covers: bool = False,
        sprites: bool = False,
        phashes: bool = False,
        previews: bool = False,
        overwrite: bool = False,
        priority: Priority = Priority.INTERACTIVE,
    ) -> str:
        """Has Stash make covers, sprites, perceptual hashes or previews; of all scenes when none is named.

        Returns the id of Stash's job; jobs wait for one another there.
        """
        given: dict[str, Any] = {
            "covers": covers,
            "sprites": sprites,
            "phashes": phashes,
            "previews": previews,
            "overwrite": overwrite,
        }
        if scene_ids:
            given["sceneIDs"] = list(scene_ids)
        return str(
            await self._write("metadataGenerate", {"input": ("GenerateMetadataInput", given)}, priority=priority)
        )

    async def scan_files(self, paths: Sequence[str] = (), priority: Priority = Priority.INTERACTIVE) -> str:
        """Has Stash look for new and changed files, in all its folders when none is named. Returns its job's id."""
        given = {"paths": list(paths)} if paths else {}
        return str(await self._write("metadataScan", {"input": ("ScanMetadataInput", given)}, priority=priority))

    async def stop_job(self, job_id: str, priority: Priority = Priority.INTERACTIVE) -> None:
        """Asks Stash to stop one of its jobs; one that has ended is left as it is."""
        await self._write("stopJob", {"job_id": ("ID", job_id)}, priority=priority, repeatable=True)

    async def scan_completed(self, reconnects: Reconnects | None = None) -> AsyncIterator[None]:
        """Yields whenever Stash has scanned or cleaned its folders, and once after a lost connection is back.

        It goes on for ever and waits for a Stash that is away. Raises StashUnauthorized.
        """
        async with self.client.subscribe("subscription { scanCompleteSubscribe }", reconnects) as events:
            async for _ in events:
                yield
