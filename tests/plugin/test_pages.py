"""The screens in a browser, each against the real server: what they show, what they start, how few calls they need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from pipelines.store.performers import PerformerDatabase
from tests.conftest import REPOSITORY
from tests.plugin.conftest import NARROW, STASH_KEY, WIDE, Installation

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
    page.get_by_label("Name, alias or id").fill("obama")
    page.get_by_text("1 person").wait_for()
    assert "q=obama" in page.url, "the search is in the address"
    page.get_by_role("button", name="barack obama").click()
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
    assert job.get_by_role("button", name="Try again").is_visible()


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
