"""Runs of analyzers against the fake Stash: what is evaluated when, what fails and is tried again, what closes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import update

from pipelines.analyzers.base import BaseAnalyzer, Failed, Scope
from pipelines.analyzers.scene_details import Details
from pipelines.analyzers.sources import OVERLAP, StashChanges, advance
from pipelines.analyzers.tools import Tools
from pipelines.errors import StashRejected, StashUnreachable
from pipelines.stash.records import Scene
from pipelines.stash.watermark import instant
from pipelines.store.analyzers import MAX_ATTEMPTS
from pipelines.store.recommendation_records import Finding
from pipelines.store.schema import AnalyzerRunRow, AnalyzerStateRow
from tests.analyzers.conftest import Home
from tests.fakes.stash import Library, generate_library

SCENES = 30
Make = Callable[[Library], Home]


class NoDetails(Details):
    """Nothing."""


class Unorganized(BaseAnalyzer[Scene, float]):
    """Scenes that are not organized; those named in `failing` cannot be evaluated."""

    id = "unorganized"
    title = "Scenes that are not organized"
    description = "Of the tests."
    target_type = "scene"
    reads = (StashChanges("scene"),)
    details = NoDetails
    chunk_size = 10
    failing: ClassVar[set[str]] = set()
    refused: ClassVar[set[str]] = set()
    evaluated: ClassVar[list[str]] = []

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[Scene | Failed]]:
        if self.refused & set(scope.subjects or ()):
            raise StashRejected("Stash refused the question.")
        async for scene in tools.scenes(scope):
            yield [scene]

    def score(self, tools: Tools, candidates: Sequence[Scene]) -> Sequence[float | Failed | None]:  # noqa: ARG002
        self.evaluated.extend(scene.id for scene in candidates)
        return [
            Failed((scene.id,), "cannot be read") if scene.id in self.failing else None if scene.organized else 80.0
            for scene in candidates
        ]

    def explain(self, candidate: Scene, score: float) -> Finding:
        return Finding("scene", candidate.id, "f", "e", candidate.title or "Untitled", "Not organized.", score)


class Everything(Unorganized):
    """The same, of all scenes at once."""

    id = "everything"
    whole = True


@pytest.fixture
def kind() -> type[Unorganized]:
    return type("Fresh", (Unorganized,), {"failing": set(), "refused": set(), "evaluated": []})


@pytest.fixture
def home(make_home: Make) -> Home:
    """30 scenes, none organized; the clock of Stash stands still far from their times."""
    library = generate_library(SCENES)
    for scene in library.scenes.values():
        scene.organized = False
    library.revision += 1
    return make_home(library)


def change(home: Home, scene_id: int, **values: Any) -> None:
    scene = home.library.scenes[scene_id]
    for name, value in values.items():
        setattr(scene, name, value)
    home.library.touch(scene)


def test_the_first_run_evaluates_everything_and_the_next_one_only_what_changed(home: Home, kind: type[Unorganized]):
    first = home.run(kind)
    assert (first.full, first.planned, first.evaluated, first.findings.new) == (True, SCENES, SCENES, SCENES)
    kind.evaluated.clear()
    change(home, 7, organized=True)
    second = home.run(kind)
    assert (second.full, second.findings.closed) == (False, 1)
    assert "7" in kind.evaluated
    assert len(kind.evaluated) <= 3
    assert home.statuses()["7"] == "closed"
    assert home.found(statuses=("closed",))[0].reason == kind.closing


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs follow each other as if seconds lay between them."""
    monkeypatch.setattr("pipelines.analyzers.sources.RESOLUTION", timedelta(0))


@pytest.mark.usefixtures("at_rest")
def test_a_run_without_changes_asks_stash_one_question(home: Home, kind: type[Unorganized]):
    home.run(kind)
    home.run(kind)
    kind.evaluated.clear()
    assert home.asked(lambda: home.run(kind)) == ["findScenes"]
    assert kind.evaluated == []


def test_local_edits_bring_a_finding_back_up_to_date(home: Home, kind: type[Unorganized]):
    home.run(kind)
    change(home, 4, title="A new name")
    report = home.run(kind)
    assert report.findings.updated == 1
    assert home.found(q="new name")[0].target_id == "4"


def test_two_changes_in_the_same_second_are_both_seen(home: Home, kind: type[Unorganized]):
    home.run(kind)
    now = home.library.now()
    home.library.clock = lambda: datetime.fromisoformat(now).timestamp()
    change(home, 5, organized=True)
    home.run(kind)
    assert home.statuses()["5"] == "closed"
    change(home, 5, organized=False)
    home.run(kind)
    assert home.statuses()["5"] == "pending"


