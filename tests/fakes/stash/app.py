"""The HTTP side: faults, keys, GraphQL, media. One ASGI application around one library."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from tests.fakes.stash.execution import Refused, prepare, run
from tests.fakes.stash.jobs import Broadcast, JobQueue
from tests.fakes.stash.knobs import Knobs, Request, RequestLog, masked
from tests.fakes.stash.library import Library
from tests.fakes.stash.pages import Pages, Sessions
from tests.fakes.stash.pictures import SILHOUETTE, PictureShop, sprite_vtt
from tests.fakes.stash.plugins import Plugins
from tests.fakes.stash.records import Image, Scene
from tests.fakes.stash.resolvers import Context
from tests.fakes.stash.schema import minor_of
from tests.fakes.stash.sending import FileAnswer, drop_connection
from tests.fakes.stash.subscriptions import serve_subscriptions

UNAUTHORISED = {"WWW-Authenticate": "FormBased"}


class StashApp:
    """All state of a running fake except its sockets."""

    def __init__(
        self,
        library: Library,
        api_key: str | None,
        knobs: Knobs,
        pictures: Path,
        plugins: Plugins,
        page: Path | None = None,
    ) -> None:
        self.plugins, self.sessions, self.own_url = plugins, Sessions(), ""
        pages = Pages(plugins, self.sessions, page)
        self.library, self.api_key, self.knobs = library, api_key, knobs
        self.requests = RequestLog()
        self.broadcast = Broadcast()
        self.jobs = JobQueue(library, knobs, self.broadcast)
        self.pictures = PictureShop(pictures)
        self.routes: list[BaseRoute] = [
            Route("/graphql", self._graphql, methods=["GET", "POST"]),
            WebSocketRoute("/graphql", self._websocket),
            Route("/login", pages.login, methods=["GET", "POST"]),
            Route("/plugin/{plugin}/{kind}", pages.plugin_file),
            Route("/assets/{name:path}", pages.asset),
            Route("/scene/{id:int}/stream", self._stream),
            Route("/scene/{id:int}/screenshot", self._screenshot),
            Route("/scene/{id:int}/vtt/thumbs", self._vtt),
            Route("/scene/{id:int}/vtt/sprite", self._sprite),
            Route("/scene/{name}_thumbs.vtt", self._vtt),
            Route("/scene/{name}_sprite.jpg", self._sprite),
            Route("/image/{id:int}/image", self._image),
            Route("/image/{id:int}/thumbnail", self._thumbnail),
            Route("/performer/{id:int}/image", self._performer_image),
            Route("/studio/{id:int}/image", _silhouette),
            Route("/tag/{id:int}/image", _silhouette),
            Route("/{path:path}", pages.index),
        ]
        self._router = Starlette(routes=self.routes)

    def context(self, base_url: str) -> Context:
        return Context(
            self.library,
            self.jobs,
            base_url,
            minor_of(self.knobs.version),
            self.api_key,
            self.plugins,
            self.sessions,
            self.own_url,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers /healthz to everybody; anything else passes the faults, the keys, and then its route."""
        if scope["path"] == "/healthz":
            await PlainTextResponse(".")(scope, receive, send)
            return
        note = _note(scope)
        self.requests.add(note)
        scope["fake_request"] = note
        await self._guarded(scope, receive, _noting(send, note))
        note.ended_s = time.time()

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        for gone in self.knobs.due():
            self.library.vanish(gone.ids, gone.kind)
        if self.knobs.latency_s and self.knobs.hits(scope["path"]):
            await asyncio.sleep(self.knobs.latency_s)
        fault = self.knobs.fault(scope["path"])
        if fault == 0:
            await drop_connection()
            return
        answer: ASGIApp = self._router
        if fault is not None:
            answer = PlainTextResponse("fault on request", fault, headers={"Retry-After": "1"} if fault == 429 else {})
        elif refusal := self._refusal(scope):
            answer = refusal
        if scope["type"] == "websocket" and answer is not self._router:
            await WebSocket(scope, receive, send).send_denial_response(answer)  # type: ignore[arg-type]
            return
        await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Any key that is not the server's is refused, by a server without one too; without a key pages redirect."""
        key = Headers(scope=scope).get("ApiKey") or QueryParams(scope["query_string"]).get("apikey") or ""
        if key and key != self.api_key:
            return Response(status_code=401, headers=UNAUTHORISED)
        if key or not self.api_key or scope["path"].startswith(("/login", "/assets")):
            return None
        if self.sessions.knows(Headers(scope=scope).get("Cookie", "")):
            return None
        ending = Path(scope["path"]).suffix
        if scope["path"] == "/graphql" or ending not in {"", ".html"}:
            return Response(status_code=401, headers=UNAUTHORISED)
        return RedirectResponse(f"/login?returnURL={scope['path']}", 302)

    async def _graphql(self, request: HttpRequest) -> Response:
        headers = {"Cache-Control": "no-store"}
        if request.method == "GET":
            body: Any = dict(request.query_params)
            body["variables"] = json.loads(body.get("variables") or "{}")
        else:
            if not request.headers.get("content-type", "").startswith("application/json"):
                return JSONResponse({"errors": [{"message": "transport not supported"}], "data": None}, 400)
            try:
                body = json.loads(await request.body())
                assert isinstance(body, dict)
            except (ValueError, AssertionError):
                text = "json request body could not be decoded"
                return JSONResponse({"errors": [{"message": text}], "data": None}, 400, headers)
        status, answer = await run_in_threadpool(self._answer, body, _base_url(request), request.scope["fake_request"])
        return Response(answer, status, headers, "application/json")

    def _answer(self, body: dict[str, Any], base_url: str, note: Request) -> tuple[int, str]:
        context = self.context(base_url)
        note.query, note.variables = body.get("query") or "", body.get("variables") or {}
        try:
            operation = prepare(context.minor, note.query, body.get("operationName"), note.variables)
        except Refused as refused:
            return 422, json.dumps(refused.answer)
        note.fields = operation.fields
        if operation.is_subscription:
            return 200, json.dumps({"errors": [{"message": "subscriptions need a websocket"}], "data": None})
        return 200, json.dumps(run(context, operation))

    async def _websocket(self, websocket: WebSocket) -> None:
        base_url = f"http://{websocket.headers.get('host', 'localhost')}"
        await serve_subscriptions(websocket, lambda: self.context(base_url), self.broadcast)

    # --- media

    def _scene(self, request: HttpRequest) -> Scene | None:
        if "id" in request.path_params:
            return self.library.scenes.get(request.path_params["id"])
        with self.library.lock:
            return self.library.scene_of_hash(request.path_params["name"])

    async def _stream(self, request: HttpRequest) -> Any:
        scene = self._scene(request)
        local = self.library.local_file(scene) if scene else None
        if scene is None or local is None:
            return _not_found()
        file = self.library.files[scene.file_ids[0]]
        headers = {"Content-Disposition": f'inline; filename="{file.basename}"'}
        return self._file(request, local, headers)

    def _file(self, request: HttpRequest, local: Path, headers: dict[str, str] | None = None) -> Any:
        return FileAnswer(local, self.knobs, request.scope["fake_request"], headers=headers)

    async def _screenshot(self, request: HttpRequest) -> Response:
        """The cover: what a client set, else a picture of the video, else the picture of no picture."""
        scene = self._scene(request)
        if scene is None:
            return _not_found()
        local = self.library.local_file(scene)
        data = scene.cover or (await run_in_threadpool(self.pictures.cover, local) if local else b"")
        return Response(data, media_type="image/jpeg") if data else await _silhouette(request)

    async def _made_sprite(self, request: HttpRequest) -> tuple[Scene, bytes] | None:
        scene = self._scene(request)
        local = self.library.local_file(scene) if scene else None
        if scene is None or local is None or not scene.has_sprite:
            return None
        data = await run_in_threadpool(self.pictures.sprite, local)
        return (scene, data) if data else None

    async def _sprite(self, request: HttpRequest) -> Response:
        made = await self._made_sprite(request)
        return _not_found() if made is None else Response(made[1], media_type="image/jpeg")

    async def _vtt(self, request: HttpRequest) -> Response:
        made = await self._made_sprite(request)
        if made is None:
            return _not_found()
        file = self.library.files[made[0].file_ids[0]]
        name = f"{file.fingerprint('oshash')}_sprite.jpg"
        return Response(sprite_vtt(made[1], name, file.duration), media_type="text/vtt")

    def _picture(self, request: HttpRequest) -> tuple[Image, Path] | None:
        image = self.library.images.get(request.path_params["id"])
        local = self.library.local_file(image) if image else None
        return (image, local) if image is not None and local is not None else None

    async def _image(self, request: HttpRequest) -> Any:
        found = self._picture(request)
        return _not_found() if found is None else self._file(request, found[1])

    async def _thumbnail(self, request: HttpRequest) -> Any:
        """A picture that no thumbnail can be made of is sent as it is."""
        found = self._picture(request)
        if found is None:
            return _not_found()
        data = await run_in_threadpool(self.pictures.thumbnail, found[1])
        return Response(data, media_type="image/jpeg") if data else self._file(request, found[1])

    async def _performer_image(self, request: HttpRequest) -> Response:
        performer = self.library.performers.get(request.path_params["id"])
        if performer is None:
            return _not_found()
        if performer.image is None or request.query_params.get("default") == "true":
            return await _silhouette(request)
        return _unless_known(request, performer.image, "image/jpeg")


