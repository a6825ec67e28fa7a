"""The client of the server against the real server, and against servers that fail."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.errors import InputError, MediaNotFound, Overloaded
from serve_app.client import ServerClient, ServerError
from tests.serve_app.conftest import Serving


@pytest.fixture
def asked(server: Serving) -> Iterator[ServerClient]:
    with ServerClient(server.url, server.key) as client:
        yield client


def test_a_file_the_server_may_read_and_one_it_may_not_give_the_same_record(
    asked: ServerClient, data: Path, tmp_path: Path
):
    inside = data / "faces" / "groups" / "obama_biden_1.jpg"
    outside = Path(shutil.copy(inside, tmp_path / "photo.jpg"))
    by_path, by_upload = (asked.identify_path(p, top_k=2) for p in (inside, outside))
    assert {p["name"] for p in by_path["people"]} == {"barack_obama", "joe_biden"}
    assert all(len(p["candidates"]) == 2 for p in by_path["people"])
    for record in (by_path, by_upload):
        assert record.pop("path") in {str(inside), str(outside)}
        assert record.pop("timing_ms")["total"] > 0
    assert by_path == by_upload


def test_errors_of_the_server_are_records_with_its_words(asked: ServerClient, data: Path, tmp_path: Path):
    record = asked.identify_path(data / "faces" / "formats" / "corrupted.png")
    assert record["kind"] == "error"
    assert record["error"]["error"].startswith("media_")
    assert asked.identify_path(tmp_path / "none.jpg")["error"]["error"] == "media_not_found"
    with pytest.raises(MediaNotFound):
        asked.identify(tmp_path / "none.jpg")


def test_a_wrong_key_is_unauthorized(server: Serving):
    with ServerClient(server.url, "wrong") as client, pytest.raises(ServerError) as raised:
        client.get("/database/info")
    assert raised.value.as_dict()["error"] == "unauthorized"


def test_no_server_and_no_address_say_what_to_do():
    with ServerClient("http://127.0.0.1:9", "key") as client, pytest.raises(ServerError, match="stash-sense up"):
        client.get("/health")
    with pytest.raises(InputError, match="http://127"):
        ServerClient("127.0.0.1:6960", "key")


class Scripted(BaseHTTPRequestHandler):
    """Answers with the next (status, headers, body) of the script and notes what was sent."""

    script: list[tuple[int, dict[str, str], bytes]]
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        status, headers, body = self.script.pop(0)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def scripted() -> Iterator[tuple[str, type[Scripted]]]:
    handler = type("Handler", (Scripted,), {"script": [], "bodies": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()


def answer(error: str) -> bytes:
    return json.dumps({"error": error, "message": "said so", "hint": "wait"}).encode()


def test_a_busy_server_is_asked_again_after_retry_after_with_the_whole_file(scripted, tmp_path: Path):
    url, handler = scripted
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"0123456789" * 1000)
    busy = (503, {"Retry-After": "0"}, answer("overloaded"))
    handler.script[:] = [(403, {}, answer("path_not_allowed")), busy, busy, (200, {}, b'{"kind": "image"}')]
    with ServerClient(url, "key") as client:
        assert client.identify(photo) == {"kind": "image"}
    assert len(handler.bodies) == 4
    assert all(b"0123456789" * 1000 in body for body in handler.bodies[1:])


def test_a_server_that_stays_busy_is_an_error(scripted, tmp_path: Path):
    url, handler = scripted
    handler.script[:] = [(503, {"Retry-After": "0"}, answer("overloaded"))] * 9
    with ServerClient(url, "key") as client, pytest.raises(Overloaded, match="said so"):
        client.identify(tmp_path)
    assert len(handler.bodies) == 5


def test_an_answer_that_is_not_json_is_named(scripted, tmp_path: Path):
    url, handler = scripted
    handler.script[:] = [(200, {}, b"<html>")]
    with ServerClient(url, "key") as client, pytest.raises(ServerError, match="without JSON"):
        client.identify(tmp_path)
