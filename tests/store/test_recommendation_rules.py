"""The rules of identity, dismissal and resolution: any order of events against a plain model, on both databases.

The model holds one object a finding and says in a few lines what each event means; the store does the same to whole
sets of rows in SQL. After every event both must agree on every recommendation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete

from pipelines.errors import RecommendationUnknown
from pipelines.store.findings import dismissed, reopen, resolve
from pipelines.store.recommendation_records import DismissalMode, Finding, RecommendationFilter
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.schema import RecommendationRow
from pipelines.store.sql import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TARGETS = ("1", "1:2", "2:3")
Key = tuple[str, str]
RULES = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
_types = count()
_keys = st.tuples(st.sampled_from(TARGETS), st.sampled_from("ab"))
_found = st.dictionaries(_keys, st.tuples(st.sampled_from("xy"), st.sampled_from((10.0, 90.0))), max_size=6)
_chosen = st.sets(_keys, min_size=1, max_size=4)
_modes: Any = st.sampled_from(("until_changed", "forever"))


@dataclass
class Model:
    """One finding as somebody would keep it in a notebook."""

    evidence: str
    confidence: float
    status: str = "pending"
    found: bool = True
    action_id: int | None = None
    dismissals: list[tuple[str, DismissalMode, str]] = field(default_factory=list)

    @property
    def stays_away(self) -> bool:
        """The newest word is for ever, or this very state was dismissed before."""
        if not self.dismissals:
            return False
        same = any(mode == "until_changed" and seen == self.evidence for _, mode, seen in self.dismissals)
        return self.dismissals[-1][1] == "forever" or same

    @property
    def unsettled(self) -> str:
        return "dismissed" if self.stays_away else "pending"

    def see(self, evidence: str, confidence: float) -> None:
        had_gone, changed = not self.found, evidence != self.evidence
        self.evidence, self.confidence, self.found = evidence, confidence, True
        if self.status != "resolved" or had_gone or changed:
            self.status, self.action_id = self.unsettled, None

    def miss(self) -> None:
        self.found = False
        if self.status != "resolved":
            self.status = "closed"


class Rules(RuleBasedStateMachine):
    """Events in any order."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.kept = RecommendationStore(self.store)
        self.type_id = f"type_{next(_types)}"
        self.models: dict[Key, Model] = {}
        self.ids: dict[Key, int] = {}
        self.batches: list[str] = []
        self.run = 0

    @initialize(found=_found)
    def first_run(self, found: dict[Key, tuple[str, float]]) -> None:
        self.full_run(found)

    @rule(found=_found)
    def full_run(self, found: dict[Key, tuple[str, float]]) -> None:
        """Everything is evaluated: what is not found is gone."""
        self._evaluate(found, lambda _: True, about=None)

    @rule(found=_found, scope=st.sets(st.sampled_from("123"), min_size=1))
    def run_over_some(self, found: dict[Key, tuple[str, float]], scope: set[str]) -> None:
        """Some scenes are evaluated: only what is about these can be found or be gone."""

        def inside(key: Key) -> bool:
            return bool(scope & set(key[0].split(":")))

        self._evaluate({k: v for k, v in found.items() if inside(k)}, inside, about=("scene", sorted(scope)))

    @rule(found=_found)
    def run_that_is_cut_off(self, found: dict[Key, tuple[str, float]]) -> None:
        """What was found by then is kept; nothing is closed."""
        self._evaluate(found, lambda _: False, about=("scene", []))

    @rule(chosen=_chosen, mode=_modes)
    def dismiss(self, chosen: set[Key], mode: DismissalMode) -> None:
        self._dismissed([key for key in chosen if key in self.ids], mode, by_filter=False)

    @rule(mode=_modes)
    def dismiss_all_that_is_pending(self, mode: DismissalMode) -> None:
        pending = [key for key, one in self.models.items() if one.status == "pending"]
        self._dismissed(pending, mode, by_filter=True)

    @rule(number=st.integers(0, 100))
    def undo_a_dismissal(self, number: int) -> None:
        if not self.batches:
            return
        batch = self.batches.pop(number % len(self.batches))
        changed = self.kept.restore_batch(batch).changed
        with pytest.raises(RecommendationUnknown):
            self.kept.restore_batch(batch)
        expected = 0
        for one in self.models.values():
            one.dismissals = [d for d in one.dismissals if d[0] != batch]
            if one.status == "dismissed" and not one.stays_away:
                one.status = "pending"
                expected += 1
        assert changed == expected

    @rule(chosen=_chosen)
    def restore(self, chosen: set[Key]) -> None:
        known = [key for key in chosen if key in self.ids]
        changed = self.kept.restore([self.ids[key] for key in known]).changed
        expected = 0
        for one in (self.models[key] for key in known):
            if one.status != "pending":
                one.dismissals = []
            if one.status in {"dismissed", "resolved"}:
                one.status, one.action_id = "pending", None
                expected += 1
        assert changed == expected

    @rule(key=_keys, action_id=st.integers(1, 3))
    def resolve(self, key: Key, action_id: int) -> None:
        if key not in self.ids:
            return
        with self.store.session() as session:
            resolve(session, self.ids[key], action_id, "Done.", NOW)
        one = self.models[key]
        if one.status != "resolved":
            one.status, one.action_id, one.dismissals = "resolved", action_id, []

    @rule(key=_keys)
    def undo_an_action(self, key: Key) -> None:
        own = self.models.get(key)
        if own is None or own.action_id is None:
            return
        action_id = own.action_id
        # The store numbers actions across all types; this machine uses 1 to 3 for its own rows only by type.
        expected = {k for k, one in self.models.items() if one.status == "resolved" and one.action_id == action_id}
        with self.store.session() as session:
            assert reopen(session, action_id, NOW) == len(expected)
        for k in expected:
            self.models[k].status, self.models[k].action_id = "pending", None

    @rule(scene=st.sampled_from("123"))
    def scene_is_gone(self, scene: str) -> None:
        self.kept.close_gone(self.type_id, "scene", {scene: f"scene {scene} is gone"})
        for key, one in self.models.items():
            if scene in key[0].split(":") and one.status != "closed":
                one.miss()

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        wanted = RecommendationFilter(types=(self.type_id,))
        found = self.kept.page(wanted, sort="oldest", limit=500)
        assert found.total == len(self.models) == len(found.recommendations)
        for one in found.recommendations:
            model = self.models[one.target_id, one.finding]
            assert (one.status, one.evidence, one.confidence, one.action_id) == (
                model.status,
                model.evidence,
                model.confidence,
                model.action_id,
            ), (one.target_id, one.finding)
            assert (one.dismissal is not None) == (one.status == "dismissed")
            assert bool(one.reason) == (one.status in {"closed", "resolved"})
            if one.dismissal is not None:
                assert one.dismissal.mode == model.dismissals[-1][1]
        counts = self.kept.counts().get(self.type_id, {})
        for status, number in counts.items():
            assert number == sum(model.status == status for model in self.models.values())

    def teardown(self) -> None:
        self.kept.restore(RecommendationFilter(types=(self.type_id,), statuses=("resolved",)))

    def _evaluate(
        self,
        found: dict[Key, tuple[str, float]],
        inside: Callable[[Key], bool],
        about: tuple[str, list[str]] | None,
    ) -> None:
        self.run += 1
        findings = [
            Finding("scene", target, finding, evidence, "Title", "Reasons.", confidence)
            for (target, finding), (evidence, confidence) in found.items()
        ]
        before = {key: one.status for key, one in self.models.items()}
        tally = self.kept.apply(self.type_id, self.run, findings)
        closed = self.kept.close_missing(self.type_id, self.run, "Gone.", about=about)
        for key, (evidence, confidence) in found.items():
            if key in self.models:
                self.models[key].see(evidence, confidence)
            else:
                self.models[key] = Model(evidence, confidence)
        missed = [key for key in self.models if inside(key) and key not in found]
        expected = sum(before[key] in {"pending", "dismissed"} for key in missed)
        for key in missed:
            self.models[key].miss()
        new = [key for key in found if key not in before]
        again = [key for key in found if before.get(key, "pending") != "pending" == self.models[key].status]
        assert (tally.new, tally.reopened, closed) == (len(new), len(again), expected)
        assert tally.new + tally.updated + tally.unchanged == len(found)
        everything = self.kept.page(RecommendationFilter(types=(self.type_id,)), limit=500).recommendations
        self.ids = {(one.target_id, one.finding): one.id for one in everything}

    def _dismissed(self, keys: list[Key], mode: DismissalMode, *, by_filter: bool) -> None:
        chosen: Any = RecommendationFilter(types=(self.type_id,)) if by_filter else [self.ids[k] for k in keys]
        done = self.kept.dismiss(chosen, mode, "Enough.")
        changing = [
            one
            for one in (self.models[key] for key in keys)
            if one.status == "pending" or (one.status == "dismissed" and one.dismissals[-1][1] != mode)
        ]
        assert (done.changed, done.batch is None) == (len(changing), not changing)
        for one in changing:
            one.status = "dismissed"
            one.dismissals.append((str(done.batch), mode, one.evidence))
        if done.batch:
            self.batches.append(done.batch)


