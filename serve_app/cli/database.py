"""`stash-sense database`: versions, imports, updates, export and who is left out.

Everything is done in this process, with or without a server: one that serves the same data folder follows by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, stderr, stdout
from serve_app.cli.here import exit_when_interrupted, run_stoppable
from serve_app.cli.live import duration

if TYPE_CHECKING:  # PyArrow, FAISS and the like are imported when a command runs
    from pipelines.releases.update import UpdateReport, UpdateStep
    from pipelines.store.performers import PerformerDatabase

app = typer.Typer(help="Versions, imports, updates and export of the performer database.", no_args_is_help=True)

STOPPED = "Stopped. The performer database is as it was; what was downloaded is kept for the next time."
STAGES = {
    "download": "Downloading",
    "unpack": "Unpacking",
    "verify": "Verifying",
    "read": "Reading templates",
    "write": "Writing the version",
}
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="As `stash-sense database list` shows it.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Universal ids, such as stashdb.org:UUID.")]


@app.command()
def info(
    *, as_json: AsJson = False, verify: Annotated[bool, typer.Option("--verify", help="Verify it first.")] = False
) -> None:
    """Show the current version: performers, faces, pack, size, sources."""
    with exit_on_error():
        versions = database(load_settings())
        manifest = versions.verify() if verify else versions.manifest()
        if as_json:
            record = {**manifest.model_dump(mode="json", exclude={"files"}), "size_bytes": manifest.size_bytes}
            typer.echo(json.dumps({**record, "versions": versions.versions()}))
            return
        table = Table(show_header=False, show_edge=False)
        table.add_row("version", manifest.version)
        table.add_row("created", f"{manifest.created:%Y-%m-%d %H:%M} UTC")
        table.add_row("performers", f"{manifest.performers:,}")
        table.add_row("faces", f"{manifest.faces:,}")
        table.add_row("pack", f"{manifest.pack} ({manifest.template_id})")
        table.add_row("size", f"{manifest.size_bytes / 1e6:.1f} MB, {manifest.index_dtype}")
        for source in manifest.sources.values():
            at = f" at {source.release}" if source.release else ""
            counted = f"{source.performers:,} performers, {source.faces:,} faces"
            table.add_row("source", f"{source.id}{at}: {counted}, {source.updated:%Y-%m-%d}")
        for reason, count in manifest.left_out.items():
            table.add_row("left out", f"{count:,} {reason}")
        table.add_row("versions", "\n".join(versions.versions()))
        stdout.print(table)


@app.command("list")
def list_versions() -> None:
    """Show all versions; the one in use is marked."""
    from pipelines.errors import StashSenseError

    with exit_on_error():
        versions = database(load_settings())
        current = versions.current()
        table = Table("", "version", "performers", "faces", "MB", "sources", show_edge=False)
        for name in versions.versions():
            mark = "*" if name == current else ""
            try:
                manifest = versions.manifest(name)
            except StashSenseError as error:
                table.add_row(mark, name, "", "", "", f"[red]{error.message}[/]")
                continue
            counts = (f"{manifest.performers:,}", f"{manifest.faces:,}", f"{manifest.size_bytes / 1e6:.1f}")
            table.add_row(mark, name, *counts, ", ".join(manifest.sources))
        stdout.print(table)


@app.command()
def people(
    text: Annotated[str, typer.Argument(help="Part of a name or alias; everybody when unset.")] = "",
    *,
    source: Annotated[str | None, typer.Option(help="Only people of this source.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
) -> None:
    """Show who is enrolled."""
    from pipelines.store.directory import Directory

    with exit_on_error():
        versions = database(load_settings())
        page = Directory(versions, versions.manifest().version).page(text, source=source, limit=limit)
        table = Table("id", "name", "faces", "sources", show_edge=False)
        for person in page.people:
            excluded = " [yellow](excluded)[/]" if person["excluded"] else ""
            row = (
                person["universal_id"],
                person["name"] + excluded,
                str(person["faces"]),
                ", ".join(person["sources"]),
            )
            table.add_row(*row)
        stdout.print(table)
        if page.total > len(page.people):
            stdout.print(f"{len(page.people):,} of {page.total:,}; --limit shows more.")


@app.command("import")
def import_release(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A released bundle: its zip, or the unpacked folder.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Forget everybody who is enrolled otherwise.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a released performer database, in place of what was imported of it before."""
    with exit_on_error(), exit_when_interrupted(STOPPED):
        settings = load_settings()
        print_report(_with_progress(lambda how: _import(settings, path, how, replace=replace)), as_json=as_json)


