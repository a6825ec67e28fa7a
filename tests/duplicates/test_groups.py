"""Groups: strong links join, chains of weak ones and clips do not, a proof of the opposite counts."""

from __future__ import annotations

import pytest

from pipelines.duplicates import groups
from pipelines.duplicates.groups import Edge, group_scenes

CASES = {
    "nothing": ([], []),
    "a pair": ([("7", "12", 0.9)], [{"7", "12"}]),
    "a weak pair": ([("7", "12", 0.6)], []),
    "all three": ([("1", "2", 0.95), ("2", "3", 0.95), ("1", "3", 0.9)], [{"1", "2", "3"}]),
    "three by strong links": ([("1", "2", 0.97), ("2", "3", 0.97)], [{"1", "2", "3"}]),
    "a chain of weak links": ([("1", "2", 0.8), ("2", "3", 0.79), ("3", "4", 0.8)], [{"1", "2"}, {"3", "4"}]),
    "the opposite is proven": ([("1", "2", 0.97), ("2", "3", 0.96), ("1", "3", 0.0)], [{"1", "2"}]),
    "two groups": ([("1", "2", 0.9), ("10", "9", 0.9), ("2", "9", 0.1)], [{"1", "2"}, {"9", "10"}]),
}


@pytest.mark.parametrize("case", CASES)
def test_groups(case):
    edges, wanted = CASES[case]
    found = group_scenes([Edge(*edge) for edge in edges])
    members: dict[str, set[str]] = {}
    for scene, group in found.items():
        members.setdefault(group, set()).add(scene)
    assert sorted(map(sorted, members.values())) == sorted(map(sorted, wanted))
    assert all(group == min(scenes, key=int) for group, scenes in members.items())


def test_many_copies_of_one_film_are_one_group():
    ids = [str(n) for n in range(1, 41)]
    found = group_scenes([Edge(a, b, 0.98) for i, a in enumerate(ids) for b in ids[:i]])
    assert set(found.values()) == {"1"}
    assert len(found) == 40


def test_what_hangs_together_beyond_measure_stays_pairs(monkeypatch):
    monkeypatch.setattr(groups, "LARGEST", 3)
    edges = [Edge(str(n), str(n + 1), 0.99) for n in range(1, 6)] + [Edge("20", "21", 0.9)]
    assert group_scenes(edges) == {"20": "20", "21": "20"}
