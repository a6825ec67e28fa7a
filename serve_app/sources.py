"""What a request may have looked at: an upload, a file below an allowed folder, a URL on an allowed host.

Lives here: the checks that turn a request's words into a `Source`, and the bounded fetch of pictures from URLs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx

from pipelines.errors import LimitExceeded, MediaNotFound, MediaUnreachable, PathNotAllowed, UrlNotAllowed
from pipelines.media.kind import HEAD_BYTES, kind_of_head
from pipelines.media.video import HttpSource
from pipelines.settings import Settings
from serve_app.limits import MB

SILENCE_TIMEOUT_S = 15.0
FETCH_TIMEOUT_S = 60.0
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes that came with the request; `name` is what the client calls them and is never used as a path."""

    data: bytes = field(repr=False)
    name: str = ""


@dataclass(frozen=True, slots=True)
class UrlName:
    """A URL as a request names it; whether its host may be asked is not decided yet."""

    url: str


@dataclass(frozen=True, slots=True)
class StashName:
    """A scene, image or gallery by its id in Stash."""

    kind: Literal["scene", "image", "gallery"]
    stash_id: str


Source = Upload | Path | HttpSource
Asked = Upload | Path | UrlName | StashName
"""What a request names."""


def allowed_path(path: str, settings: Settings) -> Path:
    """Returns the file, symbolic links followed. Raises PathNotAllowed, MediaNotFound.

    A path outside the allowed folders is refused the same way whether it exists or not.
    """
    refused = PathNotAllowed(
        "The path is outside the folders that requests may name.",
        "Add its folder to the setting allowed_roots, or upload the file.",
    )
    if "\0" in path or not Path(path).is_absolute():
        raise refused
    try:
        real = Path(path).resolve()
        roots = [root.resolve() for root in settings.allowed_roots]
    except (OSError, RuntimeError) as error:  # loops of links, names that are too long
        raise refused from error
    if not any(real.is_relative_to(root) for root in roots):
        raise refused
    if not real.is_file():
        raise MediaNotFound(f"There is no file {path}.")
    return real


Host = tuple[str, int]
"""Name in lower case, and port."""


def allowed_url(url: str, settings: Settings, also: Collection[Host] = ()) -> HttpSource:
    """Returns the URL as a source. Raises UrlNotAllowed unless its host is one of `allowed_hosts` or of `also`."""
    host = host_of(url)
    if host is None or host not in {*allowed_hosts(urlsplit(url).scheme, settings), *also}:
        raise UrlNotAllowed(
            "The URL is on no host that requests may name.",
            "Stash and its stash-boxes are allowed; others by the setting allowed_hosts, as host or host:port.",
        )
    return HttpSource(url)


def host_of(url: str) -> Host | None:
    """Returns host and port of a web address; None for one that is none, or that holds a user or password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username or parts.password:
        return None
    return _host(parts.hostname, port or DEFAULT_PORTS[parts.scheme])


def _host(name: str, port: int) -> Host:
    return name.lower().rstrip("."), port


def allowed_hosts(scheme: str, settings: Settings) -> set[Host]:
    """Returns (host, port) pairs; one without a port stands for the default port of the scheme."""
    hosts = set()
    for allowed in settings.allowed_hosts:
        parts = urlsplit(f"//{allowed}")
        hosts.add(_host(parts.hostname or "", parts.port or DEFAULT_PORTS[scheme]))
    return hosts


async def fetch(source: HttpSource, max_mb: int) -> Upload:
    """Returns the bytes behind a URL, at most `max_mb` MB. Redirects are not followed: they may lead anywhere.

    Raises LimitExceeded, MediaNotFound, MediaUnreachable.
    """
    data = bytearray()
    try:
        async with (
            asyncio.timeout(FETCH_TIMEOUT_S),
            httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=SILENCE_TIMEOUT_S) as client,
            client.stream("GET", source.url, headers=source.headers) as response,
        ):
            _check_status(response.status_code, source)
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > max_mb * MB:
                    raise LimitExceeded(f"{source.name} is larger than {max_mb} MB.")
    except (httpx.HTTPError, TimeoutError) as error:
        raise _unreachable(source, error) from error
    return Upload(bytes(data), source.name.rsplit("/", 1)[-1])


def _unreachable(source: HttpSource, error: Exception) -> MediaUnreachable:
    return MediaUnreachable(f"{source.name} cannot be fetched: {type(error).__name__}.", "Check that its server runs.")


def _check_status(status: int, source: HttpSource) -> None:
    if status in {404, 410}:
        raise MediaNotFound(f"{source.name}: its server answered {status}.")
    if status not in {200, 206}:
        raise MediaUnreachable(f"{source.name}: its server answered {status}.", "Redirects are not followed.")


async def is_video(source: HttpSource) -> bool:
    """Whether the first bytes behind a URL announce a video; what announces nothing is not one."""
    headers = {**source.headers, "Range": f"bytes=0-{HEAD_BYTES - 1}"}
    head = b""
    try:
        async with (
            httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=SILENCE_TIMEOUT_S) as client,
            client.stream("GET", source.url, headers=headers) as response,
        ):
            _check_status(response.status_code, source)
            async for chunk in response.aiter_bytes():
                head += chunk
                if len(head) >= HEAD_BYTES:
                    break
    except httpx.HTTPError as error:
        raise _unreachable(source, error) from error
    return kind_of_head(head[:HEAD_BYTES]) == "video"
