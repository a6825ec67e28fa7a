"""What an analyzer is: what it reads, which candidates it sees there, how it scores one, how it explains a finding.

    class Untitled(BaseAnalyzer[Scene, float]):
        id, title, description = "untitled", "Scenes without a title", "..."
        target_type = "scene"
        reads = (StashChanges("scene"),)

        async def candidates(self, tools, scope):
            async for scene in tools.scenes(scope):
                yield [scene]

        def score(self, tools, candidates):
            return [None if scene.title else 100.0 for scene in candidates]

        def explain(self, candidate, score):
            return Finding("scene", candidate.id, ...)

By subject (the default) it is asked about some hundred subjects at a time, and only about those that changed, that it
failed on, or all of them after its logic version changed and once in `reconcile_days`; what it does not find again
about them is closed. An analyzer with `whole = True` is asked about everything at once, whenever something changed.
Modules of analyzers are imported by every process that knows the types of jobs: heavy libraries and SQL are imported
where they are used. Running one is `run`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from pipelines.store.recommendation_records import Finding, TargetType

if TYPE_CHECKING:  # SQL and the library of Stash come with the run
    from pipelines.analyzers.sources import Source
    from pipelines.analyzers.tools import Tools

C = TypeVar("C")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class OfferedAction:
    """Something that can be done about a finding; `id` is one of the actions, `details["actions"]` has its params."""

    id: str
    title: str
    destructive: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What is evaluated.

    Attributes:
        subjects: ids; None means everything.
        changed: whether a source gave anything new since the last complete run; always true by subject.
    """

    subjects: tuple[str, ...] | None
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """What could not be evaluated, in the place of a candidate or of a score; its subjects are tried again."""

    subjects: tuple[str, ...]
    error: str


class BaseAnalyzer(ABC, Generic[C, S]):
    """One analyzer; an instance serves one run.

    Attributes:
        id: type of its recommendations; its job is `analyze_<id>`.
        target_type: what its findings are about; subjects are ids of the same kind.
        logic_version: raise it when the same library would give other findings: everything is evaluated again.
        reads: sources; the first one that is of `target_type` knows all subjects.
        details: model of `Finding.details`.
        actions: what can be done about its findings.
        whole: always evaluate everything at once, if anything changed.
        informational: its findings are listed only where their type is asked for, and counted nowhere else.
        follows: id of the analyzer whose runs give it something to read; it starts by itself after these.
        chunk_size: subjects in a scope.
        reconcile_days: how often everything is evaluated, for what no time of change tells.
        closing: why a finding is closed that is not found any more.
        resources, workers: what Ray keeps for its job, see `JobType`.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    target_type: ClassVar[TargetType]
    logic_version: ClassVar[int] = 1
    reads: ClassVar[tuple[Source, ...]]
    details: ClassVar[type[BaseModel]]
    actions: ClassVar[tuple[OfferedAction, ...]] = ()
    whole: ClassVar[bool] = False
    informational: ClassVar[bool] = False
    follows: ClassVar[str | None] = None
    chunk_size: ClassVar[int] = 500
    reconcile_days: ClassVar[float] = 7.0
    closing: ClassVar[str] = "No longer found: it was fixed or has changed."
    resources: ClassVar[Mapping[str, float]] = {"CPU": 1}
    workers: ClassVar[Mapping[str, float]] = {}

    async def affected(self, tools: Tools, kind: str, ids: Sequence[str]) -> Iterable[str]:  # noqa: ARG002 - for those who override it
        """Returns the subjects that must be evaluated when things of another kind have changed; none by default."""
        return ids if kind == self.target_type else ()

    @abstractmethod
    def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[C | Failed]]:
        """Yields candidates for findings about the subjects of a scope, in batches that `score` is given.

        Everything that is read from Stash is read here. A StashSenseError that is not of the connection itself fails
        all subjects of the scope, and the run goes on.
        """

    @abstractmethod
    def score(self, tools: Tools, candidates: Sequence[C]) -> Sequence[S | Failed | None]:
        """Returns a score for each candidate, None where nothing is to be found. Runs in a thread, may take long.

        It looks at `tools.should_stop` now and then and may return fewer scores then.
        """

    @abstractmethod
    def explain(self, candidate: C, score: S) -> Finding:
        """Returns the finding with its reasons in words and the evidence for the page."""
