"""`stash-sense recommendations`: what was found, straight from the store, whether a server runs or not.

Finding them and doing something about them are jobs of the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.analyzers.registry import INFORMATIONAL
from pipelines.errors import InputError, NotWritable
from pipelines.settings import Settings, load_settings
from pipelines.store.recommendation_records import STATUSES, Recommendation, RecommendationFilter
from serve_app.cli.console import exit_on_error, stdout

if TYPE_CHECKING:  # SQLAlchemy is imported when a command runs
    from pipelines.store.recommendations import RecommendationStore

app = typer.Typer(help="Look at what was found; dismiss it, take that back.", no_args_is_help=True)
Types = Annotated[list[str] | None, typer.Option("--type", help="Only of this type; repeat for more.")]
Statuses = Annotated[list[str] | None, typer.Option("--status", help=f"Only these: {', '.join(STATUSES)}.")]
Text = Annotated[str, typer.Option("--text", help="Words in title, reasons, names or paths.")]
Least = Annotated[float | None, typer.Option("--min-confidence", min=0, max=100, help="At least so sure, 0..100.")]
Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="By id; else by the options.")]


@app.command("list")
def list_recommendations(
    *,
    types: Types = None,
    status: Statuses = None,
    text: Text = "",
    min_confidence: Least = None,
    sort: Annotated[str, typer.Option(help="confidence, newest, oldest or title.")] = "confidence",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show recommendations; those that are pending, by default."""
    with exit_on_error(), recommendation_store(load_settings()) as kept:
        wanted = _filter(types, status or ["pending"], text, min_confidence)
        page = kept.page(wanted, sort=sort, limit=limit)  # type: ignore[arg-type] # checked there
        if as_json:
            for one in page.recommendations:
                typer.echo(json.dumps(asdict(one), default=_text))
            return
        stdout.print(_table(page.recommendations))
        stdout.print(f"{len(page.recommendations):,} of {page.total:,}")


@app.command()
def counts(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show how many there are by type and status."""
    with exit_on_error(), recommendation_store(load_settings()) as kept:
        found = kept.counts()
        if as_json:
            typer.echo(json.dumps(found))
            return
        table = Table("type", *STATUSES, show_edge=False)
        for type_id, numbers in found.items():
            table.add_row(type_id, *(f"{numbers[status]:,}" for status in STATUSES))
        stdout.print(table)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .csv or .parquet.")],
    *,
    types: Types = None,
    status: Statuses = None,
    text: Text = "",
    min_confidence: Least = None,
) -> None:
    """Write recommendations with all their details as CSV or Parquet."""
    with exit_on_error(), recommendation_store(load_settings()) as kept:
        from pipelines.durable import rename_synced
        from pipelines.store.recommendation_export import exported

        form = file.suffix.removeprefix(".")
        if form not in {"csv", "parquet"}:
            raise InputError(f"{file.name} is neither CSV nor Parquet.", "Name a file that ends in .csv or .parquet.")
        pieces = exported(kept.all(_filter(types, status or [], text, min_confidence)), form)  # type: ignore[arg-type]
        partial = file.with_name(f".{file.name}.partial")
        try:
            with partial.open("wb") as out:
                out.writelines(pieces)
            rename_synced(partial, file)
        except OSError as error:
            raise NotWritable(f"{file} cannot be written: {error.strerror}.", "Choose another folder.") from error
        finally:
            partial.unlink(missing_ok=True)
        stdout.print(str(file), soft_wrap=True)


@app.command()
def dismiss(
    ids: Ids = None,
    *,
    types: Types = None,
    text: Text = "",
    min_confidence: Least = None,
    forever: Annotated[bool, typer.Option("--forever", help="Also after it has changed.")] = False,
    reason: Annotated[str, typer.Option(help="Free text, for you.")] = "",
) -> None:
    """Dismiss recommendations until they change, or for ever."""
    with exit_on_error(), recommendation_store(load_settings()) as kept:
        if not (ids or types or text or min_confidence is not None):
            raise InputError("Nothing is named.", "Give ids, or --type, --text or --min-confidence.")
        chosen = ids or _filter(types, [], text, min_confidence)
        done = kept.dismiss(chosen, "forever" if forever else "until_changed", reason)
        undo = f" `stash-sense recommendations restore --batch {done.batch}` takes it back." if done.batch else ""
        stdout.print(f"{done.changed:,} dismissed.{undo}")


@app.command()
def restore(
    ids: Ids = None,
    *,
    batch: Annotated[str | None, typer.Option(help="Take back exactly this dismissal.")] = None,
    types: Types = None,
) -> None:
    """Take dismissals back: of ids, of one dismissal of many, or all of a type."""
    with exit_on_error(), recommendation_store(load_settings()) as kept:
        if sum(map(bool, (ids, batch, types))) != 1:
            raise InputError("Nothing is named, or too much.", "Give ids, --batch or --type.")
        done = kept.restore_batch(batch) if batch else kept.restore(ids or _filter(types, [], "", None))
        stdout.print(f"{done.changed:,} pending again.")


@contextmanager
def recommendation_store(settings: Settings) -> Iterator[RecommendationStore]:
    """The recommendations of this data folder. Raises StoreUnreachable, StoreTooNew."""
    from pipelines.store.recommendations import RecommendationStore
    from pipelines.store.sql import open_store

    store = open_store(settings.store_url)
    try:
        yield RecommendationStore(store)
    finally:
        store.close()


def _filter(
    types: list[str] | None, statuses: list[str], text: str, min_confidence: float | None
) -> RecommendationFilter:
    given: Any = tuple(statuses)
    without = () if types else INFORMATIONAL
    return RecommendationFilter(tuple(types or ()), given, q=text, min_confidence=min_confidence, without_types=without)


def _table(found: list[Recommendation]) -> Table:
    table = Table("id", "type", "about", "sure", "what", "why", show_edge=False)
    for one in found:
        about, sure = f"{one.target_type} {one.target_id}", f"{one.confidence:.0f}"
        table.add_row(str(one.id), one.type, about, sure, escape(one.title), escape(one.reason or one.summary))
    return table


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
