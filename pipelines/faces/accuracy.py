"""Rates of identification: what the scores of `evaluate` amount to, by method, set of conditions and condition.

A method is a way to compare the same templates (a pack with other weights or without centring), or the same pack with
templates of another engine. Methods of one report share photos and conditions, so that their differences can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.faces.evaluate import Samples, Scores
from pipelines.faces.metrics import F64, Bools, Interval, Rows, bootstrap, equal_error_rate, fit_tail, threshold_at_fpir

BIG_GALLERIES = (300, 3_000, 10_000)
CURVE_FPIRS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class ConditionAccuracy:
    """Rates of one condition, 0..1, at the thresholds of its set; `strangers` are other faces found per picture."""

    name: str
    found: float
    rank1: float
    tpir_fpir1: float
    tpir_fpir5: float
    eer: float
    strangers: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Rates of one method over one set of conditions, 0..1, with one threshold for all of them.

    Attributes:
        conditions_set: `clean`, `single` (no combinations) or `hard` (single conditions and combinations).
        searches: mated searches, non-mated ones.
        eer: over pairs of faces that were found.
        threshold_fpir1, threshold_fpir5: scores.
        tpir_at_people: TPIR at FPIR 1 % in galleries of so many people, by extrapolating the impostor tail; empty
            where there are too few impostors.
        gain_fpir1: difference in `tpir_fpir1` to the first method on the same draws; None for the first.
        curve: TPIR at each of CURVE_FPIRS.
    """

    method: str
    conditions_set: str
    searches: tuple[int, int]
    rank1: Interval
    tpir_fpir1: Interval
    tpir_fpir5: Interval
    eer: float
    threshold_fpir1: float
    threshold_fpir5: float
    tpir_at_people: dict[int, float]
    gain_fpir1: Interval | None
    curve: tuple[float, ...]
    conditions: tuple[ConditionAccuracy, ...]


def accuracies(methods: Mapping[str, tuple[Samples, Scores]], draws: int = 500) -> list[Accuracy]:
    """Returns the rates of each method over each set of conditions, set by set, methods in their order.

    Args:
        methods: name to samples and their scores; the first is the baseline of `gain_fpir1`.
        draws: bootstrap draws behind each interval.
    """
    results = []
    for name, columns in _sets(next(iter(methods.values()))[0]).items():
        baseline: Searches | None = None
        for method, (samples, scores) in methods.items():
            searches = Searches(samples, scores, columns)
            results.append(_accuracy(method, name, searches, baseline, draws))
            baseline = baseline or searches
    return results


def _sets(samples: Samples) -> dict[str, Rows]:
    hard = np.array([c.hard for c in samples.conditions])
    single, everything = np.flatnonzero(~hard), np.arange(len(hard))
    name = "clean" if len(single) == 1 else "single"
    return {name: single} | ({"hard": everything} if hard.any() else {})


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """The searches of one method under some of the conditions; `columns` are rows of `samples.conditions`.

    Weights, where asked for, say how often each photo counts: (n,), one number for each photo of `samples`.
    """

    samples: Samples
    scores: Scores
    columns: Rows

    @property
    def enrolled(self) -> Bools:
        """(n,) whether the photo's person is enrolled."""
        return np.isin(self.samples.person, self.samples.enrolled_people)

    @property
    def mated(self) -> F64:
        """(m, c) scores of the own person."""
        return self.scores.mated[self.enrolled][:, self.columns]

    @property
    def right(self) -> Bools:
        """(m, c) whether the own person scores best; never where the face was lost."""
        return self.mated > self.scores.best_wrong[self.enrolled][:, self.columns]

    @property
    def non_mated(self) -> F64:
        """(n, c) best scores of searches for someone who is not there."""
        return self.scores.non_mated[:, self.columns]

    @property
    def impostors(self) -> F64:
        """(k,) scores of all pairs of different people."""
        scores = self.scores.impostors[:, self.columns].ravel()
        return scores[np.isfinite(scores)]

    def threshold(self, fpir: float, weights: F64 | None = None) -> float:
        each = None if weights is None else np.repeat(weights, len(self.columns))
        return threshold_at_fpir(self.non_mated.ravel(), fpir, each)

    def rank1(self, weights: F64) -> float:
        return _share(self.right, weights[self.enrolled])

    def tpir(self, fpir: float, weights: F64) -> float:
        return _share(self.right & (self.mated >= self.threshold(fpir, weights)), weights[self.enrolled])

    def tpir_above(self, threshold: float) -> float:
        return float((self.right & (self.mated >= threshold)).mean())

    def tpir_at_people(self, people: Sequence[int], fpir: float) -> dict[int, float]:
        """TPIR at that FPIR in galleries of those sizes, from the exponential tail of the impostor scores."""
        try:
            tail = fit_tail(self.impostors)
        except ValueError:
            return {}
        found = float(self.samples.found[:, self.columns].mean())
        return {n: self.tpir_above(tail.threshold(n, min(fpir / found, 0.5))) for n in people}


def _share(hits: Bools, weights: F64) -> float:
    return float((hits.mean(axis=1) * weights).sum() / max(weights.sum(), 1e-12))


def _accuracy(method: str, name: str, searches: Searches, baseline: Searches | None, draws: int) -> Accuracy:
    person = searches.samples.person
    thresholds = searches.threshold(0.01), searches.threshold(0.05)
    gain = None
    if baseline is not None:
        gain = bootstrap(person, lambda w: searches.tpir(0.01, w) - baseline.tpir(0.01, w), draws)
    return Accuracy(
        method=method,
        conditions_set=name,
        searches=(searches.mated.size, searches.non_mated.size),
        rank1=bootstrap(person, searches.rank1, draws),
        tpir_fpir1=bootstrap(person, lambda w: searches.tpir(0.01, w), draws),
        tpir_fpir5=bootstrap(person, lambda w: searches.tpir(0.05, w), draws),
        eer=equal_error_rate(searches.mated.ravel(), searches.impostors),
        threshold_fpir1=thresholds[0],
        threshold_fpir5=thresholds[1],
        tpir_at_people=searches.tpir_at_people(BIG_GALLERIES, 0.01),
        gain_fpir1=gain,
        curve=tuple(searches.tpir_above(searches.threshold(fpir)) for fpir in CURVE_FPIRS),
        conditions=tuple(_condition(searches, int(c), thresholds) for c in searches.columns),
    )


def _condition(searches: Searches, column: int, thresholds: tuple[float, float]) -> ConditionAccuracy:
    samples = searches.samples
    one = Searches(samples, searches.scores, np.array([column]))
    return ConditionAccuracy(
        name=samples.conditions[column].name,
        found=float(samples.found[:, column].mean()),
        rank1=float(one.right.mean()),
        tpir_fpir1=one.tpir_above(thresholds[0]),
        tpir_fpir5=one.tpir_above(thresholds[1]),
        eer=equal_error_rate(one.mated.ravel(), one.impostors),
        strangers=float(samples.strangers[:, column].mean()),
    )
