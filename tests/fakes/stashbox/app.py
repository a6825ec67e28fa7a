"""The HTTP side of the fake stash-box: faults, keys, GraphQL, pictures."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from tests.fakes.stash.knobs import Request, RequestLog
from tests.fakes.stash.sending import drop_connection
from tests.fakes.stashbox.answering import Asked, answer
from tests.fakes.stashbox.knobs import BoxKnobs
from tests.fakes.stashbox.world import World

CONTROL = "/_fake/"


class BoxApp:
    """All state of a running fake stash-box except its sockets."""

    def __init__(self, world: World, api_key: str, knobs: BoxKnobs) -> None:
        self.world, self.api_key, self.knobs = world, api_key, knobs
        self.requests = RequestLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        request = HttpRequest(scope, receive)
        path = scope["path"]
        if path.startswith(CONTROL):
            await (await self._control(path.removeprefix(CONTROL), request))(scope, receive, send)
            return
        keyed = "header" if Headers(scope=scope).get("ApiKey") else ""
        note = Request(time.time(), scope["method"], path, keyed=keyed)
        self.requests.add(note)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                note.status = message["status"]
            elif message["type"] == "http.response.body":
                note.sent_bytes += len(message.get("body", b""))
            await send(message)

        if self.knobs.before is not None:
            await run_in_threadpool(self.knobs.before, self.requests.total)
        if self.knobs.latency_s and self.knobs.hits(path):
            await asyncio.sleep(self.knobs.latency_s)
        fault = self.knobs.fault(path)
        if fault == 0:
            await drop_connection()
            return
        response = self._faulty(fault) if fault is not None else await self._answer(request, note)
        await response(scope, receive, noting)
        note.ended_s = time.time()

    def _faulty(self, status: int) -> Response:
        headers = {"Retry-After": self.knobs.retry_after} if status == 429 and self.knobs.retry_after else {}
        return PlainTextResponse("Too Many Attempts." if status == 429 else "fault on request", status, headers)

    async def _answer(self, request: HttpRequest, note: Request) -> Response:
        path = request.url.path
        if path == "/graphql" and request.method == "POST":
            return await self._graphql(request, note)
        if path.startswith("/images/") and request.method == "GET":
            return await run_in_threadpool(self._image, path.removeprefix("/images/"))
        return PlainTextResponse("404 page not found", 404)

    async def _graphql(self, request: HttpRequest, note: Request) -> Response:
        """A wrong key is refused by HTTP, a missing one by GraphQL."""
        key = request.headers.get("ApiKey")
        if key and key != self.api_key:
            return Response(status_code=401)
        try:
            body = json.loads(await request.body())
            assert isinstance(body, dict)
        except (ValueError, AssertionError):
            return JSONResponse({"errors": [{"message": "json request body could not be decoded"}], "data": None}, 400)
        if not key:
            return JSONResponse({"errors": [{"message": "not authorized", "path": []}], "data": None})
        note.query, note.variables = body.get("query") or "", body.get("variables") or {}
        asked = Asked(self.world, self.knobs, f"http://{request.headers['host']}")
        status, answered, note.fields = await run_in_threadpool(answer, asked, body)
        return JSONResponse(answered, status)

    def _image(self, name: str) -> Response:
        picture = self.world.pictures.get(name)
        if picture is None or picture.broken == "missing":
            return PlainTextResponse("404 page not found", 404)
        if picture.broken.startswith("http"):
            return RedirectResponse(picture.broken, 302)
        data = picture.path.read_bytes() + picture.tail
        if picture.broken == "slow":
            time.sleep(2.0)
        broken = {"html": b"<html>not a picture</html>", "cut": data[: len(data) // 2], "empty": b""}
        kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
        return Response(broken.get(picture.broken, data), media_type=kind)

    async def _control(self, name: str, request: HttpRequest) -> Response:
        given: dict[str, Any] = json.loads(await request.body() or b"{}")
        if name == "knobs":
            self.knobs.set(**given)
            return JSONResponse({})
        if name == "requests":
            return JSONResponse([one.as_json() for one in self.requests])
        if name == "clear":
            self.requests.clear()
            return JSONResponse({})
        return PlainTextResponse("404 page not found", 404)
