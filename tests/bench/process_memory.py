"""Memory of a process and all its children, sampled while something runs."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

INTERVAL_S = 0.05


@dataclass
class TreeMemory:
    """What `watch_memory` saw, in MB of proportional set size: shared pages count once over the tree.

    Attributes:
        peak_mb, last_mb: most and latest.
        processes: processes of the tree at the peak.
        samples_mb: all samples in order.
    """

    peak_mb: float = 0.0
    last_mb: float = 0.0
    processes: int = 0
    samples_mb: list[float] = field(default_factory=list)


def tree_memory_mb(pid: int | None = None) -> tuple[float, int]:
    """Returns (MB, processes) of the process and its descendants; RSS where the system tells no PSS."""
    root = psutil.Process(pid or os.getpid())
    total_bytes, count = 0, 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total_bytes += _pss_bytes(process)
            count += 1
        except (psutil.Error, OSError):  # it ended meanwhile
            continue
    return total_bytes / 1e6, count


@contextmanager
def watch_memory(pid: int | None = None, interval_s: float = INTERVAL_S) -> Iterator[TreeMemory]:
    """Samples the tree of `pid` (this process when None) in a thread until the block ends."""
    seen, stop = TreeMemory(), threading.Event()

    def sample() -> None:
        while True:
            total_mb, count = tree_memory_mb(pid)
            seen.samples_mb.append(total_mb)
            seen.last_mb = total_mb
            if total_mb > seen.peak_mb:
                seen.peak_mb, seen.processes = total_mb, count
            if stop.wait(interval_s):
                return

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _pss_bytes(process: psutil.Process) -> int:
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return int(process.memory_info().rss)
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else int(process.memory_info().rss)
