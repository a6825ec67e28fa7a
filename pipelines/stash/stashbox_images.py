"""Pictures of a stash-box over HTTP, fetched as politely as everything else of it, and from nowhere but where they are.

A picture's address comes from strangers. So only http and https are followed, to the box's own host, to hosts that the
settings name, or to public addresses, and the connection goes to the very address that was checked. No key is sent.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from pipelines.errors import LimitExceeded, MediaError, MediaNotFound, MediaUnreachable, UrlNotAllowed
from pipelines.stash.graphql import CONNECT_TIMEOUT_S
from pipelines.stash.limiter import Limiter, Priority
from pipelines.stash.retries import retry_after_s

MOST_BYTES = 64 << 20
MOST_REDIRECTS = 3
MOST_HOSTS = 32
"""Hosts to which connections are kept."""
SILENCE_TIMEOUT_S = 20.0
TOTAL_TIMEOUT_S = 120.0
WAITS_S = (1.0, 4.0, 15.0)
"""Waits before a picture is tried again."""
PORTS = {"http": 80, "https": 443}

Host = tuple[str, int]
"""Name in lower case, and port."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture is: a checked address of its host."""

    scheme: str
    host: str
    port: int
    address: str
    target: str

    @property
    def url(self) -> str:
        """The URL with the address in place of the name, so that the name is not looked up again."""
        name = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{name}:{self.port}{self.target}"

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORTS[self.scheme] else f"{name}:{self.port}"


class _Again(Exception):
    """Another try may help; `error` is raised when there is none."""

    def __init__(self, error: MediaError, after_s: float = 0.0) -> None:
        super().__init__(error)
        self.error = error
        self.after_s = after_s


class ImageFetcher:
    """Fetches pictures of one box; threads may share it."""

    def __init__(
        self,
        endpoint: str,
        limiter: Limiter,
        *,
        allowed_hosts: Collection[str] = (),
        pause_s: float = 60.0,
        waits_s: tuple[float, ...] = WAITS_S,
        most_bytes: int = MOST_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            endpoint: of the box; pictures may be on its host whatever address that has.
            allowed_hosts: host[:port] names besides it, whatever address they have; any public one when empty.
            pause_s: how long nobody asks after a 429 that names no time.
            waits_s: waits before further tries.
            sleep: in place of `time.sleep`; may raise to end the tries.
        """
        box = urlsplit(endpoint)
        self._box: Host = ((box.hostname or "").lower(), box.port or PORTS.get(box.scheme, 443))
        self._allowed = {_host_port(host) for host in allowed_hosts}
        self._limiter = limiter
        self._pause_s = pause_s
        self._waits_s = waits_s
        self._most_bytes = most_bytes
        self._sleep = sleep
        self._clients: dict[Host, httpx.Client] = {}
        self._lock = threading.Lock()

    def fetch(self, url: str) -> bytes:
        """Returns the bytes behind the address of a picture.

        Raises:
            UrlNotAllowed: the address, or one that it redirects to, is not fetched from here.
            MediaNotFound: there is nothing.
            MediaUnreachable: no answer, or none that makes sense, after all tries.
            LimitExceeded: too many bytes.
        """
        tries = Retrying(
            stop=stop_after_attempt(len(self._waits_s) + 1),
            wait=self._wait_s,
            retry=retry_if_exception_type(_Again),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return tries(self._follow, url)
        except _Again as again:
            raise again.error from again.__cause__

    def place(self, url: str) -> Place:
        """Returns where an address leads. Raises UrlNotAllowed, MediaUnreachable when its host is unknown."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            raise _refused("it is no web address") from None
        host = (parts.hostname or "").lower().rstrip(".")
        if parts.scheme not in PORTS or not host or "@" in parts.netloc:
            raise _refused("it is no plain http or https address")
        trusted = (host, port) == self._box or (host, port) in self._allowed or (host, 0) in self._allowed
        if not trusted and self._allowed:
            raise _refused(f"{host} is not among stashbox_image_hosts")
        addresses = _addresses(host, port)
        if not trusted and not all(_public(a) for a in addresses):
            raise _refused(f"{host} is no public host")
        target = parts.path or "/"
        return Place(parts.scheme, host, port, addresses[0], f"{target}?{parts.query}" if parts.query else target)

    def _follow(self, url: str) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            place = self.place(url)
            self._limiter.wait(Priority.BATCH)
            answer = self._get(place)
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer)
        raise _refused("it redirects too often")

    def _get(self, place: Place) -> bytes | str:
        """Returns the picture, or the address that it redirects to."""
        began = time.monotonic()
        data = bytearray()
        name = f"{place.host}{urlsplit(place.target).path}"
        try:
            with self._client(place).stream(
                "GET", place.url, headers={"Host": place.host_header}, extensions={"sni_hostname": place.host}
            ) as response:
                if response.is_redirect:
                    return str(response.headers.get("Location", ""))
                self._check_status(response, name)
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > self._most_bytes:
                        raise LimitExceeded(f"{name} is larger than {self._most_bytes >> 20} MB.")
                    if time.monotonic() - began > TOTAL_TIMEOUT_S:
                        raise _Again(MediaUnreachable(f"{name} takes longer than {TOTAL_TIMEOUT_S:.0f} s."))
        except httpx.RequestError as error:
            raise _Again(MediaUnreachable(f"{name} cannot be fetched: {type(error).__name__}.")) from error
        return bytes(data)

    def _client(self, place: Place) -> httpx.Client:
        """Returns the client of a host: connections by address must not be shared by the names of one address."""
        with self._lock:
            key = (place.host, place.port)
            if key not in self._clients:
                if len(self._clients) >= MOST_HOSTS:
                    self._clients.pop(next(iter(self._clients)))
                self._clients[key] = httpx.Client(
                    headers={"User-Agent": "stash-sense"},
                    timeout=httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                    limits=httpx.Limits(max_keepalive_connections=8),
                    follow_redirects=False,
                    trust_env=False,
                )
            return self._clients[key]

    def _check_status(self, response: httpx.Response, name: str) -> None:
        status = response.status_code
        after_s = retry_after_s(response.headers.get("Retry-After"))
        if status == 429:
            self._limiter.pause(after_s or self._pause_s)
            raise _Again(MediaUnreachable(f"{name}: its server is asked too often (429)."), after_s or self._pause_s)
        if status >= 500 or status == 408:
            raise _Again(MediaUnreachable(f"{name}: its server answers {status}."), after_s)
        if status != 200:
            raise MediaNotFound(f"{name}: its server answers {status}.")

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        waits = self._waits_s[min(state.attempt_number, len(self._waits_s)) - 1] if self._waits_s else 0.0
        return max(waits, error.after_s if isinstance(error, _Again) else 0.0)


def _addresses(host: str, port: int) -> list[str]:
    """Returns the addresses of a host, IPv4 first: many machines have IPv6 addresses that lead nowhere."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _Again(MediaUnreachable(f"The host {host} of a picture is unknown ({error.strerror}).")) from error
    return sorted((str(entry[4][0]) for entry in found), key=lambda address: ":" in address)


def _public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast


def _host_port(text: str) -> Host:
    """Returns a host of the settings; port 0 means any."""
    parts = urlsplit(f"//{text}")
    return (parts.hostname or "").lower().rstrip("."), parts.port or 0


def _refused(why: str) -> UrlNotAllowed:
    return UrlNotAllowed(f"The address of a picture is not fetched: {why}.")
