"""Which analyzers should start by themselves: after a scan that changed something, and to go on where one stopped.

Asked every few seconds by the supervisor of jobs, so nothing heavy may be imported. Nothing is noted anywhere: what is
due follows from the jobs and runs that are written down, so a server that starts anew knows it too. What somebody
stopped or cancelled, and what failed, waits for the next reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.analyzers.base import BaseAnalyzer
from pipelines.analyzers.registry import ANALYZERS
from pipelines.settings import Settings
from pipelines.store.analyzers import AnalyzerRun, AnalyzerStore
from pipelines.store.jobs import Job, JobStore
from pipelines.store.schema import ENDED_STATES
from pipelines.store.sql import open_store

SCANNING = ("scan", "rematch")
"""Types of jobs that change what analyzers read; none starts by itself while one of them is queued or running."""
SCANS_LOOKED_AT = 20
"""Newest jobs among which one that changed something is looked for: many scans in a row find nothing new."""


def due(settings: Settings) -> dict[str, str]:
    """Returns why analyzers should run now, by the type of their job."""
    store = open_store(settings.store_url)
    try:
        jobs, runs = JobStore(store), AnalyzerStore(store).last_runs()
        newest = jobs.newest([*SCANNING, *(_job(one) for one in ANALYZERS)])
        if any(newest[one].live for one in SCANNING if one in newest):
            return {}
        changed_at = _changed_at(jobs) if settings.analyze_after_scan else None
    finally:
        store.close()
    found: dict[str, str] = {}
    for analyzer in ANALYZERS:
        reason = _reason(analyzer, runs, changed_at)
        if reason is not None and _open(newest.get(_job(analyzer)), reason[0]):
            found[_job(analyzer)] = reason[1]
    return found


def _reason(
    analyzer: type[BaseAnalyzer[Any, Any]], runs: Mapping[str, AnalyzerRun], changed_at: datetime | None
) -> tuple[datetime, str] | None:
    """Returns since when, and why, an analyzer is due."""
    run = runs.get(analyzer.id)
    if run is not None and run.state == "done" and run.ended_at and run.counts.get("worked", 0):
        waiting = run.counts.get("waiting", 0)
        if waiting:
            return run.ended_at, f"run {run.id} left {waiting} to do"
    leader = runs.get(analyzer.follows or "")
    if leader is not None and leader.ended_at and leader.counts.get("worked", 0) and _before(run, leader.ended_at):
        return leader.ended_at, f"run {leader.id} of {leader.type} has found something"
    if changed_at is not None and _before(run, changed_at):
        return changed_at, f"a scan changed something until {changed_at.isoformat()}"
    return None


def _before(run: AnalyzerRun | None, time: datetime) -> bool:
    return run is None or run.started_at < time


def _open(job: Job | None, since: datetime) -> bool:
    """Whether a reason still stands: no job is on its way, and none ended without success after it came up."""
    if job is None:
        return True
    return not job.live and (job.state == "done" or job.ended_at is None or job.ended_at < since)


def _changed_at(jobs: JobStore) -> datetime | None:
    """Returns when the newest scan or re-match ended that looked at anything with success."""
    ended = [
        job.ended_at
        for type_id in SCANNING
        for job in jobs.list(ENDED_STATES, type_id, limit=SCANS_LOOKED_AT)
        if job.ended_at is not None and job.done > sum(n for why, n in job.counts.items() if why.startswith("failed"))
    ]
    return max(ended, default=None)


def _job(analyzer: type[BaseAnalyzer[Any, Any]]) -> str:
    return f"analyze_{analyzer.id}"
