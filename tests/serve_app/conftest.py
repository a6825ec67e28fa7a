"""One real server for all tests of this folder: Ray, Serve and HTTP in a process of its own, with real models.

The server starts without a performer database; what it answers then is kept in `server.before_enrolment`. At the end it
gets SIGINT, and the fixture fails when anything of its process tree is left.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar

import httpx
import psutil
import pytest

from pipelines.enroll.crop_writer import CropWriter
from pipelines.enroll.folder import FOLDER_SOURCE, enroll_folder
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from serve_app.ray_env import free_port
from tests.fakes.stash import FakeStash, sample_library

T = TypeVar("T")
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 30
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
STASH_KEY = "stash-key-of-the-tests"
IN_THE_FILE = {"MAX_IMAGE_MEGAPIXELS": "20", "MAX_GALLERY_IMAGES": "4"}
"""Limits that the server reads from its settings file: those of the environment cannot be changed while it runs."""
LIMITS = {
    "MAX_BODY_MB": "4",
    "MAX_VIDEO_DURATION_S": "20",
    "MAX_QUEUED_REQUESTS": "12",
    "DECODE_WORKERS": "1",
    "REQUEST_TIMEOUT_S": "100",
}


@dataclass
class Serving:
    """The running server.

    Attributes:
        url, key: where it is and what it asks for.
        root: the folder that requests may name, with `outside` beside it.
        media_url: base URL of a file server over the test data, on an allowed host.
        stash: the Stash that the server knows: scenes, images and galleries are those of the test data.
        before_enrolment: answers from before there was a performer database.
    """

    process: subprocess.Popen[bytes]
    data_dir: Path
    root: Path
    outside: Path
    media_url: str
    url: str
    stash: FakeStash
    key: str = ""
    before_enrolment: dict[str, httpx.Response] = field(default_factory=dict)

    @property
    def database(self) -> PerformerDatabase:
        return PerformerDatabase(self.data_dir / "performer-db", keep=10)

    def tree(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def log(self) -> str:
        return (self.data_dir / "server.log").read_text(errors="replace")


def until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """Returns what the condition gives as soon as that is true; fails after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            if value := condition():
                return value
        except httpx.TransportError:
            pass
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {timeout_s} s")
        time.sleep(0.1)


def server_environment(data_dir: Path, port: int, models_dir: Path, **settings: str) -> dict[str, str]:
    """Returns the environment of a server process with nothing of this one's settings."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("STASH_SENSE_", "RAY_"))}
    named = {"DATA_DIR": str(data_dir), "MODELS_DIR": str(models_dir), "PORT": str(port), **settings}
    return bare | {f"STASH_SENSE_{name}": value for name, value in named.items()}


def launch(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Starts `python -m serve_app` in a session of its own; it stops when the tests end, however they do."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "serve_app"],
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=_stop_with_the_tests,  # noqa: PLW1509 - one system call
        )


def _stop_with_the_tests() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def session_members(process: subprocess.Popen[bytes]) -> list[str]:
    """Returns what is left of a session, by process group or parentage: Ray gives its daemons groups of their own."""
    left = []
    for other in psutil.process_iter(["name"]):
        try:
            if os.getsid(other.pid) == process.pid and other.status() != psutil.STATUS_ZOMBIE:
                left.append(f"{other.pid} {other.name()}")
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return left


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def media_server(data: Path) -> Iterator[str]:
    """Base URL of a file server over the test data; answers `/redirect/...` with a redirect, knows no Range."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/redirect/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/redirect"))
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(data)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def enrolled(short_dir: Path, data: Path, open_models: Path) -> Path:
    """A performer database with the people of the test data; pictures of the faces are beside it."""
    settings = Settings(data_dir=short_dir / "enrolled")
    engine = FaceEngine(OPEN, open_models, EngineOptions(threads=2))
    crops = CropWriter(settings, FOLDER_SOURCE)
    enroll_folder(data / "faces" / "people", engine, PerformerDatabase(settings.database_path), crops=crops)
    return settings.database_path


@pytest.fixture(scope="session")
def stash(data: Path) -> Iterator[FakeStash]:
    """A Stash with the test data as its library; it wants a key."""
    with FakeStash(sample_library(data, tagged=True), api_key=STASH_KEY) as stash:
        yield stash


@pytest.fixture(scope="session")
def server(
    short_dir: Path, data: Path, models_dir: Path, enrolled: Path, media_server: str, stash: FakeStash
) -> Iterator[Serving]:
    data_dir, root, outside = short_dir / "data", short_dir / "library", short_dir / "outside"
    for folder in (data_dir, root, outside):
        folder.mkdir()
    lines = [f"{name.lower()} = {value}" for name, value in IN_THE_FILE.items()]
    lines.append("analyze_after_scan = false")
    lines += [f'stash_url = "{stash.url}"', f'stash_api_key = "{STASH_KEY}"']
    (data_dir / "settings.toml").write_text("\n".join(lines))
    port = free_port()
    environment = server_environment(
        data_dir,
        port,
        models_dir,
        ALLOWED_ROOTS=f'["{data}", "{root}"]',
        ALLOWED_HOSTS=f'["{media_server.removeprefix("http://")}"]',
        **LIMITS,
    )
    process = launch(environment, data_dir / "server.log")
    serving = Serving(process, data_dir, root, outside, media_server, f"http://127.0.0.1:{port}", stash)
    try:
        until(lambda: process.poll() is not None or "Serving on" in serving.log(), START_TIMEOUT_S, "the start")
        assert process.poll() is None, serving.log()
        serving.key = (data_dir / "api-key").read_text().strip()
        serving.before_enrolment = _ask_without_database(serving, data)
        shutil.copytree(enrolled, data_dir / "performer-db")
        with httpx.Client(base_url=serving.url, headers={"ApiKey": serving.key}) as client:
            until(lambda: client.get("/ready").status_code == 200, 30, "noticing the performer database")
        yield serving
        tree = serving.tree()
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
        assert process.wait(STOP_TIMEOUT_S) == 0, serving.log()
        _, alive = psutil.wait_procs(tree, timeout=5)
        assert not alive
        assert not session_members(process)
    finally:
        if process.poll() is None:
            for member in serving.tree():
                member.kill()


def _ask_without_database(serving: Serving, data: Path) -> dict[str, httpx.Response]:
    with httpx.Client(base_url=serving.url, headers={"ApiKey": serving.key}, timeout=60) as client:
        photo = (data / "faces" / "people" / "signer_a" / "01.jpg").read_bytes()
        return {
            "health": client.get("/health"),
            "ready": client.get("/ready"),
            "info": client.get("/database/info"),
            "capabilities": client.get("/capabilities"),
            "identify": client.post("/identify/image", files={"file": photo}),
        }


@pytest.fixture
def client(server: Serving) -> Iterator[httpx.Client]:
    """A client that sends the key."""
    with httpx.Client(base_url=server.url, headers={"ApiKey": server.key}, timeout=120) as client:
        yield client
