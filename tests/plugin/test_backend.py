"""The plugin's process as Stash starts it: the protocol, the ways a server can fail, and what never leaks."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import plugin.stash_sense_proxy
from serve_app.routes.health import VERSION
from tests.conftest import REPOSITORY
from tests.fakes.stash import FakeStash
from tests.fakes.stash.plugins import load_plugin
from tests.plugin.node import OPENAPI, modes_as_types, plugin_modes

PLUGIN = REPOSITORY / "plugin"
KEY = "key-of-the-server"
RUN = 'mutation($args: Map) { runPluginOperation(plugin_id: "stash-sense", args: $args) }'

Reply = tuple[int, dict[str, str], bytes]
Answering = Callable[[str, str, dict[str, str], bytes], Reply]


class Upstream:
    """An HTTP server that answers as a test says, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Answering = lambda *_: reply(200, {"status": "ok", "version": VERSION})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, body))
                status, more, data = outer.answer(self.command, self.path, headers, body)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **more}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def reply(status: int, body: Any, **headers: str) -> Reply:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()


def refusal(status: int, code: str, **headers: str) -> Reply:
    return reply(status, {"error": code, "message": f"It is {code}.", "hint": "Do something."}, **headers)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def stash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStash]:
    """A Stash with the plugin's process, without its page; it wants a key."""
    folder = tmp_path_factory.mktemp("plugins") / "stash-sense"
    folder.mkdir()
    for name in ("stash-sense.yml", "stash_sense_backend.py", "stash_sense_proxy"):
        (folder / name).symlink_to(PLUGIN / name)
    with FakeStash(api_key="key-of-stash", plugins=folder.parent) as stash:
        yield stash


@pytest.fixture
def ask(stash: FakeStash, upstream: Upstream) -> Callable[..., Any]:
    """Calls the plugin as the page does; returns {"output"} or {"failed"}, or the text of an error."""
    stash.plugins.settings["stash-sense"] = {"serverUrl": upstream.url, "apiKey": KEY}

    def ask(mode: str, **args: Any) -> Any:
        import httpx

        body = {"query": RUN, "variables": {"args": {"mode": mode, **args}}}
        said = httpx.post(f"{stash.url}/graphql", json=body, headers={"ApiKey": "key-of-stash"}, timeout=60).json()
        return said["errors"][0]["message"] if said.get("errors") else said["data"]["runPluginOperation"]

    return ask


def test_manifest_loads_and_has_the_version_of_the_server() -> None:
    manifest = load_plugin(PLUGIN / "stash-sense.yml").manifest
    assert manifest["version"] == VERSION == plugin.stash_sense_proxy.VERSION
    assert list(manifest["settings"]) == ["serverUrl", "apiKey"]
    committed = [path for path in PLUGIN.rglob("*.yml") if "node_modules" not in path.parts]
    assert committed == [PLUGIN / "stash-sense.yml"], "Stash takes every *.yml for a manifest"


def test_every_mode_is_a_route_of_the_server_and_a_type_of_the_page() -> None:
    paths = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    modes = plugin_modes()
    written = modes_as_types(modes, paths)
    assert '  queue_job: { route: "/queue/{job_id}"; method: "get"; path: "id" };' in written.splitlines()
    assert written.count("route:") == len(modes)
    del paths["/queue/{job_id}"]["get"]
    with pytest.raises(ValueError, match="mode queue_job: the server has no GET"):
        modes_as_types(modes, paths)


def test_an_answer_comes_through_with_path_query_and_body(ask: Callable[..., Any], upstream: Upstream) -> None:
    upstream.answer = lambda *_: reply(201, {"id": 7})
    assert ask("queue_submit", body={"type": "scan"}) == {"output": {"id": 7}}
    method, path, headers, body = upstream.asked[-1]
    assert (method, path, json.loads(body)) == ("POST", "/queue", {"type": "scan"})
    assert headers["apikey"] == KEY
    ask("person", path={"id": "stashdb.org:a/b?c"})
    assert upstream.asked[-1][1] == "/people/stashdb.org:a%2Fb%3Fc"
    ask("people", query={"text": "ä & b", "offset": 0, "source": None, "excluded": False})
    assert upstream.asked[-1][1] == "/people?text=%C3%A4+%26+b&offset=0&excluded=false"
    ask("people_include", query={"id": ["a:1", "b:2"]})
    assert upstream.asked[-1][:2] == ("DELETE", "/people/excluded?id=a%3A1&id=b%3A2")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"mode": "nothing"}, "knows no mode"),
        ({"mode": "queue_stop"}, "needs ['id']"),
        ({"mode": "queue_stop", "path": {"id": ".."}}, "id is '..'"),
        ({"mode": "health", "path": {"id": 1}}, "needs no path"),
        ({"mode": "crops", "paths": ["/settings"]}, "below /crops/"),
        ({"mode": "crops", "paths": ["/crops/../settings"]}, "below /crops/"),
        ({"mode": "many", "calls": [{"mode": "health"}] * 13}, "up to 12"),
    ],
)
def test_calls_that_make_no_sense_are_errors_and_reach_nothing(
    ask: Callable[..., Any], upstream: Upstream, args: dict[str, Any], said: str
) -> None:
    assert said in ask(args.pop("mode"), **args)
    assert upstream.asked == []


