"""What an answer of Stash's GraphQL endpoint means: its data, or one of the named errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipelines.errors import StashError, StashNotFound, StashRejected, StashUnauthorized, StashUnknownField
from pipelines.errors import StashUnreachable as Unreachable
from pipelines.stash.retries import TryAgain, retry_after_s

LONGEST_MESSAGE = 300
"""Characters of Stash's own words in a message: it may repeat what was sent, such as a whole picture."""

_UNKNOWN = re.compile(
    r"cannot query field|unknown (?:field|argument|type|fragment)|is not defined by (?:type|input)|not a known",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"with id \S+ not found|\b(?:not found|no rows in result set)$|FOREIGN KEY constraint failed", re.IGNORECASE
)
"""Bulk writes look nobody up: there the database says that a thing does not exist."""
_LOCKED = re.compile(r"database (?:table )?is locked|SQLITE_BUSY", re.IGNORECASE)


def data_of(response: httpx.Response, address: str) -> dict[str, Any]:
    """Returns the `data` of an answer. Raises TryAgain or a StashError leaf; `address` is how messages call Stash."""
    _check_status(response, address)
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not ("data" in body or "errors" in body):
        raise Unreachable(
            f"What answers at {address} is not Stash's GraphQL (status {response.status_code}).",
            "Set stash_url to the address of Stash itself, such as http://127.0.0.1:9999.",
        )
    if body.get("errors"):
        raise error_of(body["errors"])
    data = body.get("data")
    if not isinstance(data, dict):
        raise StashRejected("Stash answered without data.")
    return data


def error_of(errors: Sequence[Mapping[str, Any]]) -> StashError | TryAgain:
    """Returns the named error for the `errors` of a GraphQL answer; the first one decides."""
    text = str(errors[0].get("message", "")).strip() if errors and isinstance(errors[0], Mapping) else ""
    short = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "..."
    if _LOCKED.search(text):
        return TryAgain(StashRejected("Stash's database is locked by another write."), carried_out=False)
    if _UNKNOWN.search(text):
        return StashUnknownField(f"Stash's version does not know what it was asked for: {short}")
    if _MISSING.search(text):
        return StashNotFound(f"Stash: {short}.")
    return StashRejected(f"Stash refused: {short or 'no reason given'}.")


def _check_status(response: httpx.Response, address: str) -> None:
    status = response.status_code
    if status == 401 or (response.is_redirect and "/login" in response.headers.get("Location", "")):
        raise unauthorized(address)
    if status == 403:
        raise StashUnauthorized(
            f"Stash at {address} refuses to serve this machine (403).",
            "It does so when it was reached from the internet without a password, or a proxy forbids it; see its log.",
        )
    if response.is_redirect:
        target = urlsplit(response.headers.get("Location", ""))
        raise Unreachable(
            f"{address} redirects to {target.scheme}://{target.hostname or ''}{target.path}.",
            "Redirects are not followed; set stash_url to where it leads.",
        )
    if status == 429:
        after_s = retry_after_s(response.headers.get("Retry-After"))
        busy = Unreachable(f"{address} is asked too often (429).", "Lower stash_requests_per_s.")
        raise TryAgain(busy, carried_out=False, after_s=after_s)
    if status >= 500 or status == 408:
        after_s = retry_after_s(response.headers.get("Retry-After"))
        down = Unreachable(f"{address} answers {status}.", "See the log of Stash, or of the proxy before it.")
        raise TryAgain(down, carried_out=True, after_s=after_s)
    if status in {404, 405, 410}:
        raise Unreachable(
            f"{address} has no GraphQL endpoint ({status}).", "Set stash_url to the address of Stash itself."
        )


def unauthorized(address: str) -> StashUnauthorized:
    """Returns the error for an API key that is missing, wrong, or not wanted."""
    return StashUnauthorized(
        f"Stash at {address} refuses the API key, or wants one.",
        "Set stash_api_key to the key of Settings > Security; leave it unset where Stash has no key.",
    )
