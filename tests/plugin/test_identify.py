"""Who is in a scene, image, gallery or portrait, and what is done about it in Stash: in a browser, with real models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.store.performers import PerformerDatabase, SourceInfo
from tests.fakes.stash.library import STASHDB, Library
from tests.plugin.conftest import NARROW, Installation
from tests.plugin.test_pages import serious

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SCENE = "signers mix1  360p low"
"""Three people, one after the other."""


@pytest.fixture
def library(installation: Installation) -> Library:
    """The library; nobody is tagged when a test begins."""
    library = installation.stash.library
    with library.lock:
        for row in (*library.scenes.values(), *library.images.values(), *library.galleries.values()):
            row.performer_ids = ()
    return library


def scene_of(library: Library, title: str) -> Any:
    return next(scene for scene in library.scenes.values() if scene.title == title)


def names(library: Library, row: Any) -> list[str]:
    with library.lock:
        return sorted(library.performers[one].name for one in row.performer_ids)


def open_tab(page: Page, scene_id: int) -> Locator:
    page.goto(f"/scenes/{scene_id}")
    page.get_by_role("tab", name="Stash Sense").or_(page.locator(".nav-link", has_text="Stash Sense")).first.click()
    return page.locator(".sense-panel")


def identified(panel: Locator) -> None:
    button = panel.get_by_role("button", name="Identify")
    people = panel.locator(".sense-person")
    button.or_(people).first.wait_for()
    if button.is_visible():
        button.click()
    people.first.wait_for(timeout=60_000)


def test_people_of_a_scene_are_shown_and_one_is_added_and_taken_back(
    page: Page, installation: Installation, library: Library
) -> None:
    scene = scene_of(library, SCENE)
    panel = open_tab(page, scene.id)
    identified(panel)
    card = panel.get_by_role("article", name="Signer A")
    card.get_by_role("img", name="Face of Signer A").wait_for()
    source = card.get_by_role("img", name="Face of Signer A").get_attribute("src")
    assert source is not None
    assert source.startswith("data:image/jpeg;base64,")
    assert panel.locator(".sense-person").count() == 3
    assert serious(page) == []
    card.get_by_role("button", name="Add Signer A").click()
    card.get_by_text("tagged").wait_for()
    assert names(library, scene) == ["Signer A"]
    panel.get_by_role("button", name="Undo").click()
    panel.get_by_text("Undone").wait_for()
    assert names(library, scene) == []
    card.get_by_role("button", name="Add Signer A").wait_for()


def test_a_click_on_the_timeline_jumps_there(page: Page, installation: Installation, library: Library) -> None:
    panel = open_tab(page, scene_of(library, SCENE).id)
    identified(panel)
    later = panel.get_by_role("article", name="Signer B").locator(".sense-range").first
    later.click()
    page.wait_for_function("document.querySelector('.VideoPlayer video').currentTime > 4")


def test_an_existing_performer_is_searched_and_linked(page: Page, installation: Installation, library: Library) -> None:
    scene = scene_of(library, SCENE)
    panel = open_tab(page, scene.id)
    identified(panel)
    panel.get_by_role("article", name="Signer C").get_by_role("button", name="Link existing").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the performer").fill("Biden")
    dialog.get_by_role("button", name="Joe Biden").click()
    panel.get_by_role("button", name="Undo").first.wait_for()
    assert names(library, scene) == ["Joe Biden"]


def test_somebody_whom_stash_does_not_know_is_created_and_tagged(
    page: Page, installation: Installation, library: Library
) -> None:
    scene = scene_of(library, SCENE)
    with library.lock:
        known = next(one for one in library.performers.values() if one.name == "Signer B")
        known.name = "Somebody else"
    try:
        panel = open_tab(page, scene.id)
        identified(panel)
        panel.get_by_role("button", name="Create signer b").click()
        panel.get_by_role("button", name="Undo").first.wait_for()
        assert names(library, scene) == ["signer_b"]
        panel.get_by_role("button", name="Undo").first.click()
        panel.get_by_text("Undone").wait_for()
        assert names(library, scene) == []
    finally:
        with library.lock:
            known.name = "Signer B"


def test_everybody_of_a_gallery_is_accepted_also_on_the_images(
    page: Page, installation: Installation, library: Library
) -> None:
    gallery = next(one for one in library.galleries.values() if (one.folder or "").endswith("/groups"))
    page.goto(f"/galleries/{gallery.id}")
    page.get_by_role("button", name="Identify").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Identify").click()
    dialog.get_by_role("button", name="Accept all (2)").wait_for(timeout=120_000)
    dialog.get_by_label("Also tag the single images").check()
    dialog.get_by_role("button", name="Accept all").click()
    dialog.get_by_role("button", name="Undo").first.wait_for()
    assert names(library, gallery) == ["Barack Obama", "Joe Biden"]
    (image,) = [one for one in library.images.values() if one.performer_ids]
    assert names(library, image) == ["Barack Obama", "Joe Biden"]


ENTRY = "0ba3a000-1111-4222-8333-444455556666"


@pytest.fixture
def of_a_box(installation: Installation, library: Library) -> Iterator[Any]:
    """A performer of Stash without links, whom the performer database knows as an entry of a stash-box."""
    performer = next(one for one in library.performers.values() if one.name == "Barack Obama")
    database = PerformerDatabase(installation.data_dir / "performer-db", keep=10)
    before, links = database.current(), performer.stash_ids
    own = database.source_faces("folder", owner="local:barack_obama")
    assert before is not None
    assert own is not None
    faces = own.set_column(0, own.schema.field(0), pa.array([f"stashdb.org:{ENTRY}"] * len(own)))
    person = Performer(f"stashdb.org:{ENTRY}", "Barack Obama", ids=("local:barack_obama",))
    source = SourceInfo(id="stashdb.org", kind="stashbox", updated=datetime.now(UTC))
    database.put(OPEN, source, [person], faces)
    with installation.client() as client:
        client.post("/database/reload")
        performer.stash_ids = ()
        yield performer
        performer.stash_ids = links
        client.post("/database/use", json={"version": before})


def test_a_performer_is_linked_to_the_entry_that_the_portrait_shows(
    page: Page, installation: Installation, library: Library, of_a_box: Any
) -> None:
    performer = of_a_box
    page.goto(f"/performers/{performer.id}")
    page.get_by_role("button", name="Identify").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Identify").click()
    dialog.get_by_role("article", name="Barack Obama").wait_for(timeout=60_000)
    assert serious(page) == []
    dialog.get_by_role("button", name="Link to stashdb.org").click()
    dialog.get_by_role("button", name="Undo").wait_for()
    assert [(one.endpoint, one.stash_id) for one in performer.stash_ids] == [(STASHDB, ENTRY)]
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    dialog.get_by_role("button", name="Undo").click()
    dialog.get_by_text("Undone").wait_for()
    assert performer.stash_ids == ()


def test_the_button_follows_the_router_and_is_there_once(
    page: Page, installation: Installation, library: Library
) -> None:
    page.goto("/images/2")
    button = page.locator(".sense-slot")
    button.wait_for()
    scene = scene_of(library, SCENE)
    page.evaluate("history.pushState({}, '', '/galleries/1'); dispatchEvent(new PopStateEvent('popstate'))")
    page.locator(".gallery-toolbar .sense-slot").wait_for()
    assert button.count() == 1
    page.evaluate(f"history.pushState({{}}, '', '/scenes/{scene.id}'); dispatchEvent(new PopStateEvent('popstate'))")
    button.wait_for(state="detached")


def test_a_server_that_is_gone_leaves_the_page_of_stash_as_it_is(
    page: Page, installation: Installation, library: Library
) -> None:
    scene = scene_of(library, SCENE)
    installation.set_up("http://127.0.0.1:9")
    panel = open_tab(page, scene.id)
    panel.locator("[data-code=unreachable]").first.wait_for()
    page.get_by_text("Details", exact=True).click()
    assert page.get_by_role("heading", name="signers mix1").is_visible()


def test_who_is_rejected_is_not_suggested_there_again(page: Page, installation: Installation, library: Library) -> None:
    scene = scene_of(library, SCENE)
    panel = open_tab(page, scene.id)
    identified(panel)
    panel.get_by_role("button", name="Not Signer B").click()
    panel.get_by_role("article", name="Signer B").wait_for(state="detached")
    with installation.client() as client:
        (kept,) = client.get("/people/rejections", params={"content_id": str(scene.id)}).json()["rejections"]
        try:
            open_tab(page, scene.id).locator(".sense-person").nth(2).wait_for()
            assert panel.get_by_role("article", name="Signer B").count() == 0
            assert panel.get_by_role("article", name="Unknown person").count() == 1
            again = client.post("/identify/scene", json={"scene_id": str(scene.id)}).json()
            assert kept["universal_id"] not in str(again)
        finally:
            asked = {key: kept[key] for key in ("kind", "content_id", "universal_id")}
            assert client.delete("/people/rejections", params=asked).json() == {"removed": 1}
        back = client.post("/identify/scene", json={"scene_id": str(scene.id)}).json()
        assert kept["universal_id"] in {one["universal_id"] for one in back["people"]}
