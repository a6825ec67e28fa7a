"""Who performs an action: a process, by host, number and start, so that others can tell whether it is still alive."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from functools import cache

import psutil

FOREIGN_FOR = timedelta(minutes=5)
"""An action of another machine is taken for dead when nothing was noted of it for so long; a write takes 30 s."""

ACTIVE: set[int] = set()
"""Actions that this very process performs or undoes now."""


@cache
def me() -> str:
    process = psutil.Process()
    return f"{socket.gethostname()}|{process.pid}|{process.create_time():.2f}"


def is_alive(owner: str, action_id: int, touched_at: datetime) -> bool:
    """Whether somebody is still at work on an action."""
    if owner == me():
        return action_id in ACTIVE
    host, pid, started = owner.split("|")
    if host != socket.gethostname():
        return datetime.now(UTC) - touched_at < FOREIGN_FOR
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except psutil.NoSuchProcess:
        return False
