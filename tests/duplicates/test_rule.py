from __future__ import annotations

import pytest

from pipelines.duplicates.calibration import MOST_REFUSED, duplicate_probability
from pipelines.duplicates.rule import Seen, decide
from pipelines.duplicates.types import Alignment, Proof

LONG = 1500.0


def _where(a: tuple[float, float], b: tuple[float, float]) -> Alignment:
    return Alignment(b[0] - a[0], 1.0, mirrored=False, a=a, b=b)


WHOLE = _where((0, LONG), (0, LONG))


@pytest.mark.parametrize(
    ("d", "r", "relation"),
    [
        (20, 0.95, "copy"),
        (0, None, "undecided"),
        (0, 0.1, "same_set"),
        (0, 0.45, "undecided"),
        (35, 0.5, "copy"),
        (88, 0.5, "copy"),
        (60, 0.49, "undecided"),
        (60, 0.39, "same_set"),
        (80, 0.39, "different"),
        (91, 0.99, "different"),
    ],
)
def test_distance_and_motion(d: float, r: float | None, relation: str) -> None:
    assert decide(Seen(d, r, 100, WHOLE), LONG, LONG).relation == relation


@pytest.mark.parametrize(
    ("a", "b", "durations", "relation"),
    [
        ((0, 1500), (0, 1500), (1500, 1500), "copy"),
        ((1, 1499), (2, 1500), (1500, 1502), "copy"),
        ((60, 1500), (0, 1440), (1500, 1440), "trim"),
        ((0, 1440), (0, 1440), (1500, 1440), "trim"),
        ((60, 1440), (0, 1380), (1500, 1380), "trim"),
        ((300, 340), (0, 40), (1500, 40), "clip"),
        ((300, 340), (500, 540), (1500, 700), "clip"),
        ((20, 1500), (45, 1525), (1500, 1525), "other_intro"),
        ((0, 1450), (0, 1450), (1500, 1480), "other_intro"),
        ((0, 30), (0, 30), (1500, 1500), "different"),
        ((1470, 1500), (870, 900), (1500, 900), "different"),
        ((0, 40), (0, 40), (1500, 60), "clip"),
    ],
)
def test_where_they_are_the_same_says_what_they_are(
    a: tuple[float, float], b: tuple[float, float], durations: tuple[float, float], relation: str
) -> None:
    assert decide(Seen(10, 0.95, a[1] - a[0], _where(a, b)), *durations).relation == relation


def test_where_nothing_moves_equal_pictures_are_no_proof() -> None:
    """A fixed camera in an empty room: two takes came to d = 0.5 over 76 of 110 s."""
    still = decide(Seen(0.5, None, LONG, WHOLE), LONG, LONG)
    assert still.relation == "undecided"
    assert duplicate_probability(still) <= MOST_REFUSED
    assert decide(Seen(0.5, 0.06, LONG, WHOLE), LONG, LONG).relation == "same_set"


def test_little_evidence_is_none() -> None:
    assert decide(Seen(5, 0.9, 19.5, WHOLE), LONG, LONG).relation == "different"
    assert decide(Seen(5, 0.9, 20, WHOLE), LONG, LONG).relation == "copy"
    clip = _where((100, 110), (0, 10))
    assert decide(Seen(20, 0.9, 9, clip), LONG, 10).relation == "clip"
    assert decide(Seen(20, 0.2, 9, clip), LONG, 10).relation == "undecided", "10 s are too little for another take"
    assert decide(Seen(20, None, 9, clip), LONG, 10).relation == "undecided"
    assert decide(Seen(36, 0.9, 9, clip), LONG, 10).relation == "undecided"
    assert decide(Seen(20, 0.9, 7, clip), LONG, 10).relation == "different"
    assert decide(Seen(20, 0.9, 100, None), LONG, LONG).relation == "different"


def test_probability_rises_with_evidence_and_is_low_for_what_the_rule_refuses() -> None:
    sure = duplicate_probability(Proof("copy", 8, 0.98, 100, WHOLE))
    unsure = duplicate_probability(Proof("copy", 80, 0.6, 20, WHOLE))
    assert sure > 0.99 > unsure > 0
    assert duplicate_probability(Proof("copy", 8, 0.5, 100, WHOLE)) < sure
    assert duplicate_probability(Proof("same_set", 20, 0.1, 100, WHOLE)) <= MOST_REFUSED
    assert duplicate_probability(Proof("undecided", 20, 0.99, 100, WHOLE)) == MOST_REFUSED
    assert duplicate_probability(Proof("different")) < 0.01
