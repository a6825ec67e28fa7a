"""What a version of the performer database says of itself: manifest.json.

Lives here: the records of it. Reading it from a folder and comparing it with the files is `versions`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.faces.index import IndexDtype

DATABASE_FORMAT = 2

SourceKind = Literal["folder", "stash", "stashbox", "release"]


class FileEntry(BaseModel):
    """Size and sha256 (lower-case hex) of one file of a version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size_bytes: int
    sha256: str


class SourceInfo(BaseModel):
    """Where the faces of one shard come from.

    Attributes:
        id: `folder`, `stash`, a domain (`stashdb.org`), or `release:` and a name.
        label: path, endpoint or release tag, for people.
        release: what update checks compare, for example "2026.02.18".
        updated: when the shard was last written.
        watermark: of stash-boxes: newest `updated` seen; free text for others.
        details: JSON, for example what the gates left out.
        performers, faces: in the shard; filled in when it is written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: SourceKind
    label: str = ""
    release: str | None = None
    updated: datetime
    watermark: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    performers: int = 0
    faces: int = 0


class Manifest(BaseModel):
    """What a version is made of.

    Attributes:
        performers: people that are searched; the same person of several sources is one.
        faces: of all shards.
        sources: by source id.
        left_out: people that were dropped while this version was written: "excluded", "under_18".
        replaces: the version that this one was made from by an erasure, and that is gone.
        files: by path below the version's folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[2]
    version: str
    created: datetime
    pack: str
    template_id: str
    performers: int
    faces: int
    sources: dict[str, SourceInfo]
    left_out: dict[str, int]
    replaces: str | None = None
    index_dtype: IndexDtype
    files: dict[str, FileEntry]

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.files.values())
