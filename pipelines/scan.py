"""A scan of the library: what Stash has and the dataset has not, looked at by Ray Data, then matched.

    report = scan(settings, ScanRequest(kinds=("scene", "image")), on_progress=print)

The picture: list what Stash has -> leave out what is scanned -> actors look at the rest and write each scan at once ->
small files become large ones -> people are named. Killing anything at any moment loses at most the contents in hand;
the same call goes on where it was. Ray must run already. Steps live in scan_listing, scan_data, scan_worker and
scan_content.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from pipelines.errors import DatabaseError
from pipelines.faces.catalogue import get_pack
from pipelines.jobs import JobContext, ScanRequest
from pipelines.models.library import ModelLibrary
from pipelines.scan_data import scanned, worker_count
from pipelines.scan_listing import LibraryOpener, Listing, list_contents
from pipelines.scan_worker import ScanRun
from pipelines.settings import Settings
from pipelines.store.scan_files import partial_path, writable
from pipelines.store.templates import CompactionReport, ScanDataset

__all__ = ["ScanProgress", "ScanReport", "ScanRequest", "compact_job", "run_job", "scan"]

COMPACT_FROM = 64
"""Small files after a scan from which they are made into large ones."""
COMPACT_DURING_FROM = 2000
"""Small files during a scan: listing and reading so many takes a second or two."""
RATE_WINDOW_S = 60.0
PROGRESS_EVERY_S = 0.5

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is.

    Attributes:
        done, total: contents; total grows while Stash is being listed.
        rate_per_s: contents a second, of the last minute.
        eta_s: None while unknown.
        failed: contents by reason, such as media_not_found.
        faces, frames: found and looked at so far.
        step: "listing", "scanning", "compacting" or "matching".
    """

    done: int = 0
    total: int = 0
    rate_per_s: float = 0.0
    eta_s: float | None = None
    failed: dict[str, int] = field(default_factory=dict)
    faces: int = 0
    frames: int = 0
    step: str = "listing"


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan did.

    Attributes:
        total: contents that had to be scanned; done: those that were.
        settled: contents that were scanned before.
        vanished: ids that were asked for and do not exist.
        by_status: contents by ok, no_face, partial and failed.
        failed: contents by reason.
        stopped: it was asked to end before everything was done.
        matched: what the re-match says of itself; None when there was none.
        match_error: why there was none, as code and message.
    """

    total: int = 0
    done: int = 0
    settled: int = 0
    vanished: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    faces: int = 0
    frames: int = 0
    workers: int = 0
    seconds: float = 0.0
    stopped: bool = False
    matched: dict[str, Any] | None = None
    match_error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


def scan(
    settings: Settings,
    request: ScanRequest,
    *,
    library_opener: LibraryOpener | None = None,
    on_progress: Callable[[ScanProgress], None] = lambda _progress: None,
    should_stop: Stop = lambda: False,
) -> ScanReport:
    """Scans what the request asks for and matches it; what cannot be read is a scan too, with the reason.

    Args:
        library_opener: gives the Stash that is asked; the one of the settings by default.
        should_stop: looked at several times a second; the scan then ends within about 3 s, with nothing half-written.

    Raises:
        StashError: Stash cannot be asked, or stays away.
        StoreError, NotWritable: the dataset cannot be read or written.
        PackUnknown, ModelMissing, InputError: the settings do not fit.
    """
    began = time.monotonic()
    ModelLibrary(settings.models_path).folder(get_pack(settings.pack))
    dataset = ScanDataset(settings.scans_path)
    dataset.prepare()
    tally = _Tally(on_progress)
    with _run_folder(settings) as run:
        listing = list_contents(
            settings,
            request,
            run.folder / "manifest.parquet",
            library_opener=library_opener,
            on_progress=lambda total, _counts: tally.listed(total),
            should_stop=should_stop,
        )
        tally.listed(listing.total)
        workers = _look(settings, run, listing, dataset, tally, should_stop)
    stopped = listing.stopped or should_stop()
    matched, match_error, stopped = _finish(settings, dataset, tally, should_stop, stopped=stopped)
    return ScanReport(
        total=listing.total,
        done=tally.done,
        settled=listing.counts.settled,
        vanished=listing.counts.vanished,
        by_status=dict(tally.by_status),
        failed=dict(tally.failed),
        faces=tally.faces,
        frames=tally.frames,
        workers=workers,
        seconds=time.monotonic() - began,
        stopped=stopped,
        matched=matched,
        match_error=match_error,
    )


def run_job(context: JobContext) -> dict[str, Any]:
    """The job "scan": `scan` with the job's parameters; returns its report."""

    def report(now: ScanProgress) -> None:
        counts = {f"failed.{reason}": count for reason, count in now.failed.items()}
        context.progress(now.done, now.total, {"faces": now.faces, "frames": now.frames, **counts})

    return scan(context.settings, context.params, on_progress=report, should_stop=context.stop_requested).to_dict()


