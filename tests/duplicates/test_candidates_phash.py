"""phash candidates: exactly what comparing all pairs gives, whatever the hashes are like; crowds are capped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.duplicates.candidates_phash import CROWD, GROUP_PARTNERS, phash_pairs
from pipelines.duplicates.hamming import near_pairs
from pipelines.duplicates.scene_table import SceneTable
from tests.duplicates.invented import names, scene


def all_near(table: SceneTable, most: int) -> dict[tuple[str, str], int]:
    """The pair loop."""
    found: dict[tuple[str, str], int] = {}
    for i in range(len(table.phash)):
        for j in range(i):
            a, b = sorted((int(table.phash_scene[i]), int(table.phash_scene[j])))
            far = (int(table.phash[i]) ^ int(table.phash[j])).bit_count()
            if a != b and far <= most:
                pair = table.ids[a], table.ids[b]
                found[pair] = min(far, found.get(pair, 64))
    return found


@settings(max_examples=60, deadline=None)
@given(
    bases=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    flips=st.lists(
        st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=14), st.integers(1, 12)), max_size=30
    ),
    most=st.sampled_from([0, 4, 10]),
)
def test_all_pairs_and_their_distances_are_found(bases, flips, most):
    files: dict[int, list[int]] = {}
    for base, bits, number in flips:
        files.setdefault(number, []).append(bases[base % len(bases)] ^ sum(1 << b for b in bits))
    table = SceneTable.of(scene(number, phashes=tuple(values)) for number, values in files.items())
    found = phash_pairs(table, most=most)
    wanted = all_near(table, most)
    assert found.capped == 0
    assert names(table, found.code) == set(wanted)
    distances = {
        (table.ids[c // len(table)], table.ids[c % len(table)]): d
        for c, d in zip(found.code, found.distance, strict=True)
    }
    assert distances == wanted


@pytest.mark.parametrize("threads", [1, 3])
def test_planted_pairs_among_many_are_found(threads):
    random = np.random.default_rng(5)
    hashes = random.integers(0, 2**64, 6000, dtype=np.uint64)
    planted = np.concatenate([hashes[:600] ^ _flips(random, 600, bits) for bits in (0, 1, 5, 10, 11)])
    values = np.unique(np.r_[hashes, planted])
    (row, column, far), crowded = near_pairs(values, 10, crowd=50, threads=threads)
    distance = np.bitwise_count(values[:, None] ^ values)
    wanted = np.nonzero(np.triu(distance <= 10, 1))
    assert crowded == 0
    assert (row.tolist(), column.tolist()) == (wanted[0].tolist(), wanted[1].tolist())
    assert (far == distance[wanted]).all()
    assert len(row) > 2000


def _flips(random: np.random.Generator, count: int, bits: int) -> np.ndarray:
    order = np.argsort(random.random((count, 64)), axis=1)[:, :bits].astype(np.uint64)
    return np.bitwise_or.reduce(np.uint64(1) << order, axis=1, initial=np.uint64(0))


def test_hashes_of_which_half_the_bits_are_always_equal_are_searched_exactly():
    random = np.random.default_rng(6)
    values = np.unique(random.integers(0, 2**20, 3000, dtype=np.uint64) | np.uint64(0xABCD << 40))
    (row, _, _), crowded = near_pairs(values, 3, crowd=10**6)
    assert crowded == 0
    assert len(row) == np.triu(np.bitwise_count(values[:, None] ^ values) <= 3, 1).sum()


def test_pairs_inside_one_scene_do_not_count_and_any_file_does():
    table = SceneTable.of([scene(1, phashes=(0, 1)), scene(12, phashes=(2**63, 3)), scene(7, phashes=(None,))])
    found = phash_pairs(table)
    assert names(table, found.code) == {("1", "12")}
    assert found.distance.tolist() == [1]


def test_a_crowd_with_one_phash_gives_few_pairs_the_nearest_in_length_and_says_so():
    many = 1500
    table = SceneTable.of(scene(n, phashes=(42,), duration_s=float(n % 750)) for n in range(1, many + 1))
    found = phash_pairs(table)
    assert len(found.code) <= many * GROUP_PARTNERS
    assert found.capped > 0
    assert {(str(n), str(n + 750)) for n in range(1, 751)} <= names(table, found.code)


def test_a_crowd_of_near_phashes_gives_few_pairs_and_says_so():
    random = np.random.default_rng(8)
    table = SceneTable.of(
        scene(n, phashes=(int(v),)) for n, v in enumerate(np.unique(random.integers(0, 2**12, 3000)).tolist(), 1)
    )
    found = phash_pairs(table)
    assert found.capped > 0
    assert len(found.code) <= len(table) * CROWD * 11


def test_nothing_gives_nothing():
    assert len(phash_pairs(SceneTable.of([])).code) == 0
    assert len(phash_pairs(SceneTable.of([scene(1)])).code) == 0
