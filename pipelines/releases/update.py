"""Bringing the performer database to a newer release: check, download, verify, import, and nothing changes until then.

The import publishes a new version of the database, which is the swap: a server serves it within a second, and what was
scanned is matched again by itself (`pipelines.rematch_due`). Whatever fails before that leaves the version that there
was. Every step can be repeated: after a crash the same call goes on with what was downloaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.durable import check_space
from pipelines.errors import (
    DatabaseMissing,
    PackMismatch,
    ReleaseCorrupt,
    ReleaseGap,
    ReleaseUnknown,
    ReleaseUnsigned,
    ReleaseUnsupported,
    StashSenseError,
)
from pipelines.faces.catalogue import get_pack
from pipelines.jobs import JobContext
from pipelines.releases import import_release
from pipelines.releases.allowed import allowed_release
from pipelines.releases.download import download_file, needed_bytes
from pipelines.releases.facts import SOURCE_IDS, ImportReport, ImportStep
from pipelines.releases.plan import LINKS, Plan, make_plan
from pipelines.releases.source import Release, ReleaseSource, list_releases, parse_sources, source_named
from pipelines.releases.staging import Staging, TakenRelease, staged, taken_release
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from pipelines.transfer import PATIENT, FetchOptions

Stop = Callable[[], bool]
_SPOILED = (ReleaseCorrupt, ReleaseUnsupported, ReleaseUnsigned)
"""After these, what was downloaded is of no use."""

_LINKS_FOLDER = "stash-sense2-links-"
"""How the folder of links and aliases begins; the rest is their version, which no file in it says."""

SHARES = {"download": (0, 40), "unpack": (40, 50), "verify": (50, 55), "read": (55, 75), "write": (75, 100)}
"""Where each stage begins and ends, in percent of the whole."""


@dataclass(frozen=True, slots=True)
class UpdateStep:
    """`done` of `total` of a stage: bytes of a download, else as in `ImportStep`; each file goes through the stages."""

    stage: str
    done: int
    total: int

    @property
    def percent(self) -> int:
        """About how far the whole is."""
        begin, end = SHARES[self.stage]
        return int(begin + (end - begin) * min(1.0, self.done / self.total if self.total else 0.0))


@dataclass(frozen=True, slots=True)
class Available:
    """What a source has.

    Attributes:
        installed: the release of it that is in the database; None when there is none.
        newest: the newest release; None when the source could not be asked, or has none.
        available: whether an update would change something.
        delta: whether deltas lead there.
        needs: the version of its makers' own program that the release asks for.
        error: as `StashSenseError.as_dict` has it, when the source could not be asked.
    """

    source: str
    url: str
    installed: str | None
    newest: str | None = None
    available: bool = False
    delta: bool = False
    download_bytes: int | None = None
    created: datetime | None = None
    notes: str = ""
    needs: str | None = None
    error: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What became of an update or import.

    Attributes:
        changed: false when the release was installed already.
        release: the one that the source is at now.
        version: the version of the database that is current now.
        skipped: see `ImportReport`.
    """

    changed: bool
    source: str
    release: str | None
    version: str | None
    performers: int = 0
    faces: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def check(settings: Settings, source: str | None = None) -> list[Available]:
    """Returns what each source has, or one of them; one that cannot be asked says why. Raises ReleaseUnknown."""
    sources = parse_sources(settings.release_sources)
    wanted = list(sources.values()) if source is None else [source_named(settings.release_sources, source)]
    return [_available(settings, one) for one in wanted]


