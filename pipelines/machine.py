"""What this machine gives to this process."""

from __future__ import annotations

import os


def cores() -> int:
    """Returns how many cores this process may use, at least 1; a container's CPU quota is not looked at."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
