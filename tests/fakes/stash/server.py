"""The running fake: in a thread of the tests' own process, or as a process of its own that is steered over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.fakes.stash.app import StashApp
from tests.fakes.stash.control import Control
from tests.fakes.stash.jobs import JobQueue
from tests.fakes.stash.knobs import Knobs, RequestLog
from tests.fakes.stash.library import Library
from tests.fakes.stash.plugins import Plugins
from tests.fakes.stash.schema import LATEST
from tests.fakes.stash.sending import TRANSPORT

REPOSITORY = Path(__file__).parents[3]


class _Protocol(HttpToolsProtocol):
    """Lets a request know its connection, and the server all its connections."""

    opened: set[asyncio.BaseTransport]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.opened.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.opened.discard(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        TRANSPORT.set(self.transport)
        super().data_received(data)


class FakeStash:
    """A Stash server in a thread. Use it as a context manager, or call `start` and `stop`.

    Attributes:
        library: its state; hold `library.lock` to change it while requests run.
        knobs: faults, speeds, version.
        requests: what was asked.
        jobs: its job queue.
    """

    def __init__(
        self,
        library: Library | None = None,
        *,
        api_key: str | None = None,
        version: str = LATEST,
        host: str = "127.0.0.1",
        port: int = 0,
        pictures: Path | None = None,
        plugins: Path | None = None,
        page: Path | None = None,
    ) -> None:
        """
        Args:
            pictures: where covers and sprites are kept; a temporary folder without it.
            plugins: the plugins folder.
            page: folder of the web page: index.html and assets.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="fake-stash-") if pictures is None else None
        folder = Path(self._temporary.name) if self._temporary is not None else pictures
        assert folder is not None
        self._host, self._port = host, port
        self._app = StashApp(library or Library(), api_key, Knobs(version=version), folder, Plugins(plugins), page)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: set[asyncio.BaseTransport] = set()

    @property
    def library(self) -> Library:
        return self._app.library

    @property
    def knobs(self) -> Knobs:
        return self._app.knobs

    @property
    def requests(self) -> RequestLog:
        return self._app.requests

    @property
    def plugins(self) -> Plugins:
        return self._app.plugins

    def session(self) -> str:
        """Returns the value of the cookie `session` of somebody who has just logged in."""
        return self._app.sessions.open()

    @property
    def jobs(self) -> JobQueue:
        return self._app.jobs

    @property
    def api_key(self) -> str | None:
        return self._app.api_key

    @property
    def url(self) -> str:
        """Address of the server, without a slash at its end."""
        return f"http://{self._host}:{self._port}"

    def start(self) -> Self:
        """Listens; on the same port as before when it ran before."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, self._port))
        listener.listen(256)
        self._port = listener.getsockname()[1]
        self._app.own_url = self.url
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(listener, ready), name="fake-stash", daemon=True)
        self._thread.start()
        if not ready.wait(20):
            raise RuntimeError("the fake Stash did not start within 20 s")
        return self

    def stop(self) -> None:
        """Resets all connections and listens no more: clients are refused."""
        server, loop, thread = self._server, self._loop, self._thread
        if server is None or loop is None or thread is None:
            return
        server.should_exit = server.force_exit = True

        def abort_all() -> None:
            for transport in list(self._opened):
                transport.abort()  # type: ignore[attr-defined]
            self._opened.clear()

        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(abort_all)
        thread.join(20)
        self._server = self._loop = self._thread = None

    def restart(self, down_s: float = 0.0) -> None:
        """Stops, stays away for `down_s`, comes back on the same port with its library and without its jobs."""
        self.stop()
        self.jobs.forget()
        time.sleep(down_s)
        self.start()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """The server is gone while the block runs."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def complete_scan(self) -> None:
        """Tells the subscribers of scanCompleteSubscribe that a scan ended."""
        self._app.broadcast.publish("scans", True)

    def subscribers(self, topic: Any = "scans") -> int:
        """Returns how many listen to "scans" or "jobs"."""
        return self._app.broadcast.subscribers(topic)

    def vanish(self, ids: Any, kind: Any = "scene") -> None:
        """Deletes rows without a trace, as a user of Stash may at any moment."""
        self.library.vanish(ids, kind)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def application(self) -> Any:
        """Returns what answers."""
        return Control(self._app, self)

    def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        protocol = type("Protocol", (_Protocol,), {"opened": self._opened})
        config = uvicorn.Config(
            self.application(),
            http=protocol,
            ws="websockets-sansio",
            lifespan="off",
            log_level="error",
            access_log=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        self._server = server

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event for it
                await asyncio.sleep(0.005)
            ready.set()
            await serving

        asyncio.run(main())


class StashProcess:
    """The fake in a process of its own, so that it does not share the interpreter with what is measured.

    It ends with the block, and with the process that began it, however that ends.

    Arguments are those of `python -m tests.fakes.stash`. Knobs and requests go over its control routes.
    """

    def __init__(self, *arguments: str, timeout_s: float = 120.0) -> None:
        self._arguments = arguments
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.fakes.stash", "--port", "0", "--until-stdin-ends", *self._arguments]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("http://"):
            self._process.kill()
            raise RuntimeError(f"the fake Stash did not start: {line!r}")
        self.url = line.strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def control(self, name: str, **values: Any) -> Any:
        """Calls a control route: "knobs", "requests", "fail_next", "vanish", "vanish_after", "restart", ..."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/_fake/{name}", json.dumps(values).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
            return json.loads(answer.read())

    def set(self, **knobs: Any) -> None:
        self.control("knobs", **knobs)

    def requests(self) -> list[dict[str, Any]]:
        """Returns the log, oldest first."""
        return self.control("requests")  # type: ignore[no-any-return]
