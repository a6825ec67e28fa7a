"""Who may ask: the ASGI middleware that compares the API key of each request. Making the key is `serve_app.keys`."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pipelines.errors import Unauthorized
from serve_app.errors import error_response
from serve_app.keys import digest

SIGNED = "/crops/"
"""Links below this path carry a signature of their own, so that a page can show them; the route checks it."""
OPEN_PATHS = frozenset({"/health", "/docs", "/openapi.json"})
"""Liveness, and the description of the routes, which says nothing of this installation."""


class ApiKeyCheck:
    """ASGI middleware: 401 unless the request brings the key, as `ApiKey: KEY` or `Authorization: Bearer KEY`.

    It answers before any of the body is read.
    """

    def __init__(self, app: ASGIApp, key_digest: str) -> None:
        self._app = app
        self._digest = key_digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        opened = scope["type"] != "http" or scope["path"] in OPEN_PATHS or scope["path"].startswith(SIGNED)
        if opened or self._accepts(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        error = Unauthorized(
            "The API key is missing or wrong.",
            "Send the key of the file `api-key` in the data folder as the header `ApiKey`.",
        )
        await error_response(error)(scope, receive, send)

    def _accepts(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = headers.get("apikey") or (token.strip() if scheme.lower() == "bearer" else "")
        return hmac.compare_digest(digest(given), self._digest)