def update(
    settings: Settings,
    source: str,
    release: str | None = None,
    *,
    progress: Callable[[UpdateStep], None] = lambda _: None,
    should_stop: Stop = lambda: False,
    options: FetchOptions = PATIENT,
) -> UpdateReport:
    """Imports a release of a configured source, the newest one when unset.

    Raises:
        ReleaseUnknown, ReleaseUnreachable: nothing to download, or not now; see `source` and `download`.
        ReleaseCorrupt, ReleaseUnsigned, ReleaseUnsupported: what was downloaded is not to be used; it is removed.
        PackMismatch, ImporterMissing, NoSpace, NotWritable: something here is in the way; downloads are kept.
        Stopped: downloads are kept.
    """
    began = time.monotonic()
    asked = source_named(settings.release_sources, source)
    with staged(settings.releases_path, should_stop) as staging:
        releases = list_releases(asked)
        run = _Run(settings, asked, staging, progress, should_stop, options)
        installed = installed_release(settings, asked.name, releases)
        plan = make_plan(releases, installed, release)
        if plan is None:
            run.clear()
            current = PerformerDatabase(settings.database_path).current()
            return UpdateReport(False, source, installed, current, seconds=time.monotonic() - began)
        try:
            report = run.carry_out(plan)
        except ReleaseGap:
            full = make_plan(releases, installed, release or plan.release.version, full=True)
            if full is None or full.files == plan.files:
                raise
            report = run.carry_out(plan := full)
    return _report(source, plan.release.version, report, began)


def import_file(
    settings: Settings,
    path: Path,
    *,
    replace: bool = False,
    progress: Callable[[UpdateStep], None] = lambda _: None,
    should_stop: Stop = lambda: False,
) -> UpdateReport:
    """Imports a released bundle that lies here, a zip or a folder. Raises like `update`.

    Args:
        replace: forget everybody who is enrolled otherwise.
    """
    began = time.monotonic()
    with staged(settings.releases_path, should_stop) as staging:
        staging.clear(parse_sources(settings.release_sources))
        try:
            report = import_release(
                path,
                PerformerDatabase(settings.database_path),
                get_pack(settings.pack),
                dtype=settings.index_dtype,
                only=replace,
                workdir=staging.work,
                progress=_steps(progress),
                should_stop=should_stop,
            )
        finally:
            staging.clear(parse_sources(settings.release_sources))
    return _report(report.source, report.release, report, began)


def installed_release(settings: Settings, source: str, releases: Sequence[Release]) -> str | None:
    """Returns the release of a source that is in the current version of the database, None when none is."""
    try:
        installed = PerformerDatabase(settings.database_path).manifest().sources
    except DatabaseMissing:
        return None
    taken = taken_release(settings.releases_path, source)
    if taken is not None:
        there = installed.get(taken.source_id)
        if there is not None and there.release == taken.bundle_release:
            return taken.release
    successor = any(file.name.startswith("stash-sense2-") for release in releases for file in release.files)
    there = installed.get(SOURCE_IDS["stash-sense2" if successor else "stash-sense"])
    return None if there is None else there.release


