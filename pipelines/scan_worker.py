"""What scans contents in a process of its own: opens their media, looks at them, makes the scan durable.

`ContentScanner` is the work of one content, `ScanWorker` the class that Ray Data makes actors of. A worker stands back
for requests, uses one thread for each model, and writes each scan before it looks at the next content.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_chain, wait_fixed

from pipelines.errors import MediaNotFound, MediaUnreachable, StashError, StoreError
from pipelines.faces.catalogue import get_pack
from pipelines.faces.engine import FaceEngine
from pipelines.identify_media import Analyzer
from pipelines.media.frames import HttpSource, VideoSource
from pipelines.models.library import ModelLibrary
from pipelines.parts import engine_options, media_access, sampling_plan
from pipelines.scan_content import failed_scan, scan_content
from pipelines.scan_manifest import NO_FILE, ScanEntry, entries_of, recipes
from pipelines.settings import Settings
from pipelines.stash.limiter import Priority
from pipelines.stash.shared_limiter import limiter_for
from pipelines.store.scan_schema import ContentScan
from pipelines.store.templates import ScanDataset

WAITS_S = (1.0, 4.0, 15.0)
"""Waits before a file that cannot be fetched is tried again: a restart of Stash takes some seconds."""
LOOK_S = 0.25
"""How often a waiting or working worker looks whether the scan was stopped."""
GRACE_S = 1.5
"""A worker that is still at the same content so long after a stop ends itself: a decoder may be stuck."""

STATUS_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("content_id", pa.string()),
        pa.field("status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("faces", pa.int64()),
        pa.field("frames", pa.int64()),
    ]
)


class ScanStopped(Exception):
    """The scan was stopped while a content was being looked at; nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class ScanRun:
    """One run of a scan, as its workers see it. It goes on as long as its folder is there.

    Attributes:
        folder: holds the manifest and the marks of contents that are being looked at.
        started: scans written since then are of this run.
    """

    folder: Path
    started: datetime

    def stopped(self) -> bool:
        try:
            self.folder.stat()
        except FileNotFoundError:
            return True
        except OSError:  # a file server that does not answer for a moment
            return False
        return False

    def mark(self, entry: ScanEntry) -> Path:
        """Returns the file that is there while the content is being looked at."""
        return self.folder / f"{entry.kind}.{entry.content_id}.mark"


