"""What the identify routes take and give back: validated requests, and answers as OpenAPI shows them.

Lives here: records only. Turning people into answers is `serve_app.answers`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

StashNumber = Annotated[str, Field(pattern=r"^[0-9]{1,18}$", examples=["42"])]
UniversalId = Annotated[str, Field(pattern=r"^[^\s:/]+:\S+$", max_length=200, examples=["stashdb.org:6a1d"])]


COMPLETE = ConfigDict(json_schema_serialization_defaults_required=True)
"""Of answers that always have all their fields, those with a default too."""


class Question(BaseModel):
    """What may be asked about any media."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: int | None = Field(None, ge=1, le=50, description="Candidates for each person; the setting when unset.")
    max_distance: float | None = Field(
        None, gt=0, le=2, description="Largest distance at which a person is named; the pack's calibration when unset."
    )
    min_face_px: int | None = Field(
        None, ge=16, le=2000, description="Smallest side of a face, px; raises the setting, never lowers it."
    )
    min_detection_score: float | None = Field(
        None, ge=0, le=1, description="Least certainty that it is a face; raises the pack's, never lowers it."
    )
    same_person_distance: float | None = Field(
        None, ge=0.05, le=1.5, description="Average distance up to which faces are one person; the pack's when unset."
    )
    min_unique_frames: int | None = Field(
        None, ge=1, le=20, description="Frames in which a person of a video must be seen; the setting when unset."
    )
    tagged: tuple[UniversalId, ...] = Field((), max_length=500, description="Performers already tagged.")
    crops: bool = Field(False, description="Add the best face of each person as a base64 JPEG.")
    crop_links: bool | None = Field(
        None, description="Add a link to the best face of each person; unset, for what is named by its Stash id only."
    )
    fresh: bool = Field(False, description="Look again, though a stored scan could answer. For Stash ids.")


class SceneQuestion(Question):
    """What may be asked about a video; ignored for pictures."""

    frames: int | None = Field(None, ge=5, le=600, description="Frames sampled; the setting when unset.")
    start_fraction: float | None = Field(None, ge=0, le=0.5, description="Where sampling starts, of the duration.")
    end_fraction: float | None = Field(None, ge=0.5, le=1, description="Where sampling ends, of the duration.")


class _Named(BaseModel):
    forms: ClassVar[tuple[str, ...]] = ("path", "url")

    path: str | None = Field(None, min_length=1, max_length=4096, description="File below one of `allowed_roots`.")
    url: str | None = Field(
        None, min_length=8, max_length=4096, description="URL on Stash, on one of its stash-boxes or `allowed_hosts`."
    )

    @model_validator(mode="after")
    def _one_source(self) -> _Named:
        if sum(getattr(self, form) is not None for form in self.forms) != 1:
            raise ValueError(f"name exactly one of {', '.join(self.forms)}")
        return self


class FileRequest(_Named, SceneQuestion):
    """A picture or a video by path or URL."""


class ImageRequest(_Named, Question):
    """A picture by its id in Stash, by path or URL."""

    forms: ClassVar[tuple[str, ...]] = ("image_id", "path", "url")

    image_id: StashNumber | None = Field(None, description="Id of an image in Stash.")


class SceneRequest(_Named, SceneQuestion):
    """A video by the id of its scene in Stash, by path or URL."""

    forms: ClassVar[tuple[str, ...]] = ("scene_id", "path", "url")

    scene_id: StashNumber | None = Field(None, description="Id of a scene in Stash.")


class GalleryRequest(Question):
    """Several pictures: a gallery of Stash, or pictures by path or URL, in order."""

    gallery_id: StashNumber | None = Field(None, description="Id of a gallery in Stash.")
    paths: tuple[str, ...] = Field((), description="Files below one of `allowed_roots`.")
    urls: tuple[str, ...] = Field((), description="URLs as in the other routes; they follow the paths.")

    @model_validator(mode="after")
    def _some_source(self) -> GalleryRequest:
        if (self.gallery_id is None) == (not self.paths and not self.urls):
            raise ValueError("name either gallery_id, or at least one of paths and urls")
        return self


class ErrorAnswer(BaseModel):
    """Every error of every route."""

    error: str = Field(description="Stable code for programs.")
    message: str
    hint: str


class Candidate(BaseModel):
    """A performer that a person may be."""

    universal_id: str
    name: str
    confidence: float = Field(description="Calibrated probability, 0..1.")
    score: float
    distance: float
    already_tagged: bool
    country: str | None = Field(None, description="Where the database knows it.")
    image_url: str | None = Field(None, description="Where the database knows one.")


class Box(BaseModel):
    """Of the upright picture or frame as it is stored, px."""

    x: float
    y: float
    width: float
    height: float


