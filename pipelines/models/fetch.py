"""Downloading a model file: `pipelines.transfer` with the room, the digests and the words of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pipelines.errors import ModelChecksumMismatch, ModelFetchFailed
from pipelines.faces.packs import ModelFile
from pipelines.models.files import Progress, is_genuine, no_progress, require_space
from pipelines.transfer import PATIENT, Failures, FetchOptions, Part, Transfer, transfer

FAILURES = Failures(
    broken=ModelFetchFailed,
    other=ModelChecksumMismatch,
    disk=ModelFetchFailed,
    retry_hint="Check the network, name another mirror with --mirror URL, or use files you have with --from DIR.",
    missing_hint="Check the mirror's base URL: the files lie directly below it, under their own names. "
    "Or use files you have with --from DIR.",
    other_hint="Nothing of it was kept. Name another mirror with --mirror URL, or use files you have with --from DIR.",
)


def mirror_url(base: str, name: str) -> str:
    """Returns the URL of a file below a mirror's base URL."""
    return f"{base.rstrip('/')}/{quote(name)}"


@dataclass(frozen=True, slots=True)
class Fetching:
    """How something is fetched: who is told of progress, who may stop it, and how patient it is."""

    progress: Progress = no_progress
    should_stop: Callable[[], bool] = lambda: False
    options: FetchOptions = PATIENT


PLAINLY = Fetching()


def download(url: str, destination: Path, expected: ModelFile, fetching: Fetching = PLAINLY) -> Path:
    """Downloads `url` to `destination` and returns it; the file appears whole and verified, or not at all.

    Raises ModelFetchFailed when the server cannot be reached, keeps failing or has no such file, or the disk is
    full; ModelChecksumMismatch when the content is not what `expected` pins; Stopped, after which it goes on.
    """
    kept_bytes = Part(destination, url).size_bytes
    require_space(destination.parent, expected.size_bytes - kept_bytes)
    wanted = Transfer(
        url=url,
        name=expected.name,
        size_bytes=expected.size_bytes,
        max_bytes=expected.size_bytes,
        is_genuine=lambda path: is_genuine(path, expected),
        failures=FAILURES,
        progress=fetching.progress,
        should_stop=fetching.should_stop,
    )
    return transfer(wanted, destination, fetching.options)
