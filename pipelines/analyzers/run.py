"""One run of an analyzer: plan what has to be evaluated, evaluate it, keep what was found, close what was not.

    report = analyze(settings, DuplicateSceneFiles, full=False)

The plan is durable before anything is evaluated, findings are kept before their subjects leave the queue, and each of
these writes is whole or not there. So a run may fail, be stopped or killed at any moment: the next one goes on with
what is left, and what was done twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.analyzers.base import BaseAnalyzer, Failed, Scope
from pipelines.analyzers.registry import ANALYZERS
from pipelines.analyzers.sources import Source
from pipelines.analyzers.tools import Tools
from pipelines.analyzers.vanished import gone_of, why_gone
from pipelines.errors import StashSenseError, StashUnauthorized, StashUnreachable, StoreError
from pipelines.jobs import JobContext
from pipelines.scan_listing import run_loop_stoppable
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.library import StashLibrary
from pipelines.store.analyzers import AnalyzerRun, AnalyzerState, AnalyzerStore
from pipelines.store.findings import Tally, parts
from pipelines.store.recommendations import Finding, RecommendationStore
from pipelines.store.sql import Store, open_store

LibraryOpener = Callable[[Settings], AbstractAsyncContextManager[StashLibrary]]
Progress = Callable[[int, int | None, dict[str, int]], None]
ENDING = (StashUnreachable, StashUnauthorized, StoreError)
"""Errors that end a run: nothing else would go better."""
MOST_MISSED = 2000
"""Things that a run asks Stash about to say why their findings close; where it missed more, something else happened."""


@dataclass(slots=True)
class AnalysisReport:
    """What a run did.

    Attributes:
        full: everything was put up for evaluation.
        planned: subjects that this run found to be new or changed.
        evaluated: subjects, those that failed not counted.
        failed: subjects that are tried again; `errors` are some of the reasons.
        worked, waiting: what a bounded run did of its costly work, and what it left to the next one.
        findings: what became of what was found.
        stopped: it was asked to end before everything was done.
    """

    run_id: int
    full: bool
    planned: int = 0
    evaluated: int = 0
    failed: int = 0
    worked: int = 0
    waiting: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    findings: Tally = field(default_factory=Tally)
    stopped: bool = False

    def counts(self) -> dict[str, int]:
        """Returns the numbers by what they count."""
        return {
            "planned": self.planned,
            "evaluated": self.evaluated,
            "failed": self.failed,
            "worked": self.worked,
            "waiting": self.waiting,
            **asdict(self.findings),
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return {
            "run_id": self.run_id,
            "full": self.full,
            **self.counts(),
            "errors": self.errors,
            "stopped": self.stopped,
        }


def run_job(context: JobContext) -> dict[str, Any]:
    """Every job "analyze_<id>"; its parameters are an `AnalyzeRequest`."""
    kind = {f"analyze_{analyzer.id}": analyzer for analyzer in ANALYZERS}[context.type_id]
    report = analyze(
        context.settings,
        kind,
        full=context.params.full,
        on_progress=context.progress,
        should_stop=context.stop_requested,
    )
    return report.to_dict()


def analyze(
    settings: Settings,
    kind: type[BaseAnalyzer[Any, Any]],
    *,
    full: bool = False,
    library_opener: LibraryOpener | None = None,
    on_progress: Progress = lambda _done, _total, _counts: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> AnalysisReport:
    """Runs an analyzer over what has changed, or over everything; one run of a type at a time.

    Raises the StashError leaves once Stash stays away, StoreError leaves, and what the analyzer raises.
    """
    store = open_store(settings.store_url)
    try:
        analyzers = AnalyzerStore(store)
        run_id, cut_off = analyzers.begin(kind.id, full=full, logic_version=kind.logic_version)
        run = _Run(settings, kind(), store, AnalysisReport(run_id, full), on_progress, should_stop)
        try:
            _work(run, full=full, cut_off=cut_off, library_opener=library_opener or open_library)
        except BaseException as error:
            analyzers.end(run_id, "failed", run.report.counts(), str(error) or type(error).__name__)
            raise
        analyzers.end(run_id, "stopped" if run.report.stopped else "done", run.report.counts())
        return run.report
    finally:
        store.close()


def _work(run: _Run, *, full: bool, cut_off: AnalyzerRun | None, library_opener: LibraryOpener) -> None:
    async def work() -> None:
        async with library_opener(run.settings) as library:
            await run.go(library, full=full, cut_off=cut_off)

    if not run_loop_stoppable(work, run.should_stop, run.tell):
        run.report.stopped = True


class _Run:
    """One run; `go` is a coroutine of its own event loop, whatever blocks or computes is done in threads."""

    def __init__(
        self,
        settings: Settings,
        analyzer: BaseAnalyzer[Any, Any],
        store: Store,
        report: AnalysisReport,
        on_progress: Progress,
        should_stop: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self.report = report
        self.should_stop = should_stop
        self._on_progress = on_progress
        self._done: tuple[int, int | None] = (0, None)
        self._analyzer = analyzer
        self._store = store
        self._analyzers = AnalyzerStore(store)
        self._recommendations = RecommendationStore(store)

    def tell(self) -> None:
        """Reports how far the run is."""
        counts = self.report.counts()
        self._on_progress(*self._done, {name: number for name, number in counts.items() if number})

    async def go(self, library: StashLibrary, *, full: bool, cut_off: AnalyzerRun | None) -> None:
        """Plans and evaluates. A full run that was cut off after it had planned everything is gone on with."""
        analyzer = self._analyzer
        tools = Tools(self.settings, library, self._store, self.should_stop, self._told)
        state = await tools.in_thread(lambda: self._analyzers.state(analyzer.id))
        due = _reconciles(analyzer, state)
        self.report.full = full or due
        if due or (full and not _planned_by(cut_off, state)):
            changed = await self._plan_everything(tools, state)
        else:
            changed = await self._plan_changes(tools, state)
        if analyzer.whole:
            left_over = state is not None and state.unfinished
            new = changed or self.report.full
            scope = Scope(None, changed=new or not await tools.in_thread(self._before_was_complete))
            unfinished = await self._evaluate_whole(tools, scope) if new or left_over else False
        else:
            await self._evaluate_queue(tools)
            unfinished = False
        if self.should_stop():
            self.report.stopped = True
        else:
            await tools.in_thread(lambda: self._analyzers.completed(analyzer.id, unfinished=unfinished))
        self.tell()

    def _before_was_complete(self) -> bool:
        """Whether the run before this one went through everything that it had planned."""
        before = self._analyzers.runs(self._analyzer.id, limit=2)[1:]
        return bool(before) and before[0].state == "done"

    # --- what has to be evaluated

    async def _plan_everything(self, tools: Tools, state: AnalyzerState | None) -> bool:
        analyzer = self._analyzer
        marks: dict[str, Any] = dict(state.marks) if state else {}
        subjects: set[str] = set()
        for source in analyzer.reads:
            found = await source.everything(tools)
            marks[source.name] = found.mark
            if source is _subjects_of(analyzer):
                subjects = set(found.ids if found.worth is None else found.worth)
                subjects |= await self._close_vanished(tools, set(found.ids))
        await self._planned(tools, subjects, marks, everything=True)
        return True

    async def _close_vanished(self, tools: Tools, present: set[str]) -> set[str]:
        """Closes what is about things that are gone; returns those that are there and have recommendations."""
        kind = self._analyzer.target_type
        known = await tools.in_thread(lambda: self._recommendations.entities(self._analyzer.id, kind))
        await self._close_gone(tools, known - present)
        return known & present

    async def _close_gone(self, tools: Tools, gone: set[str]) -> None:
        own, kind = self._analyzer.id, self._analyzer.target_type
        if gone:
            reasons = await why_gone(tools, kind, gone)
            close = self._recommendations.close_gone
            self.report.findings.closed += await tools.in_thread(lambda: close(own, kind, reasons))

    async def _plan_changes(self, tools: Tools, state: AnalyzerState | None) -> bool:
        analyzer = self._analyzer
        marks: dict[str, Any] = dict(state.marks) if state else {}
        subjects: set[str] = set()
        changed = False
        for source in analyzer.reads:
            found = await source.changed(tools, marks.get(source.name, {}))
            marks[source.name] = found.mark
            changed = changed or bool(found.ids)
            if found.ids:
                subjects |= set(await analyzer.affected(tools, source.kind, found.ids))
        await self._planned(tools, subjects, marks, everything=False, unfinished=analyzer.whole and changed)
        return changed

    async def _planned(
        self,
        tools: Tools,
        subjects: set[str],
        marks: dict[str, Any],
        *,
        everything: bool,
        unfinished: bool = False,
    ) -> None:
        analyzer = self._analyzer
        self.report.planned = len(subjects)
        queued = set() if analyzer.whole else subjects
        await tools.in_thread(
            lambda: self._analyzers.plan(
                analyzer.id,
                queued,
                marks,
                logic_version=analyzer.logic_version,
                everything=everything,
                unfinished=unfinished or everything,
            )
        )

    # --- evaluating it

    async def _evaluate_queue(self, tools: Tools) -> None:
        analyzer = self._analyzer
        due = await tools.in_thread(lambda: self._analyzers.due(analyzer.id))
        self._done = (0, len(due))
        for part in parts(due, analyzer.chunk_size):
            if self.should_stop():
                return
            scope = Scope(tuple(part))
            tools.gone.clear()
            failed = await self._evaluate(tools, scope)
            if failed is None:
                return
            await self._close_gone(tools, set(tools.gone))
            await tools.in_thread(lambda: self._keep(scope.subjects or (), failed, set(tools.gone)))  # noqa: B023 - awaited here
            self._done = (self._done[0] + len(part), len(due))

    async def _evaluate_whole(self, tools: Tools, scope: Scope) -> bool:
        """Returns whether something was left over."""
        analyzer = self._analyzer
        failed = await self._evaluate(tools, scope)
        if failed is None:
            return True
        spare = (analyzer.target_type, sorted(failed)) if failed else None
        kind, missed = analyzer.target_type, self._recommendations.entities
        unseen = await tools.in_thread(lambda: missed(analyzer.id, kind, missed_by=self.report.run_id))
        if 0 < len(unseen - failed.keys()) <= MOST_MISSED:
            await self._close_gone(tools, await gone_of(tools, kind, unseen - failed.keys()))
        self.report.failed = len(failed)
        self.report.worked, self.report.waiting = tools.worked, tools.waiting
        self.report.errors = dict(list(failed.items())[:10])
        self.report.findings.closed += await tools.in_thread(
            lambda: self._recommendations.close_missing(analyzer.id, self.report.run_id, analyzer.closing, spare=spare)
        )
        return bool(failed)

    async def _evaluate(self, tools: Tools, scope: Scope) -> dict[str, str] | None:
        """Keeps what is found about a scope; returns what failed, with the reasons, or None when it was stopped."""
        failed: dict[str, str] = {}
        try:
            async for batch in self._analyzer.candidates(tools, scope):
                if self.should_stop():
                    return None
                sound = [c for c in batch if not isinstance(c, Failed)]
                _note(failed, (c for c in batch if isinstance(c, Failed)))
                scores = await tools.in_thread(lambda: self._analyzer.score(tools, sound))  # noqa: B023 - awaited here
                if self.should_stop() and len(scores) < len(sound):
                    return None
                _note(failed, (s for s in scores if isinstance(s, Failed)))
                found = [
                    self._analyzer.explain(candidate, score)
                    for candidate, score in zip(sound, scores, strict=True)
                    if score is not None and not isinstance(score, Failed)
                ]
                await tools.in_thread(lambda: self._found(found))  # noqa: B023 - awaited here
        except ENDING:
            raise
        except StashSenseError as error:
            if scope.subjects is None:
                raise
            failed |= dict.fromkeys(scope.subjects, str(error))
        return failed

    def _found(self, findings: Sequence[Finding]) -> None:
        analyzer = self._analyzer
        tally = self._recommendations.apply(
            analyzer.id, self.report.run_id, findings, logic_version=analyzer.logic_version
        )
        self.report.findings.add(tally)

    def _keep(self, subjects: Sequence[str], failed: dict[str, str], gone: set[str]) -> None:
        """Closes what was not found about subjects that exist, then takes all out of the queue."""
        analyzer, kind = self._analyzer, self._analyzer.target_type
        sound = [s for s in subjects if s not in failed and s not in gone]
        spare = (kind, sorted(failed)) if failed else None
        self.report.findings.closed += self._recommendations.close_missing(
            analyzer.id, self.report.run_id, analyzer.closing, about=(kind, sound), spare=spare
        )
        self._analyzers.evaluated(analyzer.id, subjects, {s: e for s, e in failed.items() if s not in gone})
        self.report.evaluated += len(subjects) - len(failed.keys() & set(subjects))
        self.report.failed += len(failed)
        self.report.errors.update(list(failed.items())[: max(0, 10 - len(self.report.errors))])

    def _told(self, done: int, total: int | None) -> None:
        self._done = (done, total)


def _reconciles(analyzer: BaseAnalyzer[Any, Any], state: AnalyzerState | None) -> bool:
    """Whether everything has to be evaluated, because it never was, or by other rules, or long ago."""
    if state is None or state.logic_version != analyzer.logic_version or state.reconciled_at is None:
        return True
    return datetime.now(UTC) - state.reconciled_at >= timedelta(days=analyzer.reconcile_days)


def _planned_by(run: AnalyzerRun | None, state: AnalyzerState | None) -> bool:
    """Whether this full run has put everything up for evaluation."""
    planned = None if state is None else state.reconciled_at
    return run is not None and run.full and planned is not None and planned >= run.started_at


def _subjects_of(analyzer: BaseAnalyzer[Any, Any]) -> Source | None:
    own = [source for source in analyzer.reads if source.kind == analyzer.target_type]
    if not own and not analyzer.whole:
        raise TypeError(f"{analyzer.id} reads nothing that knows all of its subjects ({analyzer.target_type})")
    return own[0] if own else None


def _note(failed: dict[str, str], failures: Iterable[Failed]) -> None:
    for one in failures:
        failed |= dict.fromkeys(one.subjects, one.error)