def test_what_failed_is_tried_again_and_keeps_its_finding(home: Home, kind: type[Unorganized]):
    home.run(kind)
    kind.failing = {"3"}
    change(home, 3, organized=True)
    report = home.run(kind)
    assert (report.failed, report.errors) == (1, {"3": "cannot be read"})
    assert home.statuses()["3"] == "pending"
    assert home.analyzers.failures(kind.id) == {"3": (1, "cannot be read")}
    kind.failing = set()
    assert home.run(kind).findings.closed == 1
    assert home.analyzers.failures(kind.id) == {}


def test_what_always_fails_waits_for_the_next_full_run(home: Home, kind: type[Unorganized]):
    kind.failing = {"3"}
    for _ in range(MAX_ATTEMPTS + 1):
        home.run(kind)
    kind.evaluated.clear()
    home.run(kind)
    assert "3" not in kind.evaluated
    kind.failing = set()
    assert home.run(kind, full=True).findings.new == 1


def test_a_question_that_stash_refuses_fails_its_chunk_and_not_the_run(home: Home, kind: type[Unorganized]):
    kind.refused = {"12"}
    report = home.run(kind)
    assert (report.evaluated, report.failed) == (SCENES - kind.chunk_size, kind.chunk_size)
    kind.refused = set()
    assert home.run(kind).findings.new == kind.chunk_size
    assert len(home.found()) == SCENES


def test_a_stash_that_stays_away_loses_no_change(home: Home, kind: type[Unorganized]):
    home.run(kind)
    change(home, 9, organized=True)
    home.stash.knobs.refuse = True
    with pytest.raises(StashUnreachable):
        home.run(kind)
    home.stash.knobs.refuse = False
    assert home.analyzers.runs(kind.id)[0].state == "failed"
    home.run(kind)
    assert home.statuses()["9"] == "closed"


def test_a_change_that_was_planned_survives_a_stash_that_goes_away(home: Home, kind: type[Unorganized]):
    home.run(kind)
    change(home, 9, organized=True)

    class Cut(kind):  # type: ignore[misc, valid-type]
        async def candidates(self, *_: Any) -> AsyncIterator[Sequence[Scene | Failed]]:
            raise StashUnreachable("Gone in the middle.")
            yield []

    with pytest.raises(StashUnreachable):
        home.run(Cut)
    home.run(kind)
    assert home.statuses()["9"] == "closed"


def test_a_reconcile_finds_what_was_removed_and_what_no_time_tells(home: Home, kind: type[Unorganized]):
    home.run(kind)
    home.library.vanish([2])
    home.library.scenes[6].organized = True  # as a plugin that writes the database itself
    home.library.revision += 1
    home.run(kind)
    assert (home.statuses()["2"], home.statuses()["6"]) == ("pending", "pending")
    with home.store.session() as session:
        week_ago = datetime.now().astimezone() - timedelta(days=kind.reconcile_days, seconds=1)
        session.execute(update(AnalyzerStateRow).values(reconciled_at=week_ago))
    report = home.run(kind)
    assert (report.full, report.findings.closed) == (True, 2)
    reasons = {one.target_id: one.reason for one in home.found(statuses=("closed",))}
    assert "2 is not in Stash any more" in reasons["2"]
    assert reasons["6"] == kind.closing


def test_a_scene_that_goes_while_it_waits_closes_with_that_reason(home: Home, kind: type[Unorganized]):
    home.run(kind)
    kind.failing = {"8"}
    change(home, 8, title="x")
    home.run(kind)
    home.library.vanish([8])
    home.run(kind)
    assert "not in Stash any more" in home.found(target_id="8")[0].reason
    assert home.analyzers.failures(kind.id) == {}


def test_another_logic_version_evaluates_everything_and_closes_what_it_does_not_find(
    home: Home, kind: type[Unorganized]
):
    home.run(kind)
    keep = home.found(target_id="1")[0].id
    home.recommendations.dismiss_one(keep, "until_changed")

    class Stricter(kind):  # type: ignore[misc, valid-type]
        logic_version = 2

        def score(self, tools: Tools, candidates: Sequence[Scene]) -> Sequence[float | Failed | None]:  # noqa: ARG002
            return [90.0 if int(scene.id) <= 10 else None for scene in candidates]

    report = home.run(Stricter)
    assert (report.full, report.findings.new, report.findings.closed) == (True, 0, SCENES - 10)
    assert {one.logic_version for one in home.found(statuses=("pending",))} == {2}
    assert home.recommendations.get(keep).status == "dismissed"
    assert not home.run(Stricter).full


