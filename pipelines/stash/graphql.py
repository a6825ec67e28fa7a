"""The connection to Stash: one request after the other's permit, tried again where that is safe, named errors.

The API key lives in `_Key` only: it is put on requests to the configured address, and in no message, log, `repr`,
address or command line. Redirects are not followed, so it goes nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx

from pipelines.errors import InputError, LimitExceeded, MediaNotFound, StashError, StashRejected, StashUnreachable
from pipelines.stash.answers import STASH, Peer, check_status, data_of
from pipelines.stash.features import INTROSPECTION, Features
from pipelines.stash.limiter import Limiter, Priority
from pipelines.stash.retries import Retries, TryAgain
from pipelines.stash.subscriptions import Reconnects, events

CONNECT_TIMEOUT_S = 5.0
_HELD: ContextVar[WriteTurn | None] = ContextVar("held_turn", default=None)
"""The turn inside whose block this task is."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is behind an address of Stash.

    Attributes:
        data: None when it is still what has the `etag` that was given.
        etag: "" when Stash gives none.
    """

    data: bytes | None = field(repr=False)
    etag: str


class StashClient:
    """A connection to one Stash, for one event loop; use as `async with`.

    Attributes:
        address: where Stash is, without anything secret; "/graphql" is below it.
        limiter: asked before every request.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        limiter: Limiter,
        timeout_s: float = 30.0,
        retries: Retries | None = None,
        peer: Peer = STASH,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """
        Args:
            url: address of Stash; a path before "/graphql" is kept (https://host/stash).
            api_key: sent when set. A Stash without a key refuses every key, so leave it unset there.
            timeout_s: longest silence of Stash within one try.
            peer: who messages say is asked.
            transport: in place of the network.

        Raises StashUnreachable when `url` is no web address.
        """
        self.address = stash_address(url)
        self.limiter = limiter
        self._peer = peer
        self._key = _Key(api_key)
        self._retries = retries or Retries()
        self._features: Features | None = None
        self._introspecting = asyncio.Lock()
        self._http = httpx.AsyncClient(
            auth=self._key,
            headers={"User-Agent": "stash-sense"},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"StashClient({self.address!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def execute(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        priority: Priority = Priority.BATCH,
        write: bool = False,
        repeatable: bool | None = None,
    ) -> dict[str, Any]:
        """Returns the `data` of the answer.

        Args:
            write: it changes something: it waits until nobody else in the cluster writes.
            repeatable: carrying it out twice does no harm; by default what does not write. Anything else is not sent
                again once it may have been carried out.

        Raises:
            StashUnreachable: no answer, or 5xx, or 429, after all tries.
            StashUnauthorized, StashUnknownField, StashNotFound, StashRejected: see pipelines.errors.
        """
        repeatable = not write if repeatable is None else repeatable
        if not write:
            return await self._send(query, variables, priority, repeatable=repeatable)
        async with self.writing(priority) as turn:
            return await turn.execute(query, variables, repeatable=repeatable)

    async def fetch(self, url: str, *, etag: str = "", most_bytes: int, priority: Priority = Priority.BATCH) -> Fetched:
        """Returns what is behind an address below `address`, such as a performer's picture.

        Args:
            etag: of what is known already; Stash sends nothing when it is still that.

        Raises:
            InputError: the address is not one of this Stash: the key goes nowhere else.
            LimitExceeded: more than `most_bytes`.
            MediaNotFound: there is nothing.
            StashUnreachable, StashUnauthorized: see `execute`.
        """
        if not url.startswith(f"{self.address}/"):
            raise InputError("The address is not one of this Stash.")
        try:
            async for attempt in self._retries.trying(priority, repeatable=True):
                with attempt:
                    await self.limiter.acquire(priority)
                    return await self._get(url, {"If-None-Match": etag} if etag else {}, most_bytes)
        except TryAgain as error:
            raise error.error from error.__cause__
        raise AssertionError  # tenacity returns or raises

    async def _get(self, url: str, headers: Mapping[str, str], most_bytes: int) -> Fetched:
        name = urlsplit(url).path
        data = bytearray()
        try:
            async with self._http.stream("GET", url, headers=headers) as response:
                if response.status_code == 304:
                    return Fetched(None, headers.get("If-None-Match", ""))
                if response.status_code in {404, 410}:
                    raise MediaNotFound(f"Stash has nothing at {name} ({response.status_code}).")
                check_status(response, self.address)
                if response.status_code != 200:
                    raise StashRejected(f"Stash answers {response.status_code} for {name}.")
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > most_bytes:
                        raise LimitExceeded(f"{name} is larger than {most_bytes} bytes.")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise TryAgain(self._silent("cannot be reached", error), carried_out=False) from error
        except httpx.RequestError as error:
            raise TryAgain(self._silent("did not answer", error), carried_out=True) from error
        return Fetched(bytes(data), response.headers.get("ETag", ""))

    @asynccontextmanager
    async def writing(self, priority: Priority = Priority.BATCH) -> AsyncIterator[WriteTurn]:
        """Inside the block nobody else in the cluster writes: for reading, changing and writing back.

        Blocks may be nested: what is written inside one, by any call of this client, belongs to its turn.
        """
        held = _HELD.get()
        if held is not None and held.of(self):
            yield held
            return
        async with self.limiter.writing(priority):
            turn = WriteTurn(self, priority)
            token = _HELD.set(turn)
            try:
                yield turn
            finally:
                turn.over = True
                _HELD.reset(token)

    async def features(self, priority: Priority = Priority.BATCH, *, again: bool = False) -> Features:
        """Returns what the server knows; asked once, or `again` after it turned out to have changed."""
        async with self._introspecting:
            if self._features is None or again:
                data = await self._send(INTROSPECTION, None, priority, repeatable=True)
                self._features = Features.from_introspection(data)
            return self._features

    def subscribe(
        self, query: str, reconnects: Reconnects | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any] | None]]:
        """Opens a subscription; see `subscriptions.events`."""
        return events(self.address, self._key.headers(), query, reconnects or Reconnects())

    async def _send(
        self, query: str, variables: Mapping[str, Any] | None, priority: Priority, *, repeatable: bool
    ) -> dict[str, Any]:
        try:
            async for attempt in self._retries.trying(priority, repeatable=repeatable):
                with attempt:
                    await self.limiter.acquire(priority)
                    return await self._post({"query": query, "variables": dict(variables or {})})
        except TryAgain as error:
            raise error.error from error.__cause__
        raise AssertionError  # tenacity returns or raises

    async def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = await self._http.post(f"{self.address}/graphql", json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise TryAgain(self._silent("cannot be reached", error), carried_out=False) from error
        except httpx.RequestError as error:
            raise TryAgain(self._silent("did not answer", error), carried_out=True) from error
        return data_of(response, self.address, self._peer)

    def _silent(self, what: str, error: httpx.RequestError) -> StashError:
        return StashUnreachable(
            f"{self._peer.name} at {self.address} {what} ({type(error).__name__}).",
            f"Check that it runs. {self._peer.address_hint}",
        )


class WriteTurn:
    """The right to write, for as long as the block of `StashClient.writing` lasts."""

    def __init__(self, client: StashClient, priority: Priority) -> None:
        self._client = client
        self._priority = priority
        self.over = False

    def of(self, client: StashClient) -> bool:
        """Whether this client may write in it now."""
        return self._client is client and not self.over

    async def execute(
        self, query: str, variables: Mapping[str, Any] | None = None, *, repeatable: bool = False
    ) -> dict[str, Any]:
        """`StashClient.execute` of a write inside this turn."""
        return await self._client._send(query, variables, self._priority, repeatable=repeatable)  # noqa: SLF001 - the two are one


class _Key(httpx.Auth):
    """Puts the API key on a request, and shows it to nobody else."""

    def __init__(self, key: str | None) -> None:
        self._headers = {"ApiKey": key} if key else {}

    def __repr__(self) -> str:
        return "_Key()"

    def headers(self) -> dict[str, str]:
        return dict(self._headers)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update(self._headers)
        yield request


def stash_address(url: str) -> str:
    """Returns scheme, host and path of an address of Stash, without a closing "/" or "/graphql".

    Raises StashUnreachable when it is no web address, or holds a user, a password or a query: those would be logged.
    """
    hint = "stash_url is an address such as http://127.0.0.1:9999; the key goes into stash_api_key."
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise StashUnreachable("stash_url is no web address.", hint) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise StashUnreachable("stash_url is no web address.", hint)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StashUnreachable("stash_url holds more than an address.", hint)
    name = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix("/graphql").rstrip("/")
    return urlunsplit((parts.scheme, name if port is None else f"{name}:{port}", path, "", ""))
