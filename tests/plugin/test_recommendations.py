"""The screens of recommendations in a browser: lists, review, decisions and their undoing, keys."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from pipelines.store.recommendation_records import RecommendationFilter
from tests.conftest import REPOSITORY
from tests.plugin.conftest import NARROW, STASH_KEY, Installation
from tests.plugin.seeds import duplicate, many, recommendations, scenes

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

LIST = "/plugins/stash-sense?tab=recommendations"
MANY = 10_000
SEEDS, LATER = 1_000_000, 1_000_001
"""Ids of runs that no run of an analyzer here has."""
AXE = REPOSITORY / "node_modules" / "axe-core" / "axe.min.js"
A, B = "signers mix1  360p low", "signers mix1  vp9"


@pytest.fixture(autouse=True)
def seeded(installation: Installation) -> Iterator[None]:
    """One pair of duplicates; what a test leaves pending is closed after it."""
    library = installation.stash.library
    ids = [one for one in scene_ids(installation) if library.scenes[one].title in {A, B}]
    pair = {one.title: one for one in scenes(installation.stash.url, STASH_KEY, ids)}
    with recommendations(installation.data_dir) as kept:
        kept.restore(RecommendationFilter(types=("duplicate_scenes",), statuses=("dismissed", "resolved")))
        kept.apply("duplicate_scenes", SEEDS, [duplicate(pair[A], pair[B])])
        yield
        kept.close_missing("duplicate_scenes", LATER, "The test is over.")
        kept.close_missing("duplicate_scene_files", LATER, "The test is over.")


@pytest.fixture
def ten_thousand(seeded: None, installation: Installation) -> None:
    with recommendations(installation.data_dir) as kept:
        kept.apply("duplicate_scene_files", SEEDS, many(MANY))


def scene_ids(installation: Installation) -> list[int]:
    return list(installation.stash.library.table("scene").ids)


def counts(installation: Installation, type_id: str) -> dict[str, int]:
    with installation.client() as client:
        found: dict[str, int] = client.get("/recommendations/counts").json()["types"][type_id]
        return found


def rows(page: Page) -> Locator:
    return page.locator(".sense-finding")


def violations(page: Page) -> list[str]:
    """Returns what axe-core finds serious or critical in the open dialog, else in the page of the plugin."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        "axe.run(document.querySelector('.modal.show') || document.querySelector('.sense-page'),"
        " {resultTypes: ['violations']}).then((result) => result.violations)"
    )
    return [
        f"{one['id']}: {[node['html'] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


def test_a_duplicate_is_reviewed_merged_and_the_merge_undone(page: Page, installation: Installation) -> None:
    scene = installation.stash.library.table("scene")
    before = len(scene.ids)
    page.goto(f"{LIST}&type=duplicate_scenes")
    page.get_by_role("link", name=re.compile("360p low")).click()
    page.get_by_role("heading", name=re.compile("360p low")).wait_for()
    assert page.locator(".sense-half-kept").get_by_text("suggested").is_visible(), "the larger picture stays"
    assert page.locator("tr.sense-differs", has_text="Resolution").locator(".sense-best").inner_text().startswith("480")
    assert not violations(page)

    page.get_by_role("button", name="Merge").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("goes", exact=True).wait_for()
    assert dialog.get_by_text("/data/video/derived/signers_mix1__360p_low.mp4").last.is_visible()
    assert not violations(page)
    dialog.get_by_role("button", name="Merge").click()
    page.get_by_role("status").get_by_text(re.compile("^Merge scene")).wait_for()
    assert len(scene.ids) == before - 1
    assert counts(installation, "duplicate_scenes")["resolved"] == 1

    page.get_by_role("status").get_by_role("button", name="Undo").click()
    page.get_by_role("status").get_by_text(re.compile("^Undone")).wait_for()
    assert len(scene.ids) == before
    page.get_by_role("link", name="What was done").click()
    page.locator(".sense-done[data-state=undone]").first.wait_for()


def test_another_scene_may_stay(page: Page) -> None:
    page.goto(f"{LIST}&type=duplicate_scenes&id=first")
    page.get_by_role("button", name=re.compile("Keep this instead")).click()
    page.get_by_role("button", name="Merge").click()
    page.get_by_role("dialog").get_by_text(re.compile(r"^Merge scene .*vp9.* into scene")).wait_for()


def test_the_cover_shows_the_time_that_the_pointer_is_at(page: Page) -> None:
    page.goto(f"{LIST}&type=duplicate_scenes&id=first")
    cover = page.locator(".sense-half-kept .sense-cover")
    cover.hover()
    cover.locator(".sense-cover-sprite").wait_for()
    assert cover.locator(".sense-cover-time").inner_text() == "0:07", "the middle of 14 s"


def exported(page: Page, words: str) -> bytes:
    """Returns the file that the button gives."""
    page.get_by_role("button", name="Export").click()
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("button", name=words).click()
    content = download.value.path().read_bytes()
    page.get_by_role("button", name="Export").wait_for()
    return content


def test_ten_thousand_in_a_list(page: Page, installation: Installation, ten_thousand: None) -> None:
    del ten_thousand
    calls = installation.stash.plugins.calls
    page.goto(f"{LIST}&type=duplicate_scene_files")
    page.get_by_text("1 to 40 of 10,000").wait_for()
    assert installation.stash.plugins.calls == calls + 1, "one call for a list with its counts"
    assert rows(page).count() == 40
    page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_text("41 to 80 of 10,000").wait_for()
    csv_rows = list(csv.DictReader(io.StringIO(exported(page, "CSV").decode())))
    assert (len(csv_rows), csv_rows[-1]["title"]) == (MANY, "Scene 10000")
    assert json.loads(csv_rows[0]["details"])["savings_bytes"] == 1_200_000_000
    page.get_by_label("Search title, names and paths").fill("scene_07123")
    page.get_by_text("Scene 07123").wait_for()
    assert rows(page).count() == 1
    assert pq.read_table(io.BytesIO(exported(page, "Parquet")))["title"].to_pylist() == ["Scene 07123"]
    assert not list((installation.data_dir / "exports" / ".recommendations").iterdir()), "nothing is left"
    assert "q=scene_07123" in page.url
    page.reload()
    page.get_by_text("Scene 07123").wait_for()
    assert page.get_by_label("Search title, names and paths").input_value() == "scene_07123"


def test_bulk_dismissal_and_its_undoing(page: Page, installation: Installation, ten_thousand: None) -> None:
    del ten_thousand
    page.goto(f"{LIST}&type=duplicate_scene_files&min=65")
    page.get_by_text("1 to 40 of 5,000").wait_for()
    page.get_by_label("Choose this page").check()
    page.get_by_role("button", name="Choose all 5,000").click()
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_role("button", name="For ever").click()
    page.get_by_role("status").get_by_text("5,000 recommendations dismissed for ever.").wait_for()
    page.get_by_text("Nothing fits this filter").wait_for()
    assert counts(installation, "duplicate_scene_files")["dismissed"] == 5000
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    page.get_by_role("status").get_by_text("5,000 recommendations open again.").wait_for()
    page.get_by_text("1 to 40 of 5,000").wait_for()
    assert counts(installation, "duplicate_scene_files")["dismissed"] == 0


@pytest.fixture
def better_files(installation: Installation) -> Iterator[list[str]]:
    """Titles of two scenes that have a second, better file as long as the test runs."""
    library = installation.stash.library
    chosen = [library.scenes[one] for one in scene_ids(installation)[-2:]]
    before = [scene.file_ids for scene in chosen]
    for scene in chosen:
        first = library.files[scene.file_ids[0]]
        facts: dict[str, Any] = {"width": 2 * first.width, "height": 2 * first.height, "duration": first.duration}
        path = f"/data/better_{scene.id}.mkv"
        more = library.add_file(
            kind="video", path=path, size=9_000_000, video_codec="av1", bit_rate=8_000_000, frame_rate=25.0, **facts
        )
        scene.file_ids = (*scene.file_ids, more.id)
        library.touch(scene)
    yield [scene.title for scene in chosen]
    for scene, ids in zip(chosen, before, strict=True):
        for added in set(scene.file_ids) - set(ids):
            library.drop_file(added, delete=True)
        scene.file_ids = ids
        library.touch(scene)


def test_what_an_analyzer_finds_is_accepted_in_bulk_after_a_preview(
    page: Page, installation: Installation, better_files: list[str]
) -> None:
    library = installation.stash.library
    page.goto(f"{LIST}&type=duplicate_scene_files")
    page.get_by_role("button", name="Look now").click()
    for title in better_files:
        page.get_by_role("link", name=title).wait_for()
    page.get_by_label("Choose this page").check()
    page.get_by_role("button", name="Make the best file the primary one").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("for 2 recommendations").wait_for()
    assert dialog.locator("tbody tr").count() == 2
    assert not violations(page)
    dialog.get_by_role("button", name="2 recommendations").click()
    dialog.locator(".sense-job[data-state=done]").wait_for()
    dialog.get_by_role("contentinfo").or_(dialog.locator(".modal-footer")).get_by_role("button", name="Close").click()
    page.get_by_text("Nothing waits for you").wait_for()
    changed = [library.scenes[one] for one in scene_ids(installation) if len(library.scenes[one].file_ids) > 1]
    assert all(library.files[scene.file_ids[0]].path.startswith("/data/better_") for scene in changed)
    page.get_by_role("link", name="What was done").click()
    done = page.locator(".sense-done[data-state=done]")
    done.first.get_by_role("button", name="Undo").click()
    page.get_by_role("status").get_by_text(re.compile("^Undone")).wait_for()
    assert sum(not library.files[one.file_ids[0]].path.startswith("/data/better_") for one in changed) == 1


def test_keys(page: Page, installation: Installation, ten_thousand: None) -> None:
    del ten_thousand
    page.goto(f"{LIST}&type=duplicate_scene_files")
    page.get_by_text("1 to 40 of 10,000").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_text("1 recommendation chosen").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Scene 00002").wait_for()
    page.keyboard.press("j")
    page.get_by_role("heading", name="Scene 00003").wait_for()
    page.keyboard.press("k")
    page.get_by_role("heading", name="Scene 00002").wait_for()
    page.keyboard.press("d")
    page.get_by_role("heading", name="Scene 00003").wait_for()
    assert counts(installation, "duplicate_scene_files")["dismissed"] == 1
    page.get_by_role("status").get_by_text("Dismissed until it changes").wait_for()
    page.keyboard.press("u")
    page.get_by_role("status").get_by_text("Open again").wait_for()
    assert counts(installation, "duplicate_scene_files")["dismissed"] == 0
    page.keyboard.press("Escape")
    search = page.get_by_label("Search title, names and paths")
    search.press("d")
    assert search.input_value() == "d", "keys rest while somebody types"


def test_the_next_one_may_be_on_the_next_page(page: Page, ten_thousand: None) -> None:
    del ten_thousand
    page.goto(f"{LIST}&type=duplicate_scene_files&id=last")
    page.get_by_role("heading", name="Scene 00040").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="Scene 00041").wait_for()
    page.get_by_text("41 of 10,000").wait_for()


