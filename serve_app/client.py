"""A client of the HTTP server: what the command line asks a running server with.

A file is named by its path first; a server that may not read it there is sent its bytes instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from pipelines.errors import InputError, MediaNotFound, Overloaded, StashSenseError

ATTEMPTS = 5
CONNECT_TIMEOUT_S = 5.0


class ServerError(StashSenseError):
    """An error that the server answered with; its code, message and hint are the server's."""

    def __init__(self, answered: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.args = (answered, message, hint)

    @property
    def message(self) -> str:
        return str(self.args[1])

    @property
    def hint(self) -> str:
        return str(self.args[2])

    def as_dict(self) -> dict[str, str]:
        return {"error": str(self.args[0]), "message": self.message, "hint": self.hint}


class ServerClient:
    """Asks one server. Usable as a context manager; not thread-safe.

    Args:
        url: base URL, such as http://127.0.0.1:6960.
        api_key: sent as a header, never in a URL.
        timeout_s: longest wait for one answer.
    """

    def __init__(self, url: str, api_key: str, *, timeout_s: float = 600.0) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise InputError(f"The server is {url!r}.", "Give its address, for example http://127.0.0.1:6960.")
        self._http = httpx.Client(
            base_url=url,
            headers={"ApiKey": api_key},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, route: str) -> dict[str, Any]:
        """Returns the answer of a GET. Raises ServerError."""
        return self._ask("GET", route)

    def post(self, route: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns the answer of a POST of a JSON object. Raises ServerError."""
        return self._ask("POST", route, **({} if body is None else {"json": body}))

    def delete(self, route: str) -> dict[str, Any]:
        """Returns the answer of a DELETE. Raises ServerError."""
        return self._ask("DELETE", route)

    def identify(self, path: Path, **question: Any) -> dict[str, Any]:
        """Returns the server's answer about one file; question fields as in `schemas.SceneQuestion`.

        Raises ServerError, MediaNotFound.
        """
        asked = {name: value for name, value in question.items() if value is not None}
        try:
            return self._ask("POST", "/identify", json={"path": str(path.absolute()), **asked})
        except ServerError as error:
            if error.as_dict()["error"] not in {"path_not_allowed", "media_not_found"}:
                raise
        if not path.is_file():
            raise MediaNotFound(f"There is no file {path}.")
        with path.open("rb") as file:
            return self._ask("POST", "/identify", files={"file": (path.name, file)}, data=asked)

    def identify_path(self, path: Path, **question: Any) -> dict[str, Any]:
        """Returns the JSON record of `stash-sense identify` for one file; an error is a record too."""
        try:
            answer = self.identify(path, **question)
        except StashSenseError as error:
            failed = {"people": [], "unknown": [], "timing_ms": {}, "error": error.as_dict()}
            return {"path": str(path), "kind": "error", **failed}
        kept = ("name", "universal_id", "confidence", "distance", "faces", "ranges")
        candidate = kept[:4]
        people = {
            group: [
                {k: p[k] for k in kept if k in p}
                | {"candidates": [{k: c[k] for k in candidate} for c in p["candidates"]]}
                for p in answer[group]
            ]
            for group in ("people", "unknown")
        }
        return {"path": str(path), "kind": answer["kind"], **people, "timing_ms": answer["timing_ms"], "error": None}

    def _ask(self, method: str, route: str, **arguments: Any) -> dict[str, Any]:
        for attempt in Retrying(
            retry=retry_if_exception_type(Overloaded), stop=stop_after_attempt(ATTEMPTS), wait=_as_told, reraise=True
        ):
            with attempt:
                return self._ask_once(method, route, **arguments)
        raise AssertionError("unreachable")

    def _ask_once(self, method: str, route: str, **arguments: Any) -> dict[str, Any]:
        for _, file in (arguments.get("files") or {}).values():
            file.seek(0)
        try:
            response = self._http.request(method, route, **arguments)
        except httpx.HTTPError as error:
            raise ServerError(
                "server_unreachable",
                f"The server {self._http.base_url} does not answer: {error or type(error).__name__}.",
                "Start it with `stash-sense up`, or check the address.",
            ) from error
        if response.is_success:
            return _json(response)
        answer = _json(response)
        wait_s = response.headers.get("retry-after", "")
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and wait_s.isdigit():
            raise Overloaded(answer["message"], answer["hint"], int(wait_s))
        raise ServerError(answer["error"], answer["message"], answer["hint"])


def _as_told(state: RetryCallState) -> float:
    """Returns the seconds to wait: the server's Retry-After."""
    error = state.outcome.exception() if state.outcome else None
    return float(error.retry_after_s) if isinstance(error, Overloaded) else 1.0


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = response.json()
    except ValueError:
        raise ServerError(
            "bad_answer", f"The server answered {response.status_code} without JSON.", "Is this a Stash Sense server?"
        ) from None
    return answer
