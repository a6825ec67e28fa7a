"""Odd files and a Stash in trouble: what a scan makes of each, as a table of case, right answer and what came out.

Each odd file is scanned from this machine's disk and over HTTP. Then Stash is gone from the start, gone in the middle,
restarting, slow, failing now and then, limiting its rate, refusing the key, losing scenes while it is scanned. A run
must come to its end, or say at once by a named error why it cannot begin; where scenes failed for a passing reason, a
second run must make them good.

Rows: cases_right of all cases, and the seconds of the longest one. Cases that are not right are printed in red.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.errors import StashSenseError
from pipelines.jobs import ScanRequest
from pipelines.scan import scan
from pipelines.settings import Settings
from pipelines.store.templates import ScanDataset
from serve_app.cli.here import ray_here
from tests.bench.odd_files import ODD_FILES, OddFile, make_all
from tests.bench.report import Options, Report
from tests.bench.scan_library import real_clips
from tests.bench.scan_stash import ROOT, BenchStash, stash_of
from tests.fakes.stash.server import FakeStash

CLIPS = 6
SOON_S = 20.0
"""A scan that cannot begin says so within this time: the client's own tries are over by then."""


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    wanted: str
    got: str
    right: bool
    seconds: float = 0.0


@dataclass
class Cases:
    """Runs scans, each into a data folder of its own, on one Ray."""

    options: Options
    folder: Path
    found: list[Case] = field(default_factory=list)

    @contextmanager
    def library(self, files: list[Path], *, over_http: bool) -> Iterator[tuple[BenchStash, Settings]]:
        """A fake Stash with these files, and settings that scan it into an empty folder."""
        data_dir = Path(tempfile.mkdtemp(dir=self.folder))
        with stash_of(files) as stash:
            yield stash, self.settings(data_dir, stash, over_http=over_http)

    def settings(self, data_dir: Path, stash: BenchStash, *, over_http: bool) -> Settings:
        return Settings(
            data_dir=data_dir,
            models_dir=self.options.models.parent,
            stash_url=stash.url,
            stash_requests_per_s=50,
            path_map=() if over_http else (f"{ROOT}={stash.folder}",),
            scan_niceness=0,
        )

    def add(self, name: str, wanted: str, work: Callable[[], tuple[str, bool]]) -> None:
        """Adds a case; `work` returns what came out and whether that is right. A named error is an outcome too."""
        began = time.monotonic()
        try:
            got, right = work()
        except StashSenseError as error:
            got, right = f"{error.code}: {error.message}", False
        self.found.append(Case(name, wanted, got, right, time.monotonic() - began))


def run(report: Report, options: Options) -> None:
    """Adds the rows above. `options.quick`: fewer cases."""
    with tempfile.TemporaryDirectory(prefix="br-") as name:
        cases = Cases(options, Path(name))
        odd = make_all(options.workdir / "odd")
        with ray_here(Settings(data_dir=Path(name) / "ray", models_dir=options.models.parent)):
            odd_files(cases, odd, over_http=False)
            unauthorised(cases)
            losing_scenes(cases)
            if not options.quick:
                odd_files(cases, odd, over_http=True)
                gone_at_start(cases)
                gone_midway(cases)
                restarting(cases)
                for knob, says in ((("latency_s", 0.5), "slow"), (("fail_rate", 0.2), "503 for one request in 5")):
                    troubled(cases, says, *knob)
                troubled(cases, "429 above 5 requests/s", "rate_limit_per_s", 5.0)
    print_table(cases.found)
    report.add("cases_right", sum(c.right for c in cases.found), "cases", baseline=len(cases.found))
    report.add("longest_case_s", max(c.seconds for c in cases.found), "s")


def odd_files(cases: Cases, files: list[Path], *, over_http: bool) -> None:
    """Scans all odd files in one run; one case for each."""
    began = time.monotonic()
    with cases.library(files, over_http=over_http) as (_, settings):
        scan(settings, ScanRequest())
        rows = rows_of(settings)
    seconds = time.monotonic() - began
    for number, odd in enumerate(ODD_FILES, start=1):
        row = rows.get(str(number))
        wanted = "/".join(odd.statuses) + (f" {odd.reason}..." if odd.reason else "")
        name = f"{odd.name}{' over HTTP' if over_http else ''}"
        cases.found.append(Case(name, wanted, shown(row), is_right(odd, row, over_http=over_http), seconds))


def is_right(odd: OddFile, row: dict[str, Any] | None, *, over_http: bool) -> bool:
    if row is None or row["status"] not in odd.statuses:
        return False
    if row["status"] in {"ok", "partial"} and not row["face_count"]:
        return False
    # Over HTTP a missing file is what Stash says of it.
    reason = "media_" if over_http and odd.reason else odd.reason
    return str(row["reason"]).startswith(reason) if reason else True


