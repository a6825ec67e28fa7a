"""Enrolling the performers of stash-boxes from their pictures.

    report = enroll_stashboxes(settings, EnrollStashboxRequest(endpoint="stashdb.org"), on_progress=print)

The picture: list what is new or changed -> actors fetch the pictures, decode, find faces, choose, and write each
performer at once -> the performer database gets what the box gives now. Killing anything at any moment loses at most
the performers in hand; the same call goes on where it was, and no picture that was had is fetched again. Ray must run
already. Steps live in enroll_stashbox_listing, _worker, _pictures, _ledger and _publish.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from pipelines.enroll.crop_writer import CropWriter
from pipelines.enroll.report import ENROLLED
from pipelines.enroll.stashbox_data import WorkSource
from pipelines.enroll.stashbox_homes import box_folder, box_gates
from pipelines.enroll.stashbox_ledger import Ledger, SeenPerformer
from pipelines.enroll.stashbox_listing import BoxLister, BoxListing, watermark, write_work
from pipelines.enroll.stashbox_pictures import BoxRun
from pipelines.enroll.stashbox_publish import gate_report, plan_publication, publish
from pipelines.enroll.stashbox_records import BoxEnrolment, EnrolProgress
from pipelines.enroll.stashbox_worker import BoxWorker
from pipelines.errors import JobConflict, NotWritable
from pipelines.faces.catalogue import get_pack
from pipelines.jobs import EnrollStashboxRequest, JobContext
from pipelines.models.library import ModelLibrary
from pipelines.scan_data import worked_off, worker_count
from pipelines.scan_listing import run_loop_stoppable
from pipelines.settings import Settings
from pipelines.stash.records import StashBox
from pipelines.stash.retries import Retries
from pipelines.stash.stashbox import domain_of
from pipelines.stash.stashbox_connect import chosen_boxes, configured_boxes, open_box
from pipelines.stash.stashbox_images import WAITS_S
from pipelines.store.performers import PerformerDatabase

__all__ = [
    "BoxEnrolment",
    "EnrolProgress",
    "EnrollStashboxRequest",
    "box_gates",
    "enroll_stashbox",
    "enroll_stashboxes",
]

PROGRESS_EVERY_S = 0.5
JOIN_EVERY = 2000
"""Performers after which their files are joined while the work goes on."""

Stop = Callable[[], bool]


def enroll_stashboxes(
    settings: Settings,
    request: EnrollStashboxRequest,
    *,
    on_progress: Callable[[EnrolProgress], None] = lambda _progress: None,
    should_stop: Stop = lambda: False,
) -> list[BoxEnrolment]:
    """Enrols the performers of the boxes that are asked for, one box after another.

    Raises:
        InputError: no such box.
        StashError: a box, or Stash, cannot be asked or stays away; what was done is kept.
        JobConflict: another process enrols the same box.
        PackUnknown, ModelMissing, PackMismatch, NotWritable: before anything is fetched, where that can be known.
    """
    boxes = chosen_boxes(asyncio.run(configured_boxes(settings)), request.endpoint)
    reports = []
    for box in boxes:
        reports.append(enroll_stashbox(settings, box, request, on_progress=on_progress, should_stop=should_stop))
        if reports[-1].stopped:
            break
    return reports


def enroll_stashbox(
    settings: Settings,
    box: StashBox,
    request: EnrollStashboxRequest,
    *,
    on_progress: Callable[[EnrolProgress], None] = lambda _progress: None,
    should_stop: Stop = lambda: False,
    retries: Retries | None = None,
    waits_s: tuple[float, ...] = WAITS_S,
) -> BoxEnrolment:
    """Enrols the performers of one box; see `enroll_stashboxes`.

    Args:
        retries: how patient its GraphQL is asked; waits_s: waits before a picture is tried again.
    """
    enrolment = _Enrolment(settings, box, request, on_progress, should_stop)
    return enrolment.run(retries, waits_s)


def run_job(context: JobContext) -> dict[str, Any]:
    """The job "enroll_stashbox": returns {"boxes": [report, ...]}."""

    def report(now: EnrolProgress) -> None:
        counts = {f"failed.{reason}": count for reason, count in now.failed.items()}
        context.progress(now.done, now.total, {"faces": now.faces, "frames": now.frames, **counts})

    reports = enroll_stashboxes(
        context.settings, context.params, on_progress=report, should_stop=context.stop_requested
    )
    return {"boxes": [one.to_dict() for one in reports]}


class _Enrolment:
    """One call: the steps, and the tally that is told."""

    def __init__(
        self,
        settings: Settings,
        box: StashBox,
        request: EnrollStashboxRequest,
        on_progress: Callable[[EnrolProgress], None],
        should_stop: Stop,
    ) -> None:
        self._settings = settings
        self._box = box
        self._domain = domain_of(box)
        self._request = request
        self._say_to = on_progress
        self._should_stop = should_stop
        self._pack = get_pack(settings.pack)
        self._gates = box_gates(self._pack)
        self._database = PerformerDatabase(settings.database_path)
        self._home = box_folder(settings, self._domain, self._pack)
        self._folder = self._home / "run"
        self._ledger = Ledger(self._home, self._pack.template_dim)
        self._now = EnrolProgress(box=self._domain)
        self._reasons: Counter[str] = Counter()
        self._fetched = 0
        self._said = 0.0
        self._began = time.monotonic()

    def run(self, retries: Retries | None, waits_s: tuple[float, ...]) -> BoxEnrolment:
        """Returns what became of the box. Raises JobConflict when another process is at it."""
        self._prepare()
        try:
            with FileLock(self._home / ".lock", timeout=0):
                return self._run(retries, waits_s)
        except Timeout:
            raise JobConflict(
                f"{self._domain} is being enrolled by another process.", "Wait for it, or stop it first."
            ) from None

    def _run(self, retries: Retries | None, waits_s: tuple[float, ...]) -> BoxEnrolment:
        began = time.monotonic()
        ModelLibrary(self._settings.models_path).folder(self._pack)
        before = self._source()
        since = "" if self._request.full or before is None else before.watermark or ""
        self._ledger.clean()
        seen = self._without_excluded(self._ledger.performers())
        listing = self._listing(seen, since)
        enrolled = self._enrolled() if before is not None else set()
        if not self._list(listing, seen, enrolled, retries):
            return BoxEnrolment(self._domain, stopped=True, seconds=time.monotonic() - began)
        workers = self._look(listing, waits_s)
        report = BoxEnrolment(
            self._domain,
            listed=self._now.total,
            done=self._now.done,
            gone=listing.gone,
            fetched=self._fetched,
            left_out=dict(listing.left_out),
            workers=workers,
        )
        if self._should_stop():
            return replace(report, stopped=True, seconds=time.monotonic() - began)
        report = self._publish(listing, report, before.watermark if before else None)
        return replace(report, seconds=time.monotonic() - began)

    # --- steps

    def _source(self) -> Any:
        """Returns what the current version says of this box. Raises PackMismatch early."""
        if self._database.current() is None:
            return None
        self._database.enrolled_faces(self._pack, self._domain)
        return self._database.manifest().sources.get(self._domain)

    def _enrolled(self) -> set[str]:
        table = self._database.source_performers(self._domain)
        return set() if table is None else {i.partition(":")[2] for i in table["universal_id"].to_pylist()}

    def _prepare(self) -> None:
        try:
            for folder in (self._ledger.folder, self._folder / "marks", self._folder / "listing"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritable(f"{self._home} cannot be written: {error}.", "Choose another data folder.") from error

    def _without_excluded(self, seen: dict[str, SeenPerformer]) -> dict[str, SeenPerformer]:
        """Forgets what was seen of people who were excluded since."""
        excluded = self._excluded()
        gone = [
            one
            for one in seen.values()
            if one.state == "seen"
            and excluded & {f"{self._domain}:{i}" for i in (one.id, *one.facts.get("merged_ids", ()))}
        ]
        if not gone:
            return seen
        self._ledger.erase([one.id for one in gone])
        for one in gone:
            facts = {name: one.facts.get(name) for name in ("birth_date", "merged_ids")}
            self._ledger.write(one.run, one.id, [], updated=one.updated, facts=facts, state="left_out")
        return self._ledger.performers()

    def _excluded(self) -> set[str]:
        return {i for one in self._database.excluded() for i in one.ids}

    def _listing(self, seen: dict[str, SeenPerformer], since: str) -> BoxListing:
        """Returns the listing that goes on, or a new one with an empty folder."""
        listing = BoxListing.read(self._folder)
        number = 1 + max((one.run for one in seen.values()), default=0)
        if listing is not None and listing.same_question(self._request, since):
            listing.number = max(number, listing.number + 1)
            return listing
        shutil.rmtree(self._folder)
        self._prepare()
        listing = BoxListing(number, number, self._request.full, self._request.limit, since)
        listing.write(self._folder)
        return listing

    def _list(
        self, listing: BoxListing, seen: dict[str, SeenPerformer], enrolled: set[str], retries: Retries | None
    ) -> bool:
        """Asks the box; returns False when it was stopped."""
        lister: list[BoxLister] = []

        async def ask() -> None:
            async with open_box(self._settings, self._box, retries=retries) as client:
                lister.append(
                    BoxLister(
                        client,
                        self._folder,
                        listing,
                        self._ledger,
                        seen=seen,
                        enrolled=enrolled,
                        excluded=self._excluded(),
                    )
                )
                await lister[0].ask()

        def tick() -> None:
            if lister:
                self._say(total=lister[0].work)

        return run_loop_stoppable(ask, self._should_stop, tick)

    def _look(self, listing: BoxListing, waits_s: tuple[float, ...]) -> int:
        """Has everybody on the list looked at; returns the number of workers."""
        seen = self._ledger.performers()
        done = {i for i, one in seen.items() if one.run >= listing.first and not one.open}
        done |= {i.partition(":")[2] for i in self._excluded() if i.partition(":")[0] == self._domain}
        path, total = write_work(self._folder, done, seen)
        self._say(step="enrolling", done=0, total=total)
        if not total or self._should_stop():
            return 0
        workers = min(worker_count(self._settings), total)
        self._began = time.monotonic()
        with self._going() as going, ThreadPoolExecutor(1, thread_name_prefix="join") as joiner:
            joining: Future[None] | None = None
            joined = 0
            keyless = replace(self._box, api_key="")
            run = BoxRun(listing.number, self._home, self._folder, going, keyless, self._gates, waits_s)
            source = WorkSource(path, workers)
            for rows in worked_off(
                self._settings, source, BoxWorker, (self._settings, run), workers, self._should_stop
            ):
                self._add(rows)
                if self._now.done >= joined + JOIN_EVERY and (joining is None or joining.done()):
                    if joining is not None:
                        joining.result()
                    joining, joined = joiner.submit(self._ledger.join), self._now.done
        return workers

    @contextmanager
    def _going(self) -> Iterator[Path]:
        """A file whose end is the end of the run for all workers."""
        for stale in self._folder.glob("*.going"):
            stale.unlink(missing_ok=True)
        going = self._folder / f"{secrets.token_hex(8)}.going"
        going.touch()
        try:
            yield going
        finally:
            going.unlink(missing_ok=True)

    def _publish(self, listing: BoxListing, report: BoxEnrolment, before: str | None) -> BoxEnrolment:
        self._say(step="publishing")
        self._ledger.join()
        seen = self._ledger.performers()
        old = self._database.source_performers(self._domain) if self._database.current() else None
        plan = plan_publication(self._ledger, self._domain, seen, old)
        gates = gate_report(self._ledger, seen, plan, self._folder / "examples")
        mark = watermark(listing, self._folder, seen, before)
        version = self._database.current()
        if self._changed(listing, report, seen, old, mark, before):
            version = publish(
                self._database,
                self._pack,
                self._ledger,
                plan,
                endpoint=self._box.endpoint,
                watermark=mark,
                details={"gates": gates.counts, "left_out": report.left_out},
                dtype=self._settings.index_dtype,
            )
            CropWriter(self._settings, self._domain).tidy()
        facts = {
            "box": self._domain,
            "performers": len(plan.faces) + len(plan.kept),
            "faces": sum(plan.faces.values()),
            "looked at": report.done,
            "gone": report.gone,
            **{f"left out: {reason}": count for reason, count in report.left_out.items()},
        }
        folder = self._settings.reports_path / f"stashbox-{self._domain.replace(':', '@')}"
        page = gates.write(folder, title=f"Enrolment from {self._domain}", facts=facts)
        shutil.rmtree(self._folder, ignore_errors=True)
        return replace(
            report,
            version=version,
            performers=len(plan.faces) + len(plan.kept),
            faces=sum(plan.faces.values()),
            reasons=gates.counts,
            watermark=mark,
            page=str(page),
        )

    def _changed(
        self,
        listing: BoxListing,
        report: BoxEnrolment,
        seen: dict[str, SeenPerformer],
        old: pa.Table | None,
        mark: str | None,
        before: str | None,
    ) -> bool:
        """Whether the database has to be written: something was seen in this run, or the box is not in it."""
        in_this_run = any(one.run >= listing.first for one in seen.values())
        return bool(report.done or report.gone or in_this_run or old is None or mark != before)

    # --- what is told

    def _add(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self._reasons.update(json.loads(row["reasons"]))
            self._fetched += row["fetched"]
            self._now = replace(
                self._now,
                done=self._now.done + 1,
                faces=self._now.faces + row["faces"],
                frames=self._now.frames + row["pictures"],
            )
        spent_s = time.monotonic() - self._began
        rate = self._now.done / spent_s if spent_s > 0 else 0.0
        left = self._now.total - self._now.done
        failed = {reason: count for reason, count in self._reasons.items() if reason != ENROLLED}
        self._say(rate_per_s=rate, eta_s=left / rate if rate > 0 else None, failed=failed)

    def _say(self, **changes: Any) -> None:
        urgent = changes.get("step") is not None
        self._now = replace(self._now, **changes)
        now = time.monotonic()
        if urgent or now - self._said >= PROGRESS_EVERY_S or self._now.done == self._now.total:
            self._said = now
            self._say_to(self._now)
