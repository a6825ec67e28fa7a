"""`stash-sense enroll folder|local|stashbox`: known people into the performer database.

Photos in folders are enrolled by this process. Performers of Stash and of stash-boxes are enrolled by the server of
this data folder when one runs, as a job that outlives the command's terminal, else in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, progress, stdout
from serve_app.cli.here import exit_when_interrupted, ray_here, run_stoppable
from serve_app.cli.live import duration, live
from serve_app.cli.scan import check_stash

if TYPE_CHECKING:  # FAISS, PyAV and the like are imported when a command runs
    from pydantic import BaseModel

    from pipelines.enroll.folder import EnrolmentReport

STOPPED = "Stopped. What was seen is kept; the same command goes on where this one was."
JsonOption = Annotated[bool, typer.Option("--json", help="Print progress and report as JSON lines.")]
ServerOption = Annotated[str | None, typer.Option(help="Let this server do it, e.g. http://127.0.0.1:6960.")]

app = typer.Typer(help="Enrol people so that they can be named.", no_args_is_help=True)


@app.command("folder")
def folder(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="One sub-folder of photos per person.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Start anew: forget everybody enrolled so far.")] = False,
) -> None:
    """Enrol DIR/<identity>/*; what is enrolled already stays, the same photo is never enrolled twice."""
    with exit_on_error():
        report = enroll_with_progress(directory, load_settings(), replace=replace)
        print_report(report)


def enroll_with_progress(directory: Path, settings: Settings, *, replace: bool = False) -> EnrolmentReport:
    """Enrols a folder with a progress bar on stderr."""
    from pipelines.enroll.crop_writer import CropWriter
    from pipelines.enroll.folder import FOLDER_SOURCE, enroll_folder
    from pipelines.parts import open_engine
    from pipelines.store.performers import PerformerDatabase

    engine = open_engine(settings)
    with progress("Enrolling") as (bar, task):
        return enroll_folder(
            directory,
            engine,
            PerformerDatabase(settings.database_path),
            replace=replace,
            dtype=settings.index_dtype,
            max_megapixels=settings.max_image_megapixels,
            crops=CropWriter(settings, FOLDER_SOURCE),
            progress=lambda step: bar.update(task, completed=step.done, total=step.total),
        )


def print_report(report: EnrolmentReport) -> None:
    """Prints what became of the folder, every rejected file with its reason."""
    from pipelines.faces.gates import REASONS

    stdout.print(
        f"{report.new_faces} faces of {report.new_performers} new people enrolled in {report.duration_s:.1f} s; "
        f"{report.duplicates} photos were enrolled already. "
        f"The database now holds {report.performers} performers and {report.faces} faces."
    )
    if report.rejected:
        table = Table("photo", "left out because", show_edge=False)
        for rejection in report.rejected:
            table.add_row(rejection.path, f"{REASONS[rejection.reason]} {rejection.detail}".strip())
        stdout.print(table)
    for warning in report.warnings:
        stdout.print(f"[yellow]note[/] {warning}")


@app.command("stashbox")
def stashbox(
    box: Annotated[str | None, typer.Argument(metavar="[ENDPOINT]", help="One box: endpoint, host or name.")] = None,
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many performers of a box.")] = None,
    full: Annotated[bool, typer.Option("--full", help="List everybody again, not only what changed.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Enrol the performers of your stash-boxes from their pictures; later runs look at what is new or changed.

    A box is asked no more often than its limit allows, so a first run may take many hours; it may be stopped and
    started again at any time. Exit code 130 after Ctrl-C.
    """
    with exit_on_error(), exit_when_interrupted(STOPPED):
        request = _request("enroll_stashbox", endpoint=box, limit=limit, full=full)
        report = _enrolled("enroll_stashbox", request, _stashbox_here, server, as_json=as_json)
        if as_json:
            typer.echo(json.dumps({"event": "report", **report}))
            return
        for one in report["boxes"]:
            print_box(one)


@app.command("local")
def local(
    *,
    performers: Annotated[str | None, typer.Option(help="Only these performers of Stash: 12,45,46.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Ask for everybody again, also for those unchanged.")] = False,
    scenes: Annotated[bool, typer.Option("--scenes/--no-scenes", help="Also from scenes of one performer.")] = True,
    galleries: Annotated[
        bool, typer.Option("--galleries/--no-galleries", help="Also from images and galleries of one performer.")
    ] = True,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Enrol the performers of your Stash from their pictures, and from scanned scenes and images of theirs alone."""
    with exit_on_error(), exit_when_interrupted(STOPPED):
        ids = None if performers is None else [part.strip() for part in performers.split(",")]
        request = _request("enroll_local", performers=ids, full=full, use_scenes=scenes, use_galleries=galleries)
        report = _enrolled("enroll_local", request, _local_here, server, as_json=as_json)
        if as_json:
            typer.echo(json.dumps({"event": "report", **report}))
        else:
            print_local(report)


def _request(type_id: str, **asked: Any) -> BaseModel:
    """Returns the parameters of a job. Raises InputError that names what is wrong."""
    from pipelines.jobs import job_type

    return job_type(type_id).parse(asked)


def _enrolled(
    type_id: str, request: BaseModel, here: Callable[..., dict[str, Any]], server: str | None, *, as_json: bool
) -> dict[str, Any]:
    """Returns the report of an enrolment, by a server or here."""
    from serve_app.cli.follow import server_for, submit_and_follow

    settings = load_settings()
    client = server_for(settings, server)
    if client is None:
        return here(settings, request, as_json=as_json)
    with client, live("Enrolling", as_json=as_json) as shown:
        return dict(submit_and_follow(client, type_id, request.model_dump(mode="json"), shown)["result"])


def _stashbox_here(settings: Settings, request: Any, *, as_json: bool) -> dict[str, Any]:
    """Enrols in this process, with a Ray of its own, which starts only when there are boxes and models."""
    import asyncio

    from pipelines.models.library import ModelLibrary
    from pipelines.stash.stashbox_connect import chosen_boxes, configured_boxes

    chosen_boxes(asyncio.run(configured_boxes(settings)), request.endpoint)
    ModelLibrary(settings.models_path).folder(settings.pack)
    with ray_here(settings), live("Enrolling", as_json=as_json) as shown:
        from pipelines.enroll.stashbox import enroll_stashboxes

        reports = run_stoppable(
            lambda should_stop: enroll_stashboxes(
                settings, request, on_progress=lambda now: shown.show(asdict(now)), should_stop=should_stop
            )
        )
    return {"boxes": [report.to_dict() for report in reports]}


def _local_here(settings: Settings, request: Any, *, as_json: bool) -> dict[str, Any]:
    """Enrols in this process. Raises StashUnreachable before anything is started when no Stash is set up."""
    from pipelines.enroll.local import enroll_local

    check_stash(settings)
    with live("Enrolling", as_json=as_json) as shown:
        report = run_stoppable(
            lambda should_stop: enroll_local(
                settings, request, on_progress=lambda now: shown.show(asdict(now)), should_stop=should_stop
            )
        )
    return report.to_dict()


def print_box(report: dict[str, Any]) -> None:
    """Prints what became of one stash-box."""
    took = duration(report["seconds"])
    stdout.print(
        f"{report['box']}: {report['done']:,} performers looked at in {took}, {report['fetched']:,} pictures fetched, "
        f"{report['gone']:,} performers are gone. Enrolled from it are {report['performers']:,} performers "
        f"with {report['faces']:,} faces.",
        soft_wrap=True,
    )
    _print_reasons(report["reasons"])
    if report["left_out"]:
        _print_barred(report["left_out"])
    if report["page"]:
        stdout.print(f"Examples: {report['page']}", soft_wrap=True)


def print_local(report: dict[str, Any]) -> None:
    """Prints what became of the performers of Stash."""
    faces = ", ".join(f"{count:,} of a {kind}" for kind, count in report["faces"].items() if count)
    stdout.print(
        f"{report['listed']:,} performers in Stash: {report['new']:,} new, {report['changed']:,} changed, "
        f"{report['gone']:,} gone. Enrolled are {report['enrolled']:,} of them; faces: {faces or 'none'}.",
        soft_wrap=True,
    )
    _print_reasons(report["gates"])
    if report["barred"]:
        _print_barred(report["barred"])
    if report["report_page"]:
        stdout.print(f"Examples: {report['report_page']}", soft_wrap=True)


def _print_barred(barred: dict[str, int]) -> None:
    said = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in barred.items())
    stdout.print(f"Never enrolled: {said}.", soft_wrap=True)


def _print_reasons(reasons: dict[str, int]) -> None:
    """Prints how many pictures were left out, and why."""
    from pipelines.faces.gates import REASONS

    left_out = [(count, reason) for reason, count in reasons.items() if reason != "enrolled" and count]
    if left_out:
        table = Table("pictures", "left out because", show_edge=False)
        for count, reason in sorted(left_out, reverse=True):
            table.add_row(f"{count:,}", REASONS.get(reason, reason))
        stdout.print(table)
