"""Rates, thresholds, intervals and tails against cases with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from pipelines.faces.metrics import Tail, bootstrap, equal_error_rate, fit_logistic, fit_tail, threshold_at_fpir

SCORES = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1, 1))


def test_threshold_lets_the_allowed_share_of_searches_pass() -> None:
    scores = np.arange(100) / 100
    assert (scores >= threshold_at_fpir(scores, 0.05)).sum() == 5
    assert (scores >= threshold_at_fpir(scores, 0.0)).sum() == 0
    assert (scores >= threshold_at_fpir(scores, 1.0)).all()


@given(scores=SCORES, fpir=st.floats(0, 1))
def test_threshold_never_exceeds_the_fpir_and_is_the_lowest_that_does_not(scores: np.ndarray, fpir: float) -> None:
    threshold = threshold_at_fpir(scores, fpir)
    assert (scores >= threshold).mean() <= fpir + 1e-9
    lower = scores[scores < threshold]
    if len(lower):
        assert (scores >= lower.max()).mean() > fpir


def test_lost_faces_count_as_searches_but_never_as_alarms() -> None:
    scores = np.concatenate([np.linspace(0, 1, 10), np.full(90, -np.inf)])
    threshold = threshold_at_fpir(scores, 0.05)
    assert (scores >= threshold).sum() == 5
    assert math.isfinite(threshold_at_fpir(scores, 0.5))


@given(scores=SCORES, seed=st.integers(0, 10))
def test_weights_are_repetitions(scores: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 3, len(scores))
    weights[0] = 1
    expected = threshold_at_fpir(np.repeat(scores, weights), 0.1)
    weighted = threshold_at_fpir(scores, 0.1, weights.astype(float))
    np.testing.assert_array_equal(scores[weights > 0] >= weighted, scores[weights > 0] >= expected)


def test_equal_error_rate_of_two_normals() -> None:
    rng = np.random.default_rng(1)
    genuine, impostor = rng.normal(2, 1, 40_000), rng.normal(0, 1, 40_000)
    assert equal_error_rate(genuine, impostor) == pytest.approx(norm.sf(1), abs=0.003)


def test_equal_error_rate_of_separate_and_of_equal_scores() -> None:
    assert equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == 0
    assert equal_error_rate(np.array([0.1, 0.2]), np.array([0.8, 0.9])) == 1
    assert equal_error_rate(np.array([np.nan, -np.inf, 0.9]), np.array([0.1, np.nan])) == 0
    assert math.isnan(equal_error_rate(np.array([]), np.array([0.1])))


def test_the_tail_of_an_exponential_is_found_and_extrapolates() -> None:
    scores = np.random.default_rng(2).exponential(0.05, 200_000)
    tail = fit_tail(scores)
    assert tail.scale == pytest.approx(0.05, rel=0.05)
    best_of_300 = scores[: 600 * 300].reshape(600, 300).max(axis=1)
    assert (best_of_300 >= tail.threshold(300, 0.05)).mean() == pytest.approx(0.05, abs=0.03)
    assert tail.per_decade == pytest.approx(tail.threshold(10_000, 0.01) - tail.threshold(1_000, 0.01), abs=1e-4)


def test_a_tail_needs_scores() -> None:
    with pytest.raises(ValueError, match="need at least 10"):
        fit_tail(np.linspace(0, 1, 50))


def test_the_logistic_fit_finds_the_curve_that_made_the_data() -> None:
    rng = np.random.default_rng(3)
    scores = rng.uniform(-0.5, 1, 20_000)
    right = rng.uniform(size=20_000) < 1 / (1 + np.exp(-(8 * scores - 2)))
    slope, intercept = fit_logistic(scores, right, np.ones(20_000))
    assert slope == pytest.approx(8, rel=0.1)
    assert intercept == pytest.approx(-2, rel=0.15)


def test_the_logistic_fit_stays_finite_without_overlap() -> None:
    slope, intercept = fit_logistic(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]), np.ones(4))
    assert 0 < slope < 1_000
    assert math.isfinite(intercept)


def test_the_bootstrap_draws_people_not_searches() -> None:
    """Twenty equal searches of each of ten people are ten observations, not two hundred."""
    people = np.repeat(np.arange(10), 20)
    hits = (people % 2).astype(float)
    wide = bootstrap(people, lambda w: float((hits * w).sum() / w.sum()))
    narrow = bootstrap(np.arange(200), lambda w: float((hits * w).sum() / w.sum()))
    assert wide.value == narrow.value == 0.5
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    assert wide == bootstrap(people, lambda w: float((hits * w).sum() / w.sum()))


def test_a_tail_threshold_rises_with_the_gallery_and_falls_with_the_rate() -> None:
    tail = Tail(start=0.2, scale=0.04, share=0.01)
    assert tail.threshold(30, 0.01) < tail.threshold(300, 0.01) < tail.threshold(300, 0.001)
