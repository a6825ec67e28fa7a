"""`stash-sense enroll folder DIR`: photos of known people into the performer database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, progress, stdout

if TYPE_CHECKING:  # FAISS, PyAV and the like are imported when a command runs
    from pipelines.enroll import EnrolmentReport

app = typer.Typer(help="Enrol people so that they can be named.", no_args_is_help=True)


@app.callback()
def enroll() -> None:
    """Keeps `folder` a sub-command; other sources will stand beside it."""


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
    from pipelines.enroll import enroll_folder
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
