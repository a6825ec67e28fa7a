"""Whether two performers have the same name: spelling, aliases, and what tells namesakes apart.

Lives here: `agreement`. A name alone never says that two performers are one; who uses this has a face or an id first.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rapidfuzz import fuzz

SIMILAR = 88.0
"""Least token_sort_ratio (0..100) of names that are spelled differently: one wrong letter in eight or a swapped order
pass ("Jon Smith", "Smith, John": 94), two first names of one family do not ("Ann Berg", "Eva Berg": 75)."""
_SHORT = 5
"""Names of fewer letters, without spaces, must be equal: any two of them are one or two letters apart."""

How = Literal["name", "alias", "similar"]


@dataclass(frozen=True, slots=True)
class Called:
    """What a performer is called."""

    name: str
    aliases: tuple[str, ...] = ()
    disambiguation: str = ""


@dataclass(frozen=True, slots=True)
class NameAgreement:
    """How two performers' names agree.

    Attributes:
        how: "name": the names are equal; "alias": a name of one is a name or alias of the other, or they share an
            alias; "similar": spelled alike.
        score: 0..100.
        told_apart: both have a disambiguation and these differ: somebody wanted to keep them apart.
    """

    how: How
    score: float
    told_apart: bool = False


def agreement(one: Called, other: Called) -> NameAgreement | None:
    """Returns how the names agree, None when they do not; symmetric."""
    apart = {folded(one.disambiguation), folded(other.disambiguation)}
    told_apart = len(apart) == 2 and "" not in apart
    first, second = folded(one.name), folded(other.name)
    if first and first == second:
        return NameAgreement("name", 100.0, told_apart)
    ours, theirs = _names(one), _names(other)
    if not ours.isdisjoint(theirs):
        return NameAgreement("alias", 100.0, told_apart)
    score = max((fuzz.token_sort_ratio(a, b) for a in ours if _long(a) for b in theirs if _long(b)), default=0.0)
    return NameAgreement("similar", score, told_apart) if score >= SIMILAR else None


@lru_cache(maxsize=65_536)
def folded(text: str) -> str:
    """Returns a name without case, accents, punctuation and double spaces; "" for one of nothing else."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() else " " for c in plain.casefold()).split())


def _names(called: Called) -> set[str]:
    return set(_known((called.name, *called.aliases)))


def _known(names: Iterable[str]) -> Iterable[str]:
    return (name for text in names if (name := folded(text)))


def _long(name: str) -> bool:
    return " " in name or len(name) > _SHORT
