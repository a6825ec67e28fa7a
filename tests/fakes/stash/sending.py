"""Bodies of answers: files with Range, slow or cut in the middle on request."""

from __future__ import annotations

import asyncio
import contextvars
import email.utils
import mimetypes
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from io import BufferedReader
from pathlib import Path

from starlette.types import Receive, Scope, Send

from tests.fakes.stash.knobs import Knobs, Request
from tests.fakes.stash.ranges import ByteRange, RangeInvalid, RangeUnsatisfiable, parse_range

TRANSPORT: contextvars.ContextVar[asyncio.BaseTransport] = contextvars.ContextVar("transport")
"""The connection that a request came by; set by the server's protocol."""

PIECE = 64 * 1024
_TICKS_A_SECOND = 20

mimetypes.add_type("video/x-matroska", ".mkv")
mimetypes.add_type("image/webp", ".webp")


async def drop_connection() -> None:
    """Resets the connection of this request; the client gets no further byte."""
    TRANSPORT.get().abort()  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)


class FileAnswer:
    """An ASGI answer: a file, as Go's http.ServeFile sends it, under the knobs for streams."""

    def __init__(self, path: Path, knobs: Knobs, request: Request, *, headers: dict[str, str] | None = None) -> None:
        self._path, self._knobs, self._request = path, knobs, request
        self._headers = headers or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI
        """Sends 200, 206, 304 or 416."""
        status = self._path.stat()
        asked = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        modified = email.utils.formatdate(int(status.st_mtime), usegmt=True)
        common = {"Accept-Ranges": "bytes", "Last-Modified": modified, **self._headers}
        if "range" not in asked and asked.get("if-modified-since") == modified:
            await _start(send, 304, common)
            await send({"type": "http.response.body"})
            return
        wanted = asked.get("range", "") if asked.get("if-range", modified) == modified else ""
        try:
            ranges = parse_range(wanted, status.st_size)
        except (RangeInvalid, RangeUnsatisfiable) as error:
            extra = {"Content-Range": f"bytes */{status.st_size}"} if isinstance(error, RangeUnsatisfiable) else {}
            await _send_text(send, 416, str(error), extra)
            return
        await self._send_ranges(scope["method"], send, ranges, status.st_size, common)

    async def _send_ranges(
        self, method: str, send: Send, ranges: Sequence[ByteRange], size: int, headers: dict[str, str]
    ) -> None:
        kind = mimetypes.guess_type(self._path.name)[0] or "application/octet-stream"
        parts: list[tuple[bytes, ByteRange]] = [(b"", one) for one in ranges or [ByteRange(0, size)]]
        tail = b""
        headers = {**headers, "Content-Type": kind}
        if len(ranges) == 1:
            headers["Content-Range"] = ranges[0].content_range(size)
        elif ranges:
            mark = secrets.token_hex(16)
            parts = [(_part_head(mark, kind, one, size, first=i == 0), one) for i, one in enumerate(ranges)]
            tail = f"\r\n--{mark}--\r\n".encode()
            headers["Content-Type"] = f"multipart/byteranges; boundary={mark}"
        headers["Content-Length"] = str(sum(len(head) + one.length for head, one in parts) + len(tail))
        await _start(send, 206 if ranges else 200, headers)
        if method == "HEAD":
            await send({"type": "http.response.body"})
            return
        await self._send_body(send, parts, tail)

    async def _send_body(self, send: Send, parts: Sequence[tuple[bytes, ByteRange]], tail: bytes) -> None:
        left = self._knobs.cut()
        began = time.monotonic()
        with self._path.open("rb") as file:
            async for piece in self._pieces(file, parts, tail):
                whole = len(piece)
                piece = piece if left is None else piece[:left]  # noqa: PLW2901
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                self._request.sent_bytes += len(piece)
                if left is not None:
                    left -= len(piece)
                    if len(piece) < whole or left == 0:
                        await asyncio.sleep(0.02)
                        await drop_connection()
                        return
                await self._slow_down(began)
        await send({"type": "http.response.body"})

    async def _pieces(
        self, file: BufferedReader, parts: Sequence[tuple[bytes, ByteRange]], tail: bytes
    ) -> AsyncIterator[bytes]:
        for head, one in parts:
            if head:
                yield head
            file.seek(one.start)
            left = one.length
            while left:
                speed = self._knobs.slow_stream_bytes_per_s
                piece = file.read(min(left, max(1, speed // _TICKS_A_SECOND) if speed else PIECE))
                if not piece:
                    return
                left -= len(piece)
                yield piece
        if tail:
            yield tail

    async def _slow_down(self, began: float) -> None:
        speed = self._knobs.slow_stream_bytes_per_s
        if speed:
            await asyncio.sleep(max(0.0, self._request.sent_bytes / speed - (time.monotonic() - began)))


def _part_head(mark: str, kind: str, one: ByteRange, size: int, *, first: bool) -> bytes:
    lead = "" if first else "\r\n"
    return f"{lead}--{mark}\r\nContent-Range: {one.content_range(size)}\r\nContent-Type: {kind}\r\n\r\n".encode()


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _send_text(send: Send, status: int, text: str, headers: dict[str, str]) -> None:
    body = f"{text}\n".encode()
    await _start(
        send, status, {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body)), **headers}
    )
    await send({"type": "http.response.body", "body": body})
