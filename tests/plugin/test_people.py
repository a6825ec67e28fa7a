"""People in a browser, with what the analyzers find: enrolled faces, who is not tagged, unknown people to name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from pipelines.store.performers import PerformerDatabase
from tests.plugin.conftest import NARROW, Installation
from tests.plugin.test_pages import serious
from tests.serve_app.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PEOPLE = "/plugins/stash-sense?tab=people"
LIST = "/plugins/stash-sense?tab=recommendations"
UNKNOWN = "local:signer_a"


def done(client: httpx.Client, kind: str) -> None:
    """Runs a job to its end."""
    job = client.post("/queue", json={"type": kind, "params": {}}).json()["id"]
    until(lambda: client.get(f"/queue/{job}").json()["ended_at"], 200, kind)
    assert client.get(f"/queue/{job}").json()["state"] == "done", kind


@pytest.fixture(scope="module")
def looked(installation: Installation) -> Iterator[Installation]:
    """The library is scanned, nobody is tagged, Signer A is unknown: it was looked for both kinds of findings."""
    library, database = installation.stash.library, PerformerDatabase(installation.data_dir / "performer-db", keep=10)
    with library.lock:
        for row in (*library.scenes.values(), *library.images.values(), *library.galleries.values()):
            row.performer_ids = ()
            library.touch(row)
    before = database.current()
    assert before is not None
    with installation.client() as client:
        done(client, "scan")
        assert client.post("/people/excluded", json={"ids": [UNKNOWN]}).status_code == 201
        for kind in ("rematch", "analyze_unidentified_scene", "analyze_unknown_person"):
            done(client, kind)
        yield installation
        client.delete("/people/excluded", params={"id": UNKNOWN})
        client.post("/database/use", json={"version": before})
        done(client, "rematch")


def pending(installation: Installation, kind: str) -> int:
    with installation.client() as client:
        found: int = client.get("/recommendations/counts").json()["types"][kind]["pending"]
        return found


def tagged(installation: Installation) -> dict[str, list[str]]:
    """Returns who is tagged on which scenes, by name."""
    library = installation.stash.library
    found: dict[str, list[str]] = {}
    with library.lock:
        for scene in library.scenes.values():
            for one in scene.performer_ids:
                found.setdefault(library.performers[one].name, []).append(scene.title)
    return found


def faces_come(place: Locator, least: int) -> None:
    """Waits until so many faces are shown, as pictures that the plugin has brought."""
    shown = place.locator("img.sense-face[src^='data:image/jpeg;base64,']")
    shown.nth(least - 1).wait_for()


def fits(page: Page) -> None:
    """The page is not wider than a telephone, and axe finds nothing serious."""
    assert serious(page) == []
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.set_viewport_size(before)


def test_enrolled_people_are_shown_with_their_faces_and_what_is_missing(page: Page, installation: Installation) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{PEOPLE}&q=obama")
    tile = page.locator(".sense-tile")
    tile.locator("img[src^='data:image/jpeg']").wait_for()
    tile.get_by_role("button", name="barack obama").click()
    dialog = page.get_by_role("dialog")
    faces = dialog.get_by_role("list", name="Faces")
    faces_come(faces, 2)
    assert re.search(r"barack_obama/\d\d\.jpg.*quality \d+ %, front", faces.inner_text(), re.DOTALL)
    dialog.get_by_text("No face is turned to the right.").wait_for()
    fits(page)
    assert {httpx.URL(url).host for url in asked if not url.startswith("data:")} == {"127.0.0.1"}, (
        "nobody else is asked"
    )


def test_who_is_not_in_a_scene_is_rejected_from_the_recommendation(page: Page, looked: Installation) -> None:
    before = pending(looked, "unidentified_scene")
    assert before > 0
    page.goto(f"{LIST}&type=unidentified_scene&id=first")
    faces_come(page.locator(".sense-person"), 1)
    fits(page)
    title = page.locator(".sense-review-head h3").inner_text()
    page.get_by_role("button", name=re.compile("^Not ")).click()
    page.get_by_role("status").get_by_text("is never suggested again").wait_for()
    assert pending(looked, "unidentified_scene") == before - 1
    with looked.client() as client:
        assert client.get("/people/rejections").json()["total"] == 1
        page.get_by_role("status").get_by_role("button", name="Undo").click()
        page.get_by_role("status").get_by_text("Open again").wait_for()
        assert client.get("/people/rejections").json()["total"] == 0
    assert pending(looked, "unidentified_scene") == before
    assert title


def test_an_unknown_person_is_named_in_all_scenes_but_one_and_it_is_undone(page: Page, looked: Installation) -> None:
    assert tagged(looked) == {}
    page.goto(f"{PEOPLE}&view=unknown")
    cluster = page.get_by_role("article").first
    faces_come(cluster, 3)
    fits(page)
    words = re.search(r"In (\d+) scenes", cluster.inner_text())
    assert words is not None
    scenes = int(words.group(1))
    cluster.get_by_role("button", name="Name").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Nadia New")
    dialog.get_by_label("Gender").select_option("FEMALE")
    dialog.get_by_role("checkbox").first.uncheck()
    fits(page)
    dialog.get_by_role("button", name="Create the performer").click()
    dialog.get_by_text(f"Create the performer Nadia New and tag it on {scenes - 1} scenes.").wait_for()
    assert dialog.locator("tbody tr", has_text=re.compile(r"scene \d+")).count() == scenes - 1
    dialog.get_by_role("button", name="Create Nadia New").click()
    said = page.get_by_role("status")
    said.get_by_text("Create the performer Nadia New").wait_for()
    assert said.get_by_role("button", name="Learn the face").is_visible()
    assert {name: len(own) for name, own in tagged(looked).items()} == {"Nadia New": scenes - 1}
    said.get_by_role("button", name="Undo").click()
    said.get_by_text(re.compile("^Undone")).wait_for()
    assert tagged(looked) == {}
    assert "Nadia New" not in {one.name for one in looked.stash.library.performers.values()}

    cluster.get_by_role("button", name="Name").click()
    dialog.get_by_role("button", name="A performer of Stash").click()
    page.get_by_label("Name of the performer").fill("Signer A")
    page.get_by_role("button", name=re.compile("^Signer A")).click()
    dialog.get_by_text(f"Tag Signer A on {scenes} scenes.").wait_for()
    dialog.get_by_role("button", name="This is Signer A").click()
    said.get_by_text("Tag Signer A on").wait_for()
    assert {name: len(own) for name, own in tagged(looked).items()} == {"Signer A": scenes}
    said.get_by_role("button", name="Undo").click()
    said.get_by_text(re.compile("^Undone")).wait_for()
    assert tagged(looked) == {}


def test_an_unknown_person_is_ignored_for_ever_and_comes_back(page: Page, looked: Installation) -> None:
    before = pending(looked, "unknown_person")
    page.goto(f"{PEOPLE}&view=unknown")
    page.get_by_role("button", name="Ignore for ever").first.click()
    page.get_by_role("status").get_by_text("ignored for ever").wait_for()
    assert pending(looked, "unknown_person") == before - 1
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    page.get_by_role("status").get_by_text("is back").wait_for()
    assert pending(looked, "unknown_person") == before
