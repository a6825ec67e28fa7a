"""How far the library is: what is scanned, what is matched, how large it all is, which jobs are under way.

Lives here: the numbers of `stash-sense status` and of the HTTP route that shows the same. They are read anew each time;
nothing is counted twice or remembered. All of it blocks, so servers call it in a thread.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipelines.match_options import options_digest
from pipelines.parts import scan_recipe
from pipelines.rematch_due import enrolled_version
from pipelines.settings import Settings
from pipelines.store.jobs import JobStore, as_json
from pipelines.store.matches import MatchStamp, MatchStore
from pipelines.store.schema import LIVE_STATES, ContentPersonRow
from pipelines.store.sql import Store, open_store
from pipelines.store.templates import ScanDataset

NOT_SHOWN = {"params", "result"}
"""Of a job: may hold 100,000 ids."""


def library_status(settings: Settings) -> dict[str, Any]:
    """Returns {"scans": scan_status, "matches": match_status, "jobs": the live ones}. Raises StoreError leaves."""
    store = open_store(settings.store_url)
    try:
        jobs = [as_json(job) for job in JobStore(store).list(LIVE_STATES)]
        matches = match_status(settings, store)
    finally:
        store.close()
    return {
        "scans": scan_status(settings),
        "matches": matches,
        "jobs": [{k: v for k, v in job.items() if k not in NOT_SHOWN} for job in jobs],
    }


def scan_status(settings: Settings) -> dict[str, Any]:
    """Returns what the dataset of scans holds.

    scenes, images: contents. by_status: contents by status. reasons: those of failed and partial ones, without details.
    retryable: failed ones that the next scan tries again. outdated: contents scanned with another pack, sampling or
    hashes than those in force, which the next scan looks at again. newest: time of the last scan, ISO. size_bytes.
    """
    dataset = ScanDataset(settings.scans_path)
    counts = dataset.counts()
    rows = dataset.done(["kind", "recipe", "reason", "retryable"]).to_pylist()
    recipes = {kind: scan_recipe(settings, kind).digest for kind in ("scene", "image")}
    reasons = Counter(row["reason"].split(":", 1)[0] for row in rows if row["reason"])
    return {
        "scenes": counts.scenes,
        "images": counts.images,
        "by_status": counts.by_status,
        "reasons": dict(reasons.most_common()),
        "retryable": sum(row["retryable"] for row in rows),
        "outdated": sum(row["recipe"] != recipes[row["kind"]] for row in rows),
        "faces": counts.faces,
        "frames": counts.frames,
        "files": counts.pending + counts.parts,
        "newest": counts.newest.isoformat() if counts.newest else None,
        "recipes": recipes,
        "size_bytes": size_bytes(settings.scans_path),
    }


def match_status(settings: Settings, store: Store) -> dict[str, Any]:
    """Returns who is known to be in what was scanned.

    contents: matched ones. stale: scanned ones that were never matched, or not with the scan, the performer database
    and the rules of now; a re-match brings them up to date. people: named persons of all contents; performers: how
    many different ones; unknown: persons without a name. database_version: of the performers of now, None without any.
    """
    version = enrolled_version(settings)
    stamps = MatchStore(store).stamps()
    scanned = ScanDataset(settings.scans_path).done(
        ["kind", "content_id", "status", "file_fingerprint", "recipe", "scanned_at"]
    )
    rows = [row for row in scanned.to_pylist() if row["status"] != "failed"]
    digest = options_digest(settings)
    stale = sum(
        stamps.get((row["kind"], row["content_id"]))
        != MatchStamp(row["file_fingerprint"], row["recipe"], row["scanned_at"], version or "", digest)
        for row in rows
    )
    with store.reading() as session:
        person = ContentPersonRow.universal_id
        people, performers, everybody = session.execute(
            select(func.count(person), func.count(func.distinct(person)), func.count()).select_from(ContentPersonRow)
        ).one()
    return {
        "contents": len(stamps),
        "stale": stale,
        "people": people,
        "performers": performers,
        "unknown": everybody - people,
        "database_version": version,
        "size_bytes": size_bytes(settings.matches_path),
    }


def size_bytes(folder: Path) -> int:
    """Returns the size of all files below a folder; 0 when it does not exist."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # it was compacted away meanwhile
            continue
    return total
