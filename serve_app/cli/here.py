"""Ray for one command, in this process: it starts on loopback when the command needs it and ends with it.

Lives here: starting, stopping at Ctrl-C within seconds, exit code 130. What runs on it is the command's business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Generic, TypeVar

import typer

from pipelines.errors import StartupError
from pipelines.machine import cores
from pipelines.settings import Settings
from serve_app.cli.console import stderr

T = TypeVar("T")

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended: 128 + SIGINT, as shells have it."""
GRACE_S = 2.5
"""Time for work to stop by itself after Ctrl-C; then Ray ends under it, which loses the contents in hand."""
POLL_S = 0.1


class Interrupted(Exception):
    """Ctrl-C or SIGTERM ended the work."""


@contextmanager
def exit_when_interrupted(says: str) -> Iterator[None]:
    """Turns Ctrl-C inside the block into a message and exit code 130."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        stderr.print(says, markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def ray_here(settings: Settings) -> Iterator[None]:
    """Ray inside the block, with a CPU for each scan worker and one more; nothing of it is left afterwards.

    Raises NotWritable, StartupError.
    """
    from serve_app.local import check_writable, init_ray, processes_ended, sigterm_raises, temporary_folder
    from serve_app.ray_env import environment_set, ray_environment

    check_writable(settings.data_dir)
    for noisy in ("ray", "ray.data"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with (
        sigterm_raises(),
        temporary_folder() as folder,
        environment_set(ray_environment(folder, haproxy=False)),
        processes_ended(),
    ):
        import ray

        try:
            with stderr.status("Starting Ray"):
                _start(init_ray, folder, (settings.scan_workers or cores()) + 1)
            yield
        finally:
            ray.shutdown()


def _start(init_ray: Callable[[Path, int], None], folder: Path, cpus: int) -> None:
    try:
        init_ray(folder, cpus)
    except Exception as error:  # Ray raises bare ones
        raise StartupError(f"Ray did not start: {error}", "On a busy machine a later try may go better.") from error


def run_stoppable(work: Callable[[Callable[[], bool]], T]) -> T:
    """Returns `work(should_stop)`, run in a thread beside which this one waits for signals.

    Raises what the work raised; Interrupted when a signal came, at most `GRACE_S` after it.
    """
    from serve_app.local import signals_noted

    with signals_noted() as arrived:
        running = _Running(lambda: work(arrived.is_set))
        running.start()
        signal_s = float("inf")
        while running.is_alive() and time.monotonic() - signal_s < GRACE_S:
            running.join(POLL_S)
            if arrived.is_set():
                signal_s = min(signal_s, time.monotonic())
        if arrived.is_set():
            raise Interrupted
    return running.outcome()


class _Running(Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="work", daemon=True)
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]
