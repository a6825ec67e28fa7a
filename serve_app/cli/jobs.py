"""`stash-sense jobs`: what is queued, running and done, straight from the store, whether a server runs or not.

A job is run by the server alone: what is stopped or tried again here is done by it, now or when it starts next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, stdout
from serve_app.cli.follow import FAILED
from serve_app.cli.live import duration, failures

if TYPE_CHECKING:  # SQLAlchemy is imported when a command runs
    from pipelines.store.jobs import Job, JobStore

app = typer.Typer(help="Look at the jobs of the server; stop them, try them again.", no_args_is_help=True)


@app.command("list")
def list_jobs(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show the newest jobs."""
    from pipelines.store.jobs import as_json as record

    with exit_on_error(), job_store(load_settings()) as jobs:
        found = jobs.list(limit=limit)
        if as_json:
            for job in found:
                typer.echo(json.dumps(record(job)))
        else:
            stdout.print(jobs_table(found))


@app.command()
def stop(job_id: Annotated[int, typer.Argument(metavar="JOB")]) -> None:
    """Stop a running job, or take a waiting one out of the queue."""
    with exit_on_error(), job_store(load_settings()) as jobs:
        queued = jobs.get(job_id).state == "queued"
        job = jobs.cancel(job_id) if queued else jobs.request_stop(job_id)
        stdout.print(f"Job {job.id} ({job.type}) is {job.state}.")


@app.command()
def retry(job_id: Annotated[int, typer.Argument(metavar="JOB")]) -> None:
    """Queue a job again that failed, was stopped or cancelled."""
    with exit_on_error(), job_store(load_settings()) as jobs:
        job = jobs.retry(job_id)
        stdout.print(f"Job {job.id} ({job.type}) is {job.state}; a running server begins it.")


@contextmanager
def job_store(settings: Settings) -> Iterator[JobStore]:
    """The jobs of this data folder. Raises StoreUnreachable, StoreTooNew."""
    from pipelines.store.jobs import JobStore
    from pipelines.store.sql import open_store

    store = open_store(settings.store_url)
    try:
        yield JobStore(store)
    finally:
        store.close()


def _failures(job: Job) -> str:
    return failures({k.removeprefix(FAILED): v for k, v in job.counts.items() if k.startswith(FAILED)})


def jobs_table(jobs: list[Job]) -> Table:
    """Returns one row a job: how far it is, how long it took, what went wrong."""
    table = Table(show_edge=False)
    for column in ("job", "type", "state", "done", "began", "took", "says"):
        table.add_column(column)
    for job in jobs:
        began, ended = job.started_at, job.ended_at
        counted = f"{job.done}" if job.total is None else f"{job.done} of {job.total}"
        table.add_row(
            str(job.id),
            job.type,
            job.state,
            counted,
            f"{began.astimezone():%Y-%m-%d %H:%M}" if began else "",
            duration((ended - began).total_seconds()) if began and ended else "",
            job.error_message or job.waiting_for or _failures(job),
        )
    return table
