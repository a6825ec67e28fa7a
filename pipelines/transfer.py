"""Downloading one file over HTTP: resumed after a break, retried, verified before it gets its name.

What has arrived stays in `NAME.part`; `NAME.part.json` says of which URL and version of the file it is. A server
without Range support, or one whose file has changed, makes the download start again. What is downloaded, how it is
verified and which errors its failures become is the caller's: `pipelines.models.fetch`, `pipelines.releases.download`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from pipelines.durable import rename_synced
from pipelines.errors import StashSenseError, Stopped

RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Patience of a download.

    Attributes:
        attempts: tries in a row that bring no new byte before the download is given up.
        connect_timeout_s, read_timeout_s: for the connection, and between two pieces of data.
        first_wait_s, longest_wait_s: pause after the first failure, doubled each time, and its limit.
    """

    attempts: int = 5
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}, must be at least 1")


PATIENT = FetchOptions()
"""The default patience."""


@dataclass(frozen=True, slots=True)
class Failures:
    """What the failures of a download become.

    Attributes:
        broken: class of the error when the server cannot be reached, keeps failing or has no such file.
        other: class of the error when the content is not the expected one.
        disk: class of the error when the file cannot be written.
        retry_hint, missing_hint, other_hint: what to do after a break, without such a file, with another content.
    """

    broken: type[StashSenseError]
    other: type[StashSenseError]
    disk: type[StashSenseError]
    retry_hint: str
    missing_hint: str
    other_hint: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """One file to be downloaded.

    Attributes:
        name: what it is called in messages.
        size_bytes: its exact size; None when nobody said.
        max_bytes: more than that is never taken.
        is_genuine: whether a file is the one that is wanted, of the right size and content.
        progress: told of each step as (name, bytes done, bytes in all or 0 while unknown).
    """

    url: str
    name: str
    size_bytes: int | None
    max_bytes: int
    is_genuine: Callable[[Path], bool]
    failures: Failures
    progress: Callable[[str, int, int], None]
    should_stop: Callable[[], bool] = lambda: False

    def other_file(self, reason: str) -> StashSenseError:
        return self.failures.other(f"{self.url} is not the expected {self.name}: {reason}.", self.failures.other_hint)

    def too_large(self, size_bytes: int) -> str:
        """Returns why a size cannot be right; empty when it can."""
        if self.size_bytes is not None and size_bytes != self.size_bytes:
            return f"it has {size_bytes} bytes, expected {self.size_bytes}"
        return f"it has {size_bytes} bytes, at most {self.max_bytes} are taken" if size_bytes > self.max_bytes else ""


