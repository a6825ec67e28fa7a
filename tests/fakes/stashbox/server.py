"""The running fake stash-box: in a thread of the tests' own process, or as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

from tests.fakes.stash.knobs import RequestLog
from tests.fakes.stash.server import REPOSITORY, FakeStash
from tests.fakes.stashbox.app import BoxApp
from tests.fakes.stashbox.knobs import BoxKnobs
from tests.fakes.stashbox.world import World

KEY = "key-of-the-box"


class FakeStashBox(FakeStash):
    """A stash-box in a thread. Use it as a context manager, or call `start` and `stop`, which the sockets of a
    fake Stash give it.

    Attributes:
        world: its performers and pictures.
        knobs: faults and speeds.
        requests: what was asked, with times.
    """

    def __init__(self, world: World, *, api_key: str = KEY, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host=host, port=port)
        self.world = world
        self.box = BoxApp(world, api_key, BoxKnobs())

    @property
    def knobs(self) -> BoxKnobs:
        return self.box.knobs

    @property
    def requests(self) -> RequestLog:
        return self.box.requests

    @property
    def endpoint(self) -> str:
        return f"{self.url}/graphql"

    @property
    def rule(self) -> str:
        """The box as the setting `stashboxes` has it."""
        return f"{self.endpoint}={self.box.api_key}"

    def application(self) -> Any:
        return self.box


class StashBoxProcess:
    """The fake in a process of its own; it ends with the block. Arguments are those of `python -m`."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def rule(self) -> str:
        return f"{self.url}/graphql={KEY}"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.fakes.stashbox", "--port", "0", "--until-stdin-ends", *self._arguments]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url.startswith("http://"):
            raise RuntimeError(f"the fake stash-box did not start: {self.url!r}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def control(self, name: str, **values: Any) -> Any:
        """Calls a control route: "knobs", "requests" or "clear"."""
        request = urllib.request.Request(f"{self.url}/_fake/{name}", json.dumps(values).encode())  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read())