def compact_job(context: JobContext) -> dict[str, Any]:
    """The job "compact_scans": returns what the compaction did."""
    return asdict(ScanDataset(context.settings.scans_path).compact(should_stop=context.stop_requested))


def _look(
    settings: Settings, run: ScanRun, listing: Listing, dataset: ScanDataset, tally: _Tally, should_stop: Stop
) -> int:
    """Has all entries looked at; returns the number of workers."""
    if listing.stopped or not listing.total:
        return 0
    workers = min(worker_count(settings), listing.total)
    tally.step = "scanning"
    with _Compactor(dataset, should_stop) as compactor:
        for rows in scanned(settings, run, listing.manifest, workers, should_stop):
            tally.add(rows)
            compactor.look()
    return workers


def _finish(
    settings: Settings, dataset: ScanDataset, tally: _Tally, should_stop: Stop, *, stopped: bool
) -> tuple[dict[str, Any] | None, str, bool]:
    """Compacts and matches; returns the report of the re-match, why there is none, and whether it was stopped."""
    if stopped:
        return None, "", True
    if dataset.pending_count() >= COMPACT_FROM:
        tally.say("compacting")
        dataset.compact(should_stop=should_stop)
    tally.say("matching")
    from pipelines.rematch import rematch

    try:
        report = rematch(settings, should_stop=should_stop)
    except DatabaseError as error:  # the scan is good all the same: matching waits for a database that fits
        return None, f"{error.code}: {error.message}", should_stop()
    return report.to_dict(), "", report.stopped


@contextmanager
def _run_folder(settings: Settings) -> Iterator[ScanRun]:
    """A folder for the run, whose end is the end of the run for all workers."""
    folder = partial_path(settings.scans_path / "run")
    with writable(settings.scans_path):
        folder.mkdir()
    try:
        yield ScanRun(folder, datetime.now(UTC))
    finally:
        gone = partial_path(settings.scans_path / "gone")
        folder.rename(gone)  # at once, however many files are in it
        shutil.rmtree(gone, ignore_errors=True)


class _Tally:
    """Adds up status rows and tells how far the scan is."""

    def __init__(self, on_progress: Callable[[ScanProgress], None]) -> None:
        self.done = self.total = self.faces = self.frames = 0
        self.by_status: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.step = "listing"
        self._on_progress = on_progress
        self._said = 0.0
        self._points: deque[tuple[float, int]] = deque()

    def listed(self, total: int) -> None:
        self.total = total
        self._say()

    def add(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self.done += 1
            self.by_status[row["status"]] += 1
            self.faces += row["faces"]
            self.frames += row["frames"]
            if row["status"] == "failed":
                self.failed[row["reason"].split(":", 1)[0]] += 1
        self._say()

    def say(self, step: str) -> None:
        """Tells that another step begins."""
        self.step, self._said = step, 0.0
        self._say()

    def _say(self) -> None:
        now = time.monotonic()
        if now - self._said < PROGRESS_EVERY_S and self.done < self.total:
            return
        self._said = now
        self._points.append((now, self.done))
        while len(self._points) > 2 and self._points[1][0] < now - RATE_WINDOW_S:
            self._points.popleft()
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        rate = (last - first) / (last_s - first_s) if last_s > first_s else 0.0
        eta_s = (self.total - self.done) / rate if rate > 0 and self.step == "scanning" else None
        self._on_progress(
            ScanProgress(self.done, self.total, rate, eta_s, dict(self.failed), self.faces, self.frames, self.step)
        )


class _Compactor:
    """Makes small files into large ones while the scan goes on, whenever there are many."""

    def __init__(self, dataset: ScanDataset, should_stop: Stop) -> None:
        self._dataset = dataset
        self._ended = False
        self._should_stop = lambda: self._ended or should_stop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="compact")
        self._running: Future[CompactionReport] | None = None
        self._looked = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._pool.shutdown()

    def look(self) -> None:
        """Starts a compaction when it is time. Raises what the last one raised."""
        if self._running is not None:
            if not self._running.done():
                return
            self._running.result()
            self._running = None
        if time.monotonic() - self._looked > RATE_WINDOW_S:
            self._looked = time.monotonic()
            if self._dataset.pending_count() >= COMPACT_DURING_FROM:
                self._running = self._pool.submit(lambda: self._dataset.compact(should_stop=self._should_stop))
