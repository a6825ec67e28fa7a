"""A file behind a URL, read with Range requests: what PyAV opens when the source is an address.

ffmpeg has an HTTP client of its own; this one is used because it keeps to the deadline in every phase, tries again,
never follows a redirect to an unchecked host, keeps headers out of messages and counts the bytes it fetched.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from pipelines.errors import MediaCorrupt, MediaEmpty, MediaError, MediaNotFound, MediaUnreachable, MediaUnsupported
from pipelines.media.deadline import Deadline
from pipelines.media.video import HttpSource

SMALLEST_FETCH_BYTES = 32 * 1024
JUMP_FETCH_BYTES = 128 * 1024
JUMPS_A_FILE = 512
LARGEST_FETCH_BYTES = 1024 * 1024
"""A fetch after a jump is small, smaller still in a small file, and doubles while reading goes straight on: a key frame
of 1080p is 50 to 400 kB."""

CACHE_BYTES = 16 * 1024 * 1024
ATTEMPTS = 3
LONGEST_SILENCE_S = 15.0


class _Again(Exception):
    """The connection broke or the server is busy: worth another try."""


class HttpFile:
    """A seekable, read-only binary file over HTTP Range requests. Not for use by two threads at once.

    Attributes:
        size_bytes: size of the whole file.
        fetched_bytes: bytes received so far.
        requests: requests sent so far.
        failure: the error that ended reading, if any; ffmpeg may hide it behind one of its own.
    """

    def __init__(self, source: HttpSource, deadline: Deadline) -> None:
        self._source = source
        self._deadline = deadline
        headers = {"Accept-Encoding": "identity", "User-Agent": "stash-sense", **source.headers}
        self._headers = headers
        # The transport without httpx.Client: the client logs whole addresses, which may hold a key.
        self._transport = httpx.HTTPTransport(trust_env=False)
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._position = 0
        self._next_fetch = -1
        self._fetch_bytes = SMALLEST_FETCH_BYTES
        self._etag: str | None = None
        self.size_bytes = 0
        self.fetched_bytes = 0
        self.requests = 0
        self.failure: MediaError | None = None
        try:
            head = self._fetch(0, SMALLEST_FETCH_BYTES)
        except BaseException:
            self._transport.close()
            raise
        self._store(0, head)
        self._next_fetch = len(head)
        self._jump_bytes = min(JUMP_FETCH_BYTES, max(SMALLEST_FETCH_BYTES, self.size_bytes // JUMPS_A_FILE))

    def read(self, size: int = -1) -> bytes:
        """Returns up to `size` bytes (all that one cached piece holds), b"" at the end of the file."""
        if self.failure is not None:
            raise self.failure
        if size == 0 or self._position >= self.size_bytes:
            return b""
        try:
            start, piece = self._piece_at(self._position)
        except MediaError as error:
            self.failure = error
            raise
        offset = self._position - start
        data = piece[offset:] if size < 0 else piece[offset : offset + size]
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """Inside the block, an error that follows from a failed fetch is replaced by the fetch's own error."""
        try:
            yield
        except Exception as error:
            if self.failure is not None and error is not self.failure:
                raise self.failure from error
            raise

    def close(self) -> None:
        self._transport.close()
        self._cache.clear()

    def _piece_at(self, position: int) -> tuple[int, bytes]:
        for start in reversed(self._cache):
            piece = self._cache[start]
            if start <= position < start + len(piece):
                self._cache.move_to_end(start)
                return start, piece
        straight_on = position == self._next_fetch
        self._fetch_bytes = min(2 * self._fetch_bytes, LARGEST_FETCH_BYTES) if straight_on else self._jump_bytes
        piece = self._fetch(position, min(self._fetch_bytes, self.size_bytes - position))
        self._next_fetch = position + len(piece)
        self._store(position, piece)
        return position, piece

    def _store(self, start: int, piece: bytes) -> None:
        self._cache[start] = piece
        self._cached_bytes += len(piece)
        while self._cached_bytes > CACHE_BYTES:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])

    def _fetch(self, start: int, length: int) -> bytes:
        tries = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=0.1, max=2.0),
            retry=retry_if_exception_type(_Again),
            reraise=True,
        )
        try:
            return tries(self._fetch_once, start, length)
        except _Again as error:
            raise MediaUnreachable(
                f"{self._source.name}: {error} ({ATTEMPTS} tries).", "Check that the server runs and can be reached."
            ) from error

    def _fetch_once(self, start: int, length: int) -> bytes:
        self._deadline.check()
        silence_s = max(0.01, min(LONGEST_SILENCE_S, self._deadline.left_s))
        headers = {**self._headers, "Range": f"bytes={start}-{start + length - 1}"}
        if self._etag is not None:
            headers["If-Range"] = self._etag
        limits = {"timeout": httpx.Timeout(silence_s).as_dict()}
        request = httpx.Request("GET", self._source.url, headers=headers, extensions=limits)
        self.requests += 1
        data = bytearray()
        try:
            with closing(self._transport.handle_request(request)) as response:
                expected = self._expected_bytes(response, start, length)
                for chunk in response.iter_raw():
                    data += chunk
                    self.fetched_bytes += len(chunk)
                    self._deadline.check()
                    if len(data) >= expected:
                        break
        except httpx.TimeoutException as error:
            self._deadline.check()
            raise _Again(f"the server was silent for {silence_s:.0f} s") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _Again(f"the connection failed ({type(error).__name__})") from error
        if len(data) < expected:
            raise _Again("the connection ended before the answer was complete")
        return bytes(data[:expected])

    def _expected_bytes(self, response: httpx.Response, start: int, length: int) -> int:
        """Checks status and Content-Range, notes size and ETag; returns how many bytes the body must have."""
        name, status = self._source.name, response.status_code
        if status in {429, 500, 502, 503, 504}:
            raise _Again(f"the server answered {status}")
        if status in {404, 410}:
            raise MediaNotFound(f"{name}: the server answered {status}, no such file.")
        if status == 416:
            if self.size_bytes:
                raise MediaCorrupt(f"{name}: the file changed while it was read.")
            raise MediaEmpty(f"{name}: the file has no bytes.")
        if status == 200:
            self._whole_file_answer(response)
        if status != 206:
            raise MediaUnreachable(
                f"{name}: the server answered {status}.",
                "Redirects are not followed; the address and its key must open the file itself.",
            )
        unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
        span, _, total = rest.partition("/")
        first, _, last = span.partition("-")
        if unit != "bytes" or not (first.isdigit() and last.isdigit() and total.isdigit()) or int(first) != start:
            raise MediaUnsupported(f"{name}: the server's Content-Range cannot be used: {rest[:40]!r}.")
        if self.size_bytes and int(total) != self.size_bytes:
            raise MediaCorrupt(f"{name}: the file changed while it was read.")
        self.size_bytes = int(total)
        etag = response.headers.get("ETag")
        self._etag = etag if etag and not etag.startswith("W/") else None
        return min(length, int(last) - start + 1)

    def _whole_file_answer(self, response: httpx.Response) -> None:
        name = self._source.name
        if self._etag is not None:
            raise MediaCorrupt(f"{name}: the file changed while it was read.")
        if response.headers.get("Content-Length") == "0":
            raise MediaEmpty(f"{name}: the file has no bytes.")
        raise MediaUnsupported(
            f"{name}: the server does not answer Range requests.", "Serve it from one that does, or name a local path."
        )
