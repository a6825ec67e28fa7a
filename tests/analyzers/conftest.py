"""A fake Stash, a store and runs of analyzers over both, without a wait between requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.analyzers.base import BaseAnalyzer
from pipelines.analyzers.run import AnalysisReport, analyze
from pipelines.faces.engine import FaceEngine
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.library import StashLibrary
from pipelines.stash.limiter import Priority, RateLimiter
from pipelines.stash.retries import Retries
from pipelines.store.analyzers import AnalyzerStore
from pipelines.store.recommendation_records import Recommendation, RecommendationFilter
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import Store, open_store
from tests.analyzers.people_home import PeopleHome
from tests.fakes.stash import FakeStash, Library
from tests.pipelines.conftest import engine, ray_cluster
from tests.pipelines.local_home import Scans

__all__ = ["engine", "ray_cluster"]

HASTY = Retries(dict.fromkeys(Priority, 2), first_wait_s=0.01, longest_wait_s=0.02)


@asynccontextmanager
async def quick_library(settings: Settings) -> AsyncIterator[StashLibrary]:
    async with open_library(settings, limiter=RateLimiter(1e6), retries=HASTY) as library:
        yield library


class Home:
    """One data folder beside one fake Stash."""

    def __init__(self, stash: FakeStash, folder: Path) -> None:
        self.stash = stash
        self.library: Library = stash.library
        self.settings = Settings(data_dir=folder, stash_url=stash.url)
        self.store: Store = open_store(self.settings.store_url)
        self.recommendations = RecommendationStore(self.store)
        self.analyzers = AnalyzerStore(self.store)

    def run(
        self,
        kind: type[BaseAnalyzer[Any, Any]],
        *,
        full: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> AnalysisReport:
        return analyze(self.settings, kind, full=full, should_stop=should_stop, library_opener=quick_library, **options)

    def found(self, **wanted: Any) -> list[Recommendation]:
        return self.recommendations.page(RecommendationFilter(**wanted), sort="oldest", limit=1000).recommendations

    def statuses(self) -> dict[str, str]:
        """Returns the status of each target."""
        return {one.target_id: one.status for one in self.found()}

    def asked(self, call: Callable[[], Any]) -> list[str]:
        """Returns the GraphQL fields that a call asks Stash for."""
        self.stash.requests.clear()
        call()
        return [name for request in self.stash.requests for name in request.fields if name != "__schema"]


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[Callable[[Library], Home]]:
    """Makes homes of libraries; each has its own fake Stash."""
    homes: list[Home] = []

    def make(library: Library) -> Home:
        stash = FakeStash(library).__enter__()
        home = Home(stash, tmp_path / str(len(homes)))
        homes.append(home)
        return home

    yield make
    for home in homes:
        home.store.close()
        home.stash.__exit__(None, None, None)


@pytest.fixture(scope="session")
def scans(engine: FaceEngine, data: Path) -> Scans:
    """Files of the test data as real scans, each looked at once."""
    return Scans(data, engine)


@pytest.fixture
def people_home(scans: Scans, tmp_path: Path, models_dir: Path, open_models: Path) -> Iterator[PeopleHome]:
    """An empty household whose scenes are real scans of the test data."""
    with FakeStash(Library()) as stash:
        settings = Settings(data_dir=tmp_path / "people", models_dir=models_dir, stash_url=stash.url)
        yield PeopleHome(stash, settings, scans)
