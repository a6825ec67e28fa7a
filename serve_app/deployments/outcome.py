"""Named errors travel between deployments as values.

What a replica raises is logged by Serve with its whole traceback, twice; a damaged upload is no fault of the replica.
So methods that are called by handle return a named error, and `unwrap` raises it on the other side.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pipelines.errors import StashSenseError

P = ParamSpec("P")
R = TypeVar("R")


def returns_errors(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R | StashSenseError]]:
    """Decorates a method of a deployment: named errors are returned, others raised."""

    @wraps(method)
    async def outcome(*args: P.args, **kwargs: P.kwargs) -> R | StashSenseError:
        try:
            return await method(*args, **kwargs)
        except StashSenseError as error:
            return error.with_traceback(None)

    return outcome


def unwrap(outcome: Any) -> Any:
    """Returns what a deployment answered; raises it when it is a named error."""
    if isinstance(outcome, StashSenseError):
        raise outcome
    return outcome
