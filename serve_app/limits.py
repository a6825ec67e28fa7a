"""Limits that hold while requests are being received: bytes of one body, and of all bodies that are held at once."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.errors import LimitExceeded, Overloaded, StashSenseError
from serve_app.errors import error_response

MB = 1_000_000


class BodyLimit:
    """ASGI middleware: 413 as soon as a body is known to be larger than `max_body_mb()` MB, 503 where there is no room.

    Room is `max_bodies_mb()` MB for the bodies of all requests under way; a body takes its room until it is answered,
    and one that is alone always has room. A stated length is refused before anything is read; a chunked body is counted
    while it streams in.
    """

    def __init__(self, app: ASGIApp, max_body_mb: Callable[[], int], max_bodies_mb: Callable[[], int]) -> None:
        self._app = app
        self._max_body_mb = max_body_mb
        self._max_bodies_mb = max_bodies_mb
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "0")
        body = _Body(self, self._max_body_mb())
        answered = False

        async def counted() -> Message:
            message = await receive()
            body.grow(len(message.get("body", b"")))
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            body.state(int(stated) if stated.isdigit() else None)
            await self._app(scope, counted, noted)
        except _Refused as refused:
            if not answered:
                await error_response(refused.error)(scope, receive, send)
        finally:
            self._held_bytes -= body.held_bytes

    def hold(self, more_bytes: int, *, own_bytes: int) -> None:
        """Takes room for so many bytes beside its own. Raises _Refused when there is none and others hold some."""
        if self._held_bytes > own_bytes and self._held_bytes + more_bytes > self._max_bodies_mb() * MB:
            raise _Refused(no_room())
        self._held_bytes += more_bytes


class _Body:
    """The room that one body takes: as much as it says, or as came in so far, whichever is more."""

    def __init__(self, limit: BodyLimit, max_mb: int) -> None:
        self._limit = limit
        self._max_mb = max_mb
        self._received_bytes = 0
        self.held_bytes = 0

    def state(self, length_bytes: int | None) -> None:
        if length_bytes is None:
            raise _Refused(too_large(self._max_mb))
        self._hold(length_bytes)

    def grow(self, more_bytes: int) -> None:
        self._received_bytes += more_bytes
        self._hold(self._received_bytes)

    def _hold(self, size_bytes: int) -> None:
        if size_bytes > self._max_mb * MB:
            raise _Refused(too_large(self._max_mb))
        if size_bytes > self.held_bytes:
            self._limit.hold(size_bytes - self.held_bytes, own_bytes=self.held_bytes)
            self.held_bytes = size_bytes


def too_large(max_mb: int) -> LimitExceeded:
    """Returns the error for a body of more than that many MB."""
    return LimitExceeded(f"The body is larger than {max_mb} MB.", "Name a path or a URL for large files.")


def no_room() -> Overloaded:
    """Returns the error for a body that would be one too many."""
    return Overloaded(
        "Requests under way hold as many bytes as `max_bodies_mb` allows.",
        "Try again a little later, or name a path or a URL.",
    )


class _Refused(BaseException):
    """Travels through the app's own handlers, which catch Exception, to the middleware."""

    def __init__(self, error: StashSenseError) -> None:
        super().__init__(error)
        self.error = error
