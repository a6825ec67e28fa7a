"""The API key: made once and kept in one file.

Servers keep only the key's digest, so the key itself is in no process but the one that reads the file.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from pipelines.errors import NotWritable
from pipelines.settings import Settings

KEY_FILE = "api-key"


def load_or_create_key(settings: Settings) -> str:
    """Returns the API key in force: the setting, else the key file, which is made (mode 0600) when it is not there.

    Raises NotWritable when the file cannot be made or read.
    """
    if settings.api_key:
        return settings.api_key
    path = settings.data_dir / KEY_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(path)
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise NotWritable(
            f"The key file {path} cannot be made or read: {error.strerror}.",
            "Set STASH_SENSE_DATA_DIR to a folder of your own.",
        ) from error
    if not key:
        raise NotWritable(f"The key file {path} is empty.", "Delete it; the next start makes a new key.")
    return key


def digest(key: str) -> str:
    """Returns the sha256 of a key, hex: what servers compare with."""
    return hashlib.sha256(key.encode()).hexdigest()


def _create(path: Path) -> None:
    """Makes the key file with all of its content in one step; leaves one that is there alone."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, fails when the file is there
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
