"""What Stash knows, as records: scenes, images, galleries, performers, studios, tags, its configuration and its jobs.

Records only. Ids are Stash's, as text. Times (`created_at`, `updated_at`, `mod_time`) are Stash's own text, RFC 3339
in the server's offset: they are handed back to it letter by letter (see `watermark`). What a query did not ask for, or
the server does not know, has its default: "", None, () or 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One hash of a file; `type` is "oshash", "md5", "phash" or the name of a plugin's own."""

    type: str
    value: str

    @property
    def phash64(self) -> int | None:
        """The 64 bits of a "phash" as an unsigned number, None for other types. Stash leaves out leading zeros."""
        try:
            return int(self.value, 16) if self.type == "phash" else None
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class StashId:
    """A link to an entry of a stash-box. Two are equal when box and entry are, whenever they were last updated."""

    endpoint: str
    stash_id: str
    updated_at: str = field(default="", compare=False)

    @property
    def domain(self) -> str:
        """Host of the endpoint in lower case, such as "stashdb.org"; "" when it names none."""
        try:
            return urlsplit(self.endpoint).hostname or ""
        except ValueError:
            return ""

    @property
    def universal_id(self) -> str:
        """`domain:uuid`, the name that this entry has in every performer database."""
        return f"{self.domain}:{self.stash_id}"


