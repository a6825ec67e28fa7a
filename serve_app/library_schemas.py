"""What the library routes give back."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from serve_app.job_schemas import JobProgress
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


class ScanStatus(BaseModel):
    """What is stored of scans."""

    scenes: int
    images: int
    by_status: dict[str, int] = Field(description="Scenes and images by status.")
    reasons: dict[str, int] = Field(description="Those that failed or are partial, by reason.")
    retryable: int = Field(description="Failed ones that the next scan tries again.")
    outdated: int = Field(description="Scanned with another pack, sampling or hashes than those in force.")
    faces: int
    frames: int
    files: int
    newest: str | None = Field(description="Time of the last scan, ISO 8601.")
    recipes: dict[str, str] = Field(description="Digest of the way that scenes and images are scanned now.")
    size_bytes: int


class MatchStatus(BaseModel):
    """Who is known to be in what was scanned."""

    contents: int = Field(description="Scenes and images that were matched.")
    stale: int = Field(description="Not matched with the scan, the performer database and the rules of now.")
    people: int = Field(description="Named persons of all contents.")
    performers: int = Field(description="How many different ones.")
    unknown: int = Field(description="Persons without a name.")
    database_version: str | None
    size_bytes: int


class LibraryStatus(BaseModel):
    """How far the library is: the numbers of `stash-sense status --json`."""

    scans: ScanStatus
    matches: MatchStatus
    jobs: list[JobProgress] = Field(description="Jobs that are queued or under way.")
