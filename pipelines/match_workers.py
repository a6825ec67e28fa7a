"""Matching by Ray Data: chunks of contents in, their matches out, by actors that each map the face index.

Lives here: how many actors there may be, and the run of them. What an actor does is `match_contents`. Results are few
bytes, so they come to the driver, which is the only one to write.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

import numpy as np
import ray
from ray.data import ActorPoolStrategy, DataContext

from pipelines.errors import StashSenseError
from pipelines.match_contents import ContentMatcher
from pipelines.settings import Settings
from pipelines.store.matches import ContentMatch, Key

_POLL_S = 0.2


class MatchWorker:
    """One actor: matches one chunk at a time on one core.

    Batches in: `chunk` (bytes, a list of keys). Batches out: `asked` (int64), `matches` (bytes: a list of ContentMatch,
    or the named error that ended the chunk).
    """

    def __init__(self, settings: Settings, version: str) -> None:
        os.nice(settings.scan_niceness)
        self._settings = settings
        self._version = version
        self._matcher: ContentMatcher | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        results: list[tuple[int, bytes]] = []
        for chunk in batch["chunk"]:
            keys = pickle.loads(chunk)  # noqa: S301 - written by the driver of this run
            results.append((len(keys), pickle.dumps(self._match(keys))))
        return {
            "asked": np.array([asked for asked, _ in results], dtype=np.int64),
            "matches": np.array([matches for _, matches in results], dtype=object),
        }

    def _match(self, keys: list[Key]) -> list[ContentMatch] | StashSenseError:
        try:
            if self._matcher is None:
                self._matcher = ContentMatcher(self._settings, self._version, threads=1)
            return self._matcher.match(keys)
        except StashSenseError as error:
            return error


def ray_workers() -> int:
    """Returns how many actors of one core the cluster has room for; 0 where Ray does not run."""
    return int(ray.cluster_resources().get("CPU", 0)) if ray.is_initialized() else 0


def matched_by_ray(
    settings: Settings, version: str, chunks: Sequence[list[Key]], workers: int, should_stop: Any
) -> Iterator[tuple[int, list[ContentMatch]]]:
    """Yields how many contents a chunk asked for and their matches, as chunks are done; ends early when asked to.

    Raises the StashSenseError that ended a chunk. An actor that dies is started again and its chunk repeated.
    """
    results: Queue[tuple[int, bytes] | BaseException | None] = Queue()
    ended = Event()
    # Ray Data blocks until the next chunk is done, also while its first actor starts; the thread waits, not the caller.
    Thread(
        target=_collect, args=(settings, version, chunks, workers, results, ended), name="rematch", daemon=True
    ).start()
    try:
        while True:
            try:
                result = results.get(timeout=_POLL_S)
            except Empty:
                if should_stop():
                    return
                continue
            if result is None:
                return
            if isinstance(result, BaseException):
                raise result
            asked, matches = result[0], pickle.loads(result[1])  # noqa: S301 - written by a worker of this run
            if isinstance(matches, StashSenseError):
                raise matches
            yield asked, matches
    finally:
        ended.set()


def _collect(
    settings: Settings,
    version: str,
    chunks: Sequence[list[Key]],
    workers: int,
    results: Queue[tuple[int, bytes] | BaseException | None],
    ended: Event,
) -> None:
    """Runs the pipeline; leaving its iterator ends its actors."""
    try:
        DataContext.get_current().enable_progress_bars = False
        rows = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
        matched = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            MatchWorker,
            fn_constructor_args=(settings, version),
            compute=ActorPoolStrategy(min_size=1, max_size=workers),
            batch_size=1,
            num_cpus=1,
        )
        for batch in matched.iter_batches(batch_size=None, prefetch_batches=0):
            for asked, matches in zip(batch["asked"].tolist(), batch["matches"], strict=True):
                results.put((asked, matches))
            if ended.is_set():
                return
        results.put(None)
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        results.put(error)
