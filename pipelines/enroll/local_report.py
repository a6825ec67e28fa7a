"""How far an enrolment from Stash is, and what it did: records only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LocalEnrolProgress:
    """How far an enrolment is. `step` is "listing", "pictures", "scenes" or "choosing"; done, total: of the step."""

    step: str = "listing"
    done: int = 0
    total: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LocalEnrolReport:
    """What an enrolment did.

    Attributes:
        version: that is current now; None when nobody is enrolled.
        published: whether it was written by this run.
        listed: performers of Stash; new, changed, renamed, gone of them since the last run.
        merged: of those that are gone, the one whose places were taken over, by id; the other ones were deleted.
        barred: not asked for: "excluded", "under_18".
        pictures: fetched, unchanged, looked_at, failed.
        places: scenes, images and galleries with one performer; looked_at: of them, those new to this run.
        enrolled: performers of Stash with a face; faces by "picture", "scene", "image", "gallery".
        gates: pictures and places by what became of them, see `gates.REASONS`; "enrolled" are those that passed.
        report_page: page with example crops; "" when nothing was chosen anew.
    """

    version: str | None = None
    published: bool = False
    listed: int = 0
    new: int = 0
    changed: int = 0
    renamed: int = 0
    gone: int = 0
    merged: dict[str, str] = field(default_factory=dict)
    barred: dict[str, int] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    places: int = 0
    looked_at: int = 0
    enrolled: int = 0
    faces: dict[str, int] = field(default_factory=dict)
    gates: dict[str, int] = field(default_factory=dict)
    report_page: str = ""
    seconds: float = 0.0
    stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}
