"""What every command prints with: tables to stdout, progress and errors to stderr, in one shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipelines.errors import StashSenseError

FILE_WIDTH = 140
"""Columns of tables that go to a file or a pipe, where there is no terminal to fit."""

stdout = Console(highlight=False)
if not stdout.is_terminal:
    stdout = Console(highlight=False, width=FILE_WIDTH)
stderr = Console(stderr=True, highlight=False)


def print_error(error: StashSenseError) -> None:
    """Prints what was wrong and what to do."""
    stderr.print(f"[bold red]{error.as_dict()['error']}[/]", end=" ")
    stderr.print(error.message, markup=False, soft_wrap=True)
    if error.hint:
        stderr.print(error.hint, markup=False, soft_wrap=True)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turns a named error or a wrong setting into a message and exit code 1; anything else keeps its traceback."""
    try:
        yield
    except StashSenseError as error:
        print_error(error)
        raise typer.Exit(1) from None
    except ValidationError as error:
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            stderr.print(f"[bold red]bad_setting[/] STASH_SENSE_{key.upper()}:", problem["msg"], markup=True)
        raise typer.Exit(1) from None


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar on stderr; yields it and its task id."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        yield bar, bar.add_task(description, total=total)
