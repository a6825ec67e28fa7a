"""The types of jobs: what each is called, what it needs, which parameters it takes, which function does it.

A job function is `def run(context: JobContext) -> dict[str, Any]`: it does the work, reports progress, returns a short
summary, and returns early when `context.stop_requested()` says so. It is named by "module:function" and imported only
in the process that runs it, so that knowing the types costs nothing. A job that is resumable may be started again
after a crash with the same parameters, and goes on where it was.

Lives here: records and the registry. Rows are `pipelines.store.jobs`, running one is `pipelines.job_runner`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.analyzers.registry import ANALYZERS
from pipelines.errors import InputError, JobUnknown
from pipelines.settings import Settings

Progress = Callable[[int, int | None, Mapping[str, int]], None]
Priority = Literal[0, 10, 50, 100]
PRIORITIES: tuple[Priority, ...] = (0, 10, 50, 100)
"""Of a job, most urgent first: at once, asked for by somebody, usual, when there is nothing else."""

ContentKind = Literal["scene", "image"]


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a job function is given.

    Attributes:
        params: an instance of the type's model of parameters.
        progress: call it as often as you like with (done, total or None while unknown, counts by reason).
        stop_requested: true once somebody wants the job to end; return within 4 s then, or the process is killed.
        type_id: of the job, for functions that serve several types.
        job_id: 0 where no queue runs it.
    """

    settings: Settings
    params: Any
    progress: Progress
    stop_requested: Callable[[], bool]
    type_id: str = ""
    job_id: int = 0


class NoParams(BaseModel):
    """Parameters of a job that takes none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScanRequest(BaseModel):
    """What a scan looks at; everything that is new, changed or failed for a passing reason, by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: tuple[ContentKind, ...] = Field(("scene",), min_length=1, description="Scenes, images, or both.")
    ids: tuple[str, ...] | None = Field(None, max_length=100_000, description="These ids of Stash only.")
    galleries: tuple[str, ...] | None = Field(None, max_length=10_000, description="Images of these galleries only.")
    filter: dict[str, Any] | None = Field(None, description="A filter of Stash: SceneFilterType or ImageFilterType.")
    newest_first: bool = Field(False, description="Begin with what was added last.")
    limit: int | None = Field(None, ge=1, description="At most so many.")
    fresh: bool = Field(False, description="Also what is scanned already.")
    retry_failed: bool = Field(True, description="Also what failed for a reason that may have passed.")


class RematchRequest(BaseModel):
    """What is matched anew; everything whose people are out of date, by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contents: tuple[tuple[ContentKind, str], ...] | None = Field(
        None, max_length=100_000, description="Only these, as pairs of kind and id."
    )
    full: bool = Field(False, description="Also what is up to date.")


class DatabaseUpdateRequest(BaseModel):
    """Which release is downloaded and imported; the newest of every configured source, by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = Field(None, max_length=40, description="Name of a source in `release_sources`.")
    release: str | None = Field(None, max_length=100, description="Version of a release; the newest when unset.")


class DatabaseImportRequest(BaseModel):
    """Which released bundle is imported."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1, max_length=4096, description="Zip or folder below `allowed_roots` or in `<data_dir>/uploads`."
    )
    replace: bool = Field(False, description="Forget everybody who is enrolled otherwise.")


class LocalEnrolRequest(BaseModel):
    """Which performers of Stash are enrolled, and from what; what is new or changed, by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    full: bool = Field(False, description="Ask for all performers and pictures again, also for those unchanged.")
    performers: tuple[Annotated[str, Field(pattern=r"^[0-9]{1,18}$")], ...] | None = Field(
        None, min_length=1, max_length=100_000, description="Ask for these ids of Stash only; all others stay."
    )
    use_scenes: bool = Field(True, description="Take faces from scenes where one performer alone is tagged.")
    use_galleries: bool = Field(True, description="Take faces from images and galleries of that kind.")