def test_a_run_that_is_stopped_goes_on_where_it_was(home: Home, kind: type[Unorganized]):
    seen: list[str] = kind.evaluated
    report = home.run(kind, should_stop=lambda: len(seen) >= 15)
    assert report.stopped
    assert home.analyzers.runs(kind.id)[0].state == "stopped"
    done = set(seen)
    seen.clear()
    second = home.run(kind)
    assert not second.full
    assert len(done & set(seen)) <= kind.chunk_size
    assert done | set(seen) == {str(n) for n in range(1, SCENES + 1)}
    assert len(home.found()) == SCENES


def test_a_full_run_that_is_cut_off_is_gone_on_with(home: Home, kind: type[Unorganized]):
    home.run(kind)

    class Killed(kind):  # type: ignore[misc, valid-type]
        def explain(self, candidate: Scene, score: float) -> Finding:
            if candidate.id == "15":
                raise MemoryError
            return super().explain(candidate, score)

    with pytest.raises(MemoryError):
        home.run(Killed, full=True)
    with home.store.session() as session:  # a process that is killed cannot write down how it ended
        session.execute(update(AnalyzerRunRow).where(AnalyzerRunRow.state == "failed").values(state="running"))
    kind.evaluated.clear()
    report = home.run(kind, full=True)
    assert report.full
    assert set(kind.evaluated) == {str(n) for n in range(11, SCENES + 1)}
    assert [run.state for run in home.analyzers.runs(kind.id)][:2] == ["done", "failed"]


def test_progress_is_told(home: Home, kind: type[Unorganized]):
    told: list[tuple[int, int | None, dict[str, int]]] = []
    home.run(kind, on_progress=lambda *now: told.append(now))
    assert told[-1][:2] == (SCENES, SCENES)
    assert told[-1][2]["new"] == SCENES


@pytest.fixture
def whole() -> type[Everything]:
    return type("FreshWhole", (Everything,), {"failing": set(), "refused": set(), "evaluated": []})


@pytest.mark.usefixtures("at_rest")
def test_an_analyzer_of_everything_runs_when_something_changed(home: Home, whole: type[Everything]):
    assert home.run(whole).findings.new == SCENES
    home.run(whole)
    whole.evaluated.clear()
    home.run(whole)
    assert whole.evaluated == []
    change(home, 3, organized=True)
    report = home.run(whole)
    assert (report.findings.closed, home.statuses()["3"]) == (1, "closed")


def test_an_analyzer_of_everything_spares_what_failed_and_comes_back_to_it(home: Home, whole: type[Everything]):
    home.run(whole)
    whole.failing = {"3"}
    change(home, 3, organized=True)
    report = home.run(whole)
    assert (report.failed, home.statuses()["3"]) == (1, "pending")
    whole.failing = set()
    home.run(whole)
    assert home.statuses()["3"] == "closed"


def test_an_analyzer_of_everything_that_is_stopped_closes_nothing(home: Home, whole: type[Everything]):
    home.run(whole)
    for scene_id in range(1, 6):
        change(home, scene_id, organized=True)
    whole.evaluated.clear()
    assert home.run(whole, should_stop=lambda: len(whole.evaluated) >= 4).stopped
    assert set(home.statuses().values()) == {"pending"}
    home.run(whole)
    assert sorted(t for t, status in home.statuses().items() if status == "closed") == ["1", "2", "3", "4", "5"]


def test_marks_remember_what_lies_within_the_overlap():
    at = [f"2026-03-29T0{hour}:30:00+01:00" for hour in range(6)]
    first = advance({}, [("1", at[0]), ("2", at[2]), ("3", at[3])], instant, OVERLAP)
    assert set(first.ids) == {"1", "2", "3"}
    assert (first.mark["at"], set(first.mark["seen"])) == (at[3], {"2", "3"})
    again = advance(first.mark, [("2", at[2]), ("3", at[3])], instant, OVERLAP)
    assert again.ids == ["3"]  # the newest may have changed again in the same second
    later = datetime.fromisoformat(again.mark["read_at"]) + timedelta(seconds=3)
    sure = advance(again.mark, [("3", at[3])], instant, OVERLAP, later)
    assert advance(sure.mark, [("3", at[3])], instant, OVERLAP, later).ids == []
    assert advance(sure.mark, [("3", at[4])], instant, OVERLAP, later).ids == ["3"]


def test_marks_of_nothing():
    assert advance({}, [], instant, OVERLAP).mark == {}


def test_a_second_analyzer_does_not_touch_the_first(home: Home, kind: type[Unorganized]):
    home.run(kind)
    other = type("Other", (kind,), {"id": "other"})
    change(home, 1, organized=True)
    home.run(other)
    counts = home.recommendations.counts()
    assert counts[kind.id]["pending"] == SCENES
    assert counts["other"]["pending"] == SCENES - 1
