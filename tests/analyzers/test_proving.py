"""Proofs handed out by Ray: the same as in this process, stopped at once, and what a dying worker costs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.analyzers import proving
from pipelines.duplicates.types import Proof, ProofRequest, SceneVideo
from pipelines.settings import Settings

pytestmark = pytest.mark.timeout(300)
FATAL = "3"


def videos(data: Path) -> list[SceneVideo]:
    derived = data / "video" / "derived"
    names = ("signers_mix1__360p_low.mp4", "signers_mix1__vp9.webm", "signers_mix2.mp4")
    return [SceneVideo(str(n), f"oshash:{n}", derived / name, 14.0) for n, name in enumerate(names, 1)]


def requests(data: Path) -> list[ProofRequest]:
    low, vp9, other = videos(data)
    return [ProofRequest(low, vp9), ProofRequest(low, other), ProofRequest(vp9, other)]


def settings(folder: Path) -> Settings:
    return Settings(data_dir=folder, scan_niceness=0)


def results(found: Iterator[list[proving.Proven]]) -> dict[tuple[str, str], Proof]:
    return {(r.a.scene_id, r.b.scene_id): proof for some in found for r, proof in some}


def deadly(_settings: Settings, task: list[ProofRequest]) -> list[Proof]:
    """In the place of a proof: a decoder that takes its process with it, for one of the scenes."""
    if any(FATAL in (request.a.scene_id, request.b.scene_id) for request in task):
        os.kill(os.getpid(), signal.SIGKILL)
    return [Proof("copy", version=proving.PROOF_VERSION) for _ in task]


def test_proofs_of_ray_are_those_of_this_process(ray_cluster, data, tmp_path):
    by_ray = results(proving.proven(settings(tmp_path / "a"), requests(data), lambda: False))
    here = list(proving.prove_all(requests(data)))
    assert [by_ray[key].relation for key in (("1", "2"), ("1", "3"), ("2", "3"))] == [p.relation for p in here]
    assert by_ray["1", "2"].duplicate
    assert not by_ray["1", "3"].duplicate


def test_a_worker_that_dies_costs_only_the_pairs_that_kill_it(ray_cluster, data, tmp_path, monkeypatch):
    monkeypatch.setattr(proving, "_prove_task", deadly)
    found = results(proving.proven(settings(tmp_path), requests(data), lambda: False))
    assert found["1", "2"].relation == "copy"
    for pair in (("1", "3"), ("2", "3")):
        assert found[pair].relation == "undecided"
        assert found[pair].failure.startswith("worker_failed: ")
        assert found[pair].retryable


def test_a_stop_ends_it(ray_cluster, data, tmp_path):
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 1

    assert len(results(proving.proven(settings(tmp_path), requests(data) * 50, stop))) <= 3


def test_pairs_of_one_scene_go_together_a_few_at_a_time():
    video = [SceneVideo(str(n), f"oshash:{n}", Path(f"/{n}.mp4")) for n in range(1, 12)]
    pairs = [ProofRequest(video[0], other) for other in video[1:]] + [ProofRequest(video[1], video[2])]
    tasks = list(proving._tasks(pairs[::-1]))
    assert sorted(len(task) for task in tasks) == [1, 2, 4, 4]
    assert all(len({request.a.scene_id for request in task}) == 1 for task in tasks)
    assert list(proving._tasks([])) == []
