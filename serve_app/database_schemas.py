"""What the routes of the performer database take and give back, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.schemas import COMPLETE, ErrorAnswer, UniversalId

SourceId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.:_-]*$", max_length=100, examples=["stashdb.org"])]
Ids = Annotated[tuple[UniversalId, ...], Field(min_length=1, max_length=10_000)]


class SourceAnswer(BaseModel):
    """A source of performers."""

    id: str
    kind: Literal["folder", "stash", "stashbox", "release"]
    label: str = Field(description="Path, endpoint or name of the release.")
    release: str | None = Field(description="Version of the release that it is at.")
    updated: datetime
    watermark: str | None = Field(description="Of a stash-box: the newest change that has been seen.")
    details: dict[str, Any] = Field(description="What is known of how it came about, such as what was left out.")
    performers: int
    faces: int


class DatabaseInfo(BaseModel):
    """The performer database that is being searched."""

    version: str
    created: datetime
    performer_count: int
    face_count: int
    pack: str
    template_id: str
    dtype: str
    index_bytes: int
    size_bytes: int = Field(description="Of all files of the version.")
    threshold_score: float
    sources: list[SourceAnswer]
    left_out: dict[str, int] = Field(description="People who are not in it, by reason: excluded, under_18.")
    pinned: bool = Field(description="Whether the server was started for this version only.")


class VersionAnswer(BaseModel):
    """One version of the performer database."""

    model_config = COMPLETE

    version: str
    created: datetime | None = None
    pack: str = ""
    performers: int = 0
    faces: int = 0
    size_bytes: int = 0
    sources: list[str] = []
    problem: str = Field("", description="Why it cannot be used.")


class VersionList(BaseModel):
    """All versions, oldest first."""

    current: str | None = Field(description="The version in use; None when nobody is enrolled.")
    serving: str | None = Field(description="The version that is being searched at this moment.")
    versions: list[VersionAnswer]


class VersionRequest(BaseModel):
    """A version to be used or verified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(max_length=100)


class VerifyRequest(BaseModel):
    """A version to be verified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str | None = Field(None, max_length=100, description="The current one when unset.")


class Verified(BaseModel):
    """A version whose files are what they were when it was written."""

    version: str
    files: int
    size_bytes: int


class UpdateAnswer(BaseModel):
    """What a source of releases has."""

    source: str
    url: str
    installed: str | None = Field(description="The release of it that is in the database.")
    newest: str | None
    available: bool = Field(description="Whether a database_update job would change something.")
    delta: bool = Field(description="Whether a small download is enough.")
    download_bytes: int | None
    created: datetime | None
    notes: str
    needs: str | None = Field(description="The version of its makers' program that the release asks for.")
    error: ErrorAnswer | None = Field(description="Why the source could not be asked.")


class Updates(BaseModel):
    """What all sources of releases have."""

    updates: list[UpdateAnswer]


class ExportRequest(BaseModel):
    """What is exported, and where to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of a folder in `<data_dir>/exports`."
    )
    format: Literal["parquet", "csv"] = "parquet"
    templates: bool = Field(True, description="With the templates of the faces.")
    version: str | None = Field(None, max_length=100, description="The current one when unset.")
    ids: Ids | None = Field(None, description="Only these people; everybody when unset.")


class Exported(BaseModel):
    """Files that were written."""

    files: list[str] = Field(description="Paths on the server.")


class SourceRemoved(BaseModel):
    """What is in use after a source was removed."""

    version: str | None = Field(description="None when nobody is enrolled any more.")


class Person(BaseModel):
    """Somebody who is enrolled."""

    universal_id: str
    name: str
    ids: list[str] = Field(description="Every universal id that is known of the person.")
    country: str | None
    image_url: str | None
    faces: int
    sources: list[str]
    excluded: bool = Field(description="On the exclusion list: kept in an older version, never answered.")
    crop_url: str | None = Field(description="Path of a JPEG of an enrolled face on this server, if one is kept.")


