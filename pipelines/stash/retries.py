"""When a request to Stash is tried again, how often and after how long.

A request that has certainly not been carried out (no connection, 429, a locked database) is always worth another try.
One that may have been carried out (silence after it was sent, 5xx) only if carrying it out twice does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_before_delay

from pipelines.errors import StashError
from pipelines.stash.limiter import Priority

log = logging.getLogger(__name__)


class TryAgain(Exception):
    """Another try may help; `error` is what the caller sees when there is none.

    Attributes:
        carried_out: False when the server has certainly not carried the request out.
        after_s: seconds that the server asked to wait.
        too_often: the server said that it is asked too often.
    """

    def __init__(self, error: StashError, *, carried_out: bool, after_s: float = 0.0, too_often: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.carried_out = carried_out
        self.after_s = after_s
        self.too_often = too_often


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is.

    Attributes:
        attempts: tries by priority: a person waits for an interactive one, batch work outlasts a restart of Stash.
        total_s: no try begins later than so long after the first, by priority.
        first_wait_s: before the second try; doubles with each further one.
        longest_wait_s: the most before one try, unless the server asks for more.
    """

    attempts: Mapping[Priority, int] = field(
        default_factory=lambda: {Priority.INTERACTIVE: 3, Priority.BATCH: 10}, hash=False
    )
    total_s: Mapping[Priority, float] = field(
        default_factory=lambda: {Priority.INTERACTIVE: 15.0, Priority.BATCH: 300.0}, hash=False
    )
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0

    def trying(self, priority: Priority, *, repeatable: bool) -> AsyncRetrying:
        """Returns the tries of one request; `repeatable`: carrying it out twice does no harm."""

        def again(error: BaseException) -> bool:
            return isinstance(error, TryAgain) and (repeatable or not error.carried_out)

        return AsyncRetrying(
            stop=stop_after_attempt(self.attempts[priority]) | stop_before_delay(self.total_s[priority]),
            wait=self._wait,
            retry=retry_if_exception(again),
            before_sleep=_say,
            reraise=True,
        )

    def _wait(self, state: RetryCallState) -> float:
        doubled_s: float = self.first_wait_s * 2 ** (state.attempt_number - 1)
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.after_s if isinstance(error, TryAgain) else 0.0
        return max(min(self.longest_wait_s, doubled_s), asked_s)


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, TryAgain):
        log.warning("%s Trying again in %.1f s.", error.error.message, state.upcoming_sleep)


def retry_after_s(text: str | None) -> float:
    """Returns the seconds of a Retry-After header, a number or a date; 0.0 when there is none or it makes no sense."""
    if not text:
        return 0.0
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