def universal_ids(stash_ids: Iterable[StashId]) -> tuple[str, ...]:
    """Returns `domain:uuid` of every link whose endpoint names a host, in order, each once."""
    return tuple(dict.fromkeys(s.universal_id for s in stash_ids if s.domain and s.stash_id))


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video file. `mod_time` is Stash's text; `frame_rate` frames per second, `bit_rate` bits per second."""

    id: str
    path: str
    basename: str = ""
    size_bytes: int = 0
    mod_time: str = ""
    duration_s: float = 0.0
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    bit_rate: int = 0
    video_codec: str = ""
    audio_codec: str = ""
    container: str = ""
    fingerprints: tuple[Fingerprint, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture file."""

    id: str
    path: str
    basename: str = ""
    size_bytes: int = 0
    mod_time: str = ""
    width: int = 0
    height: int = 0
    fingerprints: tuple[Fingerprint, ...] = ()


@dataclass(frozen=True, slots=True)
class GalleryFile:
    """The archive that a gallery was made from."""

    id: str
    path: str
    basename: str = ""
    size_bytes: int = 0
    mod_time: str = ""
    fingerprints: tuple[Fingerprint, ...] = ()


def content_fingerprint(file: VideoFile | ImageFile) -> str:
    """Returns what tells the content of a file apart: "oshash:...", else "md5:...", else "stat:<size>:<mod_time>"."""
    values = {f.type: f.value for f in file.fingerprints if f.value}
    for kind in ("oshash", "md5"):
        if kind in values:
            return f"{kind}:{values[kind]}"
    return f"stat:{file.size_bytes}:{file.mod_time}"


@dataclass(frozen=True, slots=True)
class PerformerRef:
    """A performer as scenes, images and galleries name it."""

    id: str
    name: str = ""
    stash_ids: tuple[StashId, ...] = ()

    @property
    def universal_ids(self) -> tuple[str, ...]:
        return universal_ids(self.stash_ids)


@dataclass(frozen=True, slots=True)
class StudioRef:
    id: str
    name: str = ""
    stash_ids: tuple[StashId, ...] = ()


@dataclass(frozen=True, slots=True)
class TagRef:
    id: str
    name: str = ""
    stash_ids: tuple[StashId, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A group (before Stash 0.26 a movie) that a scene is part of; `scene_index` is its place there."""

    id: str
    scene_index: int | None = None


@dataclass(frozen=True, slots=True)
class ScenePaths:
    """Addresses as Stash gives them: they may hold its API key. Use `MediaAccess.rebase` before anything else.

    An address is there even where nothing was generated for it.
    """

    screenshot: str = field(default="", repr=False)
    stream: str = field(default="", repr=False)
    sprite: str = field(default="", repr=False)
    vtt: str = field(default="", repr=False)
    preview: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ImagePaths:
    """Addresses as Stash gives them; see `ScenePaths`."""

    image: str = field(default="", repr=False)
    thumbnail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene. `files[0]` is its primary file; `rating` counts 0 to 100; `galleries` are ids."""

    id: str
    title: str = ""
    date: str = ""
    details: str = ""
    code: str = ""
    director: str = ""
    urls: tuple[str, ...] = ()
    organized: bool = False
    rating: int | None = None
    o_counter: int = 0
    play_count: int = 0
    created_at: str = ""
    updated_at: str = ""
    files: tuple[VideoFile, ...] = ()
    performers: tuple[PerformerRef, ...] = ()
    studio: StudioRef | None = None
    tags: tuple[TagRef, ...] = ()
    groups: tuple[GroupRef, ...] = ()
    stash_ids: tuple[StashId, ...] = ()
    galleries: tuple[str, ...] = ()
    paths: ScenePaths = ScenePaths()
    custom_fields: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def primary_file(self) -> VideoFile | None:
        """The file that is played, None for a scene without files."""
        return self.files[0] if self.files else None


@dataclass(frozen=True, slots=True)
class Image:
    """An image. Moving pictures that Stash lists as images have `VideoFile`s; `galleries` are ids."""

    id: str
    title: str = ""
    date: str = ""
    details: str = ""
    code: str = ""
    photographer: str = ""
    urls: tuple[str, ...] = ()
    organized: bool = False
    rating: int | None = None
    created_at: str = ""
    updated_at: str = ""
    files: tuple[ImageFile | VideoFile, ...] = ()
    paths: ImagePaths = ImagePaths()
    performers: tuple[PerformerRef, ...] = ()
    studio: StudioRef | None = None
    tags: tuple[TagRef, ...] = ()
    galleries: tuple[str, ...] = ()

    @property
    def primary_file(self) -> ImageFile | VideoFile | None:
        """The file that is shown, None for an image without files."""
        return self.files[0] if self.files else None


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery; `scenes` are ids. It comes from archives (`files`), a folder, or neither."""

    id: str
    title: str = ""
    date: str = ""
    details: str = ""
    code: str = ""
    photographer: str = ""
    urls: tuple[str, ...] = ()
    organized: bool = False
    rating: int | None = None
    created_at: str = ""
    updated_at: str = ""
    image_count: int = 0
    files: tuple[GalleryFile, ...] = ()
    folder_path: str = ""
    performers: tuple[PerformerRef, ...] = ()
    studio: StudioRef | None = None
    tags: tuple[TagRef, ...] = ()
    scenes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Performer:
    """A performer. Units: `height_cm`, `weight_kg`, `penis_length_cm`; dates "YYYY", "YYYY-MM" or "YYYY-MM-DD".

    Before Stash 0.26 `urls` are its three single addresses. `career_start` and `career_end` are "" before 0.31.
    `image_url` may hold the API key (see `ScenePaths`); `has_image` is False for Stash's silhouette.
    """

    id: str
    name: str = ""
    disambiguation: str = ""
    aliases: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    gender: str = ""
    birthdate: str = ""
    death_date: str = ""
    ethnicity: str = ""
    country: str = ""
    eye_color: str = ""
    hair_color: str = ""
    height_cm: int | None = None
    weight_kg: int | None = None
    measurements: str = ""
    fake_tits: str = ""
    penis_length_cm: float | None = None
    circumcised: str = ""
    career_length: str = ""
    career_start: str = ""
    career_end: str = ""
    tattoos: str = ""
    piercings: str = ""
    details: str = ""
    favorite: bool = False
    ignore_auto_tag: bool = False
    rating: int | None = None
    image_url: str = field(default="", repr=False)
    scene_count: int = 0
    image_count: int = 0
    gallery_count: int = 0
    created_at: str = ""
    updated_at: str = ""
    tags: tuple[TagRef, ...] = ()
    stash_ids: tuple[StashId, ...] = ()
    custom_fields: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def universal_ids(self) -> tuple[str, ...]:
        return universal_ids(self.stash_ids)

    @property
    def has_image(self) -> bool:
        return bool(self.image_url) and "default=true" not in self.image_url


@dataclass(frozen=True, slots=True)
class Studio:
    id: str
    name: str = ""
    aliases: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    parent: StudioRef | None = None
    details: str = ""
    favorite: bool = False
    ignore_auto_tag: bool = False
    rating: int | None = None
    image_url: str = field(default="", repr=False)
    created_at: str = ""
    updated_at: str = ""
    stash_ids: tuple[StashId, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag; `stash_ids` are () before Stash 0.30; `parents` are ids."""

    id: str
    name: str = ""
    sort_name: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    favorite: bool = False
    ignore_auto_tag: bool = False
    image_url: str = field(default="", repr=False)
    created_at: str = ""
    updated_at: str = ""
    parents: tuple[str, ...] = ()
    stash_ids: tuple[StashId, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """Id and time of the last change: all that finding what is new, changed or gone takes."""

    id: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """Which performers are tagged on a scene, image or gallery, and which galleries it is in: ids."""

    id: str
    performers: tuple[str, ...]
    galleries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StashBox:
    """A stash-box that Stash is configured for, with its key."""

    endpoint: str
    api_key: str = field(repr=False)
    name: str = ""
    max_requests_per_minute: int = 240
    """Stash's own default since 0.29, which made it a setting."""


@dataclass(frozen=True, slots=True)
class StashPath:
    """A folder of the library, as Stash names it."""

    path: str
    exclude_video: bool = False
    exclude_image: bool = False


@dataclass(frozen=True, slots=True)
class StashConfiguration:
    """What this project reads of Stash's configuration; Stash's own API key is not asked for.

    `delete_trash_path` is "" where deleted files are gone for good, or the server is older than 0.30.
    """

    stash_boxes: tuple[StashBox, ...] = ()
    stash_paths: tuple[StashPath, ...] = ()
    generated_path: str = ""
    video_hash: str = ""
    calculates_md5: bool = False
    delete_trash_path: str = ""
    parallel_tasks: int = 0
    plugins: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True, slots=True)
class StashStats:
    """How much there is."""

    scenes: int = 0
    images: int = 0
    galleries: int = 0
    performers: int = 0
    studios: int = 0
    tags: int = 0
    scenes_duration_s: float = 0.0
    scenes_size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StashJob:
    """A job of Stash's own queue. `status` is READY, RUNNING, FINISHED, STOPPING, CANCELLED or FAILED.

    `progress` runs from 0 to 1, None while unknown.
    """

    id: str
    status: str
    description: str = ""
    progress: float | None = None
    added_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    error: str = ""

    @property
    def live(self) -> bool:
        return self.status in {"READY", "RUNNING", "STOPPING"}
