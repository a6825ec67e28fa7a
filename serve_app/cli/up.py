"""`stash-sense up`: start Ray and the server, keep serving; with `--sample`, show what it does first."""

from __future__ import annotations

import csv
import logging
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipelines.errors import InputError
from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, progress, stderr, stdout

SAMPLE_MEDIA = ("video",)
"""Folders below the sample folder whose files are identified."""


def up(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on; 6960 unless set.")] = None,
    sample: Annotated[
        Path | None,
        typer.Option(help="Enrol DIR/faces/people, identify DIR/video, write a report, then serve.", metavar="DIR"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop after the sample instead of serving on.")] = False,
) -> None:
    """Start the server and keep serving until Ctrl-C."""
    with exit_on_error():
        changes: dict[str, Any] = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
        settings = load_settings().model_copy(update=changes)
        if sample is not None:
            check_sample(sample)
            settings = settings.model_copy(update={"allowed_roots": (*settings.allowed_roots, sample.absolute())})
        serve(settings, sample, once=once)


def serve(settings: Settings, sample: Path | None, *, once: bool) -> None:
    """Checks what can go wrong before anything is started, enrols the sample, starts, identifies, serves."""
    from serve_app.local import check_ready, start

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # its progress lines; the log files have everything
    check_ready(settings)
    if sample is not None:
        enroll_sample(sample, settings)
    with stderr.status("Starting Ray and the server"):
        server = start(settings)
    with server:
        stdout.print(
            f"Serving on {server.url} (started in {server.startup_s:.1f} s); routes: {server.url}/docs", soft_wrap=True
        )
        if sample is not None:
            identify_sample(sample, settings, server.url, server.api_key)
        if once:
            return
        stdout.print("Press Ctrl-C to stop.")
        server.wait()
        stdout.print("Stopping.")


def check_sample(sample: Path) -> None:
    """Raises InputError for a folder without sample people."""
    if not (sample / "faces" / "people").is_dir():
        raise InputError(f"{sample} holds no faces/people.", "Name a folder laid out like tests/data.")


def enroll_sample(sample: Path, settings: Settings) -> None:
    """Enrols the sample people; a second run finds them enrolled and is quick."""
    from pipelines.store.performers import PerformerDatabase
    from serve_app.cli.enroll import enroll_with_progress, print_report

    people = sample / "faces" / "people"
    database = PerformerDatabase(settings.database_path)
    if database.current() is not None and enrolled_here(people, database):
        return
    print_report(enroll_with_progress(people, settings))


def enrolled_here(people: Path, database: Any) -> bool:
    """Whether every person of the folder is in the current version of the database."""
    from pipelines.enroll.folder import local_id

    known = set(database.performers()["universal_id"].to_pylist())
    return {local_id(d.name) for d in people.iterdir() if d.is_dir()} <= known


def identify_sample(sample: Path, settings: Settings, url: str, api_key: str) -> None:
    """Has the server identify the sample videos; prints who, when, how sure, how fast, and writes the report."""
    from serve_app.cli.report import render_report, write_report
    from serve_app.client import ServerClient

    files = sorted(path for folder in SAMPLE_MEDIA for path in (sample / folder).rglob("*") if path.is_file())
    expected = labels(sample)
    entries = []
    began = time.perf_counter()
    with ServerClient(url, api_key, timeout_s=settings.request_timeout_s) as client:
        enrolled = client.get("/database/info")["performer_count"]
        with progress("Identifying", len(files)) as (bar, task):
            for path in files:
                entries.append((path, ask(client, path)))
                bar.advance(task)
    elapsed_s = time.perf_counter() - began
    stdout.print(summary(sample, entries, expected))
    report = settings.data_dir / "report.html"
    write_report(
        report,
        render_report([e for _, e in entries], enrolled=enrolled, elapsed_s=elapsed_s, pack=settings.pack),
    )
    stdout.print(f"{len(files)} videos in {elapsed_s:.1f} s. Report: {report}", soft_wrap=True)


def ask(client: Any, path: Path) -> Any:
    """Returns the card of one video in the report."""
    from pipelines.errors import StashSenseError
    from serve_app.cli.report import ReportEntry, ReportPerson

    began = time.perf_counter()
    try:
        answer = client.identify(path, crops=True)
    except StashSenseError as error:
        return ReportEntry(path.name, 0.0, 0.0, [], [], error.as_dict())
    people, unknown = (
        [
            ReportPerson(
                name=person.get("name", ""),
                confidence=person.get("confidence", 0.0),
                faces=person["faces"],
                ranges=tuple((start, end) for start, end in person["ranges"]),
                crop=person["best"].get("crop", ""),
            )
            for person in answer[group]
        ]
        for group in ("people", "unknown")
    )
    total_ms = 1000 * (time.perf_counter() - began)
    return ReportEntry(path.name, answer["duration_s"], total_ms, people, unknown)


def labels(sample: Path) -> dict[str, set[str]]:
    """Returns the people that the sample's manifest says are in each file; empty without a manifest."""
    manifest = sample / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as file:
        return {row["path"]: set(filter(None, row["people"].split("|"))) for row in csv.DictReader(file)}


def summary(sample: Path, entries: list[tuple[Path, Any]], expected: dict[str, set[str]]) -> Table:
    """Returns who was found when, how surely and how fast, with the labels beside it."""
    from serve_app.cli.identify import format_ranges

    table = Table(show_edge=False)
    for column in ("video", "who", "when", "sure", "s", "x real time", "labels"):
        table.add_column(column, no_wrap=column in {"video", "who"}, overflow="fold")
    for path, entry in entries:
        if entry.error:
            table.add_row(path.name, f"[red]{entry.error['message']}[/]", *[""] * 5)
            continue
        wanted = expected.get(path.relative_to(sample).as_posix())
        found = {person.name for person in entry.people}
        missing = sorted((wanted or set()) - found)
        verdict = "" if not wanted else ("all found" if not missing else f"missing {', '.join(missing)}")
        speed = (f"{entry.total_ms / 1000:.2f}", f"{entry.duration_s * 1000 / entry.total_ms:.1f}")
        rows = [(p.name, format_ranges(p.ranges), f"{100 * p.confidence:.0f} %") for p in entry.people]
        rows = rows or [("nobody", "", "")]
        for number, row in enumerate(rows):
            first = number == 0
            table.add_row(path.name if first else "", *row, *(speed if first else ("", "")), verdict if first else "")
        if entry.unknown:
            table.add_row("", f"[dim]and {len(entry.unknown)} unknown[/]", *[""] * 5)
    return table
