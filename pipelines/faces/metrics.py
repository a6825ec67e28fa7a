"""Figures of open-set identification: thresholds, rates, equal error, intervals and tails. Arrays in, numbers out.

A search that found no face scores -inf: it is never a false alarm and always a miss.

- FPIR: share of the searches for people who are not enrolled that name somebody.
- TPIR: share of the searches for enrolled people that name the right one.
- EER: where as many impostor pairs are accepted as genuine pairs are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tail:
    """Exponential tail of impostor pair scores: P(score > t) = share * exp(-(t - start) / scale) for t >= start."""

    start: float
    scale: float
    share: float

    def threshold(self, gallery_size: int, fpir: float) -> float:
        """Returns the score that the best of that many impostors exceeds with probability `fpir`. Extrapolates."""
        pair_rate = -math.expm1(math.log1p(-fpir) / gallery_size)
        return self.start + self.scale * math.log(self.share / pair_rate)

    @property
    def per_decade(self) -> float:
        """How much the threshold rises for ten times as many people."""
        return self.scale * math.log(10)


def threshold_at_fpir(non_mated: F64, fpir: float, weights: F64 | None = None) -> float:
    """Returns the lowest score at or above which at most `fpir` of the non-mated searches lie.

    Args:
        non_mated: (n,) best score of each search for someone who is not enrolled, -inf where no face was found.
        fpir: allowed share, 0 to 1.
        weights: (n,) how often each search counts (bootstrap); once each when None.
    """
    weights = np.ones(len(non_mated)) if weights is None else weights
    order = np.argsort(-non_mated, kind="stable")
    scores, share = non_mated[order], np.cumsum(weights[order]) / max(weights.sum(), 1e-12)
    too_many = np.flatnonzero((share > fpir + 1e-12) & (weights[order] > 0))
    if not len(too_many):
        return float(scores[-1]) if len(scores) else math.inf
    worst = scores[too_many[0]]
    return float(np.nextafter(worst, math.inf)) if math.isfinite(worst) else float(np.finfo(np.float64).min)


def equal_error_rate(genuine: F64, impostor: F64) -> float:
    """Returns the EER (0..1) of finite genuine and impostor scores; nan when either is empty."""
    genuine, impostor = np.sort(genuine[np.isfinite(genuine)]), np.sort(impostor[np.isfinite(impostor)])
    if not len(genuine) or not len(impostor):
        return math.nan
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    refused = np.searchsorted(genuine, thresholds, side="left") / len(genuine)
    accepted = 1 - np.searchsorted(impostor, thresholds, side="left") / len(impostor)
    best = int(np.argmin(np.abs(refused - accepted)))
    return float((refused[best] + accepted[best]) / 2)


def fit_tail(impostor: F64, share: float = 0.01) -> Tail:
    """Fits an exponential to the impostor pair scores above their (1 - share) quantile (maximum likelihood).

    Raises ValueError with fewer than 10 scores in the tail.
    """
    impostor = impostor[np.isfinite(impostor)]
    start = float(np.quantile(impostor, 1 - share)) if len(impostor) else math.nan
    above = impostor[impostor > start]
    if len(above) < 10:
        raise ValueError(f"{len(above)} impostor scores in the tail, need at least 10")
    return Tail(start=start, scale=float(np.mean(above - start)), share=len(above) / len(impostor))


def fit_logistic(scores: F64, right: Bools, weights: F64) -> tuple[float, float]:
    """Returns (slope, intercept) of P(right) = 1 / (1 + exp(-(slope * score + intercept))).

    Weighted maximum likelihood. A ridge of 1e-3 on the standardised slope keeps it finite when the classes do
    not overlap.
    """
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    x, sign, weights = (scores - centre) / spread, np.where(right, 1.0, -1.0), weights / weights.sum()

    def loss(p: F64) -> float:
        return float(np.sum(weights * np.logaddexp(0, -sign * (p[0] * x + p[1]))) + 1e-3 * p[0] ** 2)

    slope, intercept = minimize(loss, np.zeros(2), method="BFGS").x
    return float(slope / spread), float(intercept - slope * centre / spread)


def bootstrap(groups: Rows, statistic: Callable[[F64], float], draws: int = 500, seed: int = 20261122) -> Interval:
    """Returns a figure with its 90 % interval, drawing whole groups (identities) with replacement.

    Args:
        groups: (n,) group number of each search, 0-based.
        statistic: given (n,) weights (how often each search counts), returns the figure.
    """
    rng, count = np.random.default_rng(seed), int(groups.max()) + 1
    values = [
        statistic(np.bincount(rng.integers(0, count, count), minlength=count)[groups].astype(np.float64))
        for _ in range(draws)
    ]
    low, high = np.nanquantile(values, [0.05, 0.95])
    return Interval(statistic(np.ones(len(groups))), float(low), float(high))
