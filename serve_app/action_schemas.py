"""What the routes of actions take and give back, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serve_app.recommendation_schemas import Chosen, RecommendationAnswer


class ActionRequest(BaseModel):
    """An action and what it is about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str = Field(max_length=64, examples=["merge_scenes"])
    params: dict[str, Any] = Field(description="As `params` of the type says; see GET /actions/types.")


class PerformRequest(ActionRequest):
    """An action to carry out."""

    digest: str | None = Field(
        None, max_length=64, description="Of the preview that was seen; what is destructive is refused without it."
    )


class ChangeAnswer(BaseModel):
    """One thing that an action changes."""

    entity: str = Field(description="scene, image, gallery or performer.")
    entity_id: str = Field(description="Empty for what does not exist yet.")
    field: str = Field(description="In Stash's names; exists where the entity itself comes or goes.")
    before: Any
    after: Any
    destructive: bool = Field(description="Something is gone afterwards.")
    title: str


class PreviewAnswer(BaseModel):
    """Exactly what an action would do."""

    action: str
    params: dict[str, Any]
    title: str
    changes: list[ChangeAnswer]
    destructive: bool
    undoable: bool = Field(description="False: nothing of it can be undone.")
    not_undone: list[str] = Field(description="What an undo does not bring back.")
    digest: str


class UndoAnswer(BaseModel):
    """How far an undo came."""

    restored: list[dict[str, str]] = Field(
        description="entity, entity_id, field; made_id where something was made again under another id."
    )
    conflicts: list[str] = Field(description="What was changed since, and is left as it is.")
    lost: list[str] = Field(description="What cannot be brought back.")


class ActionSummary(BaseModel):
    """One action in a list."""

    action_id: int
    action: str
    state: Literal["planned", "performing", "done", "failed"]
    title: str
    destructive: bool
    undoable: bool
    recommendation_id: int | None
    job_id: int | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    ended_at: datetime | None
    undo_state: Literal["undoing", "undone", "partly"] | None
    undone_at: datetime | None


class ActionAnswer(ActionSummary):
    """One action with all that is in the log, but for the pictures."""

    params: dict[str, Any]
    changes: list[ChangeAnswer]
    not_undone: list[str]
    before: list[dict[str, Any]] = Field(description="The before-images, in Stash's names.")
    undo_report: UndoAnswer | None


class ActionList(BaseModel):
    """A page of the log."""

    actions: list[ActionSummary]
    total: int
    next_cursor: int | None = Field(description="`cursor` of the next page; null on the last one.")


class ActionTypeAnswer(BaseModel):
    """One type of action."""

    id: str
    title: str
    description: str
    destructive: bool
    params: dict[str, Any] = Field(description="JSON schema.")


class ActionTypes(BaseModel):
    types: list[ActionTypeAnswer]


class AcceptRequest(BaseModel):
    """One recommendation and what to do about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str = Field(max_length=64, description="One of those that the recommendation offers.")
    params: dict[str, Any] = Field({}, description="What is to be different from what it offers.")
    seen: str = Field(max_length=64, description="`evidence` of the recommendation as it was looked at.")
    digest: str | None = Field(None, max_length=64, description="Of a preview of the action, if there was one.")


class Accepted(BaseModel):
    """What was done about a recommendation."""

    action_id: int
    recommendation: RecommendationAnswer
    changes: list[ChangeAnswer]
    undoable: bool
    not_undone: list[str]


class AcceptManyRequest(Chosen):
    """Which recommendations would be accepted with one action; a filter without status means pending ones."""

    action: str = Field(max_length=64)
    params: dict[str, Any] = Field({}, description="What is to be different from what they offer.")

    @model_validator(mode="after")
    def _one(self) -> AcceptManyRequest:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("name exactly one of ids, filter")
        return self


class ManyChange(ChangeAnswer):
    """One change, and the recommendation that it is about."""

    recommendation_id: int


class SkippedAnswer(BaseModel):
    """A recommendation about which nothing will be done, and why."""

    recommendation_id: int
    reason: str
    code: str


class ManyPreview(BaseModel):
    """Exactly what accepting would do."""

    changes: list[ManyChange]
    skipped: list[SkippedAnswer]
    recommendations: int = Field(description="About how many something will be done.")
    destructive: bool
    undoable: bool
    not_undone: list[str]
    digest: str = Field(description="For the job accept_recommendations; known for a day.")
