"""How sure a proof is: the calibrated probability that two files are the same footage."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.duplicates.align import WINDOW_S
from pipelines.duplicates.rule import LEAST_R, SAME_SET_R
from pipelines.duplicates.types import Proof

F64 = npt.NDArray[np.float64]

WEIGHTS: tuple[float, ...] = (-0.73, -3.96, 4.1, 0.24)
"""Logistic regression (ridge 0.1) on the 140 copies and 627 other pairs of `python -m tests.bench duplicates`,
2026-11-26, which fits them again, on each half too, and prints what each finds in the other."""

MOST_REFUSED = 0.5
"""Of what the rule does not call a duplicate, whatever its numbers."""


def features(proof: Proof) -> F64:
    """Returns (4,): 1, distance, motion (as what cannot be told where there is none), evidence (logarithm)."""
    d = 128.0 if proof.d is None else proof.d
    r = SAME_SET_R if proof.r is None else proof.r
    evidence = np.log2(np.clip(proof.evidence_s, 5.0, 80.0) / WINDOW_S)
    return np.array([1.0, (d - 60.0) / 30.0, (r - LEAST_R) / 0.2, evidence])


def duplicate_probability(proof: Proof, weights: tuple[float, ...] = WEIGHTS) -> float:
    """Returns the probability, 0..1, that the pair of `proof` is a duplicate; 0.5 at most where the rule says no."""
    probability = float(1 / (1 + np.exp(-np.dot(features(proof), weights))))
    return probability if proof.duplicate else min(probability, MOST_REFUSED)
