"""Events of Stash over a web socket (protocol graphql-transport-ws), with reconnection."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from pipelines.errors import StashRejected
from pipelines.stash.answers import error_of, unauthorized
from pipelines.stash.retries import TryAgain

PROTOCOL = Subprotocol("graphql-transport-ws")
LARGEST_MESSAGE_BYTES = 1 << 20
ANSWER_TIMEOUT_S = 15.0
"""How long opening, and the answer to connection_init, may take."""

log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.WARNING)  # at DEBUG, websockets logs the headers, and with them the API key


@dataclass(frozen=True, slots=True)
class Reconnects:
    """Waits between tries to connect, in seconds: doubling from `first_wait_s` to `longest_wait_s`, without end."""

    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0


class _Direct(connect):
    """Follows no redirect: websockets would send the ApiKey header along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@asynccontextmanager
async def events(
    address: str, headers: Mapping[str, str], query: str, reconnects: Reconnects
) -> AsyncIterator[AsyncIterator[dict[str, Any] | None]]:
    """An iterator over the `data` of each event; None after a lost connection is back: events may have been missed.

    It goes on for ever; leaving the block closes the connection. Raises StashUnauthorized, StashUnknownField and
    StashRejected; an unreachable Stash is waited for.
    """
    async with aclosing(_connected_events(address, headers, query, reconnects)) as found:
        yield found


async def _connected_events(
    address: str, headers: Mapping[str, str], query: str, reconnects: Reconnects
) -> AsyncGenerator[dict[str, Any] | None]:
    url = "ws" + address.removeprefix("http") + "/graphql"
    wait_s, was_connected, said = reconnects.first_wait_s, False, False
    while True:
        try:
            async with _open(url, headers) as socket:
                await _subscribe(socket, query)
                if was_connected:
                    yield None
                wait_s, was_connected, said = reconnects.first_wait_s, True, False
                while (data := await _next(socket)) is not None:
                    yield data
        except InvalidStatus as error:
            if error.response.status_code in {401, 403}:
                raise unauthorized(address) from None
            reason = f"status {error.response.status_code}"
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = type(error).__name__
        else:
            reason = "the server ended it"
        if not said:
            log.warning("No events from Stash at %s: %s. Trying to connect again.", address, reason)
        said = True
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, reconnects.longest_wait_s)


def _open(url: str, headers: Mapping[str, str]) -> _Direct:
    return _Direct(
        url,
        subprotocols=[PROTOCOL],
        additional_headers=dict(headers),
        user_agent_header="stash-sense",
        open_timeout=ANSWER_TIMEOUT_S,
        max_size=LARGEST_MESSAGE_BYTES,
        proxy=None,
        logger=_wire_log,
    )


async def _subscribe(socket: ClientConnection, query: str) -> None:
    await _tell(socket, {"type": "connection_init"})
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while (message := await _hear(socket)).get("type") != "connection_ack":
            await _pong(socket, message)
    await _tell(socket, {"id": "1", "type": "subscribe", "payload": {"query": query}})


async def _next(socket: ClientConnection) -> dict[str, Any] | None:
    """Returns the data of the next event, None when the server completed the subscription."""
    while True:
        message = await _hear(socket)
        payload = message.get("payload")
        if message.get("type") == "next" and isinstance(payload, dict):
            if payload.get("errors"):
                raise _final(payload["errors"])
            return dict(payload.get("data") or {})
        if message.get("type") == "error":
            raise _final(payload if isinstance(payload, list) else [{"message": str(payload)}])
        if message.get("type") == "complete":
            return None
        await _pong(socket, message)


def _final(errors: list[Mapping[str, Any]]) -> Exception:
    error = error_of(errors)
    return error.error if isinstance(error, TryAgain) else error


async def _pong(socket: ClientConnection, message: Mapping[str, Any]) -> None:
    if message.get("type") == "ping":
        await _tell(socket, {"type": "pong"})


async def _tell(socket: ClientConnection, message: Mapping[str, Any]) -> None:
    await socket.send(json.dumps(message))


async def _hear(socket: ClientConnection) -> dict[str, Any]:
    try:
        message = json.loads(await socket.recv())
    except ValueError as error:
        raise StashRejected("Stash's web socket does not speak graphql-transport-ws.") from error
    return message if isinstance(message, dict) else {}
