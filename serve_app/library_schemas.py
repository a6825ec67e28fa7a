"""What the library routes give back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from serve_app.schemas import Box


class StoredCandidate(BaseModel):
    """A performer that a person may be."""

    universal_id: str
    name: str
    confidence: float
    distance: float


class StoredFace(BaseModel):
    """The best face of a person in a stored scan."""

    box: Box
    time_s: float | None
    crop_url: str


class StoredUnknown(BaseModel):
    """Somebody unknown in a stored scan."""

    faces: int
    frames: int
    share: float = Field(description="Of the sampled frames, 0..1.")
    ranges: list[tuple[float, float]]
    best: StoredFace | None
    candidates: list[StoredCandidate]


class StoredPerson(StoredUnknown):
    """A performer in a stored scan."""

    universal_id: str
    name: str
    confidence: float
    distance: float


class StoredPeople(BaseModel):
    """Who is in a scene or image, as its stored scan says."""

    kind: Literal["scene", "image"]
    id: str
    status: str = Field(description="Of the scan: ok, partial or no_face.")
    people: list[StoredPerson]
    unknown: list[StoredUnknown]
    faces: int
    frames: int
    duration_s: float | None
    scanned_at: datetime
    matched_at: datetime
    database_version: str


class LibraryStatus(BaseModel):
    """How far the library is: the numbers of `stash-sense status --json`."""

    scans: dict[str, Any]
    matches: dict[str, Any]
    jobs: list[dict[str, Any]] = Field(description="Jobs that are queued or under way, with their progress.")
