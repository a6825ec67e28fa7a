"""Downloading one file over HTTP: resumed after a break, retried, verified before it gets its name.

What has arrived stays in `NAME.part`; `NAME.part.json` says of which URL and version of the file it is. A server
without Range support, or one whose file has changed, makes the download start again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from pipelines.durable import rename_synced
from pipelines.errors import ModelChecksumMismatch, ModelFetchFailed
from pipelines.faces.packs import ModelFile
from pipelines.models.files import (
    Progress,
    is_genuine,
    no_progress,
    require_space,
)

RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


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


class _Interrupted(Exception):
    """A try that failed in a way that another try may mend."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


def mirror_url(base: str, name: str) -> str:
    """Returns the URL of a file below a mirror's base URL."""
    return f"{base.rstrip('/')}/{quote(name)}"


def download(
    url: str,
    destination: Path,
    expected: ModelFile,
    *,
    progress: Progress = no_progress,
    options: FetchOptions = PATIENT,
) -> Path:
    """Downloads `url` to `destination` and returns it; the file appears whole and verified, or not at all.

    Raises ModelFetchFailed when the server cannot be reached, keeps failing or has no such file, or the disk is
    full; ModelChecksumMismatch when the content is not what `expected` pins.
    """
    _require_http(url)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(destination, url)
    require_space(destination.parent, expected.size_bytes - part.size_bytes)
    resumed = _transfer_all(url, part, expected, progress, options)
    if resumed and not is_genuine(part.path, expected):
        part.discard()  # the pieces may be of two versions of the file: one whole download decides
        _transfer_all(url, part, expected, progress, options)
    if not is_genuine(part.path, expected):
        part.discard()
        raise _other_file(url, expected, "the content has another sha256")
    rename_synced(part.path, destination)
    part.discard()
    return destination


def _require_http(url: str) -> None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ModelFetchFailed(f"{url!r} is not a URL: {error}.", "Give a URL like https://host/folder.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ModelFetchFailed(f"{url!r} is not an http or https URL.", "Give a URL like https://host/folder.")


class _Part:
    """The bytes that have arrived so far, and which version of the file they are of."""

    def __init__(self, destination: Path, url: str) -> None:
        self.url = url
        self.path = destination.with_name(f"{destination.name}.part")
        self._note = destination.with_name(f"{destination.name}.part.json")
        self.validator = self._read_note()
        if self.validator is None:
            self.discard()

    def _read_note(self) -> str | None:
        """Returns the validator (ETag or date) of the kept bytes; None when they are of another or an unknown file."""
        try:
            note = json.loads(self._note.read_text())
            return str(note["validator"]) if note["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, validator: str) -> None:
        """Drops what is there and remembers which version of the file comes now."""
        self.path.unlink(missing_ok=True)
        self.validator = validator
        self._note.write_text(json.dumps({"url": self.url, "validator": validator}))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self.validator = None


def _transfer_all(url: str, part: _Part, expected: ModelFile, progress: Progress, options: FetchOptions) -> bool:
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
    with _named_failures(url), httpx.Client(timeout=timeout, follow_redirects=True) as client:
        for attempt in retrying:
            answers += 1
            with attempt:
                if part.size_bytes < expected.size_bytes:
                    _transfer(client, url, part, expected, progress)
    return answers > 1


def _asked_wait(state: RetryCallState, options: FetchOptions) -> float:
    error = state.outcome.exception() if state.outcome else None
    return min(error.retry_after_s, options.longest_wait_s) if isinstance(error, _Interrupted) else 0.0


@contextmanager
def _named_failures(url: str) -> Iterator[None]:
    hint = "Check the network, name another mirror with --mirror URL, or use files you have with --from DIR. "
    hint += "What has arrived is kept, and the next try goes on from there."
    try:
        yield
    except (_Interrupted, httpx.HTTPError) as error:
        reason = str(error) or type(error).__name__
        raise ModelFetchFailed(f"Downloading {url} failed: {reason.rstrip('.')}.", hint) from error
    except OSError as error:
        raise ModelFetchFailed(f"Downloading {url} failed: {error.strerror or error}.", hint) from error


def _transfer(client: httpx.Client, url: str, part: _Part, expected: ModelFile, progress: Progress) -> None:
    """Asks once for what is missing and appends what comes."""
    offset = part.size_bytes
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if part.validator:
            headers["If-Range"] = part.validator
    with client.stream("GET", url, headers=headers) as response:
        offset = _accept(response, part, offset, expected)
        with part.path.open("ab") as file:
            for chunk in response.iter_raw():  # with a chunk size, a break would lose what was collected for it
                offset += len(chunk)
                if offset > expected.size_bytes:
                    part.discard()
                    raise _other_file(url, expected, f"more than {expected.size_bytes} bytes came")
                file.write(chunk)
                progress(expected.name, offset, expected.size_bytes)
    if offset < expected.size_bytes:
        raise _Interrupted(f"the connection ended after {offset} of {expected.size_bytes} bytes")


def _accept(response: httpx.Response, part: _Part, offset: int, expected: ModelFile) -> int:
    """Returns the position in the file at which the answer's body starts; prepares the kept bytes for it."""
    status, url = response.status_code, str(response.url)
    if status in RETRIED_STATUS:
        seconds = response.headers.get("Retry-After", "")
        raise _Interrupted(f"the server answered {status}", float(seconds) if seconds.isdigit() else 0.0)
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.discard()
        raise _Interrupted("the server's file is shorter than what was kept")
    if status == httpx.codes.PARTIAL_CONTENT:
        if (
            response.headers.get("Content-Range", "")
            != f"bytes {offset}-{expected.size_bytes - 1}/{expected.size_bytes}"
        ):
            part.discard()
            raise _Interrupted("the server's file has changed")
        return offset
    if status != httpx.codes.OK:
        raise ModelFetchFailed(
            f"{url} answered {status} {response.reason_phrase}.".replace(" .", "."),
            "Check the mirror's base URL: the files lie directly below it, under their own names. "
            "Or use files you have with --from DIR.",
        )
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != expected.size_bytes:
        part.discard()
        raise _other_file(url, expected, f"it has {length} bytes, expected {expected.size_bytes}")
    part.begin(_validator(response))
    return 0


def _validator(response: httpx.Response) -> str:
    """Returns what If-Range may carry: a strong ETag, else the date; empty when the server sends neither."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else str(response.headers.get("Last-Modified", ""))


def _other_file(url: str, expected: ModelFile, reason: str) -> ModelChecksumMismatch:
    return ModelChecksumMismatch(
        f"{url} is not the expected {expected.name}: {reason}.",
        "Nothing of it was kept. Name another mirror with --mirror URL, or use files you have with --from DIR.",
    )
