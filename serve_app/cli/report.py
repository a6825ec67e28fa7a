"""The HTML report of an identification run: face crops, names, and when each person is seen.

One self-contained file: crops are embedded, nothing is loaded from elsewhere. File names and people's names are
escaped by Jinja2.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2


@dataclass(frozen=True, slots=True)
class ReportPerson:
    """One row of a video's card; `name` is empty for an unknown person, `crop` a base64 JPEG or empty."""

    name: str
    confidence: float
    faces: int
    ranges: tuple[tuple[float, float], ...]
    crop: str


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """One video's card; with `error` ({error, message, hint}) nothing else is shown."""

    name: str
    duration_s: float
    total_ms: float
    people: list[ReportPerson]
    unknown: list[ReportPerson]
    error: dict[str, str] | None = None


def machine_name() -> str:
    """Returns cores and processor architecture, without the host's name."""
    return f"{os.cpu_count()} cores, {platform.machine()}"


def render_report(results: Sequence[ReportEntry], *, enrolled: int, elapsed_s: float, pack: str) -> str:
    """Returns the report as one HTML document."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("serve_app.cli", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    values: dict[str, Any] = {
        "results": results,
        "enrolled": enrolled,
        "elapsed_s": elapsed_s,
        "pack": pack,
        "machine": machine_name(),
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment.get_template("report.html.j2").render(values)


def write_report(path: Path, document: str) -> None:
    """Writes the document in one step: a reader sees the old report or the new one."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".html", delete=False, encoding="utf-8") as file:
        file.write(document)
    Path(file.name).replace(path)
