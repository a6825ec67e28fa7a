"""A local HTTP server of files with faults on request: no Range, broken connections, errors, wrong bytes, slowness."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


@dataclass
class FileServer:
    """Serves `files` by path, and keeps what was asked in `requests` as (path, Range header or "").

    Attributes:
        ranges: answer 206 to a Range request; False answers 200 with the whole file.
        cuts: bytes of the body after which each of the next connections breaks, one entry a request.
        statuses: answered instead of the file by the next requests, one entry a request.
        headers: sent with error statuses, for example Retry-After.
        etag: sent with each file; empty sends none.
        honours_if_range: whether an If-Range of another version gets the whole file; False answers 206 regardless.
        redirects: paths answered with a redirect, and where to.
        chunk_bytes, pause_s: size of the pieces that are sent, and the wait before each of them.
        lengths: send Content-Length.
    """

    files: dict[str, bytes]
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    etag: str = '"one"'
    honours_if_range: bool = True
    chunk_bytes: int = 1 << 16
    pause_s: float = 0.0
    lengths: bool = True
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[FileServer]:
        """Serves on a free port of the loopback address while the block runs."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": self}))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: ClassVar[FileServer]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.served.requests.append((self.path, wanted))
        if self.served.statuses:
            self._refuse(self.served.statuses.pop(0), self.served.headers)
        elif self.path in self.served.redirects:
            self._refuse(302, {"Location": self.served.redirects[self.path]})
        elif (content := self.served.files.get(self.path)) is None:
            self._refuse(404, {})
        else:
            self._send_file(content, wanted)

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_file(self, content: bytes, wanted: str) -> None:
        start = self._start(wanted)
        if start >= len(content) > 0 and wanted:
            self._refuse(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.served.etag:
            self.send_header("ETag", self.served.etag)
        if self.served.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self._send_body(content[start:])

    def _start(self, wanted: str) -> int:
        condition = self.headers.get("If-Range", self.served.etag)
        if not wanted or not self.served.ranges or (self.served.honours_if_range and condition != self.served.etag):
            return 0
        return int(wanted.removeprefix("bytes=").split("-")[0])

    def _send_body(self, body: bytes) -> None:
        limit = self.served.cuts.pop(0) if self.served.cuts else len(body)
        for start in range(0, min(limit, len(body)), self.served.chunk_bytes):
            if self.served.pause_s:
                time.sleep(self.served.pause_s)
            self.wfile.write(body[start : min(start + self.served.chunk_bytes, limit)])
            self.wfile.flush()
        if limit < len(body):
            self.close_connection = True
            self.connection.close()

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError, OSError):
            super().handle_one_request()
            return
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