class PeoplePage(BaseModel):
    """Some of the people who are enrolled."""

    version: str
    total: int
    people: list[Person]


class Picture(BaseModel):
    """Where one enrolled face comes from."""

    origin: str = Field(description="Id of the source.")
    source: str = Field(description="Path or URL of the picture.")
    quality: float | None
    yaw_deg: float | None
    detection_score: float | None
    entity: Literal["scene", "image"] | None = Field(description="What of Stash it was seen in; None for pictures.")
    entity_id: str | None
    time_s: float | None = Field(description="When in a scene.")
    crop_url: str | None = Field(description="Path of a JPEG of the face on this server; None when there is none.")


class CoverageAnswer(BaseModel):
    """What there is to recognise somebody by."""

    faces: int
    left: int = Field(description="Faces turned 15 degrees and more to the left.")
    front: int
    right: int
    clear: int = Field(description="Faces of good quality.")
    unknown: int = Field(description="Faces of which neither yaw nor quality is known, as of released databases.")
    sources: dict[str, int] = Field(description="Faces by source.")
    missing: list[Literal["one_face", "few_faces", "no_left", "no_right", "no_clear"]]


class PersonAnswer(Person):
    """Everything that is known of one person, but for the templates."""

    aliases: list[str]
    disambiguation: str | None
    gender: str | None
    birth_date: str | None
    career_start: int | None
    career_end: int | None
    pictures: list[Picture] = Field(description="Best first, 500 at most.")
    coverage: CoverageAnswer
    portrait_url: str | None = Field(
        description="Path of the picture that image_url names; the server fetches it when that is asked for."
    )
    portrait_kept: bool = Field(description="Whether it was fetched already: nobody else is asked then.")


class ExclusionAnswer(BaseModel):
    """Somebody who is never enrolled nor answered."""

    universal_id: str
    ids: list[str]
    name: str
    reason: str
    created: datetime


class Exclusions(BaseModel):
    """The exclusion list, newest first."""

    excluded: list[ExclusionAnswer]


class ExcludeRequest(BaseModel):
    """People who are never to be enrolled nor answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: Ids
    reason: str = Field("", max_length=1000)


class EraseRequest(BaseModel):
    """Confirms that somebody is to be erased."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confirm: str = Field(description="The universal id once more.")
    exclude: bool = Field(False, description="Also put the person on the exclusion list, so that nothing comes back.")


class Erased(BaseModel):
    """What was removed of somebody."""

    ids: list[str] = Field(description="Every universal id of the person.")
    versions: list[str] = Field(description="Versions that held something; they were written anew or removed.")
    performers: int = Field(description="Entries of sources.")
    faces: int = Field(description="Templates.")
    current: str | None = Field(description="The version in use now; None when nobody is enrolled any more.")
    contents: int = Field(description="Scenes and images in which the person was named.")
    scanned_faces: int = Field(description="Faces of stored scans, templates included.")
    matches: int = Field(description="Times the person was named in stored matches.")
    candidates: int = Field(description="Times the person was a candidate in stored matches.")
    match_rows: int = Field(description="Rows of the Parquet files of matches.")
    seen_faces: int = Field(description="Faces that enrolments kept to be quicker the next time.")
    seen_performers: int = Field(description="Performers that enrolments kept something of.")
    recommendations: int = Field(description="Recommendations that were about somebody.")
    rejections: int = Field(description="Times the person was rejected in a scene, image or gallery.")
    mentions: int = Field(description="Other recommendations, jobs and notes that lost the name.")
    actions: int = Field(description="Actions that lost their before-images, so that they cannot be undone any more.")
    cleaned_actions: int = Field(description="Actions of which only the words named somebody; they can be undone.")
    actions_left: int = Field(description="Actions under way that name somebody: erase again when they have ended.")
    exports: int = Field(description="Files of exports below the data folder.")
    crops: int = Field(description="Kept pictures of faces, whoever they show.")
