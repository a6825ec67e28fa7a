"""The time that work on one source may take."""

from __future__ import annotations

import time

from pipelines.errors import MediaTimeout


class Deadline:
    """The moment at which work on one source must have ended. `what` names the source in the error."""

    def __init__(self, timeout_s: float, what: str) -> None:
        self.timeout_s = timeout_s
        self._what = what
        self._end = time.monotonic() + timeout_s

    def restart(self) -> None:
        """Counts from now on."""
        self._end = time.monotonic() + self.timeout_s

    @property
    def left_s(self) -> float:
        return self._end - time.monotonic()

    def check(self) -> None:
        """Raises MediaTimeout once the time is over."""
        if self.left_s <= 0:
            raise self.error()

    def error(self) -> MediaTimeout:
        return MediaTimeout(
            f"{self._what}: reading took longer than {self.timeout_s:g} s.", "Raise the time limit or skip the file."
        )
