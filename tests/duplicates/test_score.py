"""Scores: an equal stash-box entry, what pictures proved, and never 50 or more without pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.duplicates.candidates import Signals
from pipelines.duplicates.score import SAME_ID, clock, score_pair
from pipelines.duplicates.types import Alignment, Proof

WHERE = Alignment(-21.4, 1.0, True, (21.4, 600.0), (0.0, 578.6))
TRIM = Proof("trim", 14.0, 0.93, 578.0, WHERE)
ANY_SIGNALS = st.builds(
    Signals,
    phash_distance=st.none() | st.integers(0, 10),
    frame_votes=st.integers(0, 60),
    studio_date=st.booleans(),
    cast_duration=st.booleans(),
    faces_jaccard=st.none() | st.floats(0, 1),
)


@given(
    signals=ANY_SIGNALS, seen=st.sampled_from([None, Proof("undecided"), Proof("undecided", failure="media_empty: x")])
)
def test_without_pictures_confidence_stays_below_50(signals, seen):
    found = score_pair(signals, seen, 0.5 if seen else None)
    assert found is None or (found.confidence < 50 and found.relation == "unproven")


@given(signals=ANY_SIGNALS, relation=st.sampled_from(["different", "same_set"]))
def test_what_pictures_refuse_is_nothing_whatever_speaks_for_it(signals, relation):
    assert score_pair(signals, Proof(relation, 60.0, 0.3, 300.0, WHERE), 0.5) is None


@given(signals=ANY_SIGNALS)
def test_an_equal_stash_box_entry_is_certain_with_or_without_pictures(signals):
    linked = replace(signals, stash_id=True)
    for proof, relation in ((None, "same_stash_id"), (TRIM, "trim"), (Proof("different"), "same_stash_id")):
        found = score_pair(linked, proof, None if proof is None else 0.7)
        assert (found.confidence, found.relation) == (SAME_ID, relation)
        assert "stash-box" in found.reasons[0]


def test_a_proof_has_its_probability_and_its_reasons():
    signals = Signals(phash_distance=4, frame_votes=12, studio_date=True, faces_jaccard=0.5)
    found = score_pair(signals, TRIM, 0.937)
    assert (found.confidence, found.relation) == (93.7, "trim")
    said = " ".join(found.reasons)
    assert "0:21 to 10:00 of the first is 0:00 to 9:38 of the second, mirrored" in said
    assert "14 of 256 bits" in said
    assert "93%" in said
    assert "4 of 64 bits" in said
    assert score_pair(signals, TRIM, 1.0).confidence < 100


def test_little_shows_nothing_and_a_failure_says_why():
    assert score_pair(Signals(studio_date=True), None, None) is None
    failed = Proof("undecided", failure="media_corrupt: no picture")
    found = score_pair(Signals(phash_distance=0), failed, 0.5)
    assert any("media_corrupt" in reason for reason in found.reasons)


@pytest.mark.parametrize(("time_s", "said"), [(0, "0:00"), (75.9, "1:15"), (3723, "1:02:03")])
def test_times_for_people(time_s, said):
    assert clock(time_s) == said
