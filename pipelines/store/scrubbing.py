"""Names and ids of people in whatever is kept as text or JSON: finding them, and a neutral word in their place.

Names count as whole words in any case, ids where they are not a part of a longer one; of `domain:id` the id alone
counts too when it is long enough to be nobody else's.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

ERASED = "(erased)"
LEAST_BARE_ID = 8
"""Characters of an id that means one person without its domain: a stash-box's has 36, Stash's own are numbers."""
LEAST_NAME = 2
_NOTHING = re.compile(r"(?!)")


class Scrubber:
    """Knows what names some people."""

    def __init__(self, ids: Collection[str], names: Collection[str]) -> None:
        self.ids = frozenset(ids)
        self.names = frozenset(name.strip() for name in names if len(name.strip()) >= LEAST_NAME)
        bare = {one.partition(":")[2] for one in self.ids}
        self.bare_ids = frozenset(one for one in bare if len(one) >= LEAST_BARE_ID)
        self.local_ids = frozenset(one.partition(":")[2] for one in self.ids if one.startswith("stash:"))
        self._ids = _any_of(self.ids | self.bare_ids, r"[\w-]")
        self._names = _any_of(self.names, r"\w")

    def has_id(self, value: Any) -> bool:
        """Whether a JSON value holds an id of somebody anywhere, also as a key."""
        return _found(self._ids, value)

    def names_somebody(self, value: Any) -> bool:
        """Whether a JSON value holds an id or a name of somebody anywhere."""
        return self.has_id(value) or _found(self._names, value)

    def clean(self, value: Any) -> Any:
        """Returns a JSON value with ERASED in the place of every id and name; the same where there is none."""
        if isinstance(value, str):
            return self._names.sub(ERASED, self._ids.sub(ERASED, value))
        if isinstance(value, list | tuple):
            return [self.clean(one) for one in value]
        if isinstance(value, dict):
            return {self.clean(name): self.clean(one) for name, one in value.items()}
        return value


def _any_of(words: Collection[str], part: str) -> re.Pattern[str]:
    if not words:
        return _NOTHING
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!{part})(?:{'|'.join(map(re.escape, longest_first))})(?!{part})", re.IGNORECASE)


def _found(pattern: re.Pattern[str], value: Any) -> bool:
    if isinstance(value, str):
        return pattern.search(value) is not None
    if isinstance(value, list | tuple):
        return any(_found(pattern, one) for one in value)
    if isinstance(value, dict):
        return any(_found(pattern, one) for pair in value.items() for one in pair)
    return False
