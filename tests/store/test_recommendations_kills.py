"""Findings kept while the process is killed, and by several analyzers at once: nothing half, nothing twice."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from pipelines.store.recommendation_records import Finding, RecommendationFilter
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.schema import (
    DismissalRow,
    RecommendationDetailRow,
    RecommendationEntityRow,
    RecommendationRow,
    RecommendationTextRow,
)
from pipelines.store.sql import Store, open_store

COUNT = 900
SCRIPT = """
import os, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from tests.store.test_recommendations_kills import found
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import open_store
kept, left = RecommendationStore(open_store(sys.argv[1])), [int(sys.argv[2])]
@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, *more):
    if statement.startswith(("INSERT", "UPDATE", "DELETE")):
        left[0] -= 1
        if not left[0]:
            os._exit(9)
kept.apply("t", 2, found("y"))
"""


def found(evidence: str) -> list[Finding]:
    return [
        Finding("scene", f"{n}:{n + 1}", "f", evidence, f"T {n} {evidence}", "Reasons.", 50.0, {"e": evidence})
        for n in range(1, COUNT + 1)
    ]


def whole(store: Store) -> int:
    """Returns how many recommendations there are; each must have its text, its details and both of its scenes."""
    with store.reading() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (RecommendationRow, RecommendationTextRow, RecommendationDetailRow, RecommendationEntityRow)
        ]
    assert counts[0] == counts[1] == counts[2] == counts[3] / 2
    return counts[0]


@pytest.mark.parametrize("statement", [3, 7, 13, 18])
def test_a_kill_leaves_each_finding_old_or_new(sqlite_url: str, statement: int):
    store = open_store(sqlite_url)
    kept = RecommendationStore(store)
    kept.apply("t", 1, found("x")[: COUNT // 2])
    kept.dismiss(kept.ids(RecommendationFilter())[:100], "until_changed")
    done = subprocess.run([sys.executable, "-c", SCRIPT, sqlite_url, str(statement)], check=False, timeout=60)
    assert done.returncode == 9
    assert COUNT // 2 <= whole(store) < COUNT
    for part in kept.all(RecommendationFilter()):
        for one in part:
            assert one.details == {"e": one.evidence}
            assert one.title.endswith(one.evidence)
            assert (one.status == "dismissed") == (one.evidence == "x" and one.id <= 100)
    kept.apply("t", 3, found("y"))
    assert whole(store) == COUNT
    assert kept.counts() == {"t": {"pending": COUNT, "resolved": 0, "dismissed": 0, "closed": 0}}
    store.close()


def test_analyzers_and_somebody_at_once(store: Store):
    kept = RecommendationStore(store)
    for number in range(3):
        kept.apply(f"t{number}", 1, found("x")[:200])

    def analyze(number: int) -> None:
        for run_id in range(2, 5):
            kept.apply(f"t{number}", run_id, found("x")[: 100 * run_id])
            kept.close_missing(f"t{number}", run_id, "Gone.")

    def decide() -> None:
        for _ in range(5):
            batch = kept.dismiss(RecommendationFilter(), "until_changed").batch
            if batch is not None:
                kept.restore_batch(batch)
        kept.dismiss(RecommendationFilter(types=("t1",)), "forever")

    with ThreadPoolExecutor(4) as threads:
        work = [*(threads.submit(analyze, number) for number in range(3)), threads.submit(decide)]
        for one in work:
            one.result(60)
    assert whole(store) == 3 * 400
    counts = kept.counts()
    assert {t: sum(numbers.values()) for t, numbers in counts.items()} == dict.fromkeys(("t0", "t1", "t2"), 400)
    with store.reading() as session:
        dismissals = session.scalar(select(func.count()).select_from(DismissalRow))
    assert dismissals == sum(numbers["dismissed"] for numbers in counts.values())