class BestFace(BaseModel):
    """The face of a person with the highest quality."""

    box: Box
    frame: int = Field(description="Number of the sampled frame, or of the image in a gallery.")
    time_s: float | None = Field(description="Time in the video.")
    quality: float
    detection_score: float
    crop: str | None = Field(None, description="Base64 JPEG; only when asked for.")
    crop_url: str | None = Field(
        None, description="Path of a JPEG on this server, without the API key; it works for about a day."
    )
    image_id: str | None = Field(None, description="Stash's id of the image, in a gallery of Stash.")


class UnknownPerson(BaseModel):
    """Somebody who is not enrolled, or not surely enough."""

    faces: int
    frames: int
    ranges: list[tuple[float, float]] = Field(description="When the person is seen, seconds; empty for pictures.")
    best: BestFace
    candidates: list[Candidate]
    images: list[int] = Field([], description="Numbers of the images of a gallery that show the person.")
    image_ids: list[str] = Field([], description="Stash's ids of them.")


class NamedPerson(UnknownPerson):
    """A performer who was recognised."""

    universal_id: str
    name: str
    confidence: float
    score: float
    distance: float
    already_tagged: bool
    country: str | None = None
    image_url: str | None = None


class Identification(BaseModel):
    """Who is in one picture, gallery or video. For a picture there is one person for each face."""

    kind: Literal["image", "gallery", "video"]
    people: list[NamedPerson]
    unknown: list[UnknownPerson]
    faces: int = Field(description="Faces used.")
    faces_found: int = Field(description="Faces found, those that the question leaves out included.")
    frames: int = Field(description="Pictures looked at.")
    frames_wanted: int = Field(1, description="Pictures that were to be looked at.")
    source: Literal["fresh", "stored"] = Field(
        "fresh", description="Whether a stored scan answered; of a gallery, whether scans of all images did."
    )
    scanned_at: datetime | None = Field(None, description="When the stored scan was made.")
    stored: bool = Field(False, description="Whether what was found just now has been stored for the next time.")
    stored_images: int = Field(0, description="Images of a gallery that stored scans answered for.")
    content: ContentAnswer | None = Field(None, description="What it is in Stash, when it was named by its Stash id.")
    width: int | None = Field(None, description="Of the upright picture or video, px.")
    height: int | None = None
    duration_s: float | None = None
    warnings: list[str] = Field(description="What was left out and why; empty when all is well.")
    errors: list[ImageError] = Field([], description="Pictures of a gallery that could not be used.")
    database_version: str
    timing_ms: dict[str, float]


class ContentAnswer(BaseModel):
    """A scene, image or gallery of Stash."""

    kind: Literal["scene", "image", "gallery"]
    id: str
    title: str
    tagged: list[UniversalId] = Field(description="Performers already tagged, by all ids that Stash knows of them.")
    images: int | None = Field(None, description="Of a gallery, those that were not looked at included.")


class ImageError(ErrorAnswer):
    """A picture of a gallery that could not be used."""

    image: int = Field(description="Its number in the request, from 0.")
    image_id: str | None = Field(None, description="Its id in Stash.")


class Health(BaseModel):
    """Whether the server lives, and what it lacks."""

    status: Literal["ok", "no performer database"]
    version: str


class Readiness(BaseModel):
    """Whether identification works now; with status 503 when it does not."""

    ready: bool
    engine: bool
    database: bool


class Capabilities(BaseModel):
    """What this server can do and within which limits."""

    version: str
    capabilities: dict[str, bool]
    pack: str
    template_id: str
    limits: dict[str, float]
    defaults: dict[str, float]
    threshold: dict[str, float | str | None]


class ModelFileInfo(BaseModel):
    """State of one model file."""

    pack: str
    file: str
    size_bytes: int | None
    expected_size_bytes: int
    state: Literal["installed", "missing", "corrupted"]
    licence_accepted: bool


class ModelPackInfo(BaseModel):
    """State of one model pack."""

    id: str
    title: str
    state: Literal["installed", "missing", "corrupted"] = Field(description="Of its worst file.")
    size_bytes: int
    licence: str
    must_accept: bool = Field(description="Whether the licence must be accepted before the pack is fetched.")
    licence_accepted: bool
    source: str = Field(description="Where its files come from.")
    why_not: str = Field(description="Why it cannot be fetched here; empty when it can.")


class ModelsStatus(BaseModel):
    """State of all model packs; `pack` is the one in use."""

    pack: str
    packs: list[ModelPackInfo]
    models: list[ModelFileInfo]


class ModelsVerified(BaseModel):
    """Files of one pack, judged by their whole content."""

    pack: str
    models: list[ModelFileInfo]
    computes: bool | None = Field(
        description="Whether its graphs compute the pinned vectors; null where none are pinned, or a file is not right."
    )


class PackLicence(BaseModel):
    """The licence of a model pack."""

    pack: str
    licence: str
    text: str


Identification.model_rebuild()