class ContentScanner:
    """Looks at contents, one at a time. The engine is opened when first needed, and by default has one thread."""

    def __init__(self, settings: Settings, engine: Analyzer | None = None) -> None:
        self._settings = settings
        self._engine = engine
        self._access = media_access(settings)
        self._plan = sampling_plan(settings)
        self._recipes = recipes(settings)

    def scan(self, entry: ScanEntry, checkpoint: Callable[[], None] = lambda: None) -> ContentScan:
        """Returns the scan of one content, which is "failed" for whatever is wrong with it; writes nothing.

        `checkpoint` is called now and then; what it raises reaches the caller.
        """
        key = entry.key(self._recipes)
        if entry.file_fingerprint == NO_FILE:
            return failed_scan(key, "media_not_found: Stash knows no file of it.", retryable=False)
        tries = Retrying(
            stop=stop_after_attempt(len(WAITS_S) + 1),
            wait=wait_chain(*map(wait_fixed, WAITS_S)),
            retry=retry_if_result(_unreachable),
            sleep=lambda seconds: _sleep(seconds, checkpoint),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        return tries(self._once, entry, checkpoint)

    def _once(self, entry: ScanEntry, checkpoint: Callable[[], None]) -> ContentScan:
        key = entry.key(self._recipes)
        checkpoint()
        try:
            source = self._source(entry)
            return scan_content(
                key,
                source,
                self._opened(),
                self._plan,
                galleries=entry.galleries,
                max_megapixels=self._settings.max_image_megapixels,
                checkpoint=checkpoint,
            )
        except (MediaNotFound, MediaUnreachable, StashError) as error:
            return failed_scan(key, f"{error.code}: {error.message}", retryable=True)
        except (ScanStopped, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a file does to the libraries, the scan goes on
            return failed_scan(key, f"internal: {type(error).__name__}: {error}"[:500], retryable=True)

    def _source(self, entry: ScanEntry) -> VideoSource:
        find = self._access.video if entry.kind == "scene" else self._access.picture
        source = find(entry.path, entry.url)
        if isinstance(source, HttpSource):
            limiter_for(self._settings).wait(Priority.BATCH)
        return source

    def _opened(self) -> Analyzer:
        if self._engine is None:
            self._engine = open_scan_engine(self._settings)
        return self._engine


def open_scan_engine(settings: Settings) -> FaceEngine:
    """Returns an engine for one of many workers: one thread. Raises like `parts.open_engine`."""
    pack = get_pack(settings.pack)
    folder = ModelLibrary(settings.models_path).folder(pack)
    return FaceEngine(pack, folder, replace(engine_options(settings), threads=1))


class ScanWorker:
    """Scans what it is given and returns one status row a content. Made once in each actor."""

    def __init__(self, settings: Settings, run: ScanRun) -> None:
        os.nice(settings.scan_niceness)
        self._settings = settings
        self._run = run
        self._scanner = ContentScanner(settings)
        self._recipes = recipes(settings)
        self._dataset = ScanDataset(settings.scans_path)
        self._busy_since = 0.0
        threading.Thread(target=self._watch, name="stop", daemon=True).start()

    def __call__(self, group: pa.Table) -> pa.Table:
        """Columns in: those of the manifest, one row holding lists. Columns out: STATUS_SCHEMA, the same way."""
        rows = []
        with suppress(ScanStopped):
            for entry in entries_of(ungrouped(group)):
                row = self._status(entry)
                rows.append(row)
        return grouped(pa.Table.from_pylist(rows, STATUS_SCHEMA))

    def _status(self, entry: ScanEntry) -> dict[str, Any]:
        self._checkpoint()
        mark = self._run.mark(entry)
        key = entry.key(self._recipes)
        if self._dataset.written_since(key, self._run.started):  # by a worker that died before it could say so
            scan = self._dataset.read(key.kind, key.content_id)
            if scan is not None and scan.key == key:
                return _row(scan)
        again = mark.exists()
        self._touch(mark)
        self._busy_since = time.monotonic()
        try:
            scan = self._isolated(entry) if again else self._scanner.scan(entry, self._checkpoint)
            self._dataset.write(scan)
        finally:
            self._busy_since = 0.0
            with suppress(OSError):
                mark.unlink()
            give_back_memory()
        return _row(scan)

    def _isolated(self, entry: ScanEntry) -> ContentScan:
        from pipelines.scan_isolated import scan_isolated

        return scan_isolated(self._settings, entry, self._checkpoint)

    def _touch(self, mark: Path) -> None:
        try:
            mark.touch()
        except FileNotFoundError:
            raise ScanStopped from None

    def _checkpoint(self) -> None:
        if self._run.stopped():
            raise ScanStopped

    def _watch(self) -> None:
        """Ends the process when the scan was stopped and a content does not come to its end, or when Ray is gone.

        Ray's workers notice the end of their node only when init is their new parent; under another reaper (systemd for
        users, some containers) they stayed for a minute, each with 0.7 GB.
        """
        parent = os.getppid()
        while True:
            time.sleep(LOOK_S)
            if os.getppid() != parent:
                os._exit(0)
            since = self._busy_since
            if since and self._run.stopped():
                time.sleep(GRACE_S)
                if self._busy_since == since:
                    os._exit(0)


def give_back_memory() -> None:
    """Returns what the allocators keep of one content to the system.

    A process that had looked at 34 videos held 310 MB then, 490 MB without (one engine, no Ray, 2026-11-24).
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


def grouped(rows: pa.Table) -> pa.Table:
    """Returns one row whose columns are lists of the values of all rows: one block of Ray Data, whatever its limits."""
    columns = [pa.array([rows[name].to_pylist()], pa.list_(rows.schema.field(name).type)) for name in rows.schema.names]
    return pa.Table.from_arrays(columns, names=rows.schema.names)


def ungrouped(group: pa.Table) -> pa.Table:
    """Returns the rows of `grouped`, of one or several groups."""
    names = group.schema.names
    return pa.Table.from_arrays([pa.concat_arrays(group[n].chunks).flatten() for n in names], names=names)


def _unreachable(scan: ContentScan) -> bool:
    return scan.status == "failed" and scan.reason.startswith(f"{MediaUnreachable.code}:")


def _sleep(seconds: float, checkpoint: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        checkpoint()
        time.sleep(min(LOOK_S, left))


def _row(scan: ContentScan) -> dict[str, Any]:
    key = scan.key
    return {
        "kind": key.kind,
        "content_id": key.content_id,
        "status": scan.status,
        "reason": scan.reason,
        "faces": len(scan.faces),
        "frames": len(scan.frames),
    }
