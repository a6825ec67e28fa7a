"""What an answer of a GraphQL endpoint means: its data, or one of the named errors.

Stash and stash-boxes answer alike; `Peer` says which of them an error speaks of, and what its hint names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipelines.errors import StashError, StashNotFound, StashRejected, StashUnauthorized, StashUnknownField
from pipelines.errors import StashUnreachable as Unreachable
from pipelines.stash.retries import TryAgain, retry_after_s

LONGEST_MESSAGE = 300
"""Characters of Stash's own words in a message: it may repeat what was sent, such as a whole picture."""


@dataclass(frozen=True, slots=True)
class Peer:
    """How messages call the server that is asked, and what they say may be done.

    Attributes:
        name: "Stash", or the stash-box's host.
        address_hint: when it is not there, or something else is.
        key_hint: when it refuses the key.
        rate_hint: when it is asked too often.
    """

    name: str
    address_hint: str
    key_hint: str
    rate_hint: str


STASH = Peer(
    "Stash",
    "Set stash_url to the address of Stash itself, such as http://127.0.0.1:9999.",
    "Set stash_api_key to the key of Settings > Security; leave it unset where Stash has no key.",
    "Lower stash_requests_per_s.",
)

_UNKNOWN = re.compile(
    r"cannot query field|unknown (?:field|argument|type|fragment)|is not defined by (?:type|input)|not a known",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"with id \S+ not found|\b(?:not found|no rows in result set)$|FOREIGN KEY constraint failed", re.IGNORECASE
)
"""Bulk writes look nobody up: there the database says that a thing does not exist."""
_FORBIDDEN = re.compile(r"^(?:not authorized|unauthorized|unauthenticated|access denied)\b", re.IGNORECASE)
"""A stash-box answers so when no key came, or one without the right to read."""
_LOCKED = re.compile(r"database (?:table )?is locked|SQLITE_BUSY", re.IGNORECASE)


def data_of(response: httpx.Response, address: str, peer: Peer = STASH) -> dict[str, Any]:
    """Returns the `data` of an answer. Raises TryAgain or a StashError leaf; messages name `peer` and `address`."""
    check_status(response, address, peer)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not ("data" in body or "errors" in body):
        raise Unreachable(
            f"What answers at {address} is not {peer.name}'s GraphQL (status {response.status_code}).",
            peer.address_hint,
        )
    if body.get("errors"):
        raise error_of(body["errors"], peer)
    data = body.get("data")
    if not isinstance(data, dict):
        raise StashRejected(f"{peer.name} answered without data.")
    return data


def error_of(errors: Sequence[Mapping[str, Any]], peer: Peer = STASH) -> StashError | TryAgain:
    """Returns the named error for the `errors` of a GraphQL answer; the first one decides."""
    text = str(errors[0].get("message", "")).strip() if errors and isinstance(errors[0], Mapping) else ""
    short = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "..."
    if _LOCKED.search(text):
        return TryAgain(StashRejected(f"{peer.name}'s database is locked by another write."), carried_out=False)
    if _FORBIDDEN.search(text):
        return StashUnauthorized(f"{peer.name} refuses the API key, or wants one: {short}.", peer.key_hint)
    if _UNKNOWN.search(text):
        return StashUnknownField(f"{peer.name}'s version does not know what it was asked for: {short}")
    if _MISSING.search(text):
        return StashNotFound(f"{peer.name}: {short}.")
    return StashRejected(f"{peer.name} refused: {short or 'no reason given'}.")


def check_status(response: httpx.Response, address: str, peer: Peer = STASH) -> None:
    """Raises TryAgain or a StashError leaf for an answer that is no success."""
    status = response.status_code
    if status == 401 or (response.is_redirect and "/login" in response.headers.get("Location", "")):
        raise unauthorized(address, peer)
    if status == 403:
        raise StashUnauthorized(
            f"{peer.name} at {address} refuses to serve this machine (403).",
            "It does so when it was reached from the internet without a password, or a proxy forbids it; see its log.",
        )
    if response.is_redirect:
        target = urlsplit(response.headers.get("Location", ""))
        raise Unreachable(
            f"{address} redirects to {target.scheme}://{target.hostname or ''}{target.path}.",
            f"Redirects are not followed. {peer.address_hint}",
        )
    if status == 429:
        after_s = retry_after_s(response.headers.get("Retry-After"))
        busy = Unreachable(f"{address} is asked too often (429).", peer.rate_hint)
        raise TryAgain(busy, carried_out=False, after_s=after_s, too_often=True)
    if status >= 500 or status == 408:
        after_s = retry_after_s(response.headers.get("Retry-After"))
        down = Unreachable(f"{address} answers {status}.", f"See the log of {peer.name}, or of the proxy before it.")
        raise TryAgain(down, carried_out=True, after_s=after_s)
    if status in {404, 405, 410}:
        raise Unreachable(f"{address} has no GraphQL endpoint ({status}).", peer.address_hint)


def unauthorized(address: str, peer: Peer = STASH) -> StashUnauthorized:
    """Returns the error for an API key that is missing, wrong, or not wanted."""
    return StashUnauthorized(f"{peer.name} at {address} refuses the API key, or wants one.", peer.key_hint)
