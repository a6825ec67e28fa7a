"""Where releases of performer databases are found: what a configured server says it has, newest first.

Two shapes are read. A releases document, at the URL or as `releases.json` in the folder that a URL ending in "/" names:

    {"releases": [{"version": "2026.02.18", "created": "2026-02-18T04:00:00Z", "notes": "...",
                   "files": [{"name": "data.zip", "url": "data.zip", "size": 1478000000, "sha256": "...",
                              "signature": "data.zip.minisig"}]}]}

with URLs relative to the document; and the releases of a GitHub repository (https://github.com/OWNER/NAME, or the URL
of its API), where checksums stand in the notes or beside the assets. Nothing is asked that the owner did not configure.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from pipelines.errors import ReleaseUnknown, ReleaseUnreachable

DOCUMENT = "releases.json"
LARGEST_DOCUMENT_BYTES = 32 << 20
TIMEOUT_S = 20.0
ATTEMPTS = 3
SIGNATURE_SUFFIX = ".minisig"
_GITHUB = re.compile(r"https://github\.com/([^/]+/[^/]+?)(?:\.git|/releases)?/?")
_SHA256 = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_NEEDS = re.compile(r"min-sidecar-version\W{1,4}v?(\d[\w.]*)", re.IGNORECASE)
_TAG = re.compile(r"v?(\d[A-Za-z0-9._+-]{0,98})")
"""Tags of other things than databases, such as `models`, stand in the same list."""
_WORDS = "Check its URL in `release_sources`."


class ReleaseFile(BaseModel):
    """One file of a release; what nobody said of it is None."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$")
    url: str
    size_bytes: int | None = Field(None, alias="size", ge=0)
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{64}$")
    signature_url: str | None = Field(None, alias="signature")


class Release(BaseModel):
    """One release.

    Attributes:
        notes: what its makers say of it, as they wrote it.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")
    created: datetime | None = None
    notes: str = ""
    files: tuple[ReleaseFile, ...] = Field((), max_length=1000)

    @property
    def needs(self) -> str | None:
        """The version of its own program that it asks for: of interest, not a condition here."""
        found = _NEEDS.search(self.notes)
        return found[1] if found else None


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    releases: tuple[Release, ...] = Field(max_length=10_000)


@dataclass(frozen=True, slots=True)
class ReleaseSource:
    """A configured server of releases."""

    name: str
    url: str

    @property
    def asked_url(self) -> str:
        """The URL that is asked for."""
        if repository := _GITHUB.fullmatch(self.url):
            return f"https://api.github.com/repos/{repository[1]}/releases?per_page=100"
        return self.url + DOCUMENT if self.url.endswith("/") else self.url


def parse_sources(rules: Sequence[str]) -> dict[str, ReleaseSource]:
    """Returns the sources of the setting `release_sources` ("name=URL"), by name; the last of one name counts."""
    named = (rule.partition("=") for rule in rules)
    return {name: ReleaseSource(name, url) for name, _, url in named}


def source_named(rules: Sequence[str], name: str) -> ReleaseSource:
    """Returns the source of that name. Raises ReleaseUnknown."""
    sources = parse_sources(rules)
    if name not in sources:
        known = f"There are: {', '.join(sources)}." if sources else "None is set up."
        raise ReleaseUnknown(f"There is no source of releases {name[:80]!r}.", f"{known} See `release_sources`.")
    return sources[name]


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Returns what orders versions: numbers as numbers, so that 2026.2.18 comes before 2026.10.1."""
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def list_releases(source: ReleaseSource, *, wait_s: float = 1.0) -> list[Release]:
    """Returns the releases of a source, newest first.

    Raises ReleaseUnreachable: no answer, a refusal, a limit of requests that is used up, an answer that is not read.
    """
    url = source.asked_url
    answer = _asked(source, url, wait_s)
    try:
        releases = _read(json.loads(answer.content), str(answer.url))
    except (ValueError, ValidationError, RecursionError) as error:
        reason = _first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise ReleaseUnreachable(f"What {url} answers is no list of releases: {reason}.", _WORDS) from error
    return sorted(releases, key=lambda release: version_key(release.version), reverse=True)


