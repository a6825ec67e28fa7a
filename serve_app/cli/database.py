"""`stash-sense database info`: what is enrolled."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from pipelines.settings import load_settings
from serve_app.cli.console import exit_on_error, stdout

app = typer.Typer(help="Look at the performer database.", no_args_is_help=True)


@app.callback()
def database() -> None:
    """Keeps `info` a sub-command; other commands will stand beside it."""


@app.command()
def info(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the sha256 of every file first.")] = False,
) -> None:
    """Show the current version: performers, faces, pack, size, sources."""
    from pipelines.store.performers import PerformerDatabase

    with exit_on_error():
        versions = PerformerDatabase(load_settings().database_path)
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
        table.add_row("sources", "\n".join(manifest.sources))
        table.add_row("versions", "\n".join(versions.versions()))
        stdout.print(table)
