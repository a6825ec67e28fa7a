"""The connection against the fake Stash: keys, faults, retries, named errors, and secrets that stay secret."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import httpx
import pytest

from pipelines.errors import (
    StashNotFound,
    StashRejected,
    StashUnauthorized,
    StashUnknownField,
    StashUnreachable,
)
from pipelines.settings import Settings
from pipelines.stash.answers import data_of, error_of
from pipelines.stash.connect import open_library
from pipelines.stash.graphql import StashClient, stash_address
from pipelines.stash.library import StashLibrary
from pipelines.stash.limiter import Priority, RateLimiter
from pipelines.stash.retries import Retries, TryAgain, retry_after_s
from tests.fakes.stash import FakeStash, generate_library
from tests.stash.conftest import QUICK, listed, queries, using

UPDATE = "mutation W($input: SceneUpdateInput!) { sceneUpdate(input: $input) { id } }"
CREATE = "mutation W($input: TagCreateInput!) { tagCreate(input: $input) { id } }"
FEW = Retries(attempts={Priority.INTERACTIVE: 3, Priority.BATCH: 3}, first_wait_s=0.01, longest_wait_s=0.01)


# --- keys


@pytest.mark.parametrize(("wanted", "sent"), [("right", "wrong"), ("right", None), (None, "any")])
def test_a_key_that_is_wrong_missing_or_unwanted_is_named(wanted: str | None, sent: str | None):
    with FakeStash(generate_library(1), api_key=wanted) as stash:
        with pytest.raises(StashUnauthorized, match="stash_api_key") as caught:
            using(stash, lambda library: library.version(), api_key=sent)
        assert len(stash.requests) == 1  # not tried again
    assert "wrong" not in str(caught.value)


def test_the_key_goes_as_a_header_only_when_set():
    with FakeStash(generate_library(1), api_key="hush-key") as stash:
        assert using(stash, lambda library: library.version(), api_key="hush-key") == "v0.31.0"
        assert {one.keyed for one in stash.requests} == {"header"}
    with FakeStash(generate_library(1)) as stash:
        using(stash, lambda library: library.version(), api_key="")
        assert {one.keyed for one in stash.requests} == {""}


def test_the_key_is_in_no_log_representation_or_traceback(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with FakeStash(generate_library(1), api_key="hush-key") as stash:

        async def use(library: StashLibrary) -> None:
            assert "hush-key" not in repr(library.client) + repr(vars(library.client))
            await listed(library.scenes())
            scans = library.scan_completed()
            waiting = asyncio.create_task(anext(scans))
            while not stash.subscribers():  # noqa: ASYNC110 - another thread's state
                await asyncio.sleep(0.01)
            waiting.cancel()
            stash.knobs.fail_next(99)
            await library.version()

        with pytest.raises(StashUnreachable) as caught:
            using(stash, use, api_key="hush-key", retries=FEW)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    own = [frame for frame in frames if "/pipelines/stash/" in frame.filename]
    assert own
    assert all("hush-key" not in value for frame in own for value in (frame.locals or {}).values())
    assert "hush-key" not in caplog.text
    assert "/graphql" in caplog.text  # something was logged
    assert b"hush-key" not in pickle.dumps(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9999", "http://127.0.0.1:9999"),
        (" https://host/stash/ ", "https://host/stash"),
        ("https://host/stash/graphql", "https://host/stash"),
        ("http://[::1]:9999/", "http://[::1]:9999"),
    ],
)
def test_addresses(url: str, address: str):
    assert stash_address(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "stash:9999", "ftp://host", "http://", "http://u:hush@host", "http://host?apikey=hush", "http://h:99999"],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str):
    with pytest.raises(StashUnreachable, match="stash_url") as caught:
        stash_address(url)
    assert "hush" not in str(caught.value)


def test_no_address_is_said_with_what_to_do():
    async def run() -> None:
        async with open_library(Settings(stash_url=None)):
            pass

    with pytest.raises(StashUnreachable, match="STASH_SENSE_STASH_URL"):
        asyncio.run(run())


# --- faults and retries


@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
def test_a_read_outlasts_failures(stash: FakeStash, status: int):
    stash.knobs.fail_next(3, status)
    assert using(stash, lambda library: library.count_scenes()) == 60


def test_an_interactive_read_gives_up_soon(stash: FakeStash):
    stash.knobs.fail_next(99)
    with pytest.raises(StashUnreachable, match="503"):
        using(stash, lambda library: library.version())
    assert len(stash.requests) == 3


def test_429_is_waited_for_as_long_as_stash_asks(stash: FakeStash):
    stash.knobs.fail_next(1, 429)
    began = time.monotonic()
    assert using(stash, lambda library: library.count_scenes()) == 60
    asked_s = 1.0
    assert time.monotonic() - began >= asked_s - 0.05


def test_an_interactive_request_does_not_wait_longer_than_a_person_would():
    retries = Retries(first_wait_s=0.01)

    async def use(library: StashLibrary) -> None:
        busy = TryAgain(StashUnreachable("busy"), carried_out=False, after_s=3600)
        async for attempt in retries.trying(Priority.INTERACTIVE, repeatable=True):
            with attempt:
                raise busy

    with pytest.raises(TryAgain):
        asyncio.run(asyncio.wait_for(use(None), 1))


def test_refused_connections_are_named(stash: FakeStash):
    with stash.down(), pytest.raises(StashUnreachable, match="cannot be reached"):
        using(stash, lambda library: library.count_scenes(), retries=FEW)


def test_a_restart_of_stash_is_outlasted(stash: FakeStash):
    async def use(library: StashLibrary) -> list:
        threading.Timer(0.05, stash.restart, kwargs={"down_s": 0.3}).start()
        found = []
        async for scene in library.scenes(page_size=5, detail="outline"):
            found.append(scene.id)
            await asyncio.sleep(0.01)
        return found

    patient = Retries(first_wait_s=0.1, longest_wait_s=0.2)
    assert using(stash, use, retries=patient) == [str(i) for i in range(1, 61)]


def test_a_slow_stash_is_named_after_the_timeout(stash: FakeStash):
    stash.knobs.latency_s = 1.0

    async def run() -> None:
        async with StashClient(stash.url, limiter=RateLimiter(1e6), timeout_s=0.1, retries=FEW) as client:
            await client.execute("{ version { version } }")

    with pytest.raises(StashUnreachable, match="did not answer"):
        asyncio.run(run())


def test_each_try_asks_the_limiter(stash: FakeStash):
    class Counting(RateLimiter):
        asked = 0

        async def acquire(self, priority: Priority) -> None:
            Counting.asked += 1
            await super().acquire(priority)

    async def run() -> None:
        async with StashClient(stash.url, limiter=Counting(1e6), retries=QUICK) as client:
            await client.execute("{ version { version } }")

    stash.knobs.fail_next(2)
    asyncio.run(run())
    assert (Counting.asked, len(stash.requests)) == (3, 3)


# --- writes are not repeated unless that does no harm


@pytest.mark.parametrize("status", [503, 0])
def test_a_write_that_may_have_been_carried_out_is_not_sent_again(stash: FakeStash, status: int):
    async def use(library: StashLibrary) -> None:
        await library.client.features()
        stash.knobs.fail_next(1, status)
        await library.client.execute(CREATE, {"input": {"name": "once"}}, write=True)

    with pytest.raises(StashUnreachable):
        using(stash, use)
    assert len(queries(stash, "tagCreate")) <= 1
    assert all(tag.name != "once" for tag in stash.library.tags.values())


def test_a_write_that_was_not_carried_out_is_sent_again(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        await library.client.features()
        stash.knobs.fail_next(1, 429)
        await library.client.execute(CREATE, {"input": {"name": "once"}}, write=True)

    using(stash, use)
    assert [tag.name for tag in stash.library.tags.values()].count("once") == 1


def test_a_write_waits_for_a_refused_connection(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        await library.client.features()
        stash.stop()
        threading.Timer(0.2, stash.start).start()
        await library.client.execute(CREATE, {"input": {"name": "once"}}, write=True)

    using(stash, use, retries=Retries(first_wait_s=0.1))
    assert [tag.name for tag in stash.library.tags.values()].count("once") == 1


def test_a_repeatable_write_is_sent_again(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        await library.client.features()
        stash.knobs.fail_next(2)
        given = {"input": {"id": "1", "title": "new"}}
        await library.client.execute(UPDATE, given, write=True, repeatable=True)

    using(stash, use)
    assert stash.library.scenes[1].title == "new"


def test_writes_go_one_at_a_time_while_reads_go_on(stash: FakeStash):
    stash.knobs.latency_s = 0.05

    async def use(library: StashLibrary) -> None:
        await library.client.features()
        stash.requests.clear()
        async with asyncio.TaskGroup() as group:
            for number in range(1, 6):
                group.create_task(library.update_scene(str(number), title=f"t{number}"))
            for _ in range(5):
                group.create_task(library.version())

    using(stash, use)
    writes = sorted(queries(stash, "sceneUpdate"), key=lambda one: one.at_s)
    assert len(writes) == 5
    assert all(later.at_s >= earlier.ended_s - 0.002 for earlier, later in pairwise(writes))
    reads = queries(stash, "version")
    assert any(r.at_s < w.ended_s and w.at_s < r.ended_s for r in reads for w in writes)


# --- what Stash says


def test_errors_of_the_server_are_named(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        execute = library.client.execute
        with pytest.raises(StashUnknownField, match="nonsense"):
            await execute("{ version { nonsense } }")
        with pytest.raises(StashUnknownField):
            await execute("query Q($f: SceneFilterType) { findScenes(scene_filter: $f) { count } }", {"f": {"x": 1}})
        with pytest.raises(StashNotFound, match="999"):
            await execute("{ findScenes(ids: [1, 999]) { scenes { id } } }")
        with pytest.raises(StashRejected):
            await execute("{ version { ")
        with pytest.raises(StashRejected):
            await execute('{ findScenes(filter: {sort: "; drop table"}) { count scenes { id } } }')

    using(stash, use)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('Cannot query field "x" on type "Scene".', StashUnknownField),
        ('Unknown argument "ids" on field "Query.findTags".', StashUnknownField),
        ("unknown field", StashUnknownField),
        ("performer with id 7 not found", StashNotFound),
        ("sql: no rows in result set", StashNotFound),
        ("FOREIGN KEY constraint failed", StashNotFound),
        ("could not set title: name not found in list", StashRejected),
        ("", StashRejected),
    ],
)
def test_stashs_own_words_are_named(message: str, kind: type[Exception]):
    error = error_of([{"message": message}])
    assert type(error) is kind
    assert len(str(error_of([{"message": "x" * 10_000}]))) < 400


def test_a_locked_database_was_not_written_to():
    error = error_of([{"message": "error updating: database is locked (5) (SQLITE_BUSY)"}])
    assert isinstance(error, TryAgain)
    assert not error.carried_out


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (httpx.Response(200, text="<html>router</html>"), StashUnreachable, "not Stash"),
        (httpx.Response(200, json=["x"]), StashUnreachable, "not Stash"),
        (httpx.Response(404), StashUnreachable, "no GraphQL"),
        (httpx.Response(403), StashUnauthorized, "403"),
        (httpx.Response(302, headers={"Location": "/login?returnURL=%2F"}), StashUnauthorized, "key"),
        (httpx.Response(301, headers={"Location": "https://other/graphql?apikey=hush"}), StashUnreachable, "other"),
        (httpx.Response(200, json={"data": None}), StashRejected, "without data"),
        (httpx.Response(503), TryAgain, "503"),
    ],
)
def test_answers_that_are_none(response: httpx.Response, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words) as caught:
        data_of(response, "http://stash:9999")
    assert "hush" not in str(caught.value)


def test_retry_after_is_a_number_or_a_date():
    assert retry_after_s("7") == 7.0
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_s("Fri, 01 Jan 2100 00:00:00 GMT") > 1e9
    assert retry_after_s(None) == retry_after_s("soon") == retry_after_s("-3") == 0.0


def test_a_redirect_never_carries_the_key_elsewhere():
    seen: list[tuple[str, str]] = []

    class Elsewhere(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._redirect("http")

        def do_GET(self) -> None:
            self._redirect("ws")

        def _redirect(self, scheme: str) -> None:
            seen.append((self.command, self.path))
            self.send_response(307)
            self.send_header("Location", f"{scheme}://localhost:{self.server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"

    async def run() -> None:
        async with StashClient(url, "hush", limiter=RateLimiter(1e6), retries=FEW) as client:
            with pytest.raises(StashUnreachable, match="redirects to"):
                await client.execute("{ version { version } }")
            async with client.subscribe("subscription { scanCompleteSubscribe }") as events:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(events), 0.5)

    asyncio.run(run())
    server.shutdown()
    server.server_close()
    assert set(seen) == {("POST", "/graphql"), ("GET", "/graphql")}


def test_introspection_is_asked_once(stash: FakeStash):
    async def use(library: StashLibrary) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(library.scene("1"))
        await library.count_scenes()

    using(stash, use)
    assert len(queries(stash, "__schema")) == 1


def test_a_server_that_was_changed_meanwhile_is_asked_again(stash: FakeStash):
    async def use(library: StashLibrary) -> tuple:
        before = await library.performer("1")
        stash.knobs.version = "0.25"  # put back to an older version while the client runs
        after = await library.performer("1")
        with pytest.raises(StashUnknownField, match="custom_fields"):
            await library.update_scene("1", custom_fields={"partial": {"a": 1}})
        return before, after

    before, after = using(stash, use)
    assert (before.id, before.name) == (after.id, after.name)
    assert len(queries(stash, "__schema")) == 2


def test_variables_hold_no_python(stash: FakeStash):
    using(stash, lambda library: library.count("scene", {"organized": True}))
    assert all(json.dumps(one.variables) for one in stash.requests)
