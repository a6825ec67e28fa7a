"""Why a thing is not in Stash any more, with real merges and deletions in the fake Stash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipelines.analyzers.people_details import performer_summary
from pipelines.analyzers.scene_details import scene_summary
from pipelines.analyzers.tools import Tools
from pipelines.analyzers.vanished import gone_of, why_gone
from pipelines.stash.library import StashLibrary
from pipelines.store.actions import ActionStore
from pipelines.store.recommendation_records import Finding
from tests.actions.conftest import act, rich_library, take_back
from tests.analyzers.conftest import Home, quick_library
from tests.fakes.stash import Library

Use = Callable[[StashLibrary], Awaitable[Any]]


@pytest.fixture
def home(make_home: Callable[[Library], Home]) -> Home:
    """Findings about scenes 1 to 4 and performers 1 to 4, as their analyzers keep them."""
    home = make_home(rich_library())

    async def details(library: StashLibrary) -> None:
        scenes = [scene_summary(one).model_dump(mode="json") async for one in library.scenes()]
        people = [performer_summary(one).model_dump(mode="json") async for one in library.performers()]
        found = [Finding("scene", one["id"], "f", "e", "Title", "Why.", 90.0, {"scene": one}) for one in scenes]
        home.recommendations.apply("scenes", 1, found)
        found = [Finding("performer", one["id"], "f", "e", "T", "W.", 90.0, {"performers": [one]}) for one in people]
        home.recommendations.apply("people", 1, found)

    use(home, details)
    return home


def use(home: Home, question: Use) -> Any:
    async def work() -> Any:
        async with quick_library(home.settings) as library:
            return await question(library)

    return asyncio.run(work())


def why(home: Home, kind: str, *ids: str) -> dict[str, str]:
    async def ask(library: StashLibrary) -> dict[str, str]:
        tools = Tools(home.settings, library, home.store, lambda: False, lambda _done, _total: None)
        assert await gone_of(tools, kind, [*ids, "3"]) == set(ids)
        return await why_gone(tools, kind, ids)

    found: dict[str, str] = use(home, ask)
    return found


def test_what_we_did_is_in_our_log(home: Home):
    merged = act(home.stash, home.store, "merge_scenes", destination_id="1", source_ids=["2"])
    act(home.stash, home.store, "delete_scene", scene_id="4", file_ids=["5"])
    assert why(home, "scene", "2", "4") == {"2": "Scene 2 was merged into scene 1.", "4": "Scene 4 was deleted."}
    take_back(home.stash, home.store, merged.id)
    assert "2" not in ActionStore(home.store).why_gone("scene"), "it is back, under another id"


def test_a_scene_that_somebody_merged_in_stash_is_found_by_its_file(home: Home):
    use(home, lambda library: library.merge_scenes(["2"], "1"))
    use(home, lambda library: library.destroy_scenes(["4"]))
    assert why(home, "scene", "2", "4") == {
        "2": "The scene 2 is not in Stash any more: it was merged into scene 1, which has its file now.",
        "4": "The scene 4 is not in Stash any more: it was deleted.",
    }


def test_a_performer_that_somebody_merged_in_stash_is_found_by_its_links(home: Home):
    use(home, lambda library: library.merge_performers(["2"], "1"))
    use(home, lambda library: library.destroy_performers(["4"]))
    reasons = why(home, "performer", "2", "4")
    assert reasons["2"].endswith("it was merged into performer 1, which has its link now.")
    assert reasons["4"].endswith("it was deleted, or merged into another."), "it had no link that could tell"


def test_of_too_many_nothing_is_asked(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.analyzers.vanished.MOST_LOOKED_FOR", 1)
    use(home, lambda library: library.destroy_scenes(["1", "2"]))
    reasons = why(home, "scene", "1", "2")
    assert [reasons[one].endswith("it was deleted.") for one in ("1", "2")] == [True, False]
