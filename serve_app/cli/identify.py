"""`stash-sense identify PATH...`: who is in these files, in this process or by a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pipelines.errors import MediaNotFound
from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, stdout

Record = dict[str, Any]
"""One result: {"path", "kind", "people", "unknown", "timing_ms", "error"}."""


def identify(
    paths: Annotated[list[Path], typer.Argument(help="Photos, videos, or folders of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,  # noqa: FBT002
    server: Annotated[str | None, typer.Option(help="Ask this server, e.g. http://127.0.0.1:6960.")] = None,
    frames: Annotated[int | None, typer.Option(min=5, max=600, help="Frames sampled from a video.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, max=50, help="Candidates for each person.")] = None,
) -> None:
    """Name the people in photos and videos. Exit code 0 only if every file was processed."""
    with exit_on_error():
        changes = {"frames_per_scene": frames, "top_k": top_k}
        settings = load_settings().model_copy(update={k: v for k, v in changes.items() if v is not None})
        files = list(expand(paths))
        records = ask_server(files, server, settings) if server else identify_here(files, settings)
        failed = 0
        for record in records:
            failed += record["error"] is not None
            if as_json:
                typer.echo(json.dumps(record, ensure_ascii=False))
            else:
                stdout.print(as_table(record))
    if failed:
        raise typer.Exit(1)


def expand(paths: Sequence[Path]) -> Iterator[Path]:
    """Yields the files named, and those below the folders named, in name order; hidden files are left out."""
    for path in paths:
        if path.is_dir():
            found = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith(".")]
            if not found:
                raise MediaNotFound(f"There is no file in the folder {path}.", "Name files, or a folder with files.")
            yield from found
        else:
            yield path


def identify_here(files: Sequence[Path], settings: Settings) -> Iterator[Record]:
    """Identifies in this process, with the models and the performer database of the data folder."""
    from pipelines.faces.identify import Identifier
    from pipelines.identify_media import identify_path
    from pipelines.parts import identify_options, open_engine, sampling_plan
    from pipelines.store.performers import PerformerDatabase

    engine = open_engine(settings)
    gallery = PerformerDatabase(settings.database_path).load(pack=engine.pack)
    identifier = Identifier(gallery, identify_options(settings))
    for file in files:
        yield identify_path(
            file,
            engine,
            identifier,
            sampling_plan(settings),
            max_megapixels=settings.max_image_megapixels,
            max_duration_s=settings.max_video_duration_s,
        )


def ask_server(files: Sequence[Path], url: str, settings: Settings) -> Iterator[Record]:
    """Has a running server identify the files."""
    from serve_app.client import ServerClient
    from serve_app.keys import load_or_create_key

    with ServerClient(url, load_or_create_key(settings), timeout_s=settings.request_timeout_s) as client:
        for file in files:
            yield client.identify_path(file, frames=settings.frames_per_scene, top_k=settings.top_k)


def as_table(record: Record) -> Table:
    """Returns the people of one file as a table for the terminal."""
    timing = record["timing_ms"].get("total")
    title = record["path"] if timing is None else f"{record['path']} ({timing / 1000:.2f} s)"
    table = Table(title=title, title_justify="left", show_edge=False)
    if record["error"]:
        table.add_column("error", style="red")
        table.add_row(f"{record['error']['message']} {record['error']['hint']}")
        return table
    for column in ("who", "sure", "distance", "faces", "when"):
        table.add_column(column)
    for person in record["people"]:
        table.add_row(
            person["name"],
            f"{100 * person['confidence']:.0f} %",
            f"{person['distance']:.3f}",
            str(person["faces"]),
            format_ranges(person["ranges"]),
        )
    for person in record["unknown"]:
        table.add_row("unknown", "", "", str(person["faces"]), format_ranges(person["ranges"]), style="dim")
    return table


def format_ranges(ranges: Sequence[Sequence[float]]) -> str:
    """Returns "0.5-3.2 s, 7.0-9.1 s"; empty for photos."""
    return ", ".join(f"{start:.1f}-{end:.1f} s" for start, end in ranges)
