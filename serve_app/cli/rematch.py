"""`stash-sense rematch`: compare the faces of all scans with the current performer database, without decoding."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Annotated, Any

import typer

from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, stdout
from serve_app.cli.here import exit_when_interrupted, ray_here, run_stoppable
from serve_app.cli.live import duration, live

STOPPED = "Stopped. What was matched is kept; the same command goes on where this one was."


def rematch(
    *,
    full: Annotated[bool, typer.Option("--full", help="Also what is up to date.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print progress and report as JSON lines.")] = False,
    server: Annotated[str | None, typer.Option(help="Let this server do it, e.g. http://127.0.0.1:6960.")] = None,
) -> None:
    """Name the people of what was scanned, with the performers of now.

    Exit code 0 when all is up to date, 1 when it could not run, 130 after Ctrl-C.
    """
    with exit_on_error(), exit_when_interrupted(STOPPED):
        report = run_rematch(load_settings(), server, full=full, as_json=as_json)
        if as_json:
            typer.echo(json.dumps({"event": "report", **report}))
        else:
            print_report(report)


def run_rematch(settings: Settings, server: str | None, *, full: bool, as_json: bool) -> dict[str, Any]:
    """Returns the report, of a server or of the work done here."""
    from serve_app.cli.follow import server_for, submit_and_follow

    client = server_for(settings, server)
    if client is not None:
        with client, live("Matching", as_json=as_json) as shown:
            return dict(submit_and_follow(client, "rematch", {"full": full}, shown)["result"])
    from pipelines import rematch as matching
    from pipelines.store.templates import ScanDataset

    counts = ScanDataset(settings.scans_path).counts()
    large = counts.scenes + counts.images >= matching.RAY_FROM_CHUNKS * matching.CHUNK_CONTENTS
    with ray_here(settings) if large else nullcontext(), live("Matching", as_json=as_json) as shown:
        report = run_stoppable(
            lambda should_stop: matching.rematch(settings, full=full, on_progress=shown.show, should_stop=should_stop)
        )
    return report.to_dict()


def print_report(report: dict[str, Any]) -> None:
    """Prints in a few words what was matched."""
    if report["database_version"] is None:
        stdout.print("Nobody is enrolled, so nobody can be named. `stash-sense enroll folder PEOPLE` enrols people.")
        return
    stdout.print(
        f"{report['matched']:,} scenes and images matched in {duration(report['seconds'])}: "
        f"{report['named']:,} people named, {report['unknown']:,} unknown; "
        f"{report['up_to_date']:,} were up to date. Performer database {report['database_version']}.",
        soft_wrap=True,
    )
