"""Subscriptions over the graphql-transport-ws protocol, the one that Stash's own pages speak."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from graphql import ExecutionResult, subscribe
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from tests.fakes.stash.execution import Operation, Refused, answer_of, prepare, run
from tests.fakes.stash.jobs import Broadcast
from tests.fakes.stash.resolvers import Context
from tests.fakes.stash.schema import schema_of

PROTOCOL = "graphql-transport-ws"
INIT_WITHIN_S = 10.0
_TOPICS: dict[str, Literal["jobs", "scans"]] = {"jobsSubscribe": "jobs", "scanCompleteSubscribe": "scans"}


class _Closed(Exception):
    """The protocol was broken: close with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def serve_subscriptions(websocket: WebSocket, context: Callable[[], Context], broadcast: Broadcast) -> None:
    """Speaks with one client until it leaves."""
    if PROTOCOL not in websocket.scope.get("subprotocols", ()):
        await websocket.accept()
        await websocket.close(4406, "Subprotocol not acceptable")
        return
    await websocket.accept(PROTOCOL)
    session = _Session(websocket, context, broadcast)
    try:
        await session.serve()
    except WebSocketDisconnect:
        pass
    except _Closed as closed:
        if websocket.application_state is WebSocketState.CONNECTED:
            await websocket.close(closed.code, closed.reason)
    finally:
        session.cancel()


class _Session:
    def __init__(self, websocket: WebSocket, context: Callable[[], Context], broadcast: Broadcast) -> None:
        self._websocket, self._context, self._broadcast = websocket, context, broadcast
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ready = False

    async def serve(self) -> None:
        while True:
            try:
                text = await asyncio.wait_for(self._websocket.receive_text(), None if self._ready else INIT_WITHIN_S)
            except TimeoutError:
                raise _Closed(4408, "Connection initialisation timeout") from None
            try:
                message = json.loads(text)
                kind = message["type"]
            except (ValueError, KeyError, TypeError):
                raise _Closed(4400, "Invalid message") from None
            await self._take(kind, message)

    async def _take(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "connection_init":
            if self._ready:
                raise _Closed(4429, "Too many initialisation requests")
            self._ready = True
            await self._send({"type": "connection_ack"})
        elif kind == "ping":
            await self._send({"type": "pong"})
        elif kind == "subscribe":
            self._subscribe(message["id"], message["payload"])
        elif kind == "complete":
            task = self._running.pop(message["id"], None)
            if task is not None:
                task.cancel()
        elif kind != "pong":
            raise _Closed(4400, f"Unexpected message {kind}")

    def _subscribe(self, name: str, payload: dict[str, Any]) -> None:
        if not self._ready:
            raise _Closed(4401, "Unauthorized")
        if name in self._running:
            raise _Closed(4409, f"Subscriber for {name} already exists")
        self._running[name] = asyncio.create_task(self._run(name, payload))

    async def _run(self, name: str, payload: dict[str, Any]) -> None:
        context = self._context()
        try:
            operation = prepare(
                context.minor, payload.get("query") or "", payload.get("operationName"), payload.get("variables") or {}
            )
        except Refused as refused:
            await self._send({"type": "error", "id": name, "payload": refused.errors})
            self._running.pop(name, None)
            return
        if operation.is_subscription:
            async for answer in self._answers(context, operation):
                await self._send({"type": "next", "id": name, "payload": answer})
        else:
            answer = await asyncio.to_thread(run, context, operation)
            await self._send({"type": "next", "id": name, "payload": answer})
        await self._send({"type": "complete", "id": name})
        self._running.pop(name, None)

    async def _answers(self, context: Context, operation: Operation) -> AsyncIterator[dict[str, Any]]:
        field = operation.fields[0]

        async def source(*_: Any) -> AsyncIterator[Any]:
            async for event in self._broadcast.events(_TOPICS[field]):
                yield {field: event}

        stream = subscribe(
            schema_of(context.minor),
            operation.document,
            context_value=context,
            variable_values=operation.variables,
            subscribe_field_resolver=source,
        )
        results = await stream if inspect.isawaitable(stream) else stream
        if isinstance(results, ExecutionResult):
            yield answer_of(results)
            return
        async for result in results:
            yield answer_of(result)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._websocket.send_text(json.dumps(message))

    def cancel(self) -> None:
        for task in self._running.values():
            task.cancel()
