"""The command line `stash-sense`: serving, scanning, identifying, enrolling, looking after models and jobs.

Each command lives in a module of its own and imports what it needs when it runs, so `--help` answers at once.
"""

from __future__ import annotations

import typer


def build_cli() -> typer.Typer:
    """Returns the command line with every command mounted."""
    from serve_app.cli import (
        actions,
        database,
        doctor,
        enroll,
        evaluate,
        identify,
        jobs,
        models,
        recommendations,
        rematch,
        scan,
        status,
        up,
    )

    cli = typer.Typer(
        name="stash-sense",
        help="Who is in this scene, image or gallery: face identification beside Stash, on your own hardware.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    cli.command("up")(up.up)
    cli.command("identify")(identify.identify)
    cli.command("scan")(scan.scan)
    cli.command("rematch")(rematch.rematch)
    cli.command("status")(status.status)
    cli.command("doctor")(doctor.doctor)
    cli.add_typer(enroll.app, name="enroll")
    cli.add_typer(database.app, name="database")
    cli.add_typer(jobs.app, name="jobs")
    cli.add_typer(recommendations.app, name="recommendations")
    cli.add_typer(actions.app, name="actions")
    cli.add_typer(models.app, name="models")
    cli.add_typer(evaluate.app, name="eval")
    return cli


def main() -> None:
    """Entry point of `stash-sense`. Exit code 0 only if everything that was asked for was done."""
    build_cli()()
