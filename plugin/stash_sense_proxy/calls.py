"""Calls of the server: one, several at once, face crops, pieces of an export, and the pairing."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

from stash_sense_proxy import VERSION
from stash_sense_proxy.failures import Failure
from stash_sense_proxy.http import Answer, Server, Unreachable
from stash_sense_proxy.log import log
from stash_sense_proxy.modes import MODES, SHORT_S, USUAL_S, target
from stash_sense_proxy.stash import Setup, Stash

MOST_CALLS = 12
MOST_CROPS = 200
PIECE_BYTES = 4 * 1024 * 1024
"""Of an export in one answer: Stash holds it in memory several times, as text."""
PARALLEL = 6
"""Connections to the server at once: it answers from one event loop."""
DEFAULT_RETRY_S = 2.0


class Proxy:
    """What the page asks, asked of the server in the plugin's settings."""

    def __init__(self, stash: Stash, setup: Setup) -> None:
        """Raises Failure when the address in the settings is none."""
        self._stash, self._setup = stash, setup
        self._server()

    def answer(self, args: dict[str, Any]) -> Any:
        """Returns what the page gets. Raises Failure."""
        mode = args.get("mode")
        if mode == "many":
            return self._many(args.get("calls"))
        if mode == "crops":
            return self._crops(args.get("paths"))
        if mode == "export_piece":
            return self._piece(args.get("id"), args.get("start"))
        if mode == "pairing_offer":
            return {"stash_url": self._stash.url, "has_key": bool(self._stash.key())}
        if mode == "pair":
            return self._pair(str(args.get("stash_url") or self._stash.url))
        return self._one(self._server(), args)

    def _server(self) -> Server:
        headers = {"ApiKey": self._setup.api_key, "Accept": "application/json", "X-Stash-Sense-Plugin": VERSION}
        return Server(self._setup.server_url, headers)

    def _one(self, server: Server, args: dict[str, Any]) -> Any:
        name = args.get("mode")
        mode = MODES.get(name) if isinstance(name, str) else None
        if mode is None:
            raise Failure("bad_call", f"The plugin knows no mode {name!r}.", "Reload the page of Stash.")
        path = target(mode, _object(args, "path"), _object(args, "query"))
        said = self._call(server, mode.method, path, args.get("body"), mode.timeout_s, mode.busy_s)
        if name == "health":
            _check_version(str(said.get("version")))
        return said

    def _call(
        self, server: Server, method: str, path: str, body: Any, timeout_s: float = USUAL_S, busy_s: float = 0.0
    ) -> Any:
        """Asks again while the server says "busy" with a Retry-After, as long as the mode allows."""
        give_up = time.monotonic() + busy_s
        while True:
            try:
                answer = server.ask(method, path, body, timeout_s)
            except Unreachable as error:
                raise _unreachable(error, self._setup.server_url) from error
            if 200 <= answer.status < 300 and answer.headers.get("content-type", "").startswith("application/json"):
                return answer.json()
            failure = _refused(answer)
            wait_s = failure.retry_after_s
            if failure.code != "overloaded" or wait_s is None or time.monotonic() + wait_s > give_up:
                raise failure
            log("debug", f"the server is busy; asking again in {wait_s:g} s")
            time.sleep(wait_s)

    def _many(self, calls: Any) -> list[dict[str, Any]]:
        """Returns {"output"} or {"failed"} for each call, in order: one that fails leaves the others."""
        if not isinstance(calls, list) or not all(isinstance(one, dict) for one in calls) or len(calls) > MOST_CALLS:
            raise Failure("bad_call", f"`calls` is a list of up to {MOST_CALLS} calls.")

        def one(server: Server, call: dict[str, Any]) -> dict[str, Any]:
            try:
                return {"output": self._one(server, call)}
            except Failure as failure:
                return {"failed": failure.as_dict()}

        return self._spread(calls, one)

    def _crops(self, paths: Any) -> dict[str, str | None]:
        """Returns a data: URL by path, None for a crop that is gone: the page may load no picture of the server."""
        if not isinstance(paths, list) or len(paths) > MOST_CROPS or not all(_is_crop(path) for path in paths):
            raise Failure("bad_call", f"`paths` is a list of up to {MOST_CROPS} paths below /crops/.")

        def one(server: Server, path: str) -> tuple[str, str | None]:
            try:
                answer = server.ask("GET", path, timeout_s=SHORT_S)
            except Unreachable as error:
                raise _unreachable(error, self._setup.server_url) from error
            if answer.status != 200 or not answer.headers.get("content-type", "").startswith("image/"):
                return path, None
            return path, f"data:image/jpeg;base64,{base64.b64encode(answer.body).decode()}"

        return dict(self._spread(sorted(set(paths)), one))

    def _piece(self, token: Any, start: Any) -> dict[str, Any]:
        """Returns a piece of an export: {"data": base64, "total_bytes"}; what passes through Stash stays small."""
        if not (isinstance(token, str) and token.isalnum() and token.isascii()) or type(start) is not int or start < 0:
            raise Failure("bad_call", "`id` is that of an export, `start` a number of bytes.")
        asked = {"Range": f"bytes={start}-{start + PIECE_BYTES - 1}"}
        try:
            answer = self._server().ask("GET", f"/recommendations/exports/{token}", timeout_s=USUAL_S, more=asked)
        except Unreachable as error:
            raise _unreachable(error, self._setup.server_url) from error
        if answer.status != 206:
            raise _refused(answer)
        total = int(answer.headers["content-range"].rpartition("/")[2])
        return {"data": base64.b64encode(answer.body).decode(), "total_bytes": total}

    def _spread(self, items: list[Any], one: Callable[[Server, Any], Any]) -> list[Any]:
        """Returns what `one` gives for each item, in order; each thread keeps a connection of its own."""
        threads = min(PARALLEL, len(items)) or 1
        shares = [list(range(start, len(items), threads)) for start in range(threads)]
        done: list[Any] = [None] * len(items)

        def work(share: list[int]) -> None:
            server = self._server()
            for number in share:
                done[number] = one(server, items[number])
            server.close()

        if threads == 1:
            work(shares[0])
        else:
            from concurrent.futures import ThreadPoolExecutor  # 6 ms to load, and most calls are one call

            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, shares))
        return done

    def _pair(self, stash_url: str) -> Any:
        """Hands Stash's address and key to the server. The key never passes the page."""
        log("info", f"handing the address {stash_url} and the key of Stash to the Stash Sense server")
        body = {"stash_url": stash_url, "stash_api_key": self._stash.key() or None}
        return self._call(self._server(), "POST", "/stash/pairing", body)


