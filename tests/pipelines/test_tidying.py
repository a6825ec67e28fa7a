"""What the job that tidies the store removes, and when it is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.jobs import REGISTRY, JobContext, NoParams, named_function
from pipelines.settings import Settings
from pipelines.store.jobs import JobStore
from pipelines.store.recommendation_records import Finding
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import open_store
from pipelines.tidying import due


def test_closed_recommendations_go_after_their_time_but_dismissed_ones_stay(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, closed_days=10)
    store = open_store(settings.store_url)
    long_ago = datetime.now(UTC) - timedelta(days=11)
    then = RecommendationStore(store, lambda: long_ago)
    then.apply("t", 1, [Finding("scene", str(n), "f", "e", f"{n}", "Why.", 90.0, {}) for n in range(1, 6)])
    then.dismiss([1], "forever")
    then.close_missing("t", 2, "Gone.", about=("scene", ["1", "2", "3"]))
    recent = RecommendationStore(store)
    recent.close_missing("t", 3, "Gone.", about=("scene", ["4"]))
    assert due(settings.model_copy(update={"closed_days": 12})) is None
    assert "2 closed recommendations" in (due(settings) or "")
    context = JobContext(settings, NoParams(), lambda *_: None, lambda: False)
    kind = REGISTRY["tidy_store"]
    assert named_function(kind.run)(context) == {"actions": 0, "recommendations": 2, "proofs": 0}
    assert due(settings) is None
    assert [(one.target_id, one.status) for one in recent.page(sort="oldest").recommendations] == [
        ("1", "closed"),
        ("4", "closed"),
        ("5", "pending"),
    ]
    then.apply("t", 4, [Finding("scene", "1", "f", "e", "1", "Why.", 90.0, {})])
    assert recent.get(1).status == "dismissed", "the decision still counts"
    store.close()


@pytest.mark.parametrize("state", ["queued", "cancelled"])
def test_it_is_due_once_a_day_at_most(tmp_path: Path, state: str) -> None:
    settings = Settings(data_dir=tmp_path)
    store = open_store(settings.store_url)
    then = RecommendationStore(store, lambda: datetime.now(UTC) - timedelta(days=1000))
    then.apply("t", 1, [Finding("scene", "1", "f", "e", "1", "Why.", 90.0, {})])
    then.close_missing("t", 2, "Gone.")
    assert due(settings) is not None
    yesterday = JobStore(store, lambda: datetime.now(UTC) - timedelta(days=1, seconds=1))
    yesterday.cancel(yesterday.submit("tidy_store").id)
    assert due(settings) is not None
    job = JobStore(store).submit("tidy_store")
    if state == "cancelled":
        JobStore(store).cancel(job.id)
    assert due(settings) is None
    store.close()
