"""The screens in a browser, each against the real server: what they show, what they start, how few calls they need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from pipelines.store.performers import PerformerDatabase
from tests.conftest import REPOSITORY
from tests.fakes.file_server import FileServer
from tests.fakes.releases import ReleaseServer
from tests.plugin.conftest import NARROW, STASH_KEY, WIDE, Installation
from tests.serve_app.conftest import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOME = "/plugins/stash-sense"
SCREENS = {
    "dashboard": ("", "Performer database"),
    "operations": ("?tab=operations", "Nothing runs."),
    "people": ("?tab=people", "17 people"),
    "settings": ("?tab=settings", "Smallest side of a face box"),
    "database": ("?tab=settings&section=database", "in use"),
    "models": ("?tab=settings&section=models", "installed"),
    "stash": ("?tab=settings&section=stash", "answers, version"),
    "hardware": ("?tab=settings&section=hardware", "threads usable"),
}


def test_the_button_of_the_bar_opens_the_dashboard(page: Page, installation: Installation) -> None:
    page.goto("/")
    page.get_by_role("link", name="Stash Sense").click()
    page.get_by_text("Connected, version").wait_for()
    assert page.url.endswith(HOME)
    assert page.get_by_text("17 people").is_visible()
    assert page.get_by_role("link", name="Scan the library").is_visible()


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_shows_is_accessible_and_fits(page: Page, installation: Installation, name: str) -> None:
    query, text = SCREENS[name]
    before = installation.stash.plugins.calls
    page.goto(HOME + query)
    page.get_by_text(text).first.wait_for()
    assert installation.stash.plugins.calls - before <= 2, "calls of the backend"
    assert serious(page) == []
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"{name} is {width} px wide at {size['width']}"


def serious(page: Page) -> list[str]:
    """Returns what axe finds serious or worse in what the plugin draws."""
    page.add_script_tag(path=REPOSITORY / "node_modules" / "axe-core" / "axe.min.js")
    found = page.evaluate(
        """async () => {
            const place = document.querySelector(".modal.show") ?? document.querySelector(".sense-page, .sense-panel");
            const { violations } = await axe.run(place);
            return violations.filter((one) => ["serious", "critical"].includes(one.impact))
                .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
        }"""
    )
    return list(found)


def test_a_scan_is_started_and_watched_until_it_is_done(page: Page, installation: Installation) -> None:
    page.goto(f"{HOME}?tab=operations")
    page.get_by_role("button", name="Scan", exact=True).click()
    live = page.locator("[data-type=scan]")
    live.first.wait_for()
    page.locator("[data-type=scan][data-state=done]").first.wait_for(timeout=150_000)
    assert "(100 %)" in page.locator("[data-type=scan]").first.inner_text()
    page.locator("[data-type=rematch][data-state=done]").first.wait_for(timeout=60_000)
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_text("of 12 scenes").wait_for()
    assert page.locator(".sense-big").nth(2).inner_text() == "12"


def test_a_schedule_is_kept(page: Page, installation: Installation) -> None:
    page.goto(f"{HOME}?tab=operations")
    page.get_by_label("How often: Scan").select_option("6")
    page.locator("label[for=sense-schedule-scan]").click()
    page.get_by_text(re.compile(r"^next ")).wait_for()
    with installation.client() as client:
        schedules = {one["type"]: one for one in client.get("/queue/schedules").json()["schedules"]}
        assert (schedules["scan"]["enabled"], schedules["scan"]["interval_hours"]) == (True, 6)
        client.put("/queue/schedules/scan", json={"enabled": False})


def test_a_setting_is_changed_refused_and_reset(page: Page, installation: Installation) -> None:
    page.goto(f"{HOME}?tab=settings")
    row = page.locator("[data-key=top_k]")
    field = row.get_by_label("top k")
    field.fill("99")
    row.get_by_role("button", name="Save").click()
    row.get_by_role("alert").wait_for()
    assert "less than or equal to 50" in row.get_by_role("alert").inner_text()
    field.fill("7")
    row.get_by_role("button", name="Save").click()
    row.get_by_text("changed here").wait_for()
    with installation.client() as client:
        assert client.get("/settings/top_k").json()["value"] == 7
    row.get_by_role("button", name="Reset").click()
    row.get_by_text("default").wait_for()
    assert field.input_value() == "5"
    assert page.locator("[data-key=data_dir] input").get_attribute("readonly") is not None


def test_people_are_found_excluded_and_taken_back(page: Page, installation: Installation) -> None:
    page.goto(f"{HOME}?tab=people")
    page.get_by_label("Name, alias or id").fill("face3")
    page.get_by_text("1 person").wait_for()
    assert "q=face3" in page.url, "the search is in the address"
    page.get_by_role("button", name="compreface face3").click()
    page.get_by_role("dialog").get_by_text("of folder").first.wait_for()
    page.get_by_role("button", name="Exclude").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_role("button", name="Excluded").click()
    page.get_by_role("button", name="Take off the list").click()
    page.get_by_text("Nobody is excluded").wait_for()


def test_a_version_is_verified_and_another_one_used(page: Page, installation: Installation) -> None:
    database = PerformerDatabase(installation.data_dir / "performer-db", keep=10)
    before = database.current()
    assert before is not None
    with installation.client() as client:
        client.post("/queue", json={"type": "enroll_local", "params": {"use_scenes": False, "use_galleries": False}})
    page.goto(f"{HOME}?tab=settings&section=database")
    old = page.locator(f"[data-version='{before}']")
    old.get_by_role("button", name="Use").wait_for(timeout=90_000)
    assert "18 people" not in old.inner_text()
    old.get_by_role("button", name="Verify").click()
    page.get_by_text(f"Version {before} is whole").wait_for()
    old.get_by_role("button", name="Use").click()
    page.get_by_text(f"Version {before} is in use.").wait_for()
    assert database.current() == before
    with installation.client() as client:
        assert client.get("/database/info").json()["version"] == before


def test_a_release_is_taken_with_progress_served_and_left_again(
    page: Page, installation: Installation, shared: ReleaseServer
) -> None:
    with installation.client() as client:

        def served() -> tuple[str, int]:
            info = client.get("/database/info").json()
            return info["version"], info["performer_count"]

        before, people = served()
        shared.http.chunk_bytes, shared.http.pause_s = 200, 0.1  # some 20 KB, in 10 s
        page.goto(f"{HOME}?tab=settings&section=database")
        page.get_by_role("button", name="Check").click()
        row = page.locator("[data-source=shared]")
        row.get_by_text("2026.11.1").wait_for()
        row.get_by_role("button", name="Update").click()
        job = page.locator("[data-type=database_update][data-state=running]")
        job.get_by_text(re.compile(r"^[1-9]\d? %, \w+")).wait_for(timeout=120_000)
        assert serious(page) == []
        page.get_by_text("release:stash-sense-ray").wait_for(timeout=120_000)
        version, more = served()
        assert (version != before, more) == (True, people + 3)
        now = page.locator(f"[data-version='{version}']")
        now.get_by_text("in use").wait_for()
        page.get_by_role("button", name="Check").click()
        row.get_by_text("2026.11.1 is the newest").wait_for()
        page.locator(f"[data-version='{before}']").get_by_role("button", name="Use").click()
        page.get_by_text(f"Version {before} is in use.").wait_for()
        assert served() == (before, people)
        now.get_by_role("button", name=f"Remove version {version}").click()
        now.get_by_role("button", name=f"Remove version {version} for good").click()
        now.wait_for(state="detached")
        assert version not in [one["version"] for one in client.get("/database/versions").json()["versions"]]


def test_a_release_is_found_and_why_it_cannot_be_used_is_said(page: Page, installation: Installation) -> None:
    page.goto(f"{HOME}?tab=settings&section=database")
    page.get_by_role("button", name="Check").click()
    row = page.locator("[data-source=made-up]")
    row.get_by_text("2026.10.1").wait_for()
    row.get_by_role("button", name="Update").click()
    page.get_by_role("link", name="Operations").click()
    job = page.locator("[data-type=database_update][data-state=failed]").first
    job.wait_for(timeout=60_000)
    assert "stash-sense-2026" in job.inner_text()
    job.get_by_role("button", name="Try again").click()
    page.locator("[data-type=database_update][data-state=failed]").nth(1).wait_for(timeout=60_000)


def test_stash_boxes_are_ordered_and_switched_off_by_keys(page: Page, installation: Installation) -> None:
    page.goto(f"{HOME}?tab=settings&section=stash")
    boxes = page.get_by_role("list", name="Stash-boxes in the order in which they are used").get_by_role("listitem")
    boxes.first.wait_for()
    up = page.get_by_role("button", name="Move FansDB up")
    up.focus()
    page.keyboard.press("Enter")
    page.get_by_text("FansDB is number 1 of 2.").wait_for()
    boxes.first.get_by_text("FansDB", exact=True).wait_for()
    assert up.evaluate("(button) => button === document.activeElement"), "the same key can be pressed again"
    page.get_by_label("Use stashdb.org").focus()
    page.keyboard.press("Space")
    page.get_by_text("stashdb.org is not used any more.").wait_for()
    with installation.client() as client:

        def shown() -> list[tuple[str, bool]]:
            return [(one["name"], one["enabled"]) for one in client.get("/stash").json().get("stash_boxes", ())]

        try:
            until(lambda: shown() == [("FansDB", True), ("stashdb.org", False)], 20, "the choice")
            page.reload()
            boxes.first.get_by_text("FansDB", exact=True).wait_for()
            assert not page.get_by_label("Use stashdb.org").is_checked()
            assert serious(page) == []
            job = client.post("/queue", json={"type": "enroll_stashbox", "params": {"endpoint": "stashdb.org"}}).json()
            until(lambda: client.get(f"/queue/{job['id']}").json()["state"] == "failed", 60, "the job")
            assert "switched on are: fansdb.cc" in client.get(f"/queue/{job['id']}").json()["error_message"]
        finally:
            for key in ("stashbox_order", "stashbox_off"):
                client.delete(f"/settings/{key}")


def test_a_missing_model_is_downloaded_stopped_continued_and_verified(
    page: Page, installation: Installation, model_files: FileServer
) -> None:
    (installation.data_dir / "models" / "open" / "rec_sface.onnx").unlink()  # the engine has it in memory
    page.goto(f"{HOME}?tab=settings&section=models")
    pack = page.locator("[data-pack=open]")
    pack.get_by_text("missing").wait_for()
    model_files.pause_s = 0.05  # 590 pieces of 64 KiB: about 30 s
    model_files.requests.clear()
    pack.get_by_role("button", name="Download 38.7 MB").click()
    pack.locator("[data-state=running]").get_by_text(re.compile(r"of 39 MB \(")).wait_for(timeout=120_000)
    pack.get_by_role("button", name="Stop").click()
    pack.locator("[data-state=stopped]").wait_for()
    assert serious(page) == []
    model_files.pause_s = 0.0
    pack.get_by_role("button", name="Download").click()
    pack.locator("[data-file='rec_sface.onnx']").get_by_text("installed").wait_for(timeout=120_000)
    assert [path for path, wanted in model_files.requests if wanted] == ["/rec_sface.onnx"], "it went on"
    pack.get_by_role("button", name="Verify").click()
    pack.get_by_text("All files are right, and compute what they should.").wait_for(timeout=120_000)


def test_a_licence_is_read_before_it_is_accepted(page: Page, installation: Installation) -> None:
    page.goto(f"{HOME}?tab=settings&section=models")
    pack = page.locator("[data-pack=buffalo_l]")
    pack.get_by_text("not accepted yet").wait_for()
    if pack.get_by_role("button", name="Download").is_disabled():
        assert "model_sources: buffalo_l=URL" in pack.inner_text()
        return
    pack.get_by_role("button", name="Download").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("region", name="Licence").wait_for()
    dialog.evaluate("(shown) => Promise.all(shown.getAnimations({ subtree: true }).map((one) => one.finished))")
    assert serious(page) == []
    dialog.get_by_role("button", name="Cancel").click()
    with installation.client() as client:
        states = {one["id"]: one["licence_accepted"] for one in client.get("/models/status").json()["packs"]}
    assert not states["buffalo_l"]


def test_server_and_stash_are_paired_from_the_page(page: Page, installation: Installation) -> None:
    with installation.client() as client:
        again = client.post("/stash/pairing", json={"stash_url": installation.stash.url})
        assert (again.status_code, again.json()["error"]) == (409, "setting_fixed")
        for key in ("stash_url", "stash_api_key"):
            client.delete(f"/settings/{key}")
        try:
            page.goto(HOME)
            page.get_by_role("heading", name="Connect the server to this Stash").wait_for()
            assert serious(page) == []
            address = page.get_by_label("Address of Stash")
            assert address.input_value() == installation.stash.url
            address.fill("http://127.0.0.1:9")
            page.get_by_role("button", name="Connect").click()
            page.get_by_role("alert").get_by_text("127.0.0.1:9").wait_for(timeout=40_000)
            assert client.get("/stash").json()["url"] is None, "a Stash that does not answer is not kept"
            address.fill(installation.stash.url)
            page.get_by_role("button", name="Connect").click()
            page.get_by_text("Answers, version").wait_for()
            assert STASH_KEY not in page.content()
        finally:
            body = {"stash_url": installation.stash.url, "stash_api_key": STASH_KEY}
            client.put("/settings", json={"settings": body})


@pytest.mark.parametrize(
    ("url", "key", "code"),
    [(None, "wrong", "wrong_key"), ("http://127.0.0.1:9", None, "unreachable"), ("nonsense", None, "not_set_up")],
)
@pytest.mark.parametrize("tab", ["dashboard", "recommendations", "operations", "people", "settings"])
def test_what_is_wrong_with_the_server_is_said_on_every_screen(
    page: Page, installation: Installation, tab: str, url: str | None, key: str | None, code: str
) -> None:
    installation.set_up(url, key)
    page.goto(f"{HOME}?tab={tab}")
    alert = page.locator(f"[data-code={code}]").first
    alert.wait_for()
    assert alert.get_by_role("link", name="Plugin settings").get_attribute("href") == "/settings?tab=plugins"
    assert page.get_by_role("link", name="Stash Sense").is_visible(), "Stash's own page goes on"
    installation.set_up()
    alert.get_by_role("button", name="Try again").click()
    alert.wait_for(state="detached")


def test_stash_answers_strangers_nothing(installation: Installation) -> None:
    answer = httpx.post(f"{installation.stash.url}/graphql", json={"query": "{ plugins { id } }"})
    assert answer.status_code == 401