def _asked(source: ReleaseSource, url: str, wait_s: float) -> httpx.Response:
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(wait_s, 10 * wait_s, jitter=wait_s / 2),
        retry=retry_if_exception_type((httpx.TransportError, _ServerFault)),
        reraise=True,
    )
    headers = {"Accept": "application/vnd.github+json, application/json;q=0.9", "User-Agent": "stash-sense-ray"}
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, headers=headers) as client:
            for attempt in retrying:
                with attempt:
                    return _answer(client, url)
    except (httpx.HTTPError, httpx.InvalidURL, _ServerFault) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise ReleaseUnreachable(f"The source of releases {source.name} cannot be asked: {reason}.", _WORDS) from error
    raise AssertionError("tenacity returns or raises")


class _ServerFault(Exception):
    """A 5xx answer."""


def _answer(client: httpx.Client, url: str) -> httpx.Response:
    with client.stream("GET", url) as response:
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise _ServerFault(f"{url} answered {response.status_code}")
        if limited := _rate_limit(response):
            raise ReleaseUnreachable(f"{url} answers no more requests from here for now.", limited)
        if response.status_code != httpx.codes.OK:
            raise ReleaseUnreachable(f"{url} answered {response.status_code}.", _WORDS)
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > LARGEST_DOCUMENT_BYTES:
                raise ReleaseUnreachable(f"{url} answers more than {LARGEST_DOCUMENT_BYTES >> 20} MiB.", _WORDS)
    return httpx.Response(200, content=bytes(body), request=response.request)


def _rate_limit(response: httpx.Response) -> str:
    """Returns when a server that refuses for a limit of requests may be asked again; empty when it does not."""
    left, reset = response.headers.get("X-RateLimit-Remaining"), response.headers.get("X-RateLimit-Reset", "")
    wait = response.headers.get("Retry-After", "")
    if response.status_code not in {403, 429} or (response.status_code == 403 and left != "0" and not wait):
        return ""
    if wait.isdigit():
        at = time.time() + int(wait)
    elif reset.isdigit():
        at = float(reset)
    else:
        return "Try again later."
    return f"Try again after {datetime.fromtimestamp(min(at, 1e11), UTC):%Y-%m-%d %H:%M:%S} UTC."


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def _read(answer: Any, url: str) -> list[Release]:
    """Returns the releases of either shape. Raises ValueError, pydantic.ValidationError."""
    if isinstance(answer, dict) and "releases" in answer:
        return [_absolute(release, url) for release in _Document.model_validate(answer).releases]
    listed = [answer] if isinstance(answer, dict) else answer
    if not isinstance(listed, list) or not all(isinstance(r, dict) and "tag_name" in r for r in listed):
        raise ValueError("it has neither `releases` nor `tag_name`")
    finished = (r for r in listed if not r.get("draft") and not r.get("prerelease"))
    return [_from_github(r) for r in finished if _TAG.fullmatch(str(r["tag_name"]))]


def _absolute(release: Release, url: str) -> Release:
    """Returns a release of a document with URLs that stand for themselves."""
    files = [
        file.model_copy(
            update={
                "url": urljoin(url, file.url),
                "signature_url": urljoin(url, file.signature_url) if file.signature_url else None,
                "sha256": file.sha256.lower() if file.sha256 else None,
            }
        )
        for file in release.files
    ]
    return release.model_copy(update={"files": tuple(files)})


def _from_github(answer: Mapping[str, Any]) -> Release:
    """Returns a release of GitHub's shape; checksums are those beside the assets, else those in the notes."""
    notes = str(answer.get("body") or "")
    assets = [asset for asset in answer.get("assets") or () if isinstance(asset, Mapping)]
    signatures = {str(asset.get("name")): asset.get("browser_download_url") for asset in assets}
    return Release.model_validate(
        {
            "version": str(answer["tag_name"]).removeprefix("v"),
            "created": answer.get("published_at") or answer.get("created_at"),
            "notes": notes,
            "files": [
                {
                    "name": asset.get("name"),
                    "url": asset.get("browser_download_url"),
                    "size": asset.get("size"),
                    "sha256": _digest(asset, notes),
                    "signature": signatures.get(f"{asset.get('name')}{SIGNATURE_SUFFIX}"),
                }
                for asset in assets
            ],
        }
    )


def _digest(asset: Mapping[str, Any], notes: str) -> str | None:
    """Returns the sha256 of an asset; of a line of the notes that names the file and holds one digest."""
    said = str(asset.get("digest") or "")
    if said.startswith("sha256:"):
        return said.removeprefix("sha256:").lower()
    named = re.compile(rf"(?<![\w.-]){re.escape(str(asset.get('name')))}(?![\w-]|\.\w)")
    for line in notes.splitlines():
        digests = _SHA256.findall(line)
        if len(digests) == 1 and named.search(line):
            return str(digests[0]).lower()
    return None