def test_the_browser_cannot_choose_the_server(ask: Callable[..., Any], upstream: Upstream) -> None:
    ask("health", server_url="http://127.0.0.1:1", serverUrl="http://127.0.0.1:1", sidecar_url="http://127.0.0.1:1")
    assert len(upstream.asked) == 1


def failed(said: Any) -> dict[str, Any]:
    assert set(said) == {"failed"}
    return said["failed"]


def test_every_way_to_fail_has_its_sentence(ask: Callable[..., Any], stash: FakeStash, upstream: Upstream) -> None:
    upstream.answer = lambda *_: refusal(401, "unauthorized")
    assert failed(ask("queue"))["code"] == "wrong_key"
    upstream.answer = lambda *_: refusal(404, "not_found")
    assert failed(ask("queue"))["code"] == "version_mismatch"
    upstream.answer = lambda *_: reply(200, {"status": "ok", "version": "9.0.0"})
    assert "version 9.0.0" in failed(ask("health"))["message"]
    upstream.answer = lambda *_: (200, {"Content-Type": "text/html"}, b"<p>router</p>")
    assert failed(ask("queue"))["code"] == "not_stash_sense"
    upstream.answer = lambda *_: (302, {"Location": "http://127.0.0.1:1/"}, b"")
    assert failed(ask("queue"))["code"] == "not_stash_sense"
    upstream.answer = lambda *_: refusal(503, "overloaded", Retry_After="7")
    busy = failed(ask("queue"))
    assert (busy["code"], busy["retry_after_s"], busy["message"]) == ("overloaded", 7.0, "It is overloaded.")
    stash.plugins.settings["stash-sense"]["serverUrl"] = "http://127.0.0.1:9"
    gone = failed(ask("queue"))
    assert gone["code"] == "unreachable"
    assert "http://127.0.0.1:9 is not reachable" in gone["message"]
    for unset in ({}, {"serverUrl": " "}, {"serverUrl": "ftp://x"}, {"serverUrl": "127.0.0.1:6960"}):
        stash.plugins.settings["stash-sense"] = unset
        assert failed(ask("queue"))["code"] == "not_set_up", unset


def test_a_busy_server_is_asked_again_when_it_says(ask: Callable[..., Any], upstream: Upstream) -> None:
    left = [refusal(503, "overloaded", Retry_After="0.1")] * 2
    upstream.answer = lambda *_: left.pop() if left else reply(200, {"people": []})
    assert ask("identify_image", body={"image_id": "1"}) == {"output": {"people": []}}
    assert len(upstream.asked) == 3


def test_a_silent_server_is_given_up(upstream: Upstream) -> None:
    sys.path.insert(0, str(PLUGIN))
    try:
        from stash_sense_proxy.http import Server, Unreachable

        done = threading.Event()
        upstream.answer = lambda *_: (done.wait(5), reply(200, {}))[1]
        with pytest.raises(Unreachable) as caught:
            Server(upstream.url, {}).ask("GET", "/health", timeout_s=0.2)
        assert caught.value.late
        done.set()
    finally:
        sys.path.remove(str(PLUGIN))


def test_of_many_calls_one_may_fail(ask: Callable[..., Any], upstream: Upstream) -> None:
    upstream.answer = lambda _, path, *__: refusal(503, "x") if path == "/queue" else reply(200, {"path": path})
    outcomes = ask("many", calls=[{"mode": "settings"}, {"mode": "queue"}, {"mode": "models"}])["output"]
    assert outcomes[0] == {"output": {"path": "/settings"}}
    assert outcomes[1]["failed"]["code"] == "x"
    assert outcomes[2] == {"output": {"path": "/models/status"}}


