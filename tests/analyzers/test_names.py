"""Names that are one name, and names that only look like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.analyzers.names import Called, agreement, folded

CALLED = st.builds(
    Called,
    name=st.text(max_size=12),
    aliases=st.lists(st.text(max_size=12), max_size=3).map(tuple),
    disambiguation=st.text(max_size=4),
)


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        (Called("Ann Berg"), Called("ann  BERG"), "name"),
        (Called("Zoë Müller"), Called("Zoe Muller"), "name"),
        (Called("Straße"), Called("STRASSE"), "name"),
        (Called("Ann Berg", ("Annie B.",)), Called("Annie B"), "alias"),
        (Called("Ann Berg", ("Annie",)), Called("Anna Hill", ("annie",)), "alias"),
        (Called("Jon Smith"), Called("Smith, John"), "similar"),
        (Called("Katherine"), Called("Katharine"), "similar"),
        (Called("Ann Berg"), Called("Eva Berg"), None),
        (Called("Ann"), Called("Anna"), None),
        (Called("Mia"), Called("Mya"), None),
        (Called("..."), Called("???"), None),
        (Called(""), Called(""), None),
    ],
)
def test_how_names_agree(one: Called, other: Called, how: str | None):
    found = agreement(one, other)
    assert (found.how if found else None) == how


def test_namesakes_are_told_apart():
    found = agreement(Called("Ann Berg", disambiguation="I"), Called("Ann Berg", disambiguation="II"))
    assert found is not None
    assert found.told_apart
    found = agreement(Called("Ann Berg", disambiguation="I"), Called("Ann Berg"))
    assert found is not None
    assert not found.told_apart


@given(CALLED, CALLED)
def test_agreement_is_symmetric_and_equal_names_agree(one: Called, other: Called):
    assert agreement(one, other) == agreement(other, one)
    assert (agreement(one, one) is not None) == any(folded(name) for name in (one.name, *one.aliases))
