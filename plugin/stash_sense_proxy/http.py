"""HTTP with JSON over one kept connection. Never follows redirects: the key goes nowhere else."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from stash_sense_proxy.failures import Failure

LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Returns the body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Unreachable(Exception):
    """No answer came: refused, unknown host, too slow, cut off. `late` says whether it was the time."""

    def __init__(self, reason: str, *, late: bool = False) -> None:
        super().__init__(reason, late)
        self.reason, self.late = reason, late


class Server:
    """One HTTP server; connects at the first call, and again when the other side has hung up."""

    def __init__(self, url: str, headers: dict[str, str], *, verify: bool = True) -> None:
        """Raises Failure when the URL is none. `verify=False` takes any certificate."""
        self.url, self._headers, self._verify = url.rstrip("/"), headers, verify
        self._scheme, self._host, self._port, self._prefix = _parts(self.url)
        self._connection: HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: Any = None, timeout_s: float = 30.0, more: dict[str, str] | None = None
    ) -> Answer:
        """Returns the answer, whatever its status. `more` are headers of this call. Raises Unreachable."""
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, **(more or {})}
        if data is not None:
            headers["Content-Type"] = "application/json"
        fresh = self._connection is None
        try:
            return self._ask(method, path, data, headers, timeout_s)
        except TimeoutError as error:
            self.close()
            raise Unreachable(f"no answer within {timeout_s:g} s", late=True) from error
        except (OSError, HTTPException) as error:
            self.close()
            if not fresh and method == "GET":
                return self.ask(method, path, body, timeout_s, more)
            raise Unreachable(str(error) or type(error).__name__) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, data: bytes | None, headers: dict[str, str], timeout_s: float) -> Answer:
        if self._connection is None:
            self._connection = self._connect(timeout_s)
        connection = self._connection
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        connection.request(method, self._prefix + path, data, headers)
        response = connection.getresponse()
        read = response.read(LARGEST_ANSWER_BYTES + 1)
        if len(read) > LARGEST_ANSWER_BYTES:
            raise HTTPException("the answer is too large")
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, read)

    def _connect(self, timeout_s: float) -> HTTPConnection:
        if self._scheme == "http":
            return HTTPConnection(self._host, self._port, timeout=timeout_s)
        import ssl  # takes 10 ms to load, and most servers at home speak plain HTTP

        context = ssl.create_default_context()
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)


def _parts(url: str) -> tuple[str, str, int | None, str]:
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        split, port = urlsplit(""), None
    if split.scheme not in {"http", "https"} or not split.hostname:
        raise Failure(
            "not_set_up",
            f"{url!r} is not the address of a server.",
            "In Stash, Settings, Plugins, Stash Sense: set Server URL, such as http://127.0.0.1:6960.",
        )
    return split.scheme, split.hostname, port, split.path.rstrip("/")
