"""What the recommendation routes take and give back, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.analyzers.registry import INFORMATIONAL
from pipelines.store.recommendation_records import DismissalMode, RecommendationFilter, Sort, Status, TargetType
from serve_app.schemas import COMPLETE

LARGEST_ID = 2**63 - 1
MOST_IDS = 50_000
TypeId = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_]+$")]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class Wanted(BaseModel):
    """Which recommendations are meant; what is left out does not matter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: list[TypeId] = Field(
        [], max_length=50, description="Of one of these types; by default of all but those that only inform."
    )
    status: list[Status] = Field([], max_length=4, description="In one of these states.")
    target_type: TargetType | None = None
    target_id: str | None = Field(
        None, max_length=255, description="About this id of Stash; with a ':' about exactly this pair."
    )
    q: str = Field("", max_length=200, description="Words that all are in the title, the reasons, names or paths.")
    min_confidence: float | None = Field(None, ge=0, le=100)

    def filter(self) -> RecommendationFilter:
        """Returns it as the store takes it."""
        return RecommendationFilter(
            types=tuple(self.type),
            statuses=tuple(self.status),
            target_type=self.target_type,
            target_id=self.target_id or None,
            q=self.q,
            min_confidence=self.min_confidence,
            without_types=() if self.type else INFORMATIONAL,
        )


class PageRequest(Wanted):
    """A page of recommendations."""

    sort: Sort = "confidence"
    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before.")
    offset: int = Field(0, ge=0, le=10_000_000, description="Skip so many; a cursor is quicker and misses nothing.")


PageQuery = Annotated[PageRequest, Query()]


class ExportRequest(Wanted):
    """Recommendations as a file."""

    format: Literal["csv", "parquet"] = "csv"


class ExportMade(BaseModel):
    """A file that was made; GET /recommendations/exports/{id} gives it, or pieces of it."""

    id: str
    name: str
    media_type: str
    size_bytes: int


class ExportRemoved(BaseModel):
    """The id of the file that was removed."""

    removed: str


ExportQuery = Annotated[ExportRequest, Query()]


class Chosen(BaseModel):
    """By id or by filter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: list[Id] | None = Field(None, max_length=MOST_IDS)
    filter: Wanted | None = None

    def chosen(self) -> list[int] | RecommendationFilter:
        """Returns what is meant as the store takes it."""
        if self.ids is not None:
            return self.ids
        return (self.filter or Wanted()).filter()


class BulkDismissal(Chosen):
    """Many recommendations that somebody does not want to see; a filter without status means pending ones."""

    mode: DismissalMode
    reason: str = Field("", max_length=1000)

    @model_validator(mode="after")
    def _one(self) -> BulkDismissal:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("name exactly one of ids, filter")
        return self


class BulkRestore(Chosen):
    """What is to be pending again; a filter without status means dismissed ones."""

    batch: str | None = Field(None, max_length=40, description="Undo exactly this dismissal.")

    @model_validator(mode="after")
    def _one(self) -> BulkRestore:
        if sum(given is not None for given in (self.ids, self.filter, self.batch)) != 1:
            raise ValueError("name exactly one of batch, ids, filter")
        return self


class DismissRequest(BaseModel):
    """Why and for how long it is not to be seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: DismissalMode = Field(description="until_changed: until what it rests on changes.")
    reason: str = Field("", max_length=1000)


class DismissalAnswer(BaseModel):
    """That somebody does not want to see it."""

    mode: DismissalMode
    reason: str
    at: datetime


class RecommendationAnswer(BaseModel):
    """One recommendation as it is now."""

    id: int
    type: str
    status: Status
    target_type: TargetType
    target_id: str = Field(description="An id of Stash; two joined by ':', the smaller first, for a pair.")
    finding: str = Field(description="Digest of what was found about the target.")
    evidence: str = Field(description="Digest of what it rests on; `seen` of an acceptance.")
    title: str
    summary: str = Field(description="The reasons in a sentence.")
    confidence: float = Field(description="0..100")
    details: dict[str, Any] = Field(description="As the type says; `actions` holds the parameters of each action.")
    reason: str = Field(description="Why it was closed or resolved.")
    dismissal: DismissalAnswer | None
    action_id: int | None = Field(description="The action that resolved it.")
    logic_version: int
    created_at: datetime
    updated_at: datetime


class RecommendationList(BaseModel):
    """A page."""

    recommendations: list[RecommendationAnswer]
    total: int = Field(description="How many the filter lets through.")
    next_cursor: str | None


class StatusCounts(BaseModel):
    """Numbers by status."""

    model_config = COMPLETE

    pending: int = 0
    resolved: int = 0
    dismissed: int = 0
    closed: int = 0


class RecommendationCounts(BaseModel):
    """Numbers by type and status."""

    types: dict[str, StatusCounts]
    pending: int


class BulkChanged(BaseModel):
    """What a bulk change changed."""

    changed: int
    batch: str | None = Field(description="Undoes a dismissal; null when nothing changed.")


class OfferedActionAnswer(BaseModel):
    """Something that can be done about a finding."""

    id: str
    title: str
    destructive: bool


class RunAnswer(BaseModel):
    """One run of an analyzer."""

    id: int
    state: Literal["running", "done", "stopped", "failed"]
    full: bool
    logic_version: int
    counts: dict[str, int]
    error: str
    started_at: datetime
    ended_at: datetime | None


class RecommendationType(BaseModel):
    """One analyzer; its job is `analyze_<id>`."""

    id: str
    title: str
    description: str
    target_type: TargetType
    job: str
    actions: list[OfferedActionAnswer]
    informational: bool = Field(description="Listed only where this type is asked for, and not counted in `pending`.")
    details: dict[str, Any] = Field(description="JSON schema of the details.")
    logic_version: int
    last_run: RunAnswer | None
    watermark_at: datetime | None = Field(description="When a run last evaluated all that was new or changed.")
    waiting: int = Field(description="Things that still have to be evaluated, those that failed included.")


class RecommendationTypes(BaseModel):
    """All analyzers."""

    types: list[RecommendationType]
