"""What tests turn while the fake runs, and what it notes about each request."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.fakes.stash.records import ContentName

KEPT_REQUESTS = 50_000
_KEY = re.compile(r"(?i)(apikey=)[^&\s]*")


@dataclass(slots=True)
class Request:
    """One request. `path` has its query with the key masked; `keyed` says how a key came: "", "header" or "query".

    Attributes:
        at_s: time.time() of its arrival.
        status: 0 while it runs, and for connections that were dropped before an answer.
        fields: top-level fields of a GraphQL operation; `query` and `variables` belong to it.
        range: the Range header.
        sent_bytes: of the body.
    """

    at_s: float
    method: str
    path: str
    keyed: str = ""
    range: str = ""
    status: int = 0
    fields: tuple[str, ...] = ()
    query: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    sent_bytes: int = 0
    ended_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def masked(path: str) -> str:
    """Returns an address without its key."""
    return _KEY.sub(r"\1***", path)


class RequestLog:
    """The last requests, oldest first. Iterate, index, or ask `named` for those with a field or a path."""

    def __init__(self) -> None:
        self._kept: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self.total = 0

    def add(self, request: Request) -> None:
        self._kept.append(request)
        self.total += 1

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._kept))

    def __getitem__(self, index: int) -> Request:
        return list(self._kept)[index]

    def named(self, name: str) -> list[Request]:
        """Returns requests with the top-level field `name`, or with `name` in their path."""
        return [one for one in self if name in one.fields or (name.startswith("/") and name in one.path)]


@dataclass(slots=True)
class Vanishing:
    """Ids that are to go after so many more requests."""

    ids: tuple[int, ...]
    kind: ContentName
    requests_left: int


@dataclass
class Knobs:
    """Faults and speeds. All may be changed at any time, from any thread; /healthz and /_fake are spared.

    Attributes:
        version: "0.25" to "0.31": which fields, arguments and inputs exist.
        latency_s: wait before each answer.
        fail_rate: share of requests answered with `fail_status`.
        rate_limit_per_s: requests above so many in one second get 429 with Retry-After; 0 for no limit.
        refuse: connections are reset before an answer.
        slow_stream_bytes_per_s: speed of a scene's stream and of images; 0 for full speed.
        cut_stream_after: bytes of a stream's body after which its connection is reset; None for never.
        cut_streams: how many answers are cut before all is well again.
        paths: faults and waits hit only paths that begin with one of these; all when empty.
        job_step_s: time that a job spends at each step.
    """

    version: str = "0.31"
    latency_s: float = 0.0
    fail_rate: float = 0.0
    fail_status: int = 503
    rate_limit_per_s: float = 0.0
    refuse: bool = False
    slow_stream_bytes_per_s: int = 0
    cut_stream_after: int | None = None
    cut_streams: int = 10**9
    paths: tuple[str, ...] = ()
    job_step_s: float = 0.0
    _failing: int = 0
    _failing_status: int = 503
    _vanishing: list[Vanishing] = field(default_factory=list)
    _recent: deque[float] = field(default_factory=deque)
    _random: random.Random = field(default_factory=lambda: random.Random(0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, **values: Any) -> None:
        """Sets several at once; raises KeyError for a name that is none."""
        for name, value in values.items():
            if name not in self.names():
                raise KeyError(name)
            setattr(self, name, tuple(value) if name == "paths" else value)

    @classmethod
    def names(cls) -> list[str]:
        return [name for name in cls.__dataclass_fields__ if not name.startswith("_")]

    def fail_next(self, count: int, status: int = 503) -> None:
        """The next `count` requests are answered with `status`; 0 drops their connections."""
        with self._lock:
            self._failing, self._failing_status = count, status

    def vanish_after(self, requests: int, ids: Iterable[str | int], kind: ContentName = "scene") -> None:
        """Rows `ids` are deleted before the request that follows `requests` more ones."""
        with self._lock:
            self._vanishing.append(Vanishing(tuple(int(i) for i in ids), kind, requests))

    def due(self) -> list[Vanishing]:
        """Counts a request; returns what has to vanish before it is answered."""
        with self._lock:
            ready = [one for one in self._vanishing if one.requests_left <= 0]
            self._vanishing = [one for one in self._vanishing if one.requests_left > 0]
            for one in self._vanishing:
                one.requests_left -= 1
            return ready

    def hits(self, path: str) -> bool:
        """Returns whether faults and waits are for this path."""
        return not self.paths or path.startswith(self.paths)

    def fault(self, path: str) -> int | None:
        """Returns the status to answer instead, 0 to drop the connection, None when all is well. Counts the request."""
        if not self.hits(path):
            return None
        with self._lock:
            if self.refuse:
                return 0
            if self._failing > 0:
                self._failing -= 1
                return self._failing_status
            if self.rate_limit_per_s and self._too_many():
                return 429
            return self.fail_status if self.fail_rate and self._random.random() < self.fail_rate else None

    def cut(self) -> int | None:
        """Returns after how many bytes this answer breaks; None for a whole one."""
        with self._lock:
            if self.cut_stream_after is None or self.cut_streams <= 0:
                return None
            self.cut_streams -= 1
            return self.cut_stream_after

    def _too_many(self) -> bool:
        now = time.monotonic()
        while self._recent and now - self._recent[0] >= 1:
            self._recent.popleft()
        if len(self._recent) >= self.rate_limit_per_s:
            return True
        self._recent.append(now)
        return False