def test_a_server_that_goes_away_in_a_review_changes_nothing_and_is_said(
    page: Page, installation: Installation
) -> None:
    scenes_before = len(installation.stash.library.table("scene").ids)
    page.goto(f"{LIST}&type=duplicate_scenes&id=first")
    page.get_by_role("button", name="Merge").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("goes", exact=True).wait_for()
    installation.set_up("http://127.0.0.1:9")
    dialog.get_by_role("button", name="Merge").click()
    dialog.locator("[data-code=unreachable]").wait_for()
    assert not violations(page)
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_role("button", name="For ever").click()
    page.locator(".sense-review [data-code=unreachable]").wait_for()
    assert counts(installation, "duplicate_scenes")["pending"] == 1
    installation.set_up()
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_role("button", name="For ever").click()
    page.get_by_role("status").get_by_text("Dismissed for ever").wait_for()
    assert len(installation.stash.library.table("scene").ids) == scenes_before


@pytest.mark.parametrize("where", ["", "&type=duplicate_scenes&id=first", "&view=history"])
def test_narrow_pages_do_not_scroll_sideways(page: Page, where: str) -> None:
    page.set_viewport_size({"width": NARROW["width"], "height": NARROW["height"]})
    page.goto(LIST + where)
    page.locator(".sense-finding, .sense-cover, .sense-done, .sense-empty").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert not violations(page)
