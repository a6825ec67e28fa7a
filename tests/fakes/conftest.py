"""Fake Stashes for the tests of the fake itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.stash import FakeStash, Library, generate_library, sample_library

Ask = Callable[..., Any]


class Asker:
    """Asks a fake Stash over HTTP: calling it gives the data and allows no errors."""

    def __init__(self, stash: FakeStash) -> None:
        self.stash = stash
        headers = {"ApiKey": stash.api_key} if stash.api_key else {}
        self.http = httpx.Client(base_url=stash.url, headers=headers, timeout=20)

    def post(self, query: str, **variables: Any) -> httpx.Response:
        return self.http.post("/graphql", json={"query": query, "variables": variables})

    def __call__(self, query: str, **variables: Any) -> Any:
        answer = self.post(query, **variables)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def failure(self, query: str, **variables: Any) -> str:
        """Returns the text of the one error of a resolver."""
        answer = self.post(query, **variables)
        assert answer.status_code == 200, answer.text
        (error,) = answer.json()["errors"]
        return str(error["message"])

    def scene_ids(self, scene_filter: dict[str, Any] | None = None, **paging: Any) -> list[int]:
        query = """query($s: SceneFilterType, $f: FindFilterType) {
            findScenes(scene_filter: $s, filter: $f) { scenes { id } } }"""
        data = self(query, s=scene_filter, f={"per_page": -1, "sort": "id", **paging})
        return [int(scene["id"]) for scene in data["findScenes"]["scenes"]]


@pytest.fixture
def library() -> Library:
    """120 scenes of invented facts with 20 performers, 12 images in 3 galleries."""
    return generate_library(120, images=12, galleries=3, performers=20)


@pytest.fixture
def stash(library: Library) -> Iterator[FakeStash]:
    with FakeStash(library) as running:
        yield running


@pytest.fixture
def ask(stash: FakeStash) -> Asker:
    return Asker(stash)


@pytest.fixture(scope="session")
def media_stash(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStash]:
    """The sample library behind a key; only for tests that change nothing."""
    with FakeStash(
        sample_library(data, tagged=True), api_key="secret", pictures=tmp_path_factory.mktemp("pictures")
    ) as running:
        yield running


@pytest.fixture
def media(media_stash: FakeStash) -> Asker:
    return Asker(media_stash)
