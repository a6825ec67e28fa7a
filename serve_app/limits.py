"""Limits that hold while a request is being received: bytes of the body, with or without a Content-Length."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.errors import LimitExceeded
from serve_app.errors import error_response

MB = 1_000_000


class BodyLimit:
    """ASGI middleware: 413 as soon as a body is known to be larger than `max_body_mb()` MB.

    A stated length is refused before anything is read; a chunked body is counted while it streams in.
    """

    def __init__(self, app: ASGIApp, max_body_mb: Callable[[], int]) -> None:
        self._app = app
        self._max_body_mb = max_body_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_mb = self._max_body_mb()
        stated = Headers(scope=scope).get("content-length", "0")
        if not stated.isdigit() or int(stated) > max_mb * MB:
            await error_response(too_large(max_mb))(scope, receive, send)
            return
        received = 0
        answered = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_mb * MB:
                raise _TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLarge:
            if not answered:
                await error_response(too_large(max_mb))(scope, receive, send)


def too_large(max_mb: int) -> LimitExceeded:
    """Returns the error for a body of more than that many MB."""
    return LimitExceeded(f"The body is larger than {max_mb} MB.", "Name a path or a URL for large files.")


class _TooLarge(BaseException):
    """Travels through the app's own handlers, which catch Exception, to the middleware."""
