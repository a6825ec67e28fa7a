"""One process at a time works on a folder of the data folder: everybody else waits, or is told to stop waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.errors import NotWritable

_POLL_S = 0.2


@contextmanager
def alone_in(folder: Path, should_stop: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """Holds the folder's lock inside the block; makes the folder. The system lets go of what a dead process held.

    Gives False, and holds nothing, when `should_stop` says so before the lock is free. Raises NotWritable.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _acquired(lock, should_stop)
    except OSError as error:
        raise NotWritable(f"{folder} cannot be written: {error}.", "Choose another data folder.") from error
    try:
        yield held
    finally:
        lock.release()


def _acquired(lock: FileLock, should_stop: Callable[[], bool]) -> bool:
    while True:
        try:
            lock.acquire(timeout=_POLL_S)
            return True
        except Timeout:
            if should_stop():
                return False
