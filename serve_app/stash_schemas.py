"""What the routes of Stash take and give back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.schemas import COMPLETE, ErrorAnswer


class BoxAnswer(BaseModel):
    """A stash-box; its key is never shown."""

    endpoint: str
    name: str
    enabled: bool = Field(description="Whether it is used; see the setting stashbox_off.")
    set_in: Literal["stash", "settings"] = Field(description="In Stash, or in the setting stashboxes.")


class StashAnswer(BaseModel):
    """The Stash that this server works for."""

    model_config = COMPLETE

    url: str | None = Field(description="Null when none is set.")
    answers: bool = False
    problem: ErrorAnswer | None = Field(None, description="Why it does not answer.")
    version: str = ""
    scenes: int = 0
    images: int = 0
    galleries: int = 0
    performers: int = 0
    stash_boxes: list[BoxAnswer] = Field([], description="In the order in which they are used.")
    can_pair: bool = Field(description="Whether POST /stash/pairing is possible.")
    why_not: str = Field(description="Why it is not; empty when it is.")


class PairingRequest(BaseModel):
    """Where Stash is, and what it asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stash_url: Annotated[str, Field(pattern=r"^https?://[^\s/]", max_length=2048, examples=["http://127.0.0.1:9999"])]
    stash_api_key: str | None = Field(None, max_length=4096, repr=False, description="Null when Stash has none.")
