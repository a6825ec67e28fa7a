"""A content that may end the process that looks at it, looked at in a process of its own.

A worker that dies is started again, and finds the mark of the content that it died at. That content may be poison (a
decoder that crashes, memory without end) or innocent (somebody killed the worker). So it is given to a child process:
if that dies too, by a signal that its parent outlives to see, the content becomes a failed scan.

    python -m pipelines.scan_isolated     reads a pickled job from its input, writes the pickled scan to its output
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

from pipelines.scan_content import failed_scan
from pipelines.scan_manifest import ScanEntry, recipes
from pipelines.settings import Settings
from pipelines.store.scan_schema import ContentScan

POLL_S = 0.1
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def scan_isolated(settings: Settings, entry: ScanEntry, checkpoint: Callable[[], None]) -> ContentScan:
    """Returns the scan of the content; "failed" and final when the child was ended by a signal.

    What `checkpoint` raises ends the child and reaches the caller.
    """
    key = entry.key(recipes(settings))
    with ExitStack() as stack:
        job, answer = stack.enter_context(TemporaryFile()), stack.enter_context(TemporaryFile())
        pickle.dump((settings, entry), job)  # by a file without a name: settings hold keys
        job.seek(0)
        child = stack.enter_context(_child(job.fileno(), answer.fileno()))
        stack.callback(child.kill)
        while child.poll() is None:
            checkpoint()
            time.sleep(POLL_S)
        if child.returncode < 0:
            name = signal.Signals(-child.returncode).name
            return failed_scan(key, f"worker_killed: looking at it ended two processes ({name}).", retryable=False)
        if child.returncode > 0:
            return failed_scan(key, f"internal: a process of its own ended with {child.returncode}.", retryable=True)
        answer.seek(0)
        scan: ContentScan = pickle.load(answer)  # noqa: S301 - from our own child, by a file without a name
        return scan


def _child(job: int, answer: int) -> subprocess.Popen[bytes]:
    """Returns the child, whose current folder is one from which this package can be imported."""
    words = [sys.executable, "-m", "pipelines.scan_isolated"]
    return subprocess.Popen(  # noqa: S603 - a fixed command
        words, stdin=job, stdout=answer, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[1]
    )


def main() -> None:
    """Scans the content of the job on the standard input; the scan goes to what was the standard output."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # never outlives the worker
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print
    settings, entry = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    from pipelines.scan_worker import ContentScanner

    with answer:
        pickle.dump(ContentScanner(settings).scan(entry), answer)


if __name__ == "__main__":
    main()
