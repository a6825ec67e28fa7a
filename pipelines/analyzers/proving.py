"""Proofs of many pairs of scenes, each on one core: by Ray where it runs, else in this process.

Lives here: handing out pairs, collecting proofs, stopping. What a proof is, is `pipelines.duplicates.proof`. Pairs of
one scene go to one worker, one after the other, which then opens that scene once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipelines.duplicates.evidence import EvidenceCache
from pipelines.duplicates.proof import PROOF_VERSION, prove_all
from pipelines.duplicates.types import WORKER_FAILED, Proof, ProofRequest
from pipelines.settings import Settings

PAIRS_AT_ONCE = 4
"""Pairs of one task: few, so that a stop is not waited for and a worker that dies takes little with it."""
TRIES = 2
"""In one run."""
_POLL_S = 0.2

Stop = Callable[[], bool]
Proven = tuple[ProofRequest, Proof]


def proven(settings: Settings, requests: Sequence[ProofRequest], should_stop: Stop) -> Iterator[list[Proven]]:
    """Yields requests with their proofs as they come, in any order; ends early when asked to."""
    tasks = list(_tasks(requests))
    if "ray" in sys.modules and (workers := _ray_workers()):
        yield from _by_ray(settings, tasks, workers, should_stop)
        return
    cache = evidence_cache(settings)
    for task in tasks:
        for request, proof in zip(task, prove_all(task, cache), strict=True):
            yield [(request, proof)]
            if should_stop():
                return


def evidence_cache(settings: Settings) -> EvidenceCache:
    """Returns where decoded grids are kept."""
    return EvidenceCache(settings.data_dir / "evidence")


def _tasks(requests: Sequence[ProofRequest]) -> Iterator[list[ProofRequest]]:
    """Yields a few requests at a time, those with the same first scene together."""
    task: list[ProofRequest] = []
    for request in sorted(requests, key=lambda one: int(one.a.scene_id)):
        if task and (task[0].a.scene_id != request.a.scene_id or len(task) == PAIRS_AT_ONCE):
            yield task
            task = []
        task.append(request)
    if task:
        yield task


def _ray_workers() -> int:
    import ray

    return int(ray.cluster_resources().get("CPU", 0)) if ray.is_initialized() else 0


def _by_ray(
    settings: Settings, tasks: Sequence[list[ProofRequest]], workers: int, should_stop: Stop
) -> Iterator[list[Proven]]:
    import ray
    from ray.exceptions import RayError

    prove = ray.remote(num_cpus=1, max_retries=0)(_prove_task)
    waiting = [(task, TRIES) for task in reversed(tasks)]
    running: dict[Any, tuple[list[ProofRequest], int]] = {}
    try:
        while (waiting or running) and not should_stop():
            while waiting and len(running) < workers:
                task, tries = waiting.pop()
                running[prove.remote(settings, task)] = (task, tries)
            for done in ray.wait(list(running), timeout=_POLL_S)[0]:
                task, tries = running.pop(done)
                try:
                    yield list(zip(task, ray.get(done), strict=True))
                except RayError as error:  # a decoder took its process with it
                    if len(task) > 1:  # whose fault was it?
                        waiting += [([request], tries) for request in task]
                    elif tries > 1:
                        waiting.append((task, tries - 1))
                    else:
                        yield [(task[0], _failed(error))]
    finally:
        for left in running:
            ray.cancel(left, force=True)


def _prove_task(settings: Settings, task: list[ProofRequest]) -> list[Proof]:
    os.setpriority(os.PRIO_PROCESS, 0, settings.scan_niceness)  # a worker does many tasks: nice() would add up
    return list(prove_all(task, evidence_cache(settings)))


def _failed(error: Exception) -> Proof:
    """Returns a proof that later runs try again, as often as `ProofStore` lets them."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Proof("undecided", failure=f"{WORKER_FAILED}: {reason}", retryable=True, version=PROOF_VERSION)