def _available(settings: Settings, source: ReleaseSource) -> Available:
    installed = installed_release(settings, source.name, ())
    try:
        releases = list_releases(source)
        installed = installed_release(settings, source.name, releases)
        plan = make_plan(releases, installed)
    except StashSenseError as error:
        return Available(source.name, source.url, installed, error=error.as_dict())
    newest = plan.release if plan else releases[0]
    return Available(
        source=source.name,
        url=source.url,
        installed=installed,
        newest=newest.version,
        available=plan is not None,
        delta=plan is not None and plan.delta,
        download_bytes=plan.download_bytes if plan else None,
        created=newest.created,
        notes=newest.notes,
        needs=newest.needs,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """One update of one source, while the staging folder is locked."""

    settings: Settings
    source: ReleaseSource
    staging: Staging
    progress: Callable[[UpdateStep], None]
    should_stop: Stop
    options: FetchOptions

    def clear(self, release: str = "") -> None:
        self.staging.clear(parse_sources(self.settings.release_sources), self.source.name, release)

    def carry_out(self, plan: Plan) -> ImportReport:
        """Downloads and imports; the staging folder is empty again when that is done."""
        self._check_pack(plan)
        release = plan.release.version
        self.clear(release)
        folder = self.staging.folder(self.source.name, release)
        try:
            report = self._import(self._download(plan, folder))
        except _SPOILED:
            self.clear()
            raise
        taken = TakenRelease(release=release, source_id=report.source, bundle_release=report.release)
        self.staging.note_taken(self.source.name, taken)
        self.clear()
        return report

    def _check_pack(self, plan: Plan) -> None:
        if plan.pack not in {None, self.settings.pack}:
            raise PackMismatch(
                f"The release {plan.release.version} holds templates of the pack {plan.pack}, "
                f"the pack in use is {self.settings.pack}.",
                f"Set `pack` to {plan.pack} first: STASH_SENSE_PACK={plan.pack}.",
            )

    def _download(self, plan: Plan, folder: Path) -> list[Path]:
        """Returns what is to be imported, in order: zips, then the folder of links and aliases when there are any."""
        links = folder / f"{_LINKS_FOLDER}{plan.release.version}"
        links.mkdir(parents=True, exist_ok=True)
        places = {file: links if file.name in LINKS else folder for file in plan.all_files}
        check_space(folder, sum(needed_bytes(file, place) for file, place in places.items()))
        before = 0
        for file in plan.all_files:

            def show(_name: str, done: int, total: int, before: int = before) -> None:
                self.progress(UpdateStep("download", before + done, max(plan.download_bytes, before + total)))

            path = download_file(
                file,
                places[file],
                max_bytes=round(self.settings.max_release_gb * 1e9),
                public_key=self.settings.release_public_key,
                progress=show,
                should_stop=self.should_stop,
                options=self.options,
            )
            before += path.stat().st_size
        self.progress(UpdateStep("download", before, before))
        zips = [folder / file.name for file in plan.all_files if file.name not in LINKS]
        return [*zips, links] if any(file.name in LINKS for file in plan.all_files) else zips

    def _import(self, paths: Sequence[Path]) -> ImportReport:
        return import_release(
            paths,
            PerformerDatabase(self.settings.database_path),
            get_pack(self.settings.pack),
            dtype=self.settings.index_dtype,
            workdir=self.staging.work,
            progress=_steps(self.progress),
            should_stop=self.should_stop,
        )


def _steps(progress: Callable[[UpdateStep], None]) -> Callable[[ImportStep], None]:
    return lambda step: progress(UpdateStep(step.stage, step.done, step.total))


def _report(source: str, release: str, report: ImportReport, began: float) -> UpdateReport:
    return UpdateReport(
        changed=True,
        source=source,
        release=release,
        version=report.version,
        performers=report.performers,
        faces=report.faces,
        skipped=dict(report.skipped),
        seconds=time.monotonic() - began,
    )


def update_job(context: JobContext) -> dict[str, Any]:
    """The job "database_update": every configured source that has something newer, or the one that is named."""
    settings, params = context.settings, context.params
    if params.source is None and params.release is not None:
        raise ReleaseUnknown("A release was named without its source.", "Name the source as well.")
    sources = [params.source] if params.source else list(parse_sources(settings.release_sources))
    if not sources:
        raise ReleaseUnknown("No source of releases is set up.", "Name one in `release_sources`, as name=URL.")
    reports = []
    for number, source in enumerate(sources):
        show = _percents(context, 100 * number, 100 * len(sources))
        reports.append(update(settings, source, params.release, progress=show, should_stop=context.stop_requested))
    context.progress(100 * len(sources), 100 * len(sources), {})
    return {"updates": [asdict(report) for report in reports]}


def import_job(context: JobContext) -> dict[str, Any]:
    """The job "database_import": a bundle that lies in a folder which requests may name."""
    path = allowed_release(context.params.path, context.settings)
    report = import_file(
        context.settings,
        path,
        replace=context.params.replace,
        progress=_percents(context, 0, 100),
        should_stop=context.stop_requested,
    )
    context.progress(100, 100, {})
    return asdict(report)


def _percents(context: JobContext, before: int, total: int) -> Callable[[UpdateStep], None]:
    """Returns what reports steps as percent of the whole, which never goes back."""
    highest = before

    def show(step: UpdateStep) -> None:
        nonlocal highest
        highest = max(highest, before + step.percent)
        context.progress(highest, total, {f"stage.{step.stage}": 1})

    return show
