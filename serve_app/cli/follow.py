"""A job on a running server, followed from the command line: submit it, show how far it is, stop it at Ctrl-C.

Lives here: finding the server of this data folder, and the life of one job as seen over HTTP.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.errors import JobError, StashSenseError
from pipelines.settings import Settings
from serve_app.cli.here import Interrupted
from serve_app.cli.live import Live
from serve_app.client import ServerClient, ServerError
from serve_app.keys import load_or_create_key

POLL_S = 0.5
FIND_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 5.0
AWAY_S = 120.0
"""A server that restarts finds its jobs again; after so long without an answer the command gives up."""
FAILED = "failed."
"""Begins the names of those counts of a scan that are contents by reason."""
ENDED = ("done", "failed", "stopped", "cancelled")


def ended_badly(job: Mapping[str, Any]) -> JobError:
    """Returns the error of a job that did not get to its end."""
    says = {"failed": "failed", "stopped": "was stopped", "cancelled": "was cancelled"}[job["state"]]
    reason = f": {job['error_message']}" if job["error_message"] else "."
    return JobError(f"Job {job['id']} {says}{reason}", f"`stash-sense jobs retry {job['id']}` tries it again.")


def server_for(settings: Settings, url: str | None) -> ServerClient | None:
    """Returns a client of the server named, else of the one that serves this data folder, None when there is none.

    A server belongs to the data folder when it answers at the address of the settings and takes the folder's key.
    """
    key = load_or_create_key(settings)
    if url is not None:
        return ServerClient(url, key, timeout_s=settings.request_timeout_s)
    own = f"http://{settings.host}:{settings.port}"
    try:
        with ServerClient(own, key, timeout_s=FIND_TIMEOUT_S) as client:
            client.get("/queue/types")
    except StashSenseError:
        return None
    return ServerClient(own, key, timeout_s=settings.request_timeout_s)


def submit_and_follow(client: ServerClient, type_id: str, params: Mapping[str, Any], live: Live) -> dict[str, Any]:
    """Returns the job once it is done.

    Raises ServerError when it is refused, JobError when it failed or somebody stopped it, Interrupted at Ctrl-C,
    after which the job is stopped.
    """
    job = client.post("/queue", {"type": type_id, "params": dict(params)})
    try:
        job = follow(client, job["id"], live)
    except KeyboardInterrupt:
        stop(client, job["id"])
        raise Interrupted from None
    if job["state"] != "done":
        raise ended_badly(job)
    return job


def follow(client: ServerClient, job_id: int, live: Live) -> dict[str, Any]:
    """Returns the job once it has ended; shows its progress until then."""
    answered_s = time.monotonic()
    with _ctrl_c() as check:
        while True:
            try:
                job = client.get(f"/queue/{job_id}")
            except ServerError as error:
                if error.as_dict()["error"] != "server_unreachable" or time.monotonic() - answered_s > AWAY_S:
                    raise
            else:
                answered_s = time.monotonic()
                live.show(shown(job))
                if job["state"] in ENDED:
                    return job
            time.sleep(POLL_S)
            check()


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], None]]:
    """Gives a function that raises KeyboardInterrupt once Ctrl-C was pressed inside the block.

    The signal raises it too, but Python drops what is raised in a callback of a weak reference, as the HTTP client has.
    """
    pressed = False

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a command in the background of a script ignores the signal
        signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def shown(job: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is shown of a job: see live.Shown."""
    counts = job["counts"]
    return {
        "done": job["done"],
        "total": job["total"],
        "rate_per_s": job["rate_per_s"] or 0.0,
        "eta_s": job["eta_s"],
        "failed": {name.removeprefix(FAILED): number for name, number in counts.items() if name.startswith(FAILED)},
        **{name: number for name, number in counts.items() if not name.startswith(FAILED)},
    }


def stop(client: ServerClient, job_id: int) -> None:
    """Asks the server to stop or cancel the job and waits until it did, for a few seconds at most."""
    job = client.get(f"/queue/{job_id}")
    if job["state"] == "queued":
        client.delete(f"/queue/{job_id}")
    elif job["state"] == "running":
        client.post(f"/queue/{job_id}/stop")
    end = time.monotonic() + STOP_TIMEOUT_S
    while client.get(f"/queue/{job_id}")["state"] not in ENDED and time.monotonic() < end:
        time.sleep(POLL_S)