def unauthorised(cases: Cases) -> None:
    with cases.library(clips(), over_http=False) as (stash, settings):
        stash.fake.stop()
        with FakeStash(stash.fake.library, api_key="right") as locked:
            wrong = settings.model_copy(update={"stash_url": locked.url, "stash_api_key": "wrong"})
            cases.add("401", "stash_unauthorized", lambda: expect_error(wrong, "stash_unauthorized"))
        stash.fake.start()


def gone_at_start(cases: Cases) -> None:
    with cases.library(clips(), over_http=False) as (stash, settings):
        stash.fake.stop()
        cases.add("gone at the start", "stash_unreachable", lambda: expect_error(settings, "stash_unreachable"))
        stash.fake.start()


def expect_error(settings: Settings, code: str) -> tuple[str, bool]:
    began = time.monotonic()
    try:
        scan(settings, ScanRequest())
    except StashSenseError as error:
        took = time.monotonic() - began
        return f"{error.code} after {took:.1f} s", error.code == code and took < SOON_S
    return "no error", False


def losing_scenes(cases: Cases) -> None:
    """Half of the scenes are deleted in Stash as soon as the first one is done; their files are read over HTTP."""
    with cases.library(clips(), over_http=True) as (stash, settings):
        gone = {str(n) for n in range(CLIPS // 2 + 1, CLIPS + 1)}

        def work() -> tuple[str, bool]:
            once(settings, lambda: stash.fake.library.vanish(gone))
            rows = rows_of(settings)
            stay = [rows.get(str(n)) for n in range(1, CLIPS + 1) if str(n) not in gone]
            good = all(row is not None and row["status"] in {"ok", "no_face"} for row in stay)
            named = all(rows[i]["reason"] for i in gone & set(rows) if rows[i]["status"] == "failed")
            return summary(rows), good and named

        cases.add("scenes vanish in the middle", "the others are scanned", work)


def gone_midway(cases: Cases) -> None:
    with cases.library(clips(), over_http=True) as (stash, settings):

        def work() -> tuple[str, bool]:
            try:
                once(settings, stash.fake.stop)
                first = summary(rows_of(settings))
            except StashSenseError as error:
                first = error.code
            finally:
                stash.fake.start()
            return made_good(settings, first)

        cases.add("gone in the middle, back later", "all scanned by a second run", work)


def restarting(cases: Cases) -> None:
    with cases.library(clips(), over_http=True) as (stash, settings):

        def work() -> tuple[str, bool]:
            once(settings, lambda: stash.fake.restart(3.0))
            return made_good(settings, summary(rows_of(settings)))

        cases.add("restarts in the middle", "all scanned, by a second run at the latest", work)


def troubled(cases: Cases, name: str, knob: str, value: float) -> None:
    with cases.library(clips(), over_http=True) as (stash, settings):
        stash.fake.knobs.set(**{knob: value})

        def work() -> tuple[str, bool]:
            scan(settings, ScanRequest())
            return made_good(settings, summary(rows_of(settings)))

        cases.add(name, "all scanned, by a second run at the latest", work)


def made_good(settings: Settings, first: str) -> tuple[str, bool]:
    """Scans once more; returns what was before and is now, and whether all is scanned."""
    scan(settings, ScanRequest())
    rows = rows_of(settings)
    return f"{first}, then {summary(rows)}", len(rows) == CLIPS and all(
        row["status"] in {"ok", "no_face"} for row in rows.values()
    )


def once(settings: Settings, trouble: Callable[[], object]) -> None:
    """Scans; `trouble` comes in a thread as soon as one content is done."""
    begun = threading.Event()

    def on_progress(now: Any) -> None:
        if now.done and not begun.is_set():
            begun.set()
            thread.start()

    thread = threading.Thread(target=trouble)
    scan(settings, ScanRequest(), on_progress=on_progress)
    if begun.is_set():
        thread.join()


def clips() -> list[Path]:
    return real_clips()[:CLIPS]


def rows_of(settings: Settings) -> dict[str, dict[str, Any]]:
    table = ScanDataset(settings.scans_path).done(["content_id", "status", "reason", "face_count", "frame_count"])
    return {row["content_id"]: row for row in table.to_pylist()}


def shown(row: dict[str, Any] | None) -> str:
    if row is None:
        return "no row"
    faces = f"{row['face_count']} faces in {row['frame_count']} frames" if row["frame_count"] else ""
    return ", ".join(filter(None, (row["status"], row["reason"], faces)))


def summary(rows: dict[str, dict[str, Any]]) -> str:
    statuses = [row["status"] for row in rows.values()]
    return " ".join(f"{statuses.count(s)} {s}" for s in sorted(set(statuses))) or "no rows"


def print_table(cases: list[Case]) -> None:
    table = Table("case", "right is", "came out", "s")
    for case in cases:
        table.add_row(case.name, case.wanted, case.got, f"{case.seconds:.1f}", style="" if case.right else "red")
    Console(width=160).print(table)
