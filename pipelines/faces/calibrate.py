"""Thresholds and confidence of a pack, from the scores of `evaluate`.

- accept score: where the exponential tail of the impostor scores says that at most ACCEPT_FPIR of the searches for a
  stranger name somebody, and never below the empirical threshold at that rate.
- score per decade: how much that threshold rises for ten times as many people, from the same tail.
- confidence: logistic fit of "the best candidate is the right person" over all searches, where a person who is looked
  for is enrolled or not with equal probability. The prior is a choice: in a library where most people are enrolled the
  true confidence is higher, and lower where few are.
"""

from __future__ import annotations

import math

import numpy as np

from pipelines.errors import InputError
from pipelines.faces.accuracy import Searches
from pipelines.faces.evaluate import Samples, Scores
from pipelines.faces.metrics import fit_logistic, fit_tail
from pipelines.faces.packs import Calibration

ACCEPT_FPIR = 0.002
"""Of the searches for someone who is not enrolled: "right answers before many answers". Over clean and degraded
pictures together, so that good pictures err far less."""
ENROLLED_SHARE = 0.5
"""Assumed share of the searches whose person is enrolled."""


def calibrate(samples: Samples, scores: Scores, *, same_person_score: float, provenance: str) -> Calibration:
    """Returns the calibration for the method that made `scores`, over all conditions of `samples`.

    Args:
        same_person_score: kept as it is: faces of one scene are another measurement.

    Raises:
        InputError: too few impostor scores to see a tail.
    """
    searches = Searches(samples, scores, np.arange(len(samples.conditions)))
    people = len(samples.enrolled_people)
    try:
        tail = fit_tail(searches.impostors)
    except ValueError as error:
        raise InputError(f"Too few photos for a calibration: {error}.", "Use more photos, and --degrade.") from error
    lost = 1 - float(samples.found.mean())
    accept = max(tail.threshold(people, ACCEPT_FPIR / (1 - lost)), searches.threshold(ACCEPT_FPIR))
    slope, intercept = _confidence(searches, accept)
    return Calibration(
        accept_score=_rounded_up(accept),
        gallery_size=people,
        score_per_decade=round(tail.per_decade, 4),
        same_person_score=same_person_score,
        slope=round(slope, 2),
        intercept=round(intercept, 2),
        provenance=provenance,
    )


def _confidence(searches: Searches, accept: float) -> tuple[float, float]:
    """Returns slope and intercept over score - accept; lost faces are no searches here, they have no score."""
    best = np.maximum(searches.mated, searches.scores.best_wrong[searches.enrolled][:, searches.columns]).ravel()
    right = searches.right.ravel()
    stranger = searches.non_mated.ravel()
    best, right = best[np.isfinite(best)], right[np.isfinite(best)]
    stranger = stranger[np.isfinite(stranger)]
    weights = np.concatenate(
        [np.full(len(best), ENROLLED_SHARE / len(best)), np.full(len(stranger), (1 - ENROLLED_SHARE) / len(stranger))]
    )
    everything = np.concatenate([best, stranger]) - accept
    return fit_logistic(everything, np.concatenate([right, np.zeros(len(stranger), np.bool_)]), weights)


def _rounded_up(score: float) -> float:
    return math.ceil(score * 1000) / 1000
