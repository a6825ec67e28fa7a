"""How sure it is that two scenes are duplicates, 0 to 100, and why in words.

Three cases: an equal stash-box entry is 100; what the pictures proved has the calibrated probability of its proof;
where nothing could be proven the confidence stays below 50, whatever Stash's metadata or phash say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.duplicates.candidates import Signals
from pipelines.duplicates.types import Proof

ScoredRelation = Literal["copy", "trim", "clip", "other_intro", "same_stash_id", "unproven"]

SAME_ID = 100.0
MOST_PROVEN = 99.0
MOST_UNPROVEN = 49.0
LEAST_SHOWN = 25.0
"""Below this nothing is shown: metadata alone gave 143,000 pairs of 24,000 scenes in the old system."""
PHASH_UNPROVEN = 40.0
PHASH_A_BIT = 3.0
VOTES_UNPROVEN, A_VOTE, MOST_VOTED = 10.0, 3.0, 40.0
STUDIO_DATE_UNPROVEN, CAST_DURATION_UNPROVEN = 10.0, 15.0
"""Ranks, not probabilities: their order is that of the recall and precision measured for each signal (2026-11-22)."""


@dataclass(frozen=True, slots=True)
class Score:
    """How sure it is, 0..100, what the scenes are to each other, and why, the strongest reason first."""

    confidence: float
    relation: ScoredRelation
    reasons: tuple[str, ...]


def score_pair(signals: Signals, proof: Proof | None, probability: float | None) -> Score | None:
    """Returns the score of a pair; None where the pictures say that it is none, or too little speaks for it.

    Args:
        proof: None where no pictures were looked at.
        probability: calibrated, of the proof that it is a duplicate, 0..1; None without a proof.
    """
    reasons = [*_said_by_proof(proof), *_said_by_signals(signals)]
    if signals.stash_id:
        relation: ScoredRelation = "same_stash_id"
        if proof is not None and proof.duplicate:
            relation = proof.relation  # type: ignore[assignment]  # a duplicate's relation is one of these
        return Score(SAME_ID, relation, ("Both are linked to the same entry of a stash-box.", *reasons))
    if proof is not None and proof.duplicate and probability is not None:
        confidence = min(MOST_PROVEN, 100.0 * probability)
        return Score(round(confidence, 1), proof.relation, tuple(reasons))  # type: ignore[arg-type]  # as above
    if proof is not None and proof.relation != "undecided":
        return None
    confidence = _unproven(signals)
    if confidence < LEAST_SHOWN:
        return None
    return Score(round(confidence, 1), "unproven", (_why_unproven(proof), *reasons))


def _why_unproven(proof: Proof | None) -> str:
    if proof is None:
        return "The pictures were not compared yet."
    if proof.failure:
        return "The pictures could not be compared."
    return "Nothing is proven: the pictures were compared, and too little of them tells these scenes apart or together."


def reasons_of(signals: Signals, proof: Proof) -> tuple[str, ...]:
    """Returns in sentences what was measured of a pair, what the pictures say first."""
    return (*_said_by_proof(proof), *_said_by_signals(signals))


def _unproven(signals: Signals) -> float:
    distance = signals.phash_distance
    content = max(
        0.0 if distance is None else PHASH_UNPROVEN - PHASH_A_BIT * distance,
        min(MOST_VOTED, VOTES_UNPROVEN + A_VOTE * signals.frame_votes) if signals.frame_votes else 0.0,
    )
    metadata = STUDIO_DATE_UNPROVEN * signals.studio_date + CAST_DURATION_UNPROVEN * signals.cast_duration
    faces = 5.0 * (signals.faces_jaccard or 0.0)
    return min(MOST_UNPROVEN, content + metadata + faces)


def _said_by_proof(proof: Proof | None) -> list[str]:
    if proof is None:
        return []
    if proof.failure:
        return [f"A file could not be read: {proof.failure}."]
    reasons = []
    where = proof.alignment
    if proof.duplicate and where is not None:
        mirrored = ", mirrored" if where.mirrored else ""
        a, b = (f"{clock(start)} to {clock(end)}" for start, end in (where.a, where.b))
        reasons.append(f"{_RELATIONS[proof.relation]}: {a} of the first is {b} of the second{mirrored}.")
        if abs(where.speed - 1) > 0.005:
            reasons.append(f"The second runs at {1 / where.speed:.3f} times the speed of the first.")
    if proof.d is not None:
        moved = "" if proof.r is None else f", and their motion agrees to {max(0.0, proof.r):.0%}"
        reasons.append(
            f"Over {proof.evidence_s:.0f} s, frames differ in {proof.d:.0f} of 256 bits of PDQ on average{moved}."
        )
    return reasons


_RELATIONS = {
    "copy": "The same footage from start to end",
    "trim": "The same footage, one of them cut at an end",
    "clip": "One is a part of the other",
    "other_intro": "The same footage with another opening or ending",
}


def _said_by_signals(signals: Signals) -> list[str]:
    reasons = []
    if signals.phash_distance is not None:
        bits = signals.phash_distance
        reasons.append("Stash's phash is equal." if not bits else f"Stash's phash differs in {bits} of 64 bits.")
    if signals.frame_votes:
        many = f"{signals.frame_votes} scanned frames agree on one time offset."
        reasons.append(many if signals.frame_votes > 1 else "A scanned frame of one comes near to one of the other.")
    if signals.studio_date:
        reasons.append("Same studio, a shared performer and a near date.")
    if signals.cast_duration:
        reasons.append("Same performers and the same length.")
    if signals.faces_jaccard:
        reasons.append(f"{signals.faces_jaccard:.0%} of the people recognised are in both.")
    return reasons


def clock(time_s: float) -> str:
    """Returns a time for people, such as 1:02:03."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
