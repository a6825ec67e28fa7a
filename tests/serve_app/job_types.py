"""Job types of the tests: real functions that the real engine runs in real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.errors import StashUnreachable
from pipelines.jobs import JobContext, JobType
from pipelines.settings import Settings


class CountParams(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    to: int = 3
    step_s: float = 0.05
    crashes: int = 0
    """Runs that end by a crash in the middle."""


def notes(settings: Settings, name: str) -> Path:
    return settings.data_dir / f"{name}.notes"


def note(context: JobContext, name: str, text: str) -> None:
    """Adds a line that survives whatever happens to the process."""
    with notes(context.settings, name).open("a") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())


def lines(settings: Settings, name: str) -> list[str]:
    path = notes(settings, name)
    return path.read_text().splitlines() if path.exists() else []


def count(context: JobContext) -> dict[str, Any]:
    """Counts, remembers each number on disk, and goes on where an earlier run was."""
    note(context, "runs", str(os.getpid()))
    done = len(lines(context.settings, "numbers"))
    for number in range(done, context.params.to):
        if context.stop_requested():
            return {"stopped_at": number}
        time.sleep(context.params.step_s)
        note(context, "numbers", str(number))
        context.progress(number + 1, context.params.to, {"even": number // 2 + 1})
        if number == context.params.to // 2 and len(lines(context.settings, "runs")) <= context.params.crashes:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"counted": context.params.to}


def stubborn(context: JobContext) -> dict[str, Any]:
    note(context, "stubborn", str(os.getpid()))
    time.sleep(600)
    return {}


def crash(_: JobContext) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def broken(_: JobContext) -> dict[str, Any]:
    raise StashUnreachable("Stash does not answer.", "Start it.")


def fault(_: JobContext) -> dict[str, Any]:
    raise ZeroDivisionError("cannot divide by zero")


def unwritable(_: JobContext) -> dict[str, Any]:
    return {"a": object()}


def due(settings: Settings) -> str | None:
    path = settings.data_dir / "due"
    return path.read_text() if path.exists() else None


def due_by_type(settings: Settings) -> dict[str, str]:
    asked = settings.data_dir / "asked"
    asked.write_text(f"{asked.read_text() if asked.exists() else ''}x")
    return {"polite": "a scan", "polite_too": "a scan"}


HERE = "tests.serve_app.job_types"
POLITE = ("stubborn", "polite", "polite_too")
TYPES = {
    kind.id: kind
    for kind in (
        JobType("count", "Count", "", f"{HERE}:count", params=CountParams, default_interval_hours=1, intervals=(1,)),
        JobType("stubborn", "Ignores its stop", "", f"{HERE}:stubborn"),
        JobType("crash", "Crashes", "", f"{HERE}:crash"),
        JobType("once", "Crashes and cannot go on", "", f"{HERE}:crash", resumable=False),
        JobType("broken", "Named error", "", f"{HERE}:broken"),
        JobType("fault", "Other error", "", f"{HERE}:fault"),
        JobType("unwritable", "Gives no JSON", "", f"{HERE}:unwritable"),
        JobType("absent", "No such function", "", f"{HERE}:no_such_function"),
        JobType("giant", "Fits nowhere", "", f"{HERE}:count", params=CountParams, resources={"CPU": 1000}),
        JobType("hog", "Takes all", "", f"{HERE}:stubborn", resources={"CPU": 2}),
        JobType("small", "Needs one", "", f"{HERE}:broken", workers={"CPU": 1}, priority=100),
        *(
            JobType(name, name, "", f"{HERE}:broken", due=f"{HERE}:due_by_type", due_priority=100, yields_to=POLITE)
            for name in ("polite", "polite_too", "polite_never")
        ),
        JobType("when_due", "Due by itself", "", f"{HERE}:broken", due=f"{HERE}:due"),
    )
}