def test_crops_come_as_data_urls_without_the_broken_ones(ask: Callable[..., Any], upstream: Upstream) -> None:
    picture = (200, {"Content-Type": "image/jpeg"}, b"\xff\xd8jpeg")
    upstream.answer = lambda _, path, *__: refusal(404, "media_not_found") if "gone" in path else picture
    paths = [f"/crops/{number}.jpg" for number in range(20)]
    found = ask("crops", paths=[*paths, "/crops/gone.jpg"])["output"]
    assert found["/crops/gone.jpg"] is None
    assert {found[path] for path in paths} == {"data:image/jpeg;base64,/9hqcGVn"}


def test_an_export_comes_in_pieces(ask: Callable[..., Any], upstream: Upstream) -> None:
    whole = bytes(range(256)) * 40_000

    def answer(_method: str, path: str, headers: dict[str, str], _body: bytes) -> Reply:
        start, end = map(int, headers["range"].removeprefix("bytes=").split("-"))
        assert path == "/recommendations/exports/0a1b"
        part = whole[start : end + 1]
        return 206, {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(whole)}"}, part

    upstream.answer = answer
    pieces: list[bytes] = []
    while (done := sum(map(len, pieces))) < len(whole):
        said = ask("export_piece", id="0a1b", start=done)["output"]
        assert said["total_bytes"] == len(whole)
        pieces.append(base64.b64decode(said["data"]))
    assert b"".join(pieces) == whole
    assert len(pieces) == 3
    upstream.answer = lambda *_: refusal(404, "export_unknown")
    assert ask("export_piece", id="0a1b", start=0)["failed"]["code"] == "export_unknown"
    for bad in ({"id": "../queue", "start": 0}, {"id": "0a1b", "start": -1}, {"id": "0a1b", "start": True}, {"id": 5}):
        assert "is that of an export" in ask("export_piece", **bad)


def test_pairing_hands_over_the_key_that_the_page_never_sees(
    ask: Callable[..., Any], stash: FakeStash, upstream: Upstream
) -> None:
    offer = ask("pairing_offer")["output"]
    assert offer == {"stash_url": stash.url, "has_key": True}
    upstream.answer = lambda *_: reply(200, {"url": stash.url, "answers": True})
    said = ask("pair", stash_url="http://stash:9999")
    method, path, _, body = upstream.asked[-1]
    assert (method, path) == ("POST", "/stash/pairing")
    assert json.loads(body) == {"stash_url": "http://stash:9999", "stash_api_key": "key-of-stash"}
    assert "key-of-stash" not in json.dumps([offer, said, stash.plugins.log])
    assert KEY not in json.dumps([offer, said, stash.plugins.log])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"server_connection": {}, "args": 1}'])
def test_started_otherwise_it_answers_in_the_protocol(text: str) -> None:
    script = PLUGIN / "stash_sense_backend.py"
    done = subprocess.run([sys.executable, "-sSE", script], input=text.encode(), capture_output=True, check=True)
    assert json.loads(done.stdout)["error"]


def test_it_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """Without site-packages and without this repository in the path it starts, and loads no module that is slow."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); import stash_sense_proxy.process; print(*sys.modules)"
    words = [sys.executable, "-ISB", "-c", script, str(PLUGIN)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert not {"asyncio", "urllib.request", "concurrent.futures.thread", "site"} & set(done.stdout.split())


def test_index_of_the_packed_plugin(tmp_path: Path) -> None:
    import hashlib
    import zipfile

    from plugin.pack import pack

    built = tmp_path / "built"
    built.mkdir()
    (built / "stash-sense.yml").write_text((PLUGIN / "stash-sense.yml").read_text())
    (built / "stash-sense.js").write_text("void 0;")
    (one,) = yaml.safe_load(pack(built, tmp_path / "dist").read_text())
    archive = tmp_path / "dist" / one["path"]
    assert (one["id"], one["name"]) == ("stash-sense", "Stash Sense")
    assert str(one["version"]).startswith(VERSION)
    assert one["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    with zipfile.ZipFile(archive) as file:
        assert file.namelist() == ["stash-sense.js", "stash-sense.yml"]
    first = archive.read_bytes()
    pack(built, tmp_path / "dist")
    assert archive.read_bytes() == first
