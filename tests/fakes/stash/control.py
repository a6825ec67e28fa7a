"""The /_fake routes: knobs and log of a fake that runs in another process. No client of Stash may use them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.fakes.stash.app import StashApp

if TYPE_CHECKING:
    from tests.fakes.stash.server import FakeStash

PREFIX = "/_fake/"


class Control:
    """Answers POST /_fake/NAME with a JSON object of arguments; hands everything else on."""

    def __init__(self, app: StashApp, server: FakeStash) -> None:
        self._app, self._server = app, server
        self._controls: dict[str, Callable[..., Any]] = {
            "knobs": self._knobs,
            "requests": self._requests,
            "clear_requests": app.requests.clear,
            "fail_next": app.knobs.fail_next,
            "vanish": app.library.vanish,
            "vanish_after": app.knobs.vanish_after,
            "complete_scan": server.complete_scan,
            "restart": self._restart,
            "library": self._counts,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        body = await HttpRequest(scope, receive).body()
        status, answer = self._answer(scope["path"].removeprefix(PREFIX), json.loads(body or b"{}"))
        await JSONResponse(answer, status)(scope, receive, send)

    def _answer(self, name: str, given: dict[str, Any]) -> tuple[int, Any]:
        if name not in self._controls:
            return 404, {"error": f"no control {name!r}; there are {', '.join(self._controls)}"}
        try:
            return 200, self._controls[name](**given)
        except (KeyError, TypeError, ValueError) as error:
            return 400, {"error": f"{type(error).__name__}: {error}"}

    def _knobs(self, **values: Any) -> dict[str, Any]:
        knobs = self._app.knobs
        knobs.set(**values)
        return {name: getattr(knobs, name) for name in knobs.names()}

    def _requests(self) -> list[dict[str, Any]]:
        return [request.as_json() for request in self._app.requests]

    def _restart(self, down_s: float = 0.0) -> None:
        """Begins after this very answer has left."""
        threading.Timer(0.05, self._server.restart, args=(down_s,)).start()

    def _counts(self) -> dict[str, Any]:
        library = self._app.library
        return {
            "scenes": len(library.scenes),
            "images": len(library.images),
            "galleries": len(library.galleries),
            "performers": len(library.performers),
            "revision": library.revision,
            "roots": {path: str(folder) if folder else None for path, folder in library.roots.items()},
        }
