"""The plugin in a real browser: Chromium, a page with Stash's libraries, the fake Stash, and the real server behind it.

All tests of this folder share one of each, and what they share ends with the last of them: while Playwright is there,
an event loop runs in this thread. What a machine lacks (Chromium, Node) skips the tests that need it, with the reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.store.performers import PerformerDatabase, SourceInfo
from serve_app.ray_env import free_port
from tests.conftest import REPOSITORY
from tests.fakes.file_server import FileServer
from tests.fakes.releases import ReleaseServer, release_server
from tests.fakes.stash import FakeStash, sample_library
from tests.plugin.node import build, why_not
from tests.releases.bundles import uuid, zip_folder
from tests.releases.served import first_zip
from tests.serve_app.conftest import enrolled, launch, server_environment, short_dir, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["enrolled", "short_dir"]

STASH_KEY = "stash-key-of-the-plugin-tests"
PLUGIN = "stash-sense"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}


@dataclass
class Installation:
    """A Stash with the plugin, and the Stash Sense server that it is set up for."""

    stash: FakeStash
    url: str
    key: str
    data_dir: Path

    def set_up(self, url: str | None = None, key: str | None = None) -> None:
        """Sets the plugin's settings in Stash; the right ones by default."""
        self.stash.plugins.settings[PLUGIN] = {"serverUrl": url or self.url, "apiKey": self.key if key is None else key}

    def ask(self, mode: str, **args: Any) -> Any:
        """Calls the plugin as the page does."""
        query = f'mutation($args: Map) {{ runPluginOperation(plugin_id: "{PLUGIN}", args: $args) }}'
        body = {"query": query, "variables": {"args": {"mode": mode, **args}}}
        answer = httpx.post(f"{self.stash.url}/graphql", json=body, headers={"ApiKey": STASH_KEY}, timeout=120)
        return answer.json()["data"]["runPluginOperation"]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"ApiKey": self.key}, timeout=120)


@pytest.fixture(scope="package")
def built() -> Path:
    """The folder `build` with the plugin as it is installed, and the test page."""
    if reason := why_not():
        pytest.skip(reason)
    build("--page")
    return REPOSITORY / "build"


@pytest.fixture(scope="package")
def stash(built: Path, data: Path) -> Iterator[FakeStash]:
    """A Stash with the test data as its library, nobody tagged; it wants a login or a key."""
    with FakeStash(sample_library(data), api_key=STASH_KEY, plugins=built / "plugin", page=built / "page") as stash:
        yield stash


@pytest.fixture(scope="package")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReleaseServer]:
    """A server of releases with one release, of another model pack than the one in use."""
    with release_server() as served:
        served.publish(
            "2026.10.1", {"stash-sense-data.zip": first_zip(tmp_path_factory.mktemp("zips"), "2026.10.1", 3)}
        )
        yield served


@pytest.fixture(scope="package")
def shared(enrolled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReleaseServer]:
    """A server of releases with the export of an installation of the same pack: three people of stashdb.org."""
    folder = tmp_path_factory.mktemp("shared")
    export_of_three(PerformerDatabase(enrolled), folder)
    with release_server() as served:
        files = {"performers.zip": zip_folder(folder / "exported", folder / "performers.zip").read_bytes()}
        served.publish("2026.11.1", files, notes="Three people.")
        yield served


def export_of_three(enrolled: PerformerDatabase, folder: Path) -> None:
    """Exports three of the enrolled people, under ids and names of their own, from a database of their own."""
    faces = enrolled.source_faces("folder")
    assert faces is not None
    chosen = faces["universal_id"].unique().to_pylist()[:3]
    people = [Performer(f"stashdb.org:{uuid(n)}", f"Released {n}") for n in range(3)]
    faces = faces.filter(pc.is_in(faces["universal_id"], pa.array(chosen)))
    owners = pa.array([people[chosen.index(one)].universal_id for one in faces["universal_id"].to_pylist()])
    faces = faces.set_column(0, faces.schema.field("universal_id"), owners)
    theirs = PerformerDatabase(folder / "theirs")
    theirs.put(OPEN, SourceInfo(id="stashdb.org", kind="stashbox", updated=datetime.now(UTC)), people, faces)
    theirs.export(folder / "exported")


@pytest.fixture(scope="package")
def model_files(open_models: Path) -> Iterator[FileServer]:
    """A server of the files of the pack `open`."""
    with FileServer({f"/{path.name}": path.read_bytes() for path in open_models.glob("*.onnx")}).running() as served:
        yield served


@pytest.fixture(scope="package")
def installation(
    short_dir: Path,
    models_dir: Path,
    enrolled: Path,
    stash: FakeStash,
    releases: ReleaseServer,
    shared: ReleaseServer,
    model_files: FileServer,
) -> Iterator[Installation]:
    """The server with the people of the test data enrolled, paired with Stash by the plugin; few frames a scene."""
    data_dir = short_dir / "plugin-data"
    data_dir.mkdir()
    for folder in ("performer-db", "enrolled-crops"):
        shutil.copytree(enrolled.parent / folder, data_dir / folder)
    shutil.copytree(models_dir / "open", data_dir / "models" / "open")
    (data_dir / "settings.toml").write_text(
        "frames_per_scene = 12\nanalyze_after_scan = false\n"
        f'release_sources = ["made-up={releases.document_url}", "shared={shared.document_url}"]\n'
        f'model_sources = ["open={model_files.url}"]\n'
    )
    port = free_port()
    environment = server_environment(data_dir, port, data_dir / "models", DECODE_WORKERS="1", SCAN_WORKERS="1")
    process = launch(environment, data_dir / "server.log")

    def log() -> str:
        return (data_dir / "server.log").read_text(errors="replace")

    try:
        until(lambda: process.poll() is not None or "Serving on" in log(), 180, "the start")
        assert process.poll() is None, log()
        key = (data_dir / "api-key").read_text().strip()
        installation = Installation(stash, f"http://127.0.0.1:{port}", key, data_dir)
        with installation.client() as client:
            until(lambda: client.get("/ready").status_code == 200, 60, "readiness")
        installation.set_up()
        assert installation.ask("pair", stash_url=stash.url)["output"]["answers"]
        yield installation
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium of the system, without a window."""
    sync = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, installation: Installation) -> Iterator[Page]:
    """A page of somebody logged in to Stash; the test fails when the page breaks a rule of its policy or throws."""
    installation.set_up()
    context = browser.new_context(viewport=WIDE, base_url=installation.stash.url)
    context.add_cookies([{"name": "session", "value": installation.stash.session(), "url": installation.stash.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))

    def note(message: Any) -> None:
        if message.type == "error" and ("Content Security Policy" in message.text or "Stash Sense:" in message.text):
            problems.append(message.text)

    page.on("console", note)
    yield page
    context.close()
    assert not problems
