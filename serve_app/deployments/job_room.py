"""Whether the cluster has room for a job, and if not, what is in the way: numbers of Ray, no actors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import ray

from pipelines.jobs import JobType

SETTLING_S = 30.0
"""A job that has just begun may not have started its workers yet; their room is kept for this long."""


class Room:
    """What is free in the cluster, less what jobs that come first will take.

    Args:
        free, total: resources by name as Ray counts them, such as {"CPU": 4.0}.
    """

    def __init__(self, free: Mapping[str, float], total: Mapping[str, float]) -> None:
        self._free = dict(free)
        self._total = dict(total)

    @classmethod
    def now(cls) -> Self:
        """Returns what Ray says; blocks for some milliseconds."""
        return cls(ray.available_resources(), ray.cluster_resources())

    def expect(self, kind: JobType, *, placed: bool, age_s: float) -> None:
        """Keeps room for a job that runs: for its process until that is placed, for its workers while it settles."""
        if not placed:
            self._keep(kind.resources)
        if not placed or age_s < SETTLING_S:
            self._keep(kind.workers)

    def take(self, kind: JobType) -> str:
        """Takes the room for a job and returns ""; or says what it waits for.

        What it waits for is kept for it: a job that comes later does not get it first. That does not hold for what the
        cluster does not have at all.
        """
        need = {name: kind.resources.get(name, 0.0) + kind.workers.get(name, 0.0) for name in _names(kind)}
        absent = [name for name, amount in need.items() if amount > self._total.get(name, 0.0)]
        if absent:
            return "Needs " + "; ".join(
                f"{need[name]:g} {name}, and the cluster has {self._total.get(name, 0.0):g}" for name in absent
            )
        short = [name for name, amount in need.items() if amount > self._free.get(name, 0.0)]
        said = "; ".join(
            f"{need[name]:g} {name}: {max(0.0, self._free.get(name, 0.0)):g} of {self._total[name]:g} are free"
            for name in short
        )
        self._keep(need)
        return f"Waits for {said}" if said else ""

    def _keep(self, need: Mapping[str, float]) -> None:
        for name, amount in need.items():
            self._free[name] = self._free.get(name, 0.0) - amount


def _names(kind: JobType) -> list[str]:
    return [*dict.fromkeys((*kind.resources, *kind.workers))]