class EnrollStashboxRequest(BaseModel):
    """Which stash-boxes' performers are enrolled; of all boxes, what is new or changed, by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = Field(None, max_length=500, description="Endpoint, host or name of one box.")
    full: bool = Field(False, description="List everybody again, not only what changed since the last time.")
    limit: int | None = Field(None, ge=1, description="At most so many performers of a box.")


class FetchModelsRequest(BaseModel):
    """Which model pack is fetched; files that are there and right stay."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pack: str = Field(max_length=40, description="Id of the pack.")
    accept_licence: bool = Field(False, description="You have read the pack's licence and accept it.")


class AnalyzeRequest(BaseModel):
    """What an analyzer looks at; what is new, changed or failed before, by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    full: bool = Field(False, description="Also what is unchanged.")


class AcceptRequest(BaseModel):
    """Which recommendations are accepted: those of a preview, as it was shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: tuple[int, ...] | None = Field(
        None, max_length=1000, description="Of recommendations in the preview; all of it when unset."
    )
    action: str = Field(max_length=64, description="As in the preview.")
    params: dict[str, Any] = Field({}, description="As in the preview, which has them already.")
    digest: str = Field(max_length=64, description="Of POST /recommendations/accept/preview.")


@dataclass(frozen=True, slots=True)
class JobType:
    """One type of job; of each, one job is queued or running at a time.

    Attributes:
        run: "module:function" of the job function.
        resources: what Ray reserves for the process of the job, such as {"CPU": 1}.
        workers: what must be free beside that when the job starts, for the Ray Data workers that it will start.
        resumable: whether it is started again after a crash.
        intervals: hours that a schedule may have; empty when it cannot be scheduled.
        due: "module:function" from Settings to a reason why the job should run now, or None; asked now and then by the
            supervisor, so it and its imports must be light. Types that share one get a reason each, by type. Empty
            when there is no such reason.
        due_priority: of a job that is due by itself; `priority` when unset.
        yields_to: types of jobs that a job which is due by itself waits for.
    """

    id: str
    title: str
    description: str
    run: str
    priority: Priority = 50
    resources: Mapping[str, float] = field(default_factory=dict)
    workers: Mapping[str, float] = field(default_factory=dict)
    params: type[BaseModel] = NoParams
    resumable: bool = True
    default_interval_hours: int | None = None
    intervals: tuple[int, ...] = ()
    due: str = ""
    due_priority: Priority | None = None
    yields_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise ValueError(f"priority {self.priority} is not one of {PRIORITIES}")
        if (self.default_interval_hours is None) != (not self.intervals):
            raise ValueError("a job that can be scheduled has intervals and a default")
        if self.intervals and self.default_interval_hours not in self.intervals:
            raise ValueError(f"default_interval_hours {self.default_interval_hours} is not one of {self.intervals}")

    @property
    def schedulable(self) -> bool:
        return bool(self.intervals)

    def parse(self, params: Mapping[str, Any]) -> BaseModel:
        """Returns the validated parameters. Raises InputError that names the field."""
        try:
            return self.params.model_validate_json(json.dumps(params))
        except ValidationError as error:
            said = "; ".join(f"params.{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
            raise InputError(
                f"The parameters of a {self.id} job are not valid: {said}.", "See GET /queue/types."
            ) from None


def named_function(name: str) -> Callable[..., Any]:
    """Returns the function of "module:function", which is imported. Raises ImportError, AttributeError."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def job_type(type_id: str, registry: Mapping[str, JobType] | None = None) -> JobType:
    """Returns the type of that id. Raises JobUnknown."""
    types = REGISTRY if registry is None else registry
    if type_id not in types:
        raise JobUnknown(f"There is no job type {type_id!r}.", f"Types are {', '.join(types)}.")
    return types[type_id]


def _registry(*types: JobType) -> Mapping[str, JobType]:
    return MappingProxyType({t.id: t for t in types})


REGISTRY = _registry(
    JobType(
        id="scan",
        title="Scan",
        description="Look at all scenes or images of Stash that are new or changed, keep their faces, and match them.",
        run="pipelines.scan:run_job",
        priority=50,
        workers={"CPU": 1},
        params=ScanRequest,
        default_interval_hours=24,
        intervals=(1, 6, 12, 24, 72, 168),
    ),
    JobType(
        id="rematch",
        title="Name people again",
        description="Compare the faces of all scans with the current performer database, without decoding anything.",
        run="pipelines.rematch:run_job",
        priority=10,
        workers={"CPU": 1},
        params=RematchRequest,
        default_interval_hours=24,
        intervals=(6, 12, 24, 72, 168),
        due="pipelines.rematch_due:due",
    ),
    JobType(
        id="enroll_local",
        title="Enrol from Stash",
        description="Enrol the performers of Stash from their pictures, and from scenes and galleries of theirs alone.",
        run="pipelines.enroll.local:run_job",
        priority=50,
        resources={"CPU": 1},
        params=LocalEnrolRequest,
        default_interval_hours=24,
        intervals=(6, 12, 24, 72, 168),
    ),
    JobType(
        id="compact_scans",
        title="Tidy the scans",
        description="Join the small files of the scans into few large ones.",
        run="pipelines.scan:compact_job",
        priority=100,
        resources={"CPU": 1},
        default_interval_hours=168,
        intervals=(24, 72, 168),
    ),
    JobType(
        id="database_update",
        title="Update the performers",
        description="Download the newest released performer database, check it and serve it.",
        run="pipelines.releases.update:update_job",
        priority=10,
        resources={"CPU": 1},
        params=DatabaseUpdateRequest,
        default_interval_hours=168,
        intervals=(24, 72, 168, 720),
    ),
    JobType(
        id="database_import",
        title="Import performers",
        description="Import a released performer database that lies on this machine.",
        run="pipelines.releases.update:import_job",
        priority=10,
        resources={"CPU": 1},
        params=DatabaseImportRequest,
    ),
    JobType(
        id="enroll_stashbox",
        title="Enrol from stash-boxes",
        description="Fetch the pictures of performers that are new or changed on the stash-boxes, and enrol them.",
        run="pipelines.enroll.stashbox:run_job",
        priority=50,
        workers={"CPU": 1},
        params=EnrollStashboxRequest,
    ),
    JobType(
        id="fetch_models",
        title="Fetch models",
        description="Download or convert the files of a model pack, verify them and put them in place.",
        run="pipelines.fetch_models:run_job",
        priority=10,
        params=FetchModelsRequest,
    ),
    JobType(
        id="accept_recommendations",
        title="Accept recommendations",
        description="Do in Stash what a preview showed; what is no longer as it was shown is left alone.",
        run="pipelines.actions.job:run_job",
        priority=10,
        params=AcceptRequest,
    ),
    JobType(
        id="finish_actions",
        title="Finish actions",
        description="Look at actions that a crash left in the middle, and finish them or say what was done.",
        run="pipelines.actions.job:finish_job",
        priority=0,
        due="pipelines.actions.unfinished:due",
    ),
    JobType(
        id="tidy_store",
        title="Tidy the store",
        description="Remove before-images of old actions, old closed recommendations and proofs that nothing reads.",
        run="pipelines.tidying:run_job",
        priority=100,
        due="pipelines.tidying:due",
    ),
    *(
        JobType(
            id=f"analyze_{analyzer.id}",
            title=f"Find: {analyzer.title}",
            description=analyzer.description,
            run="pipelines.analyzers.run:run_job",
            priority=50,
            resources=analyzer.resources,
            workers=analyzer.workers,
            params=AnalyzeRequest,
            default_interval_hours=168,
            intervals=(24, 72, 168, 720),
            due="pipelines.analyzers.due:due",
            due_priority=100,
            yields_to=("scan", "rematch", *(f"analyze_{other.id}" for other in ANALYZERS)),
        )
        for analyzer in ANALYZERS
    ),
)
