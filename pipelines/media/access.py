"""Where a file of Stash's library is for this machine: on a disk (path map), else behind Stash itself (HTTP Range).

The addresses that Stash gives name the host under which it was asked, or an outer one, and may hold its API key. They
are set on the configured address again, without the key, which travels as a header only; readers follow no redirect.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pipelines.errors import InputError, MediaNotFound, MediaUnreachable
from pipelines.media.video import HttpSource, VideoSource

log = logging.getLogger(__name__)

_ROUTES = re.compile(r"/(?:scene|image|gallery|performer|studio|tag|group|movie)/[^/]")
"""Where Stash's own part of a path begins; what is before it is some proxy's."""
_LOCAL_SIDE = re.compile(r"=(?=/|~|[A-Za-z]:[\\/])")


@dataclass(frozen=True, slots=True)
class PathRule:
    """A folder as Stash names it, and where it is here."""

    stash: PurePath
    local: Path

    @classmethod
    def parse(cls, text: str) -> PathRule:
        """Reads "/stash/path=/local/path"; Stash's side may be a Windows path. Raises InputError."""
        hint = r"A rule is /stash/path=/local/path or D:\stash\path=/local/path, both absolute."
        found = _LOCAL_SIDE.search(text)
        if found is None:
            raise InputError(f"path_map has the rule {text!r}.", hint)
        stash, local = pure_path(text[: found.start()]), Path(text[found.end() :]).expanduser()
        if not stash.is_absolute() or not local.is_absolute() or ".." in (*stash.parts, *local.parts):
            raise InputError(f"path_map has the rule {text!r}.", hint)
        return cls(stash, local)

    def map(self, path: PurePath) -> Path | None:
        """Returns the local path of a file below the rule's folder; None for another file, or one that climbs out."""
        if type(path) is not type(self.stash) or ".." in path.parts or not path.is_relative_to(self.stash):
            return None
        return self.local.joinpath(*path.relative_to(self.stash).parts)


class MediaAccess:
    """Finds files of Stash's library. Safe for use by several threads."""

    def __init__(self, path_map: Sequence[str], stash_url: str | None, api_key: str | None = None) -> None:
        r"""
        Args:
            path_map: rules "/stash/path=/local/path"; the longest that fits a file wins, whatever their order.
            stash_url: address of Stash, a path included (https://host/stash); None when only the rules may be used.
            api_key: sent to that address as a header.

        Raises InputError when a rule is not one.
        """
        rules = [PathRule.parse(text) for text in path_map]
        self._rules = sorted(rules, key=lambda rule: len(rule.stash.parts), reverse=True)
        self._base = _base(stash_url) if stash_url else None
        self._headers = {"ApiKey": api_key} if api_key else {}
        self._said: set[tuple[PathRule, str]] = set()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MediaAccess({len(self._rules)} rules, {self._base!r})"

    def video(self, file_path: str, stream_url: str) -> VideoSource:
        """Returns the local file of `file_path` where a rule leads to one, else `stream_url` on the configured address.

        Raises MediaNotFound when there is neither a file nor an address, MediaUnreachable when Stash's is not known.
        """
        return self._local(file_path) or self.remote(stream_url)

    def picture(self, file_path: str, image_url: str) -> VideoSource:
        """`video` for a picture; one inside an archive has no path of its own and comes from Stash."""
        return self.video(file_path, image_url)

    def remote(self, url: str) -> HttpSource:
        """Returns something that only Stash has (a screenshot, a sprite, a cover) with the header that opens it."""
        return HttpSource(self.rebase(url), dict(self._headers))

    def rebase(self, url: str) -> str:
        """Returns an address of Stash on the configured one, without `apikey`.

        Raises MediaNotFound for an empty address, MediaUnreachable when no address of Stash is configured.
        """
        if not url:
            raise MediaNotFound("Stash names no address for it.")
        if self._base is None:
            raise MediaUnreachable("It is in no mapped folder, and no Stash is set.", "Set stash_url or path_map.")
        scheme, netloc, prefix = self._base
        parts = urlsplit(url)
        own = _ROUTES.search(parts.path)
        path = parts.path[own.start() :] if own else parts.path.removeprefix(prefix)
        kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k.lower() != "apikey"]
        return urlunsplit((scheme, netloc, f"{prefix}/{path.lstrip('/')}", urlencode(kept), ""))

    def _local(self, file_path: str) -> Path | None:
        if not file_path or "\0" in file_path:
            return None
        path = pure_path(file_path)
        for rule in self._rules:
            found = rule.map(path)
            if found is not None:
                return found if self._readable(rule, found) else None
        return None

    def _readable(self, rule: PathRule, path: Path) -> bool:
        try:
            if path.is_file() and os.access(path, os.R_OK):
                return True
            reason = "does not exist" if rule.local.exists() else "is below a folder that does not exist"
            reason = "cannot be read" if path.exists() else reason
        except OSError as error:  # no permission for a folder above it, a name that is too long
            reason = f"cannot be read ({error.strerror})"
        with self._lock:
            first = (rule, reason) not in self._said
            self._said.add((rule, reason))
        if first:
            log.warning("%s %s: it and others like it come from Stash over HTTP. Check path_map.", path, reason)
        return False


def pure_path(text: str) -> PurePath:
    r"""Returns a path of the machine that Stash runs on: Windows for "D:\..." and "\\server\...", else POSIX."""
    windows = text.startswith("\\\\") or re.match(r"[A-Za-z]:[\\/]", text)
    return PureWindowsPath(text) if windows else PurePosixPath(text)


def _base(stash_url: str) -> tuple[str, str, str]:
    """Returns scheme, host[:port] and path of the configured address, without what may be secret in it."""
    parts = urlsplit(stash_url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError("stash_url is no web address.", "It is an address such as http://127.0.0.1:9999.")
    path = parts.path.rstrip("/").removesuffix("/graphql").rstrip("/")
    return parts.scheme, parts.netloc.rpartition("@")[2], path
