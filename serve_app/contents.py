"""Which content of Stash a question is about, as it travels from the ingress to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serve_app.sources import Source

Kind = Literal["scene", "image"]


@dataclass(frozen=True, slots=True)
class Content:
    """One scene or image of Stash.

    Attributes:
        content_id: Stash's id.
        file_fingerprint: see `pipelines.stash.records.content_fingerprint`.
        galleries: ids of the galleries that an image is in.
    """

    kind: Kind
    content_id: str
    file_fingerprint: str
    galleries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Medium:
    """Something to look at, and what Stash knows of it.

    Attributes:
        content: None for what does not come from Stash.
        tagged: universal ids of the performers already tagged, all that Stash knows.
    """

    source: Source
    content: Content | None = None
    tagged: tuple[str, ...] = ()
