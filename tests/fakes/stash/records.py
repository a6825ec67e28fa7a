"""Rows of the fake's library, as Stash's tables hold them. Changeable on purpose: tests read and write them.

Attributes are called as in Stash's GraphQL wherever they are the same thing. Ids are integers here and strings on the
wire. An empty text is Stash's NULL; times are RFC 3339 with whole seconds in the server's own offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ContentName = Literal["scene", "image", "gallery", "performer", "studio", "tag"]


@dataclass(frozen=True, slots=True)
class StashId:
    endpoint: str
    stash_id: str
    updated_at: str = "1970-01-01T00:00:00Z"


@dataclass(slots=True, eq=False)
class File:
    """A file of the library.

    Attributes:
        path: as Stash sees it; `local` is where the bytes are on this machine, None for a file that only has facts.
        fingerprints: pairs (type, value).
    """

    id: int
    kind: Literal["video", "image"]
    path: str
    size: int
    mod_time: str
    created_at: str
    updated_at: str
    fingerprints: tuple[tuple[str, str], ...] = ()
    format: str = ""
    width: int = 0
    height: int = 0
    duration: float = 0.0
    video_codec: str = ""
    audio_codec: str = ""
    frame_rate: float = 0.0
    bit_rate: int = 0
    local: Path | None = None

    @property
    def basename(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def fingerprint(self, kind: str) -> str | None:
        return next((value for name, value in self.fingerprints if name == kind), None)


@dataclass(slots=True, eq=False, kw_only=True)
class Row:
    id: int
    created_at: str
    updated_at: str


@dataclass(slots=True, eq=False, kw_only=True)
class Content(Row):
    """What scenes, images and galleries share. Relations are tuples of ids."""

    title: str = ""
    code: str = ""
    details: str = ""
    urls: tuple[str, ...] = ()
    date: str | None = None
    rating100: int | None = None
    organized: bool = False
    studio_id: int | None = None
    performer_ids: tuple[int, ...] = ()
    tag_ids: tuple[int, ...] = ()
    custom_fields: dict[str, Any] | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Scene(Content):
    """`file_ids[0]` is the primary file. `cover` is a picture set by a client; `has_sprite` says that one exists.

    `group_places` are pairs (group id, index of the scene in it).
    """

    director: str = ""
    file_ids: tuple[int, ...] = ()
    gallery_ids: tuple[int, ...] = ()
    group_places: tuple[tuple[int, int | None], ...] = ()
    stash_ids: tuple[StashId, ...] = ()
    play_history: tuple[str, ...] = ()
    o_history: tuple[str, ...] = ()
    resume_time: float = 0.0
    play_duration: float = 0.0
    cover: bytes | None = None
    has_sprite: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Image(Content):
    photographer: str = ""
    file_ids: tuple[int, ...] = ()
    gallery_ids: tuple[int, ...] = ()


@dataclass(slots=True, eq=False, kw_only=True)
class Gallery(Content):
    """A folder of images when `folder` is set. Its images name it in their `gallery_ids`, its scenes too."""

    photographer: str = ""
    folder: str | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Performer(Row):
    name: str
    disambiguation: str = ""
    urls: tuple[str, ...] = ()
    gender: str | None = None
    birthdate: str | None = None
    death_date: str | None = None
    ethnicity: str = ""
    country: str = ""
    eye_color: str = ""
    hair_color: str = ""
    height_cm: int | None = None
    weight: int | None = None
    measurements: str = ""
    fake_tits: str = ""
    penis_length: float | None = None
    circumcised: str | None = None
    career_length: str = ""
    career_start: str | None = None
    career_end: str | None = None
    tattoos: str = ""
    piercings: str = ""
    alias_list: tuple[str, ...] = ()
    favorite: bool = False
    ignore_auto_tag: bool = False
    rating100: int | None = None
    details: str = ""
    tag_ids: tuple[int, ...] = ()
    stash_ids: tuple[StashId, ...] = ()
    custom_fields: dict[str, Any] | None = None
    image: bytes | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Studio(Row):
    name: str
    urls: tuple[str, ...] = ()
    parent_id: int | None = None
    aliases: tuple[str, ...] = ()
    details: str = ""
    rating100: int | None = None
    favorite: bool = False
    ignore_auto_tag: bool = False
    organized: bool = False
    tag_ids: tuple[int, ...] = ()
    stash_ids: tuple[StashId, ...] = ()
    custom_fields: dict[str, Any] | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Tag(Row):
    name: str
    sort_name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    favorite: bool = False
    ignore_auto_tag: bool = False
    parent_ids: tuple[int, ...] = ()
    stash_ids: tuple[StashId, ...] = ()
    custom_fields: dict[str, Any] | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Group(Row):
    name: str


@dataclass(slots=True, eq=False, kw_only=True)
class Marker(Row):
    scene_id: int
    title: str
    seconds: float
    end_seconds: float | None = None
    primary_tag_id: int
    tag_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A stash-box in Stash's configuration."""

    endpoint: str
    name: str
    api_key: str = field(default="box-key", repr=False)
    max_requests_per_minute: int = 0
