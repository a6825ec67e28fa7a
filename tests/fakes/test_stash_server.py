"""Faults on request, restarts, jobs, subscriptions, and the fake as a process of its own."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.fakes.conftest import Asker
from tests.fakes.stash import FakeStash, Library, StashProcess, generate_library
from tests.fakes.stash.execution import prepare, run
from tests.fakes.stash.resolvers import RESOLVERS, Context

STATS = "{ stats { scene_count } }"


def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class TestFaults:
    def test_the_next_requests_fail(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.fail_next(2, 502)
        assert [ask.post(STATS).status_code for _ in range(3)] == [502, 502, 200]

    def test_a_share_fails(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.fail_rate = 0.5
        statuses = [ask.post(STATS).status_code for _ in range(40)]
        assert {200, 503} == set(statuses)
        assert 8 <= statuses.count(503) <= 32

    def test_dropped_connections(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.fail_next(1, 0)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            ask.post(STATS)
        stash.knobs.refuse = True
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            ask.post(STATS)
        stash.knobs.refuse = False
        assert ask(STATS)

    def test_too_many_requests(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.rate_limit_per_s = 3
        answers = [ask.post(STATS) for _ in range(5)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].headers["Retry-After"] == "1"

    def test_only_where_they_are_wanted(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.set(fail_rate=1.0, paths=("/scene",))
        assert ask.post(STATS).status_code == 200
        assert ask.http.get("/scene/1/screenshot").status_code == 503
        assert httpx.get(f"{stash.url}/healthz").status_code == 200

    def test_waits_and_is_noted(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.latency_s = 0.2
        ask(STATS)
        (request,) = stash.requests
        assert request.ended_s - request.at_s >= 0.2
        assert (request.status, request.fields) == (200, ("stats",))

    def test_rows_vanish_now_or_later(self, stash: FakeStash, ask: Asker) -> None:
        stash.vanish(["1", 2, 999])
        assert ask.scene_ids()[0] == 3
        stash.knobs.vanish_after(2, [3])
        assert [ask.scene_ids()[0] for _ in range(4)] == [3, 3, 4, 4]
        stash.vanish([1], "performer")
        assert ask("{ findPerformer(id: 1) { id } }") == {"findPerformer": None}
        assert all(1 not in row.performer_ids for row in stash.library.scenes.values())

    def test_unknown_knobs_are_refused(self, stash: FakeStash) -> None:
        with pytest.raises(KeyError):
            stash.knobs.set(speed=3)


class TestStreams:
    """Faults of media: on a library of their own, so that nobody else meets them."""

    @pytest.fixture
    def clip(self, data: Path) -> Path:
        return data / "video" / "real" / "short_hamilton_clip.mp4"

    @pytest.fixture
    def stash(self, clip: Path) -> Any:
        with FakeStash(generate_library(1, media=[clip])) as stash:
            yield stash

    def test_cut_in_the_middle(self, stash: FakeStash, clip: Path) -> None:
        stash.knobs.set(cut_stream_after=50_000, cut_streams=1)
        received = bytearray()

        def read() -> None:
            with httpx.stream("GET", f"{stash.url}/scene/1/stream") as answer:
                for piece in answer.iter_bytes():
                    received.extend(piece)

        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            read()
        assert bytes(received) == clip.read_bytes()[: len(received)]
        assert len(received) <= 50_000
        assert stash.requests[-1].sent_bytes == 50_000
        assert httpx.get(f"{stash.url}/scene/1/stream").content == clip.read_bytes()

    def test_slow(self, stash: FakeStash, clip: Path) -> None:
        stash.knobs.slow_stream_bytes_per_s = 100_000
        began = time.monotonic()
        answer = httpx.get(f"{stash.url}/scene/1/stream", headers={"Range": "bytes=0-49999"})
        assert answer.content == clip.read_bytes()[:50_000]
        assert time.monotonic() - began >= 0.4


class TestRestart:
    def test_refused_while_down_and_back_on_the_same_port(self, stash: FakeStash, ask: Asker) -> None:
        url = stash.url
        with stash.down(), pytest.raises(httpx.ConnectError):
            ask.post(STATS)
        assert stash.url == url
        assert ask(STATS)["stats"]["scene_count"] == 120

    def test_jobs_are_forgotten(self, stash: FakeStash, ask: Asker) -> None:
        job = ask("mutation { metadataGenerate(input: {sprites: true}) }")["metadataGenerate"]
        stash.jobs.wait(int(job))
        stash.restart()
        assert ask("query($id: ID!) { findJob(input: {id: $id}) { id } }", id=job) == {"findJob": None}

    def test_open_streams_break(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.latency_s = 5
        failed: list[Exception] = []

        def request() -> None:
            try:
                ask.post(STATS)
            except httpx.TransportError as error:
                failed.append(error)

        thread = threading.Thread(target=request)
        thread.start()
        until(lambda: len(stash.requests) == 1)
        stash.stop()
        thread.join(5)
        assert failed


class TestJobs:
    GENERATE = "mutation { metadataGenerate(input: {phashes: true, sprites: true}) }"

    def test_one_after_another(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.job_step_s = 0.002
        first, second = (int(ask(self.GENERATE)["metadataGenerate"]) for _ in range(2))
        until(lambda: (job := stash.jobs.find(first)) is not None and (job.progress or 0) > 0)
        queue = ask("{ jobQueue { id status description progress startTime addTime } }")["jobQueue"]
        assert [(job["id"], job["status"]) for job in queue] == [(str(first), "RUNNING"), (str(second), "READY")]
        assert queue[1]["startTime"] is None
        stash.jobs.wait(second)
        query = "query($id: ID!) { findJob(input: {id: $id}) { status endTime error } }"
        assert ask(query, id=first)["findJob"]["status"] == "FINISHED"
        assert ask("{ jobQueue { id } }") == {"jobQueue": None}

    def test_stopped_and_cancelled(self, stash: FakeStash, ask: Asker) -> None:
        stash.knobs.job_step_s = 30
        running, waiting = (int(ask(self.GENERATE)["metadataGenerate"]) for _ in range(2))
        until(lambda: (job := stash.jobs.find(running)) is not None and job.status == "RUNNING")
        for job_id in (waiting, running):
            ask("mutation($id: ID!) { stopJob(job_id: $id) }", id=job_id)
        assert [stash.jobs.wait(i).status for i in (running, waiting)] == ["CANCELLED", "CANCELLED"]  # type: ignore[union-attr]
        assert ask("mutation { stopJob(job_id: 4711) }") == {"stopJob": True}

    def test_only_the_last_ten_are_known(self, stash: FakeStash, ask: Asker) -> None:
        stash.library.vanish(list(stash.library.scenes))
        ids = [int(ask(self.GENERATE)["metadataGenerate"]) for _ in range(12)]
        stash.jobs.wait(ids[-1])
        known = [stash.jobs.find(i) is not None for i in ids]
        assert known == [False, False, *[True] * 10]

    def test_scan_finds_new_and_changed_files(self, data: Path, tmp_path: Path) -> None:
        library = Library()
        library.roots["/media"] = tmp_path
        clip = tmp_path / "sub" / "clip.mkv"
        clip.parent.mkdir()
        shutil.copy(data / "video" / "real" / "asl_again.mkv", clip)
        shutil.copy(data / "faces" / "groups" / "obama_biden_1.jpg", tmp_path / "two.jpg")
        with FakeStash(library) as stash:
            ask = Asker(stash)

            def scan() -> None:
                job = ask("mutation { metadataScan(input: {}) }")["metadataScan"]
                assert stash.jobs.wait(int(job)).status == "FINISHED"  # type: ignore[union-attr]

            scan()
            assert [file.path for file in library.files.values()] == ["/media/sub/clip.mkv", "/media/two.jpg"]
            assert (len(library.scenes), len(library.images)) == (1, 1)
            before = library.files[1].fingerprint("oshash")
            updated = library.scenes[1].updated_at
            scan()
            assert len(library.files) == 2
            shutil.copy(data / "video" / "real" / "asl_bird.mkv", clip)
            scan()
            assert library.files[1].fingerprint("oshash") != before
            assert library.scenes[1].updated_at == updated

    def test_generate_makes_sprites_and_phashes_without_moving_the_scene(self, data: Path) -> None:
        library = generate_library(1, media=[data / "video" / "real" / "asl_again.mkv"])
        scene = library.scenes[1]
        scene.has_sprite = False
        updated = scene.updated_at
        with FakeStash(library) as stash:
            ask = Asker(stash)
            assert ask.http.get("/scene/1/vtt/thumbs").status_code == 404
            stash.jobs.wait(int(ask(self.GENERATE)["metadataGenerate"]))
            assert ask.http.get("/scene/1/vtt/thumbs").status_code == 200
        assert int(library.files[1].fingerprint("phash") or "", 16) > 0
        assert scene.updated_at == updated


def listen(stash: FakeStash, key: str | None = None, **options: Any) -> ClientConnection:
    url = stash.url.replace("http://", "ws://") + "/graphql"
    options.setdefault("subprotocols", ["graphql-transport-ws"])
    headers = {"ApiKey": key} if key else {}
    return connect(url, additional_headers=headers, open_timeout=10, **options)


def tell(socket: ClientConnection, kind: str, **fields: Any) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def hear(socket: ClientConnection) -> dict[str, Any]:
    message = json.loads(socket.recv(10))
    assert isinstance(message, dict)
    return message


class TestSubscriptions:
    def subscribed(self, stash: FakeStash, query: str, topic: str) -> ClientConnection:
        socket = listen(stash)
        tell(socket, "connection_init")
        assert hear(socket) == {"type": "connection_ack"}
        tell(socket, "subscribe", id="1", payload={"query": query})
        until(lambda: stash.subscribers(topic) == 1)
        return socket

    def test_scans(self, stash: FakeStash) -> None:
        with self.subscribed(stash, "subscription { scanCompleteSubscribe }", "scans") as socket:
            stash.complete_scan()
            assert hear(socket) == {"type": "next", "id": "1", "payload": {"data": {"scanCompleteSubscribe": True}}}
            job = Asker(stash)("mutation { metadataScan(input: {}) }")["metadataScan"]
            assert job
            assert hear(socket)["payload"]["data"] == {"scanCompleteSubscribe": True}
            tell(socket, "complete", id="1")
            until(lambda: stash.subscribers("scans") == 0)

    def test_jobs(self, stash: FakeStash) -> None:
        query = "subscription { jobsSubscribe { type job { id status } } }"
        with self.subscribed(stash, query, "jobs") as socket:
            Asker(stash)("mutation { metadataGenerate(input: {sceneIDs: [1]}) }")
            events = []
            while not events or events[-1]["type"] != "REMOVE":
                events.append(hear(socket)["payload"]["data"]["jobsSubscribe"])
        assert [event["type"] for event in events] == ["ADD", "UPDATE", "UPDATE", "REMOVE"]
        assert events[-1]["job"] == {"id": "1", "status": "FINISHED"}

    def test_ping_queries_and_errors(self, stash: FakeStash) -> None:
        with listen(stash) as socket:
            tell(socket, "connection_init")
            hear(socket)
            tell(socket, "ping")
            assert hear(socket) == {"type": "pong"}
            tell(socket, "subscribe", id="a", payload={"query": STATS})
            assert hear(socket)["payload"]["data"] == {"stats": {"scene_count": 120}}
            assert hear(socket) == {"type": "complete", "id": "a"}
            tell(socket, "subscribe", id="b", payload={"query": "subscription { nonsense }"})
            error = hear(socket)
            assert (error["type"], error["id"]) == ("error", "b")
            assert error["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"

    @pytest.mark.parametrize(
        ("messages", "code"),
        [
            ([{"type": "subscribe", "id": "1", "payload": {"query": STATS}}], 4401),
            ([{"type": "connection_init"}, {"type": "connection_init"}], 4429),
            ([{"type": "greeting"}], 4400),
        ],
    )
    def test_broken_protocol_closes(self, stash: FakeStash, messages: list[dict[str, Any]], code: int) -> None:
        with listen(stash) as socket:
            for message in messages:
                socket.send(json.dumps(message))
            until(lambda: self._closed(socket))
            assert socket.close_code == code

    @staticmethod
    def _closed(socket: ClientConnection) -> bool:
        try:
            socket.recv(0.05)
        except TimeoutError:
            return False
        except Exception:  # noqa: BLE001  any way of being closed will do
            return True
        return False

    def test_key_is_needed_to_connect(self) -> None:
        with FakeStash(generate_library(1), api_key="secret") as stash:
            for key in (None, "wrong"):
                with pytest.raises(InvalidStatus) as refused:
                    listen(stash, key)
                assert refused.value.response.status_code == 401
            listen(stash, "secret").close()

    def test_connections_break_at_a_restart(self, stash: FakeStash) -> None:
        with self.subscribed(stash, "subscription { scanCompleteSubscribe }", "scans") as socket:
            stash.restart()
            until(lambda: self._closed(socket))


def test_a_fault_of_the_fake_itself_does_not_look_like_stash(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    from tests.fakes.stash.schema import schema_of

    assert schema_of(31).query_type is not None
    monkeypatch.setattr(schema_of(31).query_type.fields["version"], "resolve", broken)  # type: ignore[union-attr]
    with FakeStash(library) as stash:
        context = Context(library, stash.jobs, stash.url, 31, None)
        operation = prepare(31, "{ version { hash } }", None, {})
        with pytest.raises(ZeroDivisionError):
            run(context, operation)


def test_every_resolver_has_its_field_in_the_newest_schema() -> None:
    from tests.fakes.stash.schema import schema_of

    types = schema_of(31).type_map
    for type_name, field in RESOLVERS:
        assert field in types[type_name].fields, (type_name, field)  # type: ignore[attr-defined]


def test_process_of_its_own(data: Path, tmp_path: Path) -> None:
    media = str(data / "video" / "real" / "asl_again.mkv")
    arguments = ("--media", media, "--links", str(tmp_path), "--scenes", "3", "--api-key", "secret")
    with StashProcess(*arguments) as stash:
        client = httpx.Client(base_url=stash.url, headers={"ApiKey": "secret"}, timeout=20)

        def count() -> httpx.Response:
            return client.post("/graphql", json={"query": STATS})

        assert count().json()["data"]["stats"]["scene_count"] == 3
        assert client.get("/scene/3/stream").content == Path(media).read_bytes()
        stash.set(latency_s=0.1)
        stash.control("fail_next", count=1, status=500)
        assert [count().status_code for _ in range(2)] == [500, 200]
        stash.control("vanish", ids=[1])
        assert count().json()["data"]["stats"]["scene_count"] == 2
        log = stash.requests()
        assert [entry["status"] for entry in log] == [200, 200, 500, 200, 200]
        assert log[3]["ended_s"] - log[3]["at_s"] >= 0.1
        assert "secret" not in json.dumps(log)
        stash.control("restart", down_s=0.2)
        until(lambda: _refused(client), 5)
        until(lambda: not _refused(client), 10)
        with pytest.raises(Exception, match="404"):
            stash.control("nonsense")
        # What the kernel does when the process that began it is killed.
        assert stash._process is not None
        assert stash._process.stdin is not None
        stash._process.stdin.close()
        assert stash._process.wait(20) == 0


def _refused(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code != 200
    except httpx.TransportError:
        return True
