"""The contents of a manifest through Ray Data: small groups of them to one class of actors, status rows back.

Every actor decodes, detects, embeds, hashes and writes (split stages took twice as long on 2 cores, measured
2026-11-22). Neither reading the manifest nor the actors reserve CPUs: workers that reserve CPUs beside others that do
may leave less than the one that reading wants, and then nothing ever starts and nobody says why. The number of actors
decides about the load, and their niceness about who is served first.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.util.annotations import RayDeprecationWarning

from pipelines.errors import StashSenseError
from pipelines.machine import cores
from pipelines.scan_manifest import Manifest
from pipelines.scan_worker import ScanRun, ScanWorker, grouped, ungrouped
from pipelines.settings import Settings

LARGEST_GROUP = {"scene": 2, "image": 16}
"""Contents that an actor is given at once: a group costs Ray about 15 ms, a scene some seconds, an image 0.1 s."""
TAIL_GROUPS = 8
"""Towards the end groups get smaller, so that each worker has so many of them left."""
LOOK_S = 0.25
STOP_WAIT_S = 2.0
WORKER_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2"}
"""Of every actor. glibc reads it when a process starts; set later it is too late, because Ray's own threads have made
their arenas by then, each decoding thread takes another one of them, and each keeps the largest frames it ever held.
Two workers grew from 0.6 to 1.3 GB in 75 s without it and stay between 0.6 and 0.9 GB with it (2026-11-26)."""


def worker_count(settings: Settings) -> int:
    """Returns the number of actors: `scan_workers`, or one for each core of the cluster."""
    if settings.scan_workers:
        return settings.scan_workers
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return cores() if len(nodes) == 1 else max(1, int(sum(node["Resources"].get("CPU", 0) for node in nodes)))


def scanned(
    settings: Settings, run: ScanRun, manifest: Manifest, workers: int, should_stop: Callable[[], bool]
) -> Iterator[list[dict[str, Any]]]:
    """Yields status rows (STATUS_SCHEMA) as contents are done, and an empty list at least every LOOK_S.

    Ends early when `should_stop` says so; the caller removes the run's folder then, which ends the workers' work.
    Raises the StashSenseError that ended a worker's work (NotWritable, ModelMissing, ...).
    """
    source = ManifestSource(manifest, workers)
    yield from worked_off(settings, source, ScanWorker, (settings, run), workers, should_stop)


def worked_off(
    settings: Settings,
    source: Datasource,
    worker: type,
    arguments: tuple[Any, ...],
    workers: int,
    should_stop: Callable[[], bool],
) -> Iterator[list[dict[str, Any]]]:
    """Yields the rows that actors of a class give for the groups of a source, and an empty list every LOOK_S.

    Args:
        source: `grouped` tables, one row each.
        worker: the class; called with a group it returns a `grouped` table.
        arguments: of its constructor.

    Ends early when `should_stop` says so. Raises the StashSenseError that ended an actor's work.
    """
    reading = _Reading(_dataset(settings, source, worker, arguments, workers))
    reading.start()
    try:
        while not should_stop():
            try:
                item = reading.items.get(timeout=LOOK_S)
            except Empty:
                yield []
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise _named(item)
            yield item
    finally:
        reading.stop()


def _dataset(settings: Settings, source: Datasource, worker: type, arguments: tuple[Any, ...], workers: int) -> Any:
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # one row a block: each group is a task of its own, each answer comes at once
    context.enable_operator_progress_bars = False
    context.raise_original_map_exception = True  # Ray's own wrapper loses on its way which error it was
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    resources: dict[str, Any] = {"num_gpus": settings.gpus_per_replica} if settings.gpus_per_replica else {}
    with DataContext.current(context), warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)  # there is no other way to name the strategy (2.60)
        return ray.data.read_datasource(source, num_cpus=0).map_batches(
            worker,
            fn_constructor_args=arguments,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=0,
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
            scheduling_strategy="SPREAD",  # actors that reserve no CPU would all fit on one node
            **resources,
        )


class ManifestSource(Datasource):
    """A manifest as groups of contents, one row a group, whose columns are lists."""

    def __init__(self, manifest: Manifest, workers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._manifest = manifest
        self._workers = workers

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        lengths = self._manifest.row_groups()
        tasks, after = [], sum(lengths)
        for number, length in enumerate(lengths):
            after -= length
            tasks.append(_read_task(self._manifest, number, length, after, self._workers))
        return tasks


def _read_task(manifest: Manifest, number: int, length: int, after: int, workers: int) -> ReadTask:
    facts = BlockMetadata(num_rows=length, size_bytes=None, input_files=None, exec_stats=None)
    return ReadTask(lambda: _groups(manifest.read(number), after, workers), facts)


def _groups(rows: pa.Table, after: int, workers: int) -> Iterator[pa.Table]:
    start = 0
    while start < len(rows):
        left = after + len(rows) - start
        most = LARGEST_GROUP[rows["kind"][start].as_py()]
        size = max(1, min(most, left // (workers * TAIL_GROUPS)))
        yield grouped(rows.slice(start, size))
        start += size


class _Reading(threading.Thread):
    """Takes the answers from Ray Data, in a thread because waiting for one cannot be interrupted."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(name="scan", daemon=True)
        self.items: Queue[list[dict[str, Any]] | BaseException | None] = Queue(64)
        self._dataset = dataset
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            for batch in self._dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                self._put(ungrouped(batch).to_pylist())
                if self._stopped.is_set():
                    return
            self._put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for answers
            self._put(error)

    def stop(self) -> None:
        """Lets the execution end; returns after STOP_WAIT_S at most, the rest happens in the background."""
        self._stopped.set()
        self.join(STOP_WAIT_S)

    def _put(self, item: list[dict[str, Any]] | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self.items.put(item, timeout=LOOK_S)
                return
            except Full:
                continue


def _named(error: BaseException) -> BaseException:
    """Returns the named error behind what Ray made of it."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None)
        for found in (seen, cause):
            if isinstance(found, StashSenseError):
                return found
        seen = seen.__cause__ or (cause if isinstance(cause, BaseException) else None)
    return error
