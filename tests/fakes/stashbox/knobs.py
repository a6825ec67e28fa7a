"""What tests turn while the fake stash-box runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.stash.knobs import Knobs


@dataclass
class BoxKnobs(Knobs):
    """Those of the fake Stash, and of what only a box has.

    Attributes:
        retry_after: the header of a 429; empty for none.
        most_per_page: performers of a page, whatever is asked for.
        missing_is_error: an unknown id is an error instead of null.
        without: fields that this version does not know, such as "Performer.merged_ids".
        before: called before each request is answered, with its number from 1.
    """

    retry_after: str = ""
    most_per_page: int = 100
    missing_is_error: bool = False
    without: tuple[str, ...] = ()
    before: Callable[[int], Any] | None = field(default=None, repr=False)
