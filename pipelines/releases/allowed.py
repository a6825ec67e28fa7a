"""Which bundles on this machine a request may name: those below `allowed_roots` and in <data_dir>/uploads."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import InputError, PathNotAllowed
from pipelines.settings import Settings

UPLOADS = "uploads"


def allowed_release(path: str, settings: Settings) -> Path:
    """Returns the bundle's zip or folder, symbolic links followed; a relative path is one of the uploads.

    Raises PathNotAllowed, whether it exists or not, for a path outside the folders; InputError when there is nothing.
    """
    uploads = settings.data_dir / UPLOADS
    refused = PathNotAllowed(
        "The path is outside the folders that requests may name.",
        f"Put the release into {uploads}, or add its folder to the setting allowed_roots.",
    )
    if "\0" in path:
        raise refused
    try:
        real = (uploads / path).resolve()
        roots = [root.resolve() for root in (uploads, *settings.allowed_roots)]
    except (OSError, RuntimeError) as error:  # loops of links, names that are too long
        raise refused from error
    if not any(real.is_relative_to(root) for root in roots):
        raise refused
    if not real.exists():
        raise InputError(f"There is no file {path}.", f"Releases may be put into {uploads}.")
    return real
