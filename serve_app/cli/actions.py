"""`stash-sense actions`: what was done in Stash, straight from the log; and taking something back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, stdout

if TYPE_CHECKING:  # SQLAlchemy is imported when a command runs
    from pipelines.store.actions import ActionRecord, ActionStore
    from pipelines.store.sql import Store

app = typer.Typer(help="Look at what was done in Stash, and take it back.", no_args_is_help=True)
ActionId = Annotated[int, typer.Argument(metavar="ACTION")]


@app.command("list")
def list_actions(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show the newest actions."""
    with exit_on_error(), action_store(load_settings()) as actions:
        found = actions.newest(limit=limit)
        if as_json:
            for one in found:
                typer.echo(json.dumps(_summary(one)))
        else:
            stdout.print(_table(found))


@app.command()
def show(
    action_id: ActionId,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show one action: what it changed, and what an undo brings back."""
    with exit_on_error(), action_store(load_settings()) as actions:
        one = actions.get(action_id)
        if as_json:
            more = {"params": one.params, "changes": one.changes, "before": one.before, "undo_report": one.undo_report}
            typer.echo(json.dumps({**_summary(one), **more}))
            return
        stdout.print(f"{one.id} {one.title} ({_state(one)})", markup=False)
        for change in one.changes:
            what = f"{change['entity']} {change['entity_id']} {change['field']}"
            stdout.print(f"  {what}: {change['before']} -> {change['after']}", markup=False)
        for note in one.not_undone:
            stdout.print(f"  {note}", markup=False)
        _print_report(one)


@app.command()
def undo(action_id: ActionId) -> None:
    """Put back what an action changed, as far as nobody has changed it since."""
    from pipelines.actions import undo as take_back
    from pipelines.stash.connect import open_library

    settings = load_settings()

    async def work(store: Store) -> ActionRecord:
        async with open_library(settings) as library:
            return await take_back(library, store, action_id)

    with exit_on_error(), action_store(settings) as actions:
        one = asyncio.run(work(actions.store))
        stdout.print(f"Action {one.id} is {_state(one)}.")
        _print_report(one)
    if one.undo_state != "undone":
        raise typer.Exit(1)


@contextmanager
def action_store(settings: Settings) -> Iterator[ActionStore]:
    """The log of this data folder. Raises StoreUnreachable, StoreTooNew."""
    from pipelines.store.actions import ActionStore
    from pipelines.store.sql import open_store

    store = open_store(settings.store_url)
    try:
        yield ActionStore(store)
    finally:
        store.close()


def _state(one: ActionRecord) -> str:
    return one.undo_state or one.state


def _print_report(one: ActionRecord) -> None:
    report = one.undo_report or {}
    for restored in report.get("restored", ()):
        made = f" as {restored['made_id']}" if "made_id" in restored else ""
        said = f"  restored: {restored['entity']} {restored['entity_id']} {restored['field']}{made}"
        stdout.print(said, markup=False)
    for name in ("conflicts", "lost"):
        for sentence in report.get(name, ()):
            stdout.print(f"  {name}: {sentence}", markup=False)


def _summary(one: ActionRecord) -> dict[str, Any]:
    names = ("id", "action", "state", "title", "undoable", "recommendation_id", "job_id", "error_message", "undo_state")
    return {**{name: getattr(one, name) for name in names}, "created_at": one.created_at.isoformat()}


def _table(found: list[ActionRecord]) -> Table:
    table = Table(show_edge=False)
    for column in ("action", "type", "state", "when", "what", "says"):
        table.add_column(column)
    for one in found:
        when = f"{one.created_at.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(str(one.id), one.action, _state(one), when, one.title, one.error_message or "")
    return table
