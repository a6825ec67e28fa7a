"""Proofs come back as they were put, by files and version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.duplicates.proof_store import MOST_WORKER_TRIES, ProofStore
from pipelines.duplicates.types import Alignment, Proof
from pipelines.store.sql import Store, open_store

WHERE = Alignment(-12.5, 0.96, True, (0.0, 100.5), (12.5, 113.0))
PROOFS = {
    ("oshash:1", "oshash:2"): Proof("trim", 12.5, 0.91, 100.5, WHERE, version=1),
    ("oshash:1", "oshash:3"): Proof("undecided", failure="media_corrupt: no picture", retryable=False, version=1),
    ("oshash:4", "oshash:1"): Proof("different", 120.0, None, 20.0, None, version=1),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.close()


def test_proofs_come_back_by_files_in_their_order(store):
    proofs = ProofStore(store, 1)
    proofs.put(PROOFS)
    assert proofs.get([*PROOFS, ("oshash:2", "oshash:1"), ("oshash:9", "oshash:9")]) == PROOFS
    assert proofs.get([]) == {}
    proofs.put({})


def test_a_newer_proof_takes_the_place_and_another_version_is_not_seen(store):
    ProofStore(store, 1).put(PROOFS)
    pair = ("oshash:1", "oshash:2")
    newer = Proof("copy", 3.0, 0.95, 500.0, WHERE, version=2)
    ProofStore(store, 2).put({pair: newer})
    assert ProofStore(store, 2).get(PROOFS) == {pair: newer}
    assert pair not in ProofStore(store, 1).get(PROOFS)


def test_a_proof_that_ends_its_worker_is_tried_in_a_few_runs_only(store):
    proofs, pair = ProofStore(store, 1), ("oshash:1", "oshash:2")
    dead = Proof("undecided", failure="worker_failed: it was killed", retryable=True, version=1)
    away = Proof("undecided", failure="media_unreachable: no answer", retryable=True, version=1)
    again = []
    for _ in range(MOST_WORKER_TRIES + 1):
        proofs.put({pair: dead})
        again.append(proofs.get([pair])[pair].retryable)
    assert again == [True] * (MOST_WORKER_TRIES - 1) + [False] * 2
    newer = ProofStore(store, 2)
    newer.put({pair: dead})
    assert newer.get([pair])[pair].retryable  # another method may get along with the file
    for _ in range(MOST_WORKER_TRIES + 1):
        newer.put({pair: away})
    assert newer.get([pair])[pair].retryable  # a server that is away may come back whenever
    newer.put({pair: dead})
    assert newer.get([pair])[pair].retryable


def test_more_pairs_than_one_statement_takes(store):
    many = {(f"oshash:{n}", f"oshash:{n + 1}"): Proof("different", float(n), version=1) for n in range(2100)}
    proofs = ProofStore(store, 1)
    proofs.put(many)
    assert proofs.get(many) == many


def test_an_unknown_relation_and_a_failure_that_decides_are_refused():
    with pytest.raises(ValueError, match="maybe"):
        Proof("maybe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="undecided"):
        Proof("copy", failure="media_corrupt: x")


def test_proofs_go_with_their_files_and_with_their_version(store: Store):
    old, now = ProofStore(store, 1), ProofStore(store, 2)
    old.put({("a", "z"): Proof("different", version=1)})
    now.put({pair: Proof("different", version=2) for pair in (("a", "b"), ("a", "c"), ("b", "c"), ("c", "d"))})
    assert now.remove_other_versions() == 1
    assert old.get([("a", "z")]) == {}
    assert now.remove_gone(["e"]) == 0, "another library is connected"
    assert now.remove_gone(["a", "b", "c", "e"]) == 1
    assert set(now.get([("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")])) == {("a", "b"), ("a", "c"), ("b", "c")}