async def _silhouette(_: HttpRequest) -> Response:
    return Response(SILHOUETTE, media_type="image/svg+xml")


def _unless_known(request: HttpRequest, data: bytes, media_type: str) -> Response:
    """Pictures that Stash keeps itself have the MD5 of their bytes as ETag; who has them is told so."""
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    if request.headers.get("If-None-Match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(data, media_type=media_type, headers={"ETag": etag})


def _not_found() -> Response:
    return PlainTextResponse("Not Found\n", 404)


def _base_url(request: HttpRequest) -> str:
    """Returns the address by which the client came: what Stash builds its links from."""
    scheme = "https" if request.headers.get("X-Forwarded-Proto") == "https" else "http"
    prefix = request.headers.get("X-Forwarded-Prefix", "").rstrip("/")
    return f"{scheme}://{request.headers.get('host', 'localhost')}{prefix}"


def _note(scope: Scope) -> Request:
    headers = Headers(scope=scope)
    query = scope["query_string"].decode()
    keyed = "header" if headers.get("ApiKey") else "query" if QueryParams(query).get("apikey") else ""
    path = masked(f"{scope['path']}?{query}" if query else scope["path"])
    method = scope.get("method", "WEBSOCKET")
    return Request(time.time(), method, path, keyed, headers.get("range", ""))


def _noting(send: Send, note: Request) -> Send:
    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            note.status = message["status"]
        elif message["type"] == "websocket.accept":
            note.status = 101
        elif message["type"] == "websocket.http.response.start":
            note.status = message["status"]
        await send(message)

    return noted
