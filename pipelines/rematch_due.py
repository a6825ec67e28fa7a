"""Whether stored matches are out of date as a whole: another performer database, or other rules of naming.

Lives here: the marker that a complete re-match leaves, and the question that the supervisor of jobs asks every few
seconds, so nothing heavy may be imported. Single contents that are out of date are found by `rematch` itself.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.durable import rename_synced
from pipelines.match_options import options_digest
from pipelines.settings import Settings

MARKER = "current.json"


class MatchMarker(BaseModel):
    """matches/current.json: what everything was last matched with.

    Attributes:
        file: name of the Parquet file beside the marker.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_version: str
    options_digest: str
    file: str


def due(settings: Settings) -> str | None:
    """Returns why all scans should be matched now, None when they need not. Raises PackUnknown."""
    version = enrolled_version(settings)
    if version is None or not (settings.scans_path / "dataset.json").exists():
        return None
    marker = read_marker(settings.matches_path)
    if marker is None:
        return f"nothing was matched with the performer database {version} yet"
    if marker.database_version != version:
        return f"the performer database changed from {marker.database_version} to {version}"
    digest = options_digest(settings)
    return None if marker.options_digest == digest else f"how people are named has changed to {digest}"


def enrolled_version(settings: Settings) -> str | None:
    """Returns the id of the current performer database, None when there is none."""
    try:
        return (settings.database_path / "current").read_text().strip()
    except FileNotFoundError:
        return None


def read_marker(folder: Path) -> MatchMarker | None:
    """Returns the marker; None where there is none, it cannot be read or its file is gone: then all is due."""
    try:
        marker = MatchMarker.model_validate_json((folder / MARKER).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return marker if (folder / marker.file).is_file() else None


def write_marker(folder: Path, marker: MatchMarker) -> None:
    """Replaces the marker at once."""
    partial = folder / f".{MARKER}.partial"
    partial.write_text(marker.model_dump_json() + "\n")
    rename_synced(partial, folder / MARKER)
