"""`stash-sense status`: how much of the library is scanned and matched, how large that is, what is under way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from pipelines.settings import load_settings
from serve_app.cli.console import exit_on_error, stdout
from serve_app.cli.live import pace

STATUS_WORDS = {"ok": "with faces", "no_face": "without", "partial": "cut short", "failed": "failed"}


def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show what is scanned, matched and under way."""
    from pipelines.library_status import library_status

    with exit_on_error():
        now = library_status(load_settings())
        if as_json:
            typer.echo(json.dumps(now))
        else:
            stdout.print(as_table(now))


def as_table(now: Mapping[str, Any]) -> Table:
    """Returns the numbers as rows of a name and what there is to say."""
    scans = now["scans"]
    table = Table(show_header=False, show_edge=False)
    by_status = ", ".join(f"{scans['by_status'].get(k, 0):,} {word}" for k, word in STATUS_WORDS.items())
    table.add_row("scanned", f"{scans['scenes']:,} scenes, {scans['images']:,} images: {by_status}")
    if scans["reasons"]:
        table.add_row("reasons", "\n".join(f"{reason}: {number:,}" for reason, number in scans["reasons"].items()))
    if scans["retryable"] or scans["outdated"]:
        again = f"{scans['retryable']:,} that failed for a passing reason, {scans['outdated']:,} scanned another way"
        table.add_row("to scan again", again)
    table.add_row("faces", f"{scans['faces']:,} in {scans['frames']:,} frames")
    if scans["newest"]:
        table.add_row("last scan", f"{datetime.fromisoformat(scans['newest']).astimezone():%Y-%m-%d %H:%M}")
    table.add_row("size", f"{scans['size_bytes'] / 1e6:,.1f} MB in {scans['files']:,} files")
    matches = now["matches"]
    named = f"{matches['people']:,} times one of {matches['performers']:,} performers, {matches['unknown']:,} unknown"
    table.add_row("matched", f"{matches['contents']:,} contents: {named}")
    if matches["stale"]:
        table.add_row("to match again", f"{matches['stale']:,}: `stash-sense rematch`")
    for job in now["jobs"]:
        counted = f"{job['done']:,}" + (f" of {job['total']:,}" if job["total"] is not None else "")
        table.add_row(
            f"job {job['id']}", ", ".join(filter(None, (f"{job['type']} {job['state']}", counted, pace(job))))
        )
    if not now["jobs"]:
        table.add_row("jobs", "none under way")
    return table
