"""Which of the known stash-boxes are used, and in which order: the owner's choice over Stash's own list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from pipelines.errors import StashUnreachable
from pipelines.stash.graphql import stash_address
from pipelines.stash.records import StashBox


class BoxSettings(Protocol):
    """The part of the settings that holds the choice."""

    @property
    def stashbox_order(self) -> tuple[str, ...]: ...

    @property
    def stashbox_off(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class BoxChoice:
    """The choice; by default every box is used, in the order of Stash.

    Attributes:
        order: endpoints, first used first; boxes that are not named follow as they stand in Stash.
        off: endpoints that are not used.
    """

    order: tuple[str, ...] = ()
    off: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: BoxSettings) -> BoxChoice:
        """Returns the choice of the settings."""
        return cls(settings.stashbox_order, settings.stashbox_off)

    def allows(self, endpoint: str) -> bool:
        """Whether a box is used; one that nobody has set up is, too."""
        return _address(endpoint) not in set(map(_address, self.off))

    def sorted(self, boxes: Iterable[StashBox]) -> list[StashBox]:
        """Returns all boxes in the order of the choice, each endpoint once: where two have it, the later one counts."""
        places = {_address(endpoint): place for place, endpoint in enumerate(self.order)}
        once = {_address(box.endpoint): box for box in boxes}
        return [once[key] for key in sorted(once, key=lambda key: places.get(key, len(places)))]

    def used(self, boxes: Iterable[StashBox]) -> list[StashBox]:
        """Returns the boxes that are used, in the order of the choice."""
        return [box for box in self.sorted(boxes) if self.allows(box.endpoint)]


def own_boxes(rules: Iterable[str]) -> list[StashBox]:
    """Returns the boxes of the setting `stashboxes`, ENDPOINT=KEY each."""
    return [StashBox(endpoint, key) for endpoint, _, key in (rule.partition("=") for rule in rules)]


def _address(endpoint: str) -> str:
    """Returns what is the same for two spellings of one endpoint."""
    try:
        return stash_address(endpoint)
    except StashUnreachable:
        return endpoint.strip()