class _Interrupted(Exception):
    """A try that failed in a way that another try may mend."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


def transfer(wanted: Transfer, destination: Path, options: FetchOptions = PATIENT) -> Path:
    """Downloads a file to `destination` and returns it; the file appears whole and verified, or not at all.

    Raises the errors of `wanted.failures`; Stopped, after which the next call goes on where this one was.
    """
    _require_http(wanted)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = Part(destination, wanted.url)
    resumed = _transfer_all(wanted, part, options)
    if resumed and not wanted.is_genuine(part.path):
        part.discard()  # the pieces may be of two versions of the file: one whole download decides
        _transfer_all(wanted, part, options)
    if not wanted.is_genuine(part.path):
        part.discard()
        raise wanted.other_file("the content has another sha256")
    rename_synced(part.path, destination)
    part.discard()
    return destination


def _require_http(wanted: Transfer) -> None:
    url, hint = wanted.url, "Give a URL like https://host/folder."
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise wanted.failures.broken(f"{url!r} is not a URL: {error}.", hint) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise wanted.failures.broken(f"{url!r} is not an http or https URL.", hint)


class Part:
    """The bytes of a file that have arrived so far, and which version of the file they are of.

    Attributes:
        whole_bytes: size of the file that they are of; None while it is not known.
    """

    def __init__(self, destination: Path, url: str) -> None:
        self.url = url
        self.path = destination.with_name(f"{destination.name}.part")
        self._note = destination.with_name(f"{destination.name}.part.json")
        self.whole_bytes: int | None = None
        self.validator = self._read_note()
        if self.validator is None:
            self.discard()

    def _read_note(self) -> str | None:
        """Returns the validator (ETag or date) of the kept bytes; None when they are of another or an unknown file."""
        try:
            note = json.loads(self._note.read_text())
            self.whole_bytes = note.get("bytes") if isinstance(note.get("bytes"), int) else None
            return str(note["validator"]) if note["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, validator: str, whole_bytes: int | None) -> None:
        """Drops what is there and remembers which version of the file comes now."""
        self.path.unlink(missing_ok=True)
        self.validator, self.whole_bytes = validator, whole_bytes
        self._note.write_text(json.dumps({"url": self.url, "validator": validator, "bytes": whole_bytes}))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.validator = self.whole_bytes = None


def _transfer_all(wanted: Transfer, part: Part, options: FetchOptions) -> bool:
    """Tries until the whole file has arrived; returns whether it may be put together from several answers."""
    most, barren, answers = part.size_bytes, 0, int(part.size_bytes > 0)

    def give_up(_: RetryCallState) -> bool:
        nonlocal most, barren
        barren = 0 if part.size_bytes > most else barren + 1
        most = max(most, part.size_bytes)
        return barren >= options.attempts

    backoff = wait_exponential_jitter(options.first_wait_s, options.longest_wait_s, jitter=options.first_wait_s / 2)
    retrying = Retrying(
        stop=give_up,
        wait=lambda state: max(backoff(state), _asked_wait(state, options)),
        retry=retry_if_exception_type((_Interrupted, httpx.TransportError)),
        reraise=True,
    )
    timeout = httpx.Timeout(options.read_timeout_s, connect=options.connect_timeout_s)
    with _named_failures(wanted), httpx.Client(timeout=timeout, follow_redirects=True) as client:
        for attempt in retrying:
            answers += 1
            with attempt:
                size_bytes = wanted.size_bytes if wanted.size_bytes is not None else part.whole_bytes
                if size_bytes is None or part.size_bytes < size_bytes:
                    _transfer(client, wanted, part)
    return answers > 1


def _asked_wait(state: RetryCallState, options: FetchOptions) -> float:
    error = state.outcome.exception() if state.outcome else None
    return min(error.retry_after_s, options.longest_wait_s) if isinstance(error, _Interrupted) else 0.0


@contextmanager
def _named_failures(wanted: Transfer) -> Iterator[None]:
    hint = f"{wanted.failures.retry_hint} What has arrived is kept, and the next try goes on from there."
    try:
        yield
    except (_Interrupted, httpx.HTTPError) as error:
        reason = str(error) or type(error).__name__
        raise wanted.failures.broken(f"Downloading {wanted.url} failed: {reason.rstrip('.')}.", hint) from error
    except OSError as error:
        raise wanted.failures.disk(f"Downloading {wanted.url} failed: {error.strerror or error}.", hint) from error


def _transfer(client: httpx.Client, wanted: Transfer, part: Part) -> None:
    """Asks once for what is missing and appends what comes."""
    offset = part.size_bytes
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if part.validator:
            headers["If-Range"] = part.validator
    with client.stream("GET", wanted.url, headers=headers) as response:
        offset = _accept(response, wanted, part, offset)
        whole_bytes = wanted.size_bytes if wanted.size_bytes is not None else part.whole_bytes
        most = wanted.max_bytes if whole_bytes is None else whole_bytes
        with part.path.open("ab") as file:
            for chunk in response.iter_raw():  # with a chunk size, a break would lose what was collected for it
                if wanted.should_stop():
                    raise Stopped("The download was stopped.", "The next try goes on where this one was.")
                offset += len(chunk)
                if offset > most:
                    part.discard()
                    raise wanted.other_file(f"more than {most} bytes came")
                file.write(chunk)
                wanted.progress(wanted.name, offset, whole_bytes or 0)
    if whole_bytes is not None and offset < whole_bytes:
        raise _Interrupted(f"the connection ended after {offset} of {whole_bytes} bytes")


def _accept(response: httpx.Response, wanted: Transfer, part: Part, offset: int) -> int:
    """Returns the position in the file at which the answer's body starts; prepares the kept bytes for it."""
    status, url = response.status_code, str(response.url)
    if status in RETRIED_STATUS:
        seconds = response.headers.get("Retry-After", "")
        raise _Interrupted(f"the server answered {status}", float(seconds) if seconds.isdigit() else 0.0)
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.discard()
        raise _Interrupted("the server's file is shorter than what was kept")
    if status == httpx.codes.PARTIAL_CONTENT:
        whole_bytes = wanted.size_bytes if wanted.size_bytes is not None else part.whole_bytes
        said = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        first, last, size = map(int, said.groups()) if said else (-1, -1, -1)
        if first != offset or last != size - 1 or size != (size if whole_bytes is None else whole_bytes):
            part.discard()
            raise _Interrupted("the server's file has changed")
        return offset
    if status != httpx.codes.OK:
        raise wanted.failures.broken(
            f"{url} answered {status} {response.reason_phrase}.".replace(" .", "."), wanted.failures.missing_hint
        )
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and (reason := wanted.too_large(int(length))):
        part.discard()
        raise wanted.other_file(reason)
    part.begin(_validator(response), int(length) if length.isdigit() else wanted.size_bytes)
    return 0


def _validator(response: httpx.Response) -> str:
    """Returns what If-Range may carry: a strong ETag, else the date; empty when the server sends neither."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else str(response.headers.get("Last-Modified", ""))
