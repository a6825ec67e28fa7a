"""A process that ends itself by SIGKILL before its n-th change on disk."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any


def kill_before(number: int, operations: Sequence[str]) -> None:
    """From now on the `number`th call of any of these functions of `os` ends this process instead."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **more)

        return call

    for name in operations:
        setattr(os, name, counted(getattr(os, name)))
