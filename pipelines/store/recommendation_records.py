"""What analyzers find and what is kept of it, as records; which recommendations are meant, as a filter.

Records only: `recommendations` keeps them, `findings` decides what becomes of what an analyzer found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from pipelines.errors import InputError

Status = Literal["pending", "resolved", "dismissed", "closed"]
DismissalMode = Literal["until_changed", "forever"]
TargetType = Literal["scene", "performer", "image", "gallery", "person"]
Sort = Literal["confidence", "newest", "oldest", "title"]

STATUSES: tuple[Status, ...] = get_args(Status)
MODES: tuple[DismissalMode, ...] = get_args(DismissalMode)
TARGET_TYPES: tuple[TargetType, ...] = get_args(TargetType)
SORTS: tuple[Sort, ...] = get_args(Sort)
LONGEST_DIGEST = 64
LONGEST_TARGET = 255
LONGEST_ENTITY = 64


def digest(*parts: Any) -> str:
    """Returns 20 hex digits for JSON-ready values, the same in every process: a `finding` or an `evidence`."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class Finding:
    """What an analyzer found about something. Its identity is (type of the analyzer, target, `finding`).

    Attributes:
        target_id: an id of Stash, or several joined by ":", the smaller number first.
        finding: digest of what was found; must not depend on the logic version or on scores, or dismissals are lost.
        evidence: digest of the state that it rests on. A dismissal "until it changes" ends when this changes, so
            leave out what changes by itself, such as play counts.
        confidence: 0..100.
        details: JSON-ready, as the analyzer's model of details says.
        keywords: what else the search finds it by, beside title and summary: names, paths.
        entities: ids of `target_type` that it is about; those of `target_id` when empty.
    """

    target_type: TargetType
    target_id: str
    finding: str
    evidence: str
    title: str
    summary: str
    confidence: float
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    keywords: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.target_type not in TARGET_TYPES:
            raise ValueError(f"target_type {self.target_type!r} is not one of {', '.join(TARGET_TYPES)}")
        for name, longest in (("target_id", LONGEST_TARGET), ("finding", LONGEST_DIGEST), ("evidence", LONGEST_DIGEST)):
            if not 0 < len(getattr(self, name)) <= longest:
                raise ValueError(f"{name} has {len(getattr(self, name))} characters; 1 to {longest} are allowed")
        if not 0.0 <= self.confidence <= 100.0:
            raise ValueError(f"confidence {self.confidence} is not within 0..100")
        if any(not 0 < len(entity) <= LONGEST_ENTITY for entity in self.about):
            raise ValueError(f"an id of {self.about} is empty or longer than {LONGEST_ENTITY} characters")

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity within the type."""
        return self.target_type, self.target_id, self.finding

    @property
    def about(self) -> tuple[str, ...]:
        """The ids that it is about, each once."""
        return tuple(dict.fromkeys(self.entities or self.target_id.split(":")))

    @property
    def search(self) -> str:
        """What the text search looks at, in one case."""
        return "\n".join((self.title, self.summary, self.target_id, *self.keywords)).casefold()

    def content(self) -> str:
        """Digest of everything that is shown or searched."""
        return digest(asdict(self))


@dataclass(frozen=True, slots=True)
class Dismissal:
    """That and why somebody does not want to see it."""

    mode: DismissalMode
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommendation as it is now; fields as in `Finding`.

    Attributes:
        reason: why it was closed or resolved; "" otherwise.
        dismissal: the newest one while it is dismissed, else None.
        action_id: the action that resolved it.
    """

    id: int
    type: str
    status: Status
    target_type: TargetType
    target_id: str
    finding: str
    evidence: str
    title: str
    summary: str
    confidence: float
    details: dict[str, Any]
    reason: str
    dismissal: Dismissal | None
    action_id: int | None
    logic_version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RecommendationFilter:
    """Which recommendations are meant; what is empty or None does not matter.

    Attributes:
        target_id: with a ":" exactly this target, else everything that is about this id (of `target_type`, if given).
        q: words that all must be in title, summary, names or paths.
        without_types: types that are left out.
    """

    types: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    target_type: str | None = None
    target_id: str | None = None
    q: str = ""
    min_confidence: float | None = None
    without_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [status for status in self.statuses if status not in STATUSES]
        if unknown:
            raise InputError(f"{unknown[0]!r} is no status.", f"There are {', '.join(STATUSES)}.")


@dataclass(frozen=True, slots=True)
class RecommendationPage:
    """Some recommendations in order.

    Attributes:
        total: how many the filter lets through.
        next_cursor: where the next page begins; None after the last one.
    """

    recommendations: list[Recommendation]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """How many recommendations a bulk change changed; `batch` undoes it, None when nothing changed."""

    changed: int
    batch: str | None = None
