"""Plugins of the fake Stash: strict manifests, the process protocol, sessions, and the page's policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.stash import FakeStash
from tests.fakes.stash.pages import PASSWORD, USERNAME
from tests.fakes.stash.plugins import BadManifest, load_plugin

RUN = 'mutation($args: Map) { runPluginOperation(plugin_id: "echo", args: $args) }'
SCRIPT = """
import json, sys, urllib.request
given = json.load(sys.stdin)
mode = given["args"].get("mode")
if mode == "echo":
    print(json.dumps({"output": given}))
elif mode == "text":
    print("no json")
elif mode == "error":
    print(json.dumps({"error": "it broke"}))
elif mode == "exit":
    sys.exit(3)
elif mode == "log":
    sys.stderr.write("\\x01w\\x02careful\\nbare\\n")
    print(json.dumps({"output": None}))
elif mode == "ask":
    connection = given["server_connection"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{connection['Port']}/graphql",
        json.dumps({"query": "{ configuration { general { apiKey } } }"}).encode(),
        {"Content-Type": "application/json", "Cookie": "session=" + connection["SessionCookie"]["Value"]},
    )
    print(json.dumps({"output": json.load(urllib.request.urlopen(request))["data"]}))
"""
MANIFEST = "name: Echo\nexec: [python, '{pluginDir}/echo.py']\nerrLog: debug\nui: {javascript: [echo.js]}\n"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins" / "echo"
    folder.mkdir(parents=True)
    (folder / "echo.yml").write_text(MANIFEST)
    (folder / "echo.py").write_text(SCRIPT)
    (folder / "echo.js").write_text("void 0;")
    return folder.parent


def run(stash: FakeStash, **args: Any) -> dict[str, Any]:
    headers = {"ApiKey": stash.api_key} if stash.api_key else {}
    body = {"query": RUN, "variables": {"args": args}}
    return httpx.post(f"{stash.url}/graphql", json=body, headers=headers, timeout=30).json()


def test_a_plugin_runs_by_the_protocol(plugins: Path) -> None:
    with FakeStash(plugins=plugins, api_key="key") as stash:
        given = run(stash, mode="echo", n=[1])["data"]["runPluginOperation"]
        assert given["args"] == {"mode": "echo", "n": [1]}
        connection = given["server_connection"]
        assert (connection["Scheme"], connection["Port"]) == ("http", int(stash.url.rpartition(":")[2]))
        assert connection["PluginDir"] == str(plugins / "echo")
        assert run(stash, mode="text")["data"]["runPluginOperation"] == "no json\n"
        assert run(stash, mode="error")["errors"][0]["message"] == "it broke"
        assert run(stash, mode="exit")["errors"][0]["message"] == "exit status 3"
        run(stash, mode="log")
        assert stash.plugins.log[-2:] == [("warning", "careful"), ("debug", "bare")]
        assert stash.plugins.calls == 5


def test_the_cookie_of_a_plugin_opens_stash(plugins: Path) -> None:
    with FakeStash(plugins=plugins, api_key="key") as stash:
        said = run(stash, mode="ask")["data"]["runPluginOperation"]
        assert said["configuration"]["general"]["apiKey"] == "key"


def test_a_browser_logs_in(plugins: Path) -> None:
    with FakeStash(plugins=plugins, api_key="key") as stash, httpx.Client(base_url=stash.url) as browser:
        question = {"query": "{ plugins { id } }"}
        assert browser.post("/graphql", json=question).status_code == 401
        wrong = {"username": USERNAME, "password": "wrong"}
        assert browser.post("/login", data=wrong).status_code == 401
        browser.post("/login", data={"username": USERNAME, "password": PASSWORD})
        assert browser.post("/graphql", json=question).json()["data"]["plugins"] == [{"id": "echo"}]


def test_settings_are_replaced_as_a_whole(plugins: Path) -> None:
    with FakeStash(plugins=plugins) as stash:
        for given in ({"a": 1, "b": 2}, {"a": 3}):
            query = 'mutation($i: Map!) { configurePlugin(plugin_id: "echo", input: $i) }'
            httpx.post(f"{stash.url}/graphql", json={"query": query, "variables": {"i": given}})
        query = '{ configuration { plugins(include: ["echo"]) } }'
        said = httpx.post(f"{stash.url}/graphql", json={"query": query}).json()
        assert said["data"]["configuration"]["plugins"] == {"echo": {"a": 3}}


def test_the_page_has_the_policy_of_stash(plugins: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>Stash</p>")
    with FakeStash(plugins=plugins, page=tmp_path) as stash:
        for path in ("/", "/plugins/echo?tab=x", "/scenes/1"):
            answer = httpx.get(stash.url + path)
            assert answer.text == "<p>Stash</p>"
            policy = answer.headers["content-security-policy"]
            assert "connect-src data: 'self' ws: wss:;" in policy
            assert "child-src 'none'" in policy
        assert httpx.get(f"{stash.url}/plugin/echo/javascript").text == "void 0;"


@pytest.mark.parametrize(
    "text",
    [
        "name: X\nexecMode: y\n",
        "description: no name\n",
        "name: X\nsettings: {a: {type: ENUM}}\n",
        "name: X\nsettings: {a: {type: STRING, default: b}}\n",
        "name: X\nui: {csp: {img-src: [x]}}\n",
        "name: X\nversion: 1.0\n",
    ],
)
def test_a_manifest_with_anything_unknown_does_not_load(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yml"
    path.write_text(text)
    with pytest.raises(BadManifest):
        load_plugin(path)
    with FakeStash(plugins=tmp_path) as stash:
        assert stash.plugins.all() == []
        assert "Error loading plugin" in stash.plugins.log[-1][1]


def test_no_plugin_of_that_name(plugins: Path) -> None:
    with FakeStash(plugins=plugins) as stash:
        query = 'mutation { runPluginOperation(plugin_id: "other") }'
        said = httpx.post(f"{stash.url}/graphql", json={"query": query}).json()
        assert said["data"]["runPluginOperation"] is None
        assert json.dumps(said["errors"])
