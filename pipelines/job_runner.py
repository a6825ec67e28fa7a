"""The process of one job: runs the function, keeps the lease, reports progress, writes down how it ended.

The supervisor makes a Ray actor of `JobRunner`; nothing in here knows Ray. A thread renews the lease twice a second and
carries the wish to stop; the function runs in the main thread. A runner whose lease is gone ends its process at once,
since somebody else may be running the job by then.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event, Lock, Thread

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from pipelines.errors import StashSenseError, StoreUnreachable
from pipelines.jobs import JobContext, JobType, named_function
from pipelines.settings import Settings
from pipelines.store.jobs import Job, JobProgress, JobStore
from pipelines.store.sql import open_store

LEASE_S = 10.0
"""A run that has not been heard of for this long is taken over by somebody else."""
BEAT_S = 0.5
PROGRESS_EVERY_S = 1.0
RATE_WINDOW_S = 60.0
RECORD_TIMEOUT_S = 60.0
"""How long the end of a job is tried to be written down, when the store does not answer."""
LOST_EXIT_CODE = 75  # EX_TEMPFAIL of <sysexits.h>


class ProgressMeter:
    """What a job function reports, with the rate of the last minute and the time that is left at that rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._points: deque[tuple[float, int]] = deque()
        self._now = JobProgress()

    def report(self, done: int, total: int | None, counts: Mapping[str, int]) -> None:
        """Takes a report. Thread-safe."""
        with self._lock:
            at = self._clock()
            self._points.append((at, done))
            while len(self._points) > 2 and self._points[1][0] < at - RATE_WINDOW_S:
                self._points.popleft()
            began, before = self._points[0]
            rate = (done - before) / (at - began) if at > began and done > before else None
            left = (total - done) / rate if rate and total is not None else None
            self._now = JobProgress(done, total, dict(counts), rate, left)

    def now(self) -> JobProgress:
        """Returns the last report."""
        with self._lock:
            return self._now


class JobRunner:
    """Runs one claimed job."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def ready(self) -> int:
        """Returns the id of the process, once there is one."""
        return os.getpid()

    def run(self, job: Job, token: str, kind: JobType) -> str:
        """Runs the job and writes down how it ended; returns the traceback of an error that has no name, else "".

        SystemExit is how Ray ends a process whose supervisor is gone: nothing is written down then, and the job is
        found and goes on like after any crash.
        """
        if self._settings.scan_niceness:
            os.nice(self._settings.scan_niceness)
        store = open_store(self._settings.store_url)
        lease = _Lease(JobStore(store), job, token)
        try:
            return lease.hold(lambda: self._work(lease, kind))
        finally:
            store.close()

    def _work(self, lease: _Lease, kind: JobType) -> str:
        try:
            context = JobContext(
                self._settings,
                kind.parse(lease.job.params),
                lease.meter.report,
                lease.stop_requested.is_set,
                kind.id,
                lease.job.id,
            )
            result = json.loads(json.dumps(named_function(kind.run)(context)))
        except StashSenseError as error:
            lease.record_failure(error.code, str(error))
            return ""
        except Exception as error:  # noqa: BLE001 - the edge of the process: whatever it is, it ends the job
            lease.record_failure("internal", f"{type(error).__name__}: {error}")
            return traceback.format_exc()
        lease.record_result(result)
        return ""


class _Lease:
    """The right to run one job, and what goes with it: progress, the wish to stop, the record of the end."""

    def __init__(self, jobs: JobStore, job: Job, token: str) -> None:
        self.job = job
        self.meter = ProgressMeter()
        self.stop_requested = Event()
        self._jobs = jobs
        self._token = token
        self._over = Event()

    def hold(self, work: Callable[[], str]) -> str:
        """Returns what the work returns; keeps the lease meanwhile."""
        beating = Thread(target=self._beat, name="lease", daemon=True)
        beating.start()
        try:
            return work()
        finally:
            self._over.set()
            beating.join()

    def record_result(self, result: Mapping[str, object]) -> None:
        self._record(lambda: self._jobs.finish(self.job.id, self._token, result))

    def record_failure(self, code: str, message: str) -> None:
        self._record(lambda: self._jobs.fail(self.job.id, self._token, code, message))

    def _record(self, write: Callable[[], bool]) -> None:
        """Writes the last progress and the end; the lease is kept until that is done."""
        for attempt in Retrying(
            retry=retry_if_exception_type(StoreUnreachable),
            stop=stop_after_delay(RECORD_TIMEOUT_S),
            wait=wait_fixed(BEAT_S),
            reraise=True,
        ):
            with attempt:
                if self.meter.now() != JobProgress():
                    self._jobs.progress(self.job.id, self._token, self.meter.now())
                self._over.set()  # before the end is in the row: a beat after it would find the lease gone
                write()

    def _beat(self) -> None:
        held_until = time.monotonic() + LEASE_S
        reported, reported_at = JobProgress(), 0.0
        while not self._over.wait(BEAT_S):
            try:
                state = self._jobs.heartbeat(self.job.id, self._token, LEASE_S)
                if self._over.is_set():
                    return
                if state is None:
                    os._exit(LOST_EXIT_CODE)
                held_until = time.monotonic() + LEASE_S
                if state == "stopping":
                    self.stop_requested.set()
                now = self.meter.now()
                if now != reported and time.monotonic() >= reported_at + PROGRESS_EVERY_S:
                    self._jobs.progress(self.job.id, self._token, now)
                    reported, reported_at = now, time.monotonic()
            except StoreUnreachable:
                if time.monotonic() > held_until:
                    os._exit(LOST_EXIT_CODE)
