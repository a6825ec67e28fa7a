"""A local HTTP server for media files: Range requests, byte counts, and the faults that real servers have."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class MediaServer:
    """What is served and how; change the attributes at any time.

    Attributes:
        files: name in the URL -> file.
        ranges: whether Range requests are answered with 206.
        delay_s: silence before each answer.
        bytes_per_s: speed limit of an answer's body; 0 for none.
        cut_after: connections are closed after so many bytes of a body; None for never.
        cut_requests: how many answers are cut (the next ones are whole).
        fail_with: status answered to the next `fail_requests` requests.
        required_key: value that the ApiKey header must have.
        etag: value of the ETag header; None for none.
        content_range: sent as it is in place of the right Content-Range.
        requests, sent_bytes: counted.
    """

    files: dict[str, Path]
    ranges: bool = True
    delay_s: float = 0.0
    bytes_per_s: int = 0
    cut_after: int | None = None
    cut_requests: int = 10**9
    fail_with: int = 503
    fail_requests: int = 0
    required_key: str | None = None
    redirect_to: str | None = None
    etag: str | None = None
    content_range: str | None = None
    requests: int = 0
    sent_bytes: int = 0
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


@contextmanager
def serve_media(**files: Path) -> Iterator[MediaServer]:
    """Serves `files` under their keyword names on a free local port until the block ends."""
    state = MediaServer(dict(files))
    handler = type("Handler", (_Handler,), {"state": state})
    server = _QuietServer(("127.0.0.1", 0), handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Readers hang up when they have what they need."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: MediaServer

    def do_GET(self) -> None:
        state = self.state
        with state.lock:
            state.requests += 1
            fails = state.fail_requests > 0
            state.fail_requests -= fails
        time.sleep(state.delay_s)
        if fails:
            return self._status(state.fail_with)
        if state.redirect_to is not None:
            return self._status(302, Location=state.redirect_to)
        if state.required_key is not None and self.headers.get("ApiKey") != state.required_key:
            return self._status(401)
        path = state.files.get(self.path.split("?")[0].lstrip("/"))
        if path is None:
            return self._status(404)
        return self._file(path)

    def _file(self, path: Path) -> None:
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"ETag": self.state.etag} if self.state.etag else {}
        if asked is None or not self.state.ranges:
            return self._body(200, path, 0, size, headers)
        first = int(asked[1])
        last = min(int(asked[2]) if asked[2] else size - 1, size - 1)
        if first >= size:
            return self._status(416, **{"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = self.state.content_range or f"bytes {first}-{last}/{size}"
        return self._body(206, path, first, last - first + 1, headers)

    def _status(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, status: int, path: Path, first: int, length: int, headers: dict[str, str]) -> None:
        state = self.state
        with state.lock:
            cut = state.cut_after if state.cut_requests > 0 else None
            state.cut_requests -= cut is not None
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            left = length if cut is None else min(length, cut)
            while left > 0 and self._send(file.read(min(left, 16 * 1024))):
                left -= 16 * 1024
        if cut is not None and cut < length:
            self.close_connection = True
            self.connection.close()

    def _send(self, piece: bytes) -> bool:
        try:
            self.wfile.write(piece)
        except OSError:
            return False
        with self.state.lock:
            self.state.sent_bytes += len(piece)
        if self.state.bytes_per_s:
            time.sleep(len(piece) / self.state.bytes_per_s)
        return True

    def log_message(self, *_: Any) -> None:
        pass
