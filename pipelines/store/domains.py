"""The domains that universal ids come from: which one names a person that several know, and what they are called.

A universal id is `domain:uuid`. Stash-boxes and other catalogues use their host name, `stash` is the owner's Stash
(`stash:12`), `local` an enrolled folder (`local:jane-doe`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipelines.errors import InputError

PRIORITY = ("stashdb.org", "theporndb.net", "fansdb.cc", "pmvstash.org", "javstash.org")
"""Whose name, picture and dates are shown first; other catalogues follow by name."""

LAST = ("stash", "local")
"""Domains that come after all catalogues: nobody else curates them."""

SHORT_NAMES = {
    "stashdb": "stashdb.org",
    "theporndb": "theporndb.net",
    "tpdb": "theporndb.net",
    "fansdb": "fansdb.cc",
    "pmvstash": "pmvstash.org",
    "javstash": "javstash.org",
}
"""Domain by the short name that released bundles have for it."""

_SOURCE_ID = re.compile(r"[a-z0-9][a-z0-9.:_-]*")


def domain_of(universal_id: str) -> str:
    """Returns the part before the first colon."""
    return universal_id.partition(":")[0]


def domain_order(domains: Iterable[str]) -> list[str]:
    """Returns the different domains, the one whose facts are shown first at the front."""
    places = {domain: place for place, domain in enumerate(PRIORITY)}
    last = {domain: place for place, domain in enumerate(LAST)}

    def place(domain: str) -> tuple[int, int, str]:
        if domain in last:
            return 2, last[domain], domain
        return (0, places[domain], domain) if domain in places else (1, 0, domain)

    return sorted(set(domains), key=place)


def source_folder(source: str) -> str:
    """Returns the folder name of a source of a version. Raises InputError for what is no source id."""
    if not _SOURCE_ID.fullmatch(source):
        raise InputError(f"The source is {source!r}.", "Lower-case letters, digits and . : _ - are allowed.")
    return source.replace(":", "@")
