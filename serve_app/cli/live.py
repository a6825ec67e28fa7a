"""Live progress of a long run in one of three shapes: a bar, plain lines where there is no terminal, JSON lines.

Lives here: how a run that is under way is shown. What is running, here or on a server, is not known here: it hands
over records with the keys of `Shown`, as often as it likes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypedDict

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from serve_app.cli.console import stderr

LINE_INTERVAL_S = 5.0
"""Plain lines end up in log files: one in so many seconds, and one when the work is done."""
JSON_INTERVAL_S = 1.0


class Shown(TypedDict, total=False):
    """What is shown of a run; a key that is missing is not shown.

    done, total: contents. rate_per_s: contents a second. eta_s: seconds left. failed: contents by reason.
    """

    done: int
    total: int | None
    rate_per_s: float
    eta_s: float | None
    failed: Mapping[str, int]
    faces: int
    frames: int


class Live(Protocol):
    """Takes what a run says about itself."""

    def show(self, now: Mapping[str, Any]) -> None: ...


@contextmanager
def live(title: str, *, as_json: bool) -> Iterator[Live]:
    """Yields what shows the run, in the shape that fits: JSON to stdout when asked for, else to stderr."""
    if as_json:
        yield JsonLines()
    elif stderr.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TextColumn("[red]{task.fields[failures]}[/]"),
        )
        with Progress(*columns, console=stderr, transient=True) as bar:
            yield Bar(bar, title)
    else:
        yield PlainLines(title)


class Bar:
    """A bar with done, rate, time left and failures by reason."""

    def __init__(self, bar: Progress, title: str) -> None:
        self._bar = bar
        self._task = bar.add_task(title, total=None, pace="", failures="")

    def show(self, now: Mapping[str, Any]) -> None:
        self._bar.update(
            self._task,
            completed=now.get("done", 0),
            total=now.get("total"),
            pace=pace(now),
            failures=failures(now.get("failed")),
        )


class PlainLines:
    """A line now and then, and always one for the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._next = _EveryFew(LINE_INTERVAL_S)

    def show(self, now: Mapping[str, Any]) -> None:
        if not self._next.due(now):
            return
        done, total = now.get("done", 0), now.get("total")
        counted = f"{done}" if total is None else f"{done} of {total}"
        parts = (f"{self._title}: {counted}", pace(now), failures(now.get("failed")))
        stderr.print(", ".join(filter(None, parts)), markup=False, soft_wrap=True)


class JsonLines:
    """One JSON object a line: {"event": "progress", ...}; no more than one a second, and always the last one."""

    def __init__(self) -> None:
        self._next = _EveryFew(JSON_INTERVAL_S)

    def show(self, now: Mapping[str, Any]) -> None:
        if self._next.due(now):
            typer.echo(json.dumps({"event": "progress", **now}))


class _EveryFew:
    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last_s: float | None = None
        self._last: Mapping[str, Any] = {}

    def due(self, now: Mapping[str, Any]) -> bool:
        """Whether this is to be printed: the first, one after the interval, or the last of all work."""
        total = now.get("total")
        complete = total is not None and now.get("done") == total
        waited = self._last_s is None or time.monotonic() - self._last_s >= self._interval_s
        if dict(now) == self._last or not (waited or complete):
            return False
        self._last, self._last_s = dict(now), time.monotonic()
        return True


def pace(now: Mapping[str, Any]) -> str:
    """Returns "1.4/s, 2 min 14 s left"; empty where nothing is known yet."""
    rate, eta_s = now.get("rate_per_s"), now.get("eta_s")
    parts = [f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"] if rate else []
    if eta_s is not None and now.get("done") != now.get("total"):
        parts.append(f"{duration(eta_s)} left")
    return ", ".join(parts)


def failures(failed: Mapping[str, int] | None) -> str:
    """Returns "3 failed (media_corrupt 2, media_empty 1)"; empty when none did."""
    if not failed:
        return ""
    by_number = sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    return f"{sum(failed.values())} failed ({', '.join(f'{reason} {number}' for reason, number in by_number)})"


def duration(seconds: float) -> str:
    """Returns "8 s", "2 min 14 s", "3 h 5 min" or "2 d 4 h"."""
    whole = round(seconds)
    for large, small, name, rest in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            return f"{whole // large} {name} {whole % large // small} {rest}"
    return f"{whole} s"
