"""What one call of the plugin costs above the same question asked of the server directly.

The plugin's process is started as Stash starts it, asks the (fake) Stash for its settings, and asks an HTTP server that
answers at once. Rows:

- direct_ms: the question over HTTP, without the plugin
- plugin_ms: through a start of the plugin's process; the direct way as baseline
- overhead_ms: the difference; python_ms, an interpreter that does nothing, as baseline
- many_ms: seven questions in one call; seven calls as baseline
- crops_ms: 60 crops of 10 kB in one call; 60 times the plain call's overhead as baseline
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.report import Options, Report
from tests.conftest import REPOSITORY
from tests.fakes.stash import FakeStash

CALLS = 30
CROP = b"\xff\xd8" + bytes(10_000)


class Instant(BaseHTTPRequestHandler):
    """Answers at once."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, body = ("image/jpeg", CROP) if self.path.startswith("/crops/") else ("application/json", b'{"jobs": []}')
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def run(report: Report, options: Options) -> None:
    calls = 3 if options.quick else CALLS
    server = ThreadingHTTPServer(("127.0.0.1", 0), Instant)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory(prefix="bp-") as folder, FakeStash(api_key="key") as stash:
        process = Process(Path(folder), stash, url)
        process.ask("queue")  # compiles the modules, as the first call after an installation does
        direct = median_ms(lambda: ask_directly(url), calls)
        bare = median_ms(lambda: subprocess.run([sys.executable, "-sSE", "-c", ""], check=True), calls)
        through = median_ms(lambda: process.ask("queue"), calls)
        many = median_ms(lambda: process.ask("many", calls=[{"mode": "queue"}] * 7), calls)
        paths = [f"/crops/{number}.jpg" for number in range(60)]
        crops = median_ms(lambda: process.ask("crops", paths=paths), calls)
    server.shutdown()
    report.add("direct_ms", direct, "ms")
    report.add("plugin_ms", through, "ms", baseline=direct, ratio=through / direct)
    report.add("overhead_ms", through - direct, "ms", baseline=bare, ratio=(through - direct) / bare)
    report.add("many_ms", many, "ms", baseline=7 * through, ratio=many / (7 * through))
    report.add("crops_ms", crops, "ms", baseline=60 * through, ratio=crops / (60 * through))


class Process:
    """The plugin as it is installed, and the ways to start it."""

    def __init__(self, folder: Path, stash: FakeStash, url: str) -> None:
        import shutil

        shutil.copy(REPOSITORY / "plugin" / "stash_sense_backend.py", folder)
        shutil.copytree(REPOSITORY / "plugin" / "stash_sense_proxy", folder / "stash_sense_proxy")
        stash.plugins.settings["stash-sense"] = {"serverUrl": url, "apiKey": "key"}
        cookie = {"Name": "session", "Value": stash.session()}
        self._words = [sys.executable, "-sSE", str(folder / "stash_sense_backend.py")]
        self._connection = {
            "Scheme": "http",
            "Host": "127.0.0.1",
            "Port": urlsplit(stash.url).port,
            "SessionCookie": cookie,
        }

    def ask(self, mode: str, **args: Any) -> Any:
        given = json.dumps({"server_connection": self._connection, "args": {"mode": mode, **args}}).encode()
        done = subprocess.run(self._words, input=given, capture_output=True, check=True)
        said = json.loads(done.stdout)
        if "output" not in said.get("output", {}):
            raise RuntimeError(f"the plugin answered {said}")
        return said["output"]["output"]


def ask_directly(url: str) -> None:
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", "/queue")
    connection.getresponse().read()
    connection.close()


def median_ms(work: Callable[[], Any], times: int) -> float:
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(spent)
