"""`stash-sense eval folder DIR`: how accurate a model pack is on labelled photos."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.settings import load_settings
from serve_app.cli.console import exit_on_error, progress, stdout

if TYPE_CHECKING:  # SciPy, FAISS and the like are imported when the command runs
    from pipelines.evaluate_folder import FolderReport
    from pipelines.faces.accuracy import Accuracy
    from pipelines.faces.metrics import Interval

app = typer.Typer(help="Measure how accurate identification is.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Keeps `folder` a sub-command; other sources will stand beside it."""


@app.command("folder")
def folder(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="One sub-folder of photos per person.")],
    *,
    degrade: Annotated[
        bool,
        typer.Option("--degrade", help="Also small, blurred, noisy, dark, tilted, masked ... probes: 16 conditions."),
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="Draw them into this .png, .svg or .pdf.")] = None,
    pack_id: Annotated[str | None, typer.Option("--pack", help="Model pack; the one in force when unset.")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Print the thresholds that these photos give; nothing is changed.")
    ] = False,
) -> None:
    """Measure a pack on DIR/<identity>/*: rank-1, TPIR at FPIR 1 % and 5 %, EER; each photo against the others."""
    from pipelines.evaluate_folder import evaluate_folder, plot
    from pipelines.faces.catalogue import get_pack
    from pipelines.models.library import ModelLibrary
    from pipelines.parts import engine_options

    with exit_on_error():
        settings = load_settings()
        pack = get_pack(pack_id or settings.pack)
        models = ModelLibrary(settings.models_path).folder(pack)
        with progress("Measuring") as (bar, task):
            report = evaluate_folder(
                directory,
                pack,
                models,
                degrade=degrade,
                threads=engine_options(settings).threads,
                max_megapixels=settings.max_image_megapixels,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        print_report(report)
        if calibrate:
            print_calibration(report, directory, degrade=degrade)
        if json_file is not None:
            json_file.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
        if plot_file is not None:
            plot(report, plot_file)


def print_report(report: FolderReport) -> None:
    """Prints one table a set of conditions, and the conditions of the pack."""
    stdout.print(
        f"{report.photos} photos of {report.people} people, {report.enrolled_people} of them with two or more photos; "
        f"pack {report.pack.id}, {report.duration_s:.0f} s."
    )
    for path, reason in report.unusable:
        stdout.print(f"left out: {path} ({reason})", markup=False, soft_wrap=True)
    for name in dict.fromkeys(a.conditions_set for a in report.accuracies):
        stdout.print(methods_table(name, [a for a in report.accuracies if a.conditions_set == name]))
    if len(report.accuracies[-1].conditions) > 1:
        stdout.print(conditions_table(report.accuracies[-1]))


def methods_table(name: str, accuracies: list[Accuracy]) -> Table:
    """Returns the rates of the methods over one set of conditions, in per cent with 90 % intervals over people."""
    mated, non_mated = accuracies[0].searches
    table = Table(title=f"{name}: {mated} mated, {non_mated} non-mated searches", title_justify="left")
    for column in ("method", "rank-1 %", "TPIR % at FPIR 1 %", "at 5 %", "EER %", "threshold", "gain"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for a in accuracies:
        gain = "" if a.gain_fpir1 is None else f"{100 * a.gain_fpir1.value:+.2f} {_range(a.gain_fpir1)}"
        table.add_row(
            a.method,
            f"{100 * a.rank1.value:.2f}",
            f"{100 * a.tpir_fpir1.value:.2f} {_range(a.tpir_fpir1)}",
            f"{100 * a.tpir_fpir5.value:.2f}",
            f"{100 * a.eer:.2f}",
            f"{a.threshold_fpir1:.3f}",
            gain,
        )
    return table


def conditions_table(accuracy: Accuracy) -> Table:
    """Returns the rates of one method by condition, at the one threshold of its set."""
    table = Table(title=f"{accuracy.method} by condition", title_justify="left")
    for column in ("condition", "found %", "rank-1 %", "TPIR % at FPIR 1 %", "at 5 %", "EER %", "other faces"):
        table.add_column(column, justify="left" if column == "condition" else "right")
    for c in accuracy.conditions:
        rates = (c.found, c.rank1, c.tpir_fpir1, c.tpir_fpir5, c.eer)
        table.add_row(c.name, *(f"{100 * r:.1f}" for r in rates), f"{c.strangers:.2f}")
    return table


def print_calibration(report: FolderReport, directory: Path, *, degrade: bool) -> None:
    """Prints the Calibration record as JSON."""
    command = f"stash-sense eval folder {directory.name}{' --degrade' if degrade else ''} --calibrate"
    conditions = len(report.accuracies[-1].conditions)
    provenance = (
        f"{report.photos} photos of {report.people} people, leave-one-out, {conditions} conditions, "
        f"{datetime.now(UTC):%Y-%m-%d}: {command} --pack {report.pack.id}"
    )
    stdout.print_json(json.dumps(asdict(report.calibration(provenance))))


def _range(interval: Interval) -> str:
    return f"({100 * interval.low:.1f} to {100 * interval.high:.1f})"
