"""What an enrolment from a stash-box says of itself: how far it is, and what became of it. Records only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EnrolProgress:
    """How far an enrolment is.

    Attributes:
        done, total: performers to look at; total grows while they are being listed.
        faces: enrolled; frames: pictures looked at.
        failed: pictures by the reason for which they were left out.
        step: "listing", "enrolling" or "publishing".
        box: host of the box.
    """

    done: int = 0
    total: int = 0
    rate_per_s: float = 0.0
    eta_s: float | None = None
    failed: dict[str, int] = field(default_factory=dict)
    faces: int = 0
    frames: int = 0
    step: str = "listing"
    box: str = ""


@dataclass(frozen=True, slots=True)
class BoxEnrolment:
    """What became of one box.

    Attributes:
        version: that holds it; None when nobody is enrolled from it, or nothing changed, or it was stopped.
        performers, faces: enrolled from it now.
        listed: performers that were new or changed; done: that were looked at by this call.
        gone: deleted or merged on the box since the last time.
        fetched: pictures.
        reasons: pictures of everybody, by what became of them.
        left_out: performers that must not be enrolled, of those that were listed.
        watermark: time of the box up to which everything is done.
        page: of the report; "" when there is none.
    """

    box: str
    version: str | None = None
    performers: int = 0
    faces: int = 0
    listed: int = 0
    done: int = 0
    gone: int = 0
    fetched: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    watermark: str | None = None
    workers: int = 0
    seconds: float = 0.0
    stopped: bool = False
    page: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}
