"""The dashboard in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugin.conftest import Installation

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_button_of_the_bar_opens_the_dashboard(page: Page, installation: Installation) -> None:
    page.goto("/")
    before = installation.stash.plugins.calls
    page.get_by_role("link", name="Stash Sense").click()
    page.get_by_text("Connected, version").wait_for()
    assert page.url.endswith("/plugins/stash-sense")
    assert page.get_by_text("17 people").is_visible()
    assert installation.stash.plugins.calls == before + 1, "one call for the whole dashboard"