def test_any_order_of_events(store: Store):
    run_state_machine_as_test(type("RulesHere", (Rules,), {"store": store}), settings=RULES)


def decided(store: Store, what: str) -> None:
    """Brings the only recommendation into a state, as somebody or a run would."""
    kept = RecommendationStore(store)
    (own,) = kept.ids(RecommendationFilter())
    match what:
        case "dismissed" | "dismissed for ever":
            kept.dismiss_one(own, "until_changed" if what == "dismissed" else "forever")
        case "resolved":
            with store.session() as session:
                resolve(session, own, 1, "Done.", NOW)
        case "closed":
            kept.close_missing("t", 2, "Gone.")
        case "resolved and gone" | "dismissed and closed" | "dismissed for ever and closed":
            decided(store, what.removesuffix(" and closed").removesuffix(" and gone"))
            kept.close_missing("t", 2, "Gone.")


TABLE = {
    # in this state            found the same   found changed    not found
    "pending": ("pending", "pending", "closed"),
    "dismissed": ("dismissed", "pending", "closed"),
    "dismissed for ever": ("dismissed", "dismissed", "closed"),
    "dismissed and closed": ("dismissed", "pending", "closed"),
    "dismissed for ever and closed": ("dismissed", "dismissed", "closed"),
    "closed": ("pending", "pending", "closed"),
    "resolved": ("resolved", "pending", "resolved"),
    "resolved and gone": ("pending", "pending", "resolved"),
}


