"""The table and the JSON that every benchmark produces."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Options:
    """What a benchmark is given.

    Attributes:
        quick: small sizes, to see that the benchmark runs; its figures mean nothing.
        models: folder with the graphs of the `open` pack.
        eval_data: the larger evaluation set, if there is one on this machine.
        workdir: folder for generated files, kept between runs.
    """

    quick: bool
    models: Path
    eval_data: Path | None
    workdir: Path


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. `ratio` compares `value` with `baseline`, measured in the same run; its sense is in the metric."""

    metric: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    machine: str


def machine_name() -> str:
    """Returns processor architecture, cores and system of this machine, without its host name."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


@dataclass(slots=True)
class Report:
    """Collects measurements in order, prints them as a table and writes them as JSON."""

    name: str
    rows: list[Measurement] = field(default_factory=list)

    def add(
        self, metric: str, value: float, unit: str, *, baseline: float | None = None, ratio: float | None = None
    ) -> None:
        self.rows.append(Measurement(metric, value, unit, baseline, ratio, machine_name()))

    def print(self, console: Console) -> None:
        table = Table(title=f"{self.name} ({machine_name()})")
        for column in ("metric", "value", "unit", "baseline", "ratio"):
            table.add_column(column, justify="left" if column in {"metric", "unit"} else "right")
        for row in self.rows:
            table.add_row(row.metric, _figure(row.value), row.unit, _figure(row.baseline), _figure(row.ratio))
        console.print(table)

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps([asdict(row) for row in self.rows], indent=2) + "\n")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
