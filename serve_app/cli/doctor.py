"""`stash-sense doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import typer
from rich.table import Table

from pipelines.errors import StashSenseError
from pipelines.settings import Settings, load_settings
from serve_app.cli.console import exit_on_error, stdout

FREE_SPACE_WARNING_GB = 2.0  # models of the largest pack take 0.3 GB, a database of 366,794 faces 0.8 GB
PACKAGES = ("ray", "onnxruntime", "faiss", "numpy", "decord2", "av", "pyarrow", "httpx")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check-up."""

    what: str
    state: Literal["ok", "note", "problem"]
    says: str


def doctor() -> None:
    """Check Python, packages, models, data folder, performer database, port and hardware."""
    with exit_on_error():
        findings = [finding for check in CHECKS for finding in check(load_settings())]
    table = Table(show_edge=False)
    for column in ("", "what", "finding"):
        table.add_column(column)
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[red]problem[/]"}
    for finding in findings:
        table.add_row(marks[finding.state], finding.what, finding.says)
    stdout.print(table)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _python(settings: Settings) -> Iterator[Finding]:  # noqa: ARG001 - all checks have one signature
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield Finding("Python", "ok" if good else "problem", version if good else f"{version}: use 3.11 or 3.12")


def _packages(settings: Settings) -> Iterator[Finding]:  # noqa: ARG001
    versions = []
    for name in PACKAGES:
        names = (name,) if name not in {"onnxruntime", "faiss"} else _variants(name)
        found = [f"{n} {v}" for n in names if (v := _version(n))]
        if len(found) > 1:
            yield Finding("packages", "problem", f"{' and '.join(found)} own the same files: uninstall one of them")
        versions.append(found[0] if found else f"{name} is missing")
    state: Literal["ok", "problem"] = "problem" if any("missing" in v for v in versions) else "ok"
    yield Finding("packages", state, ", ".join(versions))


def _variants(name: str) -> tuple[str, ...]:
    return ("faiss-cpu", "faiss-gpu") if name == "faiss" else ("onnxruntime", "onnxruntime-gpu")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _data_dir(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding("data", "problem", f"{folder}: {error.strerror}. Set STASH_SENSE_DATA_DIR to a writable folder.")
        return
    free_gb = shutil.disk_usage(folder).free / 1e9
    yield Finding("data", "ok" if free_gb > FREE_SPACE_WARNING_GB else "note", f"{folder}, {free_gb:.1f} GB free")


def _models(settings: Settings) -> Iterator[Finding]:
    from pipelines.faces.catalogue import get_pack
    from pipelines.models.library import ModelLibrary

    try:
        folder = ModelLibrary(settings.models_path).folder(get_pack(settings.pack))
    except StashSenseError as error:
        yield Finding("models", "problem", str(error))
        return
    yield Finding("models", "ok", f"{settings.pack} in {folder}")


def _database(settings: Settings) -> Iterator[Finding]:
    from pipelines.store.performers import PerformerDatabase

    try:
        manifest = PerformerDatabase(settings.database_path).manifest()
    except StashSenseError as error:
        yield Finding("performers", "note", str(error))
        return
    yield Finding("performers", "ok", f"{manifest.performers} performers, {manifest.faces} faces")


def _port(settings: Settings) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            yield Finding("port", "note", f"{settings.host}:{settings.port}: {error.strerror}")
            return
    yield Finding("port", "ok", f"{settings.host}:{settings.port} is free")


def _hardware(settings: Settings) -> Iterator[Finding]:
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    cuda = "CUDAExecutionProvider" in providers
    says = f"{os.cpu_count()} cores, {'CUDA' if cuda else 'no CUDA'}"
    if settings.gpus_per_replica and not cuda:
        yield Finding(
            "hardware", "problem", f"{says}: gpus_per_replica is {settings.gpus_per_replica}; see extra `gpu`"
        )
    else:
        yield Finding("hardware", "ok", says)


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _data_dir,
    _models,
    _database,
    _port,
    _hardware,
)