@pytest.mark.parametrize("state", TABLE)
def test_the_table_of_states(store: Store, state: str):
    kept = RecommendationStore(store)
    outcomes = []
    for evidence in ("x", "y", None):
        with store.session() as session:
            session.execute(delete(RecommendationRow))
        kept.apply("t", 1, [Finding("scene", "1", "f", "x", "Title", "Reasons.", 50.0)])
        decided(store, state)
        if evidence is not None:
            kept.apply("t", 3, [Finding("scene", "1", "f", evidence, "Title", "Reasons.", 50.0)])
        kept.close_missing("t", 3, "Gone.")
        outcomes.append(kept.page().recommendations[0].status)
    assert tuple(outcomes) == TABLE[state]


@pytest.mark.parametrize(
    ("dismissals", "evidence", "away"),
    [
        ([], "x", False),
        ([("until_changed", "x")], "x", True),
        ([("until_changed", "x")], "y", False),
        ([("forever", "x")], "y", True),
        ([("until_changed", "x"), ("until_changed", "y")], "x", True),
        ([("until_changed", "x"), ("forever", "x")], "z", True),
        ([("forever", "x"), ("until_changed", "x")], "y", False),
    ],
)
def test_the_table_of_dismissals(dismissals: list[tuple[DismissalMode, str]], evidence: str, away: bool):
    assert dismissed(dismissals, evidence) is away
