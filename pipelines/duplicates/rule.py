"""The rule: from distance, motion and the common part to what two files are to each other.

The pictures of other takes before one camera come as near as those of copies (d from 0 up), so a low distance proves
nothing: what proves is that the same moves. On two sets of `tests.bench.duplicates` all but 6 of 252 copies move alike
to more than .5; of 271 other takes with the same room, people, cuts or crops over 20 s all stay below .4 but one (.52),
which has an ending in common (2026-11-26). On a third set 28 of 36 copies did, and of 34 other takes none beyond .35.
Where nothing moves, pictures cannot tell takes apart, and the pair stays undecided.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.duplicates.align import WINDOW_S
from pipelines.duplicates.types import Alignment, Proof, Relation

MOST_D = 90.0
LEAST_R = 0.5
SURE_D = 35.0
"""For files shorter than a window, of which less than 20 s can be compared."""
SAME_SET_D = 75.0
SAME_SET_R = 0.4

EDGE_S, EDGE_SHARE = 4.0, 0.01
"""A common part that ends so near to the end of a file reaches it: 20 s are compared at once, so ends are blurred."""
INTRO_S = 60.0
"""An opening or an ending that two scenes of a studio share is at most so long (studio intros last 5 to 30 s)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured of a pair: as in `Proof`; `evidence_s` counts only what agrees."""

    d: float
    r: float | None
    evidence_s: float
    alignment: Alignment | None


def decide(seen: Seen, duration_a_s: float, duration_b_s: float) -> Proof:
    """Returns the proof of a pair that could be compared."""
    relation = _relation(seen, duration_a_s, duration_b_s)
    r = seen.r if seen.r is None else max(-1.0, min(1.0, seen.r))
    return Proof(relation, seen.d, r, seen.evidence_s, seen.alignment)


def _relation(seen: Seen, duration_a_s: float, duration_b_s: float) -> Relation:
    where = seen.alignment
    shorter_s = min(duration_a_s, duration_b_s)
    least_s = min(WINDOW_S, 0.8 * shorter_s)
    if where is None or seen.d > MOST_D or seen.evidence_s < least_s:
        return "different"
    if _shared_opening(where, duration_a_s, duration_b_s):
        return "different"
    if seen.r is None:
        return "undecided"
    if seen.r >= LEAST_R and (seen.d <= SURE_D or shorter_s >= WINDOW_S):
        return _kind(where, duration_a_s, duration_b_s)
    if seen.r >= SAME_SET_R or shorter_s < WINDOW_S:
        return "undecided"
    return "same_set" if seen.d <= SAME_SET_D else "different"


def _shared_opening(where: Alignment, duration_a_s: float, duration_b_s: float) -> bool:
    """Whether only the start of both, or the end of both, is the same: a studio's intro, not the scene."""
    length_s = where.a[1] - where.a[0]
    if length_s > INTRO_S or length_s >= 0.5 * min(duration_a_s, duration_b_s):
        return False
    at_start = max(where.a[0], where.b[0]) <= 10
    at_end = max(duration_a_s - where.a[1], duration_b_s - where.b[1]) <= 10
    return at_start or at_end


def _kind(where: Alignment, duration_a_s: float, duration_b_s: float) -> Relation:
    heads, tails, shares = [], [], []
    for span, duration_s in ((where.a, duration_a_s), (where.b, duration_b_s)):
        edge_s = max(EDGE_S, EDGE_SHARE * duration_s)
        heads.append(span[0] > edge_s)
        tails.append(duration_s - span[1] > edge_s)
        shares.append((span[1] - span[0]) / duration_s)
    if min(shares) < 0.5:
        return "clip"
    if all(heads) or all(tails):
        return "other_intro"
    return "trim" if any(heads) or any(tails) else "copy"
