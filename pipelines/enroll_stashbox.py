"""Enrolling the performers of stash-boxes from their pictures.

    report = enroll_stashboxes(settings, EnrollStashboxRequest(endpoint="stashdb.org"), on_progress=print)

The picture: list what is new or changed -> actors fetch the pictures, decode, find faces, choose, and write each
performer at once -> the performer database gets what the box gives now. Killing anything at any moment loses at most
the performers in hand; the same call goes on where it was, and no picture that was had is fetched again. Ray must run
already. Steps live in enroll_stashbox_listing, _worker, _ledger and _publish.

Gates: those with which the databases of the first Stash Sense were built. Its least detection score, 0.7, is one of the
detectors of InsightFace; the score of YuNet means something else, so packs with it keep their own least score.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipelines.enroll_report import ENROLLED
from pipelines.enroll_stashbox_ledger import Ledger, SeenPerformer
from pipelines.enroll_stashbox_listing import BoxLister, BoxListing, watermark, write_work
from pipelines.enroll_stashbox_publish import gate_report, plan_publication, publish
from pipelines.enroll_stashbox_worker import BoxRun, BoxWorker
from pipelines.errors import JobConflict, NotWritable
from pipelines.faces.catalogue import get_pack
from pipelines.faces.gates import Gates
from pipelines.faces.packs import ModelPack
from pipelines.jobs import EnrollStashboxRequest, JobContext
from pipelines.models.library import ModelLibrary
from pipelines.scan_data import worked_off, worker_count
from pipelines.scan_listing import run_loop_stoppable
from pipelines.scan_worker import grouped
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

LARGEST_GROUP = 8
"""Performers that an actor is given at once: they share the pictures that are fetched ahead."""
TAIL_GROUPS = 4
PROGRESS_EVERY_S = 0.5

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class EnrolProgress:
    """How far an enrolment is.

    Attributes:
        done, total: performers to look at; total grows while they are being listed.
        faces: enrolled; frames: pictures looked at.
        failed: pictures by the reason for which they were left out.
        step: "listing", "enrolling" or "publishing".
        box: host of the box.
    """

    done: int = 0
    total: int = 0
    rate_per_s: float = 0.0
    eta_s: float | None = None
    failed: dict[str, int] = field(default_factory=dict)
    faces: int = 0
    frames: int = 0
    step: str = "listing"
    box: str = ""


@dataclass(frozen=True, slots=True)
class BoxEnrolment:
    """What became of one box.

    Attributes:
        version: that holds it; None when nobody is enrolled from it, or nothing changed, or it was stopped.
        performers, faces: enrolled from it now.
        listed: performers that were new or changed; done: that were looked at by this call.
        gone: deleted or merged on the box since the last time.
        fetched: pictures.
        reasons: pictures of everybody, by what became of them.
        left_out: performers that must not be enrolled, of those that were listed.
        watermark: time of the box up to which everything is done.
        page: of the report; "" when there is none.
    """

    box: str
    version: str | None = None
    performers: int = 0
    faces: int = 0
    listed: int = 0
    done: int = 0
    gone: int = 0
    fetched: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    watermark: str | None = None
    workers: int = 0
    seconds: float = 0.0
    stopped: bool = False
    page: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


def box_gates(pack: ModelPack) -> Gates:
    """Returns what a picture of a stash-box must be like, see above."""
    return Gates(
        min_image_side_px=300,
        min_face_px=80,
        min_detection_score=None if "yunet" in pack.detector.file.name else 0.7,
        max_yaw_deg=45.0,
        max_faces=20,
    )


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


def box_folder(settings: Settings, domain: str, pack: ModelPack) -> Path:
    """Returns where what was seen of a box is kept, for one kind of template."""
    return settings.enrolments_path / domain / pack.template_id.replace(":", "@").replace("/", "_")


def erase_seen(settings: Settings, universal_ids: list[str]) -> int:
    """Removes what was seen of performers of stash-boxes, of every pack; returns the number of faces removed.

    They are looked at again when they change, or when everything is listed again.
    """
    faces = 0
    for folder in sorted(settings.enrolments_path.glob("*/*")):
        own = [i.partition(":")[2] for i in universal_ids if i.partition(":")[0] == folder.parent.name]
        if own and (folder / "pictures").is_dir():
            faces += Ledger(folder, 0).erase(own)
            shutil.rmtree(folder / "run" / "examples", ignore_errors=True)
    return faces


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
        path, total = write_work(self._folder, done, seen)
        self._say(step="enrolling", done=0, total=total)
        if not total or self._should_stop():
            return 0
        workers = min(worker_count(self._settings), total)
        self._began = time.monotonic()
        with self._going() as going:
            keyless = replace(self._box, api_key="")
            run = BoxRun(listing.number, self._home, self._folder, going, keyless, self._gates, waits_s)
            source = WorkSource(path, workers)
            for rows in worked_off(
                self._settings, source, BoxWorker, (self._settings, run), workers, self._should_stop
            ):
                self._add(rows)
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


class WorkSource(Datasource):
    """A work list as groups of performers, one row a group, whose columns are lists."""

    def __init__(self, path: Path, workers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path
        self._workers = workers

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        with pq.ParquetFile(self._path) as file:
            lengths = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        tasks, after = [], sum(lengths)
        for number, length in enumerate(lengths):
            after -= length
            facts = BlockMetadata(num_rows=length, size_bytes=None, input_files=None, exec_stats=None)
            tasks.append(ReadTask(_reading(self._path, number, after, self._workers), facts))
        return tasks


def _reading(path: Path, number: int, after: int, workers: int) -> Callable[[], Iterator[pa.Table]]:
    def read() -> Iterator[pa.Table]:
        with pq.ParquetFile(path) as file:
            rows = file.read_row_group(number)
        start = 0
        while start < len(rows):
            left = after + len(rows) - start
            size = max(1, min(LARGEST_GROUP, left // (workers * TAIL_GROUPS)))
            yield grouped(rows.slice(start, size))
            start += size

    return read