@app.command()
def check(*, as_json: AsJson = False) -> None:
    """Ask the configured sources of releases what is newest. Exit code 0 also when something is newer."""
    from pipelines.releases.update import check as check_sources

    with exit_on_error():
        found = check_sources(load_settings())
        if as_json:
            typer.echo(json.dumps([asdict(one) for one in found], default=str))
            return
        table = Table("source", "installed", "newest", "download", "says", show_edge=False)
        for one in found:
            size = f"{one.download_bytes / 1e6:,.1f} MB" if one.available and one.download_bytes else ""
            says = one.error["message"] if one.error else ("newer" if one.available else "up to date")
            says += f"; made for version {one.needs} of its makers' program" if one.needs else ""
            table.add_row(one.source, one.installed or "", one.newest or "", size, says)
        stdout.print(table if found else "No source is set up: see `release_sources`.")


@app.command()
def update(
    source: Annotated[str | None, typer.Argument(help="A name in `release_sources`; all of them when unset.")] = None,
    *,
    release: Annotated[str | None, typer.Option(help="This release rather than the newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download the newest release of the configured sources, check it and make it the current version."""
    from pipelines.errors import ReleaseUnknown
    from pipelines.releases.source import parse_sources

    with exit_on_error(), exit_when_interrupted(STOPPED):
        settings = load_settings()
        names = [source] if source else list(parse_sources(settings.release_sources))
        if not names:
            raise ReleaseUnknown("No source of releases is set up.", "Name one in `release_sources`, as name=URL.")
        if release and not source:
            raise ReleaseUnknown("A release was named without its source.", "Name the source as well.")
        for name in names:
            report = _with_progress(lambda how, name=name: _update(settings, name, release, how))  # type: ignore[misc]
            print_report(report, as_json=as_json)


@app.command()
def use(version: Version) -> None:
    """Make a version the current one; a running server follows within a second."""
    with exit_on_error():
        database(load_settings()).use(version)
        stdout.print(f"{version} is in use.")


@app.command()
def verify(version: Annotated[str | None, typer.Argument(metavar="VERSION")] = None) -> None:
    """Compare the sha256 of every file of a version, the current one when unset."""
    with exit_on_error(), stderr.status("Verifying"):
        manifest = database(load_settings()).verify(version)
        stdout.print(f"{manifest.version}: {len(manifest.files)} files are what they were when they were written.")


@app.command()
def remove(version: Version) -> None:
    """Remove an old version."""
    with exit_on_error():
        database(load_settings()).remove(version)
        stdout.print(f"{version} is removed.")


@app.command("remove-source")
def remove_source(source: Annotated[str, typer.Argument(help="As `stash-sense database info` shows it.")]) -> None:
    """Write a version without what a source gave."""
    with exit_on_error(), stderr.status("Writing the version"):
        version = database(load_settings()).remove_source(source)
        stdout.print(f"{version} is in use." if version else "Nobody is enrolled any more.")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go; made when it is not there.")],
    *,
    csv: Annotated[bool, typer.Option("--csv", help="CSV in place of Parquet.")] = False,
    templates: Annotated[bool, typer.Option(help="With the templates of the faces.")] = True,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only this person; repeat for more.")] = None,
) -> None:
    """Write performers, members and faces as plain files: your data, for other programs."""
    with exit_on_error(), stderr.status("Exporting"):
        form: Any = "csv" if csv else "parquet"
        for path in database(load_settings()).export(folder, format=form, templates=templates, ids=ids):
            stdout.print(str(path), soft_wrap=True)


@app.command()
def exclude(ids: Ids, *, reason: Annotated[str, typer.Option(help="Free text, for you.")] = "") -> None:
    """Never enrol nor name these people."""
    with exit_on_error(), stderr.status("Excluding"):
        version = database(load_settings()).exclude(ids, reason)
        written = f" {version} is in use." if version else ""
        stdout.print(f"Excluded: {', '.join(ids)}.{written}", soft_wrap=True)


@app.command()
def include(ids: Ids) -> None:
    """Take people off the exclusion list; they come back with the next enrolment or import."""
    with exit_on_error():
        database(load_settings()).include(ids)
        stdout.print(f"Not excluded any more: {', '.join(ids)}.", soft_wrap=True)


@app.command()
def excluded() -> None:
    """Show the exclusion list."""
    with exit_on_error():
        table = Table("id", "name", "since", "reason", show_edge=False)
        for one in database(load_settings()).excluded():
            table.add_row(one.universal_id, one.name, f"{one.created:%Y-%m-%d}", one.reason)
        stdout.print(table)


@app.command()
def erase(
    universal_id: Annotated[str, typer.Argument(metavar="ID", help="A universal id.")],
    *,
    also_exclude: Annotated[bool, typer.Option("--exclude", help="Also put the person on the exclusion list.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove somebody from every version, from scans and from matches, for good."""
    from pipelines.erase import erase as erase_everywhere

    with exit_on_error():
        settings = load_settings()
        if not yes:
            typer.confirm(f"Erase {universal_id} from everything that is kept? This cannot be undone", abort=True)
        if also_exclude:
            database(settings).exclude([universal_id], "erased")
        with stderr.status("Erasing"):
            report = erase_everywhere(settings, [universal_id]).to_dict()
        if as_json:
            typer.echo(json.dumps(report))
            return
        removed = report["database"]
        stdout.print(
            f"Removed {removed['faces']:,} faces of {removed['performers']:,} entries from {len(removed['versions'])} "
            f"versions, {report['scanned_faces']:,} faces of scans, {report['matches']:,} matches and "
            f"{report['seen_faces']:,} faces kept by enrolments; {report['recommendations']:,} recommendations and "
            f"{report['mentions']:,} mentions elsewhere. {report['actions']:,} actions cannot be undone any more. "
            f"Ids: {', '.join(removed['ids'])}.",
            soft_wrap=True,
        )
        if report["actions_left"]:
            stdout.print(f"{report['actions_left']:,} actions under way name the person: erase again when they ended.")


def database(settings: Settings) -> PerformerDatabase:
    """Returns the database of the data folder."""
    from pipelines.store.performers import PerformerDatabase

    return PerformerDatabase(settings.database_path)


def print_report(report: UpdateReport, *, as_json: bool) -> None:
    """Prints what became of an import or update."""
    from pipelines.releases import SKIPPED

    if as_json:
        typer.echo(json.dumps(asdict(report)))
    elif not report.changed:
        stdout.print(f"{report.source} is up to date: {report.release or 'nothing newer'}.")
    else:
        stdout.print(
            f"{report.source} is at {report.release}: {report.performers:,} performers, {report.faces:,} faces in "
            f"{duration(report.seconds)}. {report.version} is in use.",
            soft_wrap=True,
        )
        for reason, count in report.skipped.items():
            stdout.print(f"{count:,} {SKIPPED.get(reason, reason)}", soft_wrap=True)


How = tuple["Callable[[UpdateStep], None]", Callable[[], bool]]
"""What an import is given: whom to tell how far it is, and whom to ask whether it shall stop."""


def _import(settings: Settings, path: Path, how: How, *, replace: bool) -> UpdateReport:
    from pipelines.releases.update import import_file

    return import_file(settings, path, replace=replace, progress=how[0], should_stop=how[1])


def _update(settings: Settings, source: str, release: str | None, how: How) -> UpdateReport:
    from pipelines.releases.update import update as update_from

    return update_from(settings, source, release, progress=how[0], should_stop=how[1])


def _with_progress(work: Callable[[How], UpdateReport]) -> UpdateReport:
    """Returns what the work gives, with a bar on stderr, stoppable with Ctrl-C."""
    with _bar() as show:
        return run_stoppable(lambda should_stop: work((show, should_stop)))


@contextmanager
def _bar() -> Iterator[Callable[[UpdateStep], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("Asking", total=None)

        def show(step: UpdateStep) -> None:
            bar.update(task, description=STAGES[step.stage], completed=step.done, total=step.total or None)

        yield show
