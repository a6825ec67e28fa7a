"""`stash-sense scan`: look at the scenes and images of Stash, keep their faces, match them.

The work is done by the server of this data folder when one runs, as a job that outlives the command's terminal, else in
this process with a Ray of its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.errors import InputError, StashUnreachable
from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, stdout
from serve_app.cli.here import exit_when_interrupted, ray_here, run_stoppable
from serve_app.cli.live import duration, failures, live
from serve_app.cli.status import STATUS_WORDS

if TYPE_CHECKING:  # pyarrow and the like are imported when the command runs
    from pipelines.jobs import ScanRequest

STOPPED = "Stopped. What was scanned is kept; the same command goes on where this one was."


def scan(
    *,
    ids: Annotated[str | None, typer.Option(help="Only these, as Stash's ids: 12,45,46.")] = None,
    filter_json: Annotated[
        str | None, typer.Option("--filter", help="Only what this filter of Stash finds, as JSON.")
    ] = None,
    galleries: Annotated[str | None, typer.Option(help="Images of these galleries: 3,4.")] = None,
    images: Annotated[bool, typer.Option("--images", help="Images instead of scenes.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Scenes and images.")] = False,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Begin with what was added last.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Also what is scanned already.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed/--no-retry-failed", help="Also what failed for a passing reason.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print progress and report as JSON lines.")] = False,
    server: Annotated[str | None, typer.Option(help="Let this server do it, e.g. http://127.0.0.1:6960.")] = None,
) -> None:
    """Scan what is new or changed in Stash.

    Exit code 0 when the scan went through: what could not be read is in the report, with the reason, and does not
    change the code. 1 when it could not run, 130 after Ctrl-C; a later scan goes on where this one was.
    """
    with exit_on_error(), exit_when_interrupted(STOPPED):
        request = scan_request(
            kinds=("scene", "image") if everything else ("image",) if images or galleries else ("scene",),
            ids=_listed(ids),
            galleries=_listed(galleries),
            filter=_filter(filter_json),
            newest_first=newest_first,
            limit=limit,
            fresh=fresh,
            retry_failed=retry_failed,
        )
        settings = load_settings()
        report = run_scan(settings, request, server, as_json=as_json)
        if as_json:
            typer.echo(json.dumps({"event": "report", **report}))
        else:
            print_report(report)


def scan_request(**asked: Any) -> ScanRequest:
    """Returns the request. Raises InputError that names what is wrong with it."""
    from pipelines.jobs import job_type

    parsed: ScanRequest = job_type("scan").parse(asked)  # type: ignore[assignment]
    return parsed


def run_scan(settings: Settings, request: ScanRequest, server: str | None, *, as_json: bool) -> dict[str, Any]:
    """Returns the report of the scan, by a server or here."""
    from serve_app.cli.follow import server_for, submit_and_follow

    client = server_for(settings, server)
    if client is not None:
        with client, live("Scanning", as_json=as_json) as shown:
            job = submit_and_follow(client, "scan", request.model_dump(mode="json"), shown)
        return dict(job["result"])
    return scan_here(settings, request, as_json=as_json)


def scan_here(settings: Settings, request: ScanRequest, *, as_json: bool) -> dict[str, Any]:
    """Scans in this process. Raises StashUnreachable before anything is started when no Stash is set up."""
    from pipelines.models.library import ModelLibrary

    check_stash(settings)
    ModelLibrary(settings.models_path).folder(settings.pack)
    with ray_here(settings), live("Scanning", as_json=as_json) as shown:
        from pipelines.scan import scan as scan_library

        report = run_stoppable(
            lambda should_stop: scan_library(
                settings, request, on_progress=lambda now: shown.show(asdict(now)), should_stop=should_stop
            )
        )
    return report.to_dict()


def check_stash(settings: Settings) -> None:
    """Raises StashUnreachable when no address is set."""
    if not settings.stash_url:
        raise StashUnreachable(
            "No Stash is set up.", "Set STASH_SENSE_STASH_URL to its address, for example http://127.0.0.1:9999."
        )


def print_report(report: dict[str, Any]) -> None:
    """Prints what became of the scan in a few lines."""
    settled = f"{report['settled']:,} were scanned before" if report["settled"] else ""
    if not report["total"]:
        stdout.print(". ".join(filter(None, ("Nothing is new", settled))) + ".")
    else:
        by_status = [f"{report['by_status'].get(s, 0):,} {words}" for s, words in STATUS_WORDS.items()]
        scanned = f"{report['done']:,} scanned in {duration(report['seconds'])}: {', '.join(by_status)}"
        stdout.print(f"{scanned}; {report['faces']:,} faces in {report['frames']:,} frames.", soft_wrap=True)
        if settled:
            stdout.print(f"{settled}.")
    if report["failed"]:
        stdout.print(f"{failures(report['failed'])}: `stash-sense status` counts them all.", soft_wrap=True)
    if report["vanished"]:
        stdout.print(f"{report['vanished']:,} of the ids do not exist in Stash.")
    matched = report["matched"]
    if report["match_error"]:
        stdout.print(f"[yellow]note[/] Nobody was named. {report['match_error']}", soft_wrap=True)
    elif matched and matched["database_version"] is None:
        stdout.print("[yellow]note[/] Nobody is enrolled, so nobody was named.")
    elif matched and matched["matched"]:  # else every scan was matched before, and nobody is named anew
        stdout.print(f"{matched['named']:,} people named, {matched['unknown']:,} unknown.")


def _listed(text: str | None) -> tuple[str, ...] | None:
    """Returns the ids of "12, 45"; None when nothing was said. Raises InputError for something else."""
    if text is None:
        return None
    ids = tuple(part.strip() for part in text.split(","))
    if not all(ids):
        raise InputError(f"{text!r} is no list of ids.", "Write them as 12,45,46.")
    return ids


def _filter(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"The filter is not JSON: {error}.", _FILTER_HINT) from None
    if not isinstance(found, dict):
        raise InputError("The filter is not a JSON object.", _FILTER_HINT)
    return found


_FILTER_HINT = """Write it as Stash's API has it: --filter '{"organized": false}'."""