def _object(args: dict[str, Any], name: str) -> dict[str, Any]:
    value = args.get(name) or {}
    if not isinstance(value, dict):
        raise Failure("bad_call", f"`{name}` is an object.")
    return value


def _is_crop(path: Any) -> bool:
    return isinstance(path, str) and path.startswith("/crops/") and ".." not in path and path.isprintable()


def _unreachable(error: Unreachable, url: str) -> Failure:
    if error.late:
        return Failure(
            "no_answer", f"The Stash Sense server at {url} gave {error.reason}.", "It may be busy: try again."
        )
    return Failure(
        "unreachable",
        f"The Stash Sense server at {url} is not reachable: {error.reason}.",
        "Is it running? Stash itself must reach it: see Server URL in Settings, Plugins, Stash Sense.",
    )


def _refused(answer: Answer) -> Failure:
    """Returns what an answer with an error status means."""
    said = answer.json()
    if not (isinstance(said, dict) and isinstance(said.get("error"), str)):
        return Failure(
            "not_stash_sense",
            f"What answers there is no Stash Sense server (HTTP {answer.status}).",
            "See Server URL in Settings, Plugins, Stash Sense.",
            answer.status,
        )
    code, message, hint = said["error"], str(said.get("message", "")), str(said.get("hint", ""))
    if answer.status == 401:
        return Failure(
            "wrong_key",
            "The Stash Sense server does not accept the API key of the plugin.",
            "Set API key in Settings, Plugins, Stash Sense to the content of api-key in the server's data folder.",
            401,
        )
    if code == "not_found" and answer.status == 404:
        return Failure(
            "version_mismatch",
            f"The Stash Sense server does not know what version {VERSION} of the plugin asks.",
            "Update the older one of the two.",
            404,
        )
    retry_s = _number(answer.headers.get("retry-after")) if answer.status in {429, 503} else None
    return Failure(code, message, hint, answer.status, retry_s)


def _check_version(server: str) -> None:
    """Raises Failure unless server and plugin agree in all but the last number of their versions."""
    if server.split(".")[:2] != VERSION.split(".")[:2]:
        raise Failure(
            "version_mismatch",
            f"The Stash Sense server has version {server}, the plugin {VERSION}.",
            "Update the older one of the two.",
        )


def _number(text: str | None) -> float:
    try:
        return max(0.1, float(text or DEFAULT_RETRY_S))
    except ValueError:
        return DEFAULT_RETRY_S
