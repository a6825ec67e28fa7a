"""Rows by universal id, against a dict."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.faces.id_rows import IdRows

IDS = st.text("abé:-0", max_size=4)


@given(
    st.lists(IDS, unique=True, max_size=20),
    st.lists(st.integers(0, 5), min_size=20, max_size=20),
    st.sets(st.integers(0, 5)),
)
def test_ids_are_found_like_in_a_dict(ids, rows, hidden):
    lists: list[list[str]] = [[] for _ in range(6)]
    for universal_id, row in zip(ids, rows, strict=False):
        lists[row].append(universal_id)
    known = {i: row for row, own in enumerate(lists) for i in own if row not in hidden}
    column = pa.chunked_array([lists[:2], lists[2:]], pa.list_(pa.string()))
    found = IdRows(column, hidden)
    assert dict(found) == known
    assert len(found) == len(known)
    for universal_id in [*ids, "", "zz", "a:"]:
        assert found.get(universal_id) == known.get(universal_id)
        assert (universal_id in found) == (universal_id in known)
    with pytest.raises(KeyError):
        found["not there"]
