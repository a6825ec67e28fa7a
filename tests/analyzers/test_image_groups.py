"""Pairs and groups of similar hashes against comparing all with all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipelines.analyzers.image_groups as groups_module
from pipelines.analyzers.image_groups import ImageHashes, equal_pairs, groups_of, similar_pairs


def distances(pdq: np.ndarray) -> np.ndarray:
    bits = np.unpackbits(pdq, axis=1).astype(np.int64)
    return (bits[:, None, :] != bits[None, :, :]).sum(axis=2)


def library(seed: int, pictures: int, copies: int, flipped: int) -> ImageHashes:
    """Returns the hashes of pictures with copies of each whose hash differs in up to that many bits."""
    chance = np.random.default_rng(seed)
    bits = chance.integers(0, 2, (pictures, 256), dtype=np.uint8)
    phash = chance.integers(0, 2**64, pictures, dtype=np.uint64)
    rows = np.repeat(np.arange(pictures), copies)
    seen = bits[rows]
    for row in range(len(rows)):
        places = chance.choice(256, int(chance.integers(0, flipped + 1)), replace=False)
        seen[row, places] ^= 1
    quality = np.where(chance.random(len(rows)) < 0.1, 20, 90)
    return ImageHashes(phash[rows], np.packbits(seen, axis=1), quality)


def linked(pairs, rows: int) -> np.ndarray:
    """Returns which rows hang together."""
    labels = np.arange(rows)
    for _ in range(rows):
        for a, b in zip(pairs.first, pairs.second, strict=True):
            labels[a] = labels[b] = min(labels[a], labels[b])
    return labels


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), pictures=st.integers(1, 8), copies=st.integers(1, 5), flipped=st.integers(0, 7))
def test_near_hashes_are_all_found(seed, pictures, copies, flipped):
    """Copies differ in up to 14 bits, which the bands find for certain."""
    hashes = library(seed, pictures, copies, flipped)
    found = similar_pairs(hashes)
    assert found is not None
    all_distances = distances(hashes.pdq)
    clear = hashes.quality >= 50
    near = np.triu((all_distances <= 31) & clear[:, None] & clear[None, :], 1)
    assert all(near[a, b] for a, b in zip(found.first, found.second, strict=True))
    assert all_distances[found.first, found.second].tolist() == found.distance.tolist()
    assert len({*zip(found.first, found.second, strict=True)}) == len(found)
    truth = groups_module.Pairs(*np.nonzero(near), np.zeros(int(near.sum()), np.int64))
    assert linked(found, len(hashes)).tolist() == linked(truth, len(hashes)).tolist()


def test_pairs_come_in_parts_and_full_bands_are_left_out(monkeypatch):
    monkeypatch.setattr(groups_module, "_PAIRS_AT_ONCE", 3)
    hashes = library(5, 10, 4, 5)
    few = similar_pairs(hashes)
    monkeypatch.setattr(groups_module, "_PAIRS_AT_ONCE", 1 << 20)
    many = similar_pairs(hashes)
    assert few is not None
    assert many is not None
    assert [*zip(few.first, few.second, strict=True)] == [*zip(many.first, many.second, strict=True)]
    monkeypatch.setattr(groups_module, "FULLEST_BAND", 1)
    none = similar_pairs(hashes)
    assert none is not None
    assert set(none.distance.tolist()) <= {0}


def test_equal_hashes_are_a_chain_of_neighbours():
    hashes = ImageHashes(np.zeros(1000, np.uint64), np.ones((1000, 32), np.uint8), np.full(1000, 100))
    found = similar_pairs(hashes)
    assert found is not None
    assert len(found) == 999
    assert len(groups_of(found, np.zeros(1000), lambda _, others: np.ones(len(others), bool))) == 1


def test_nothing_and_stopping():
    none = ImageHashes(np.zeros(0, np.uint64), np.zeros((0, 32), np.uint8), np.zeros(0, np.int64))
    found = similar_pairs(none)
    assert found is not None
    assert len(found) == 0
    assert similar_pairs(library(1, 3, 3, 4), should_stop=lambda: True) is None
    assert groups_of(found, np.zeros(0), lambda *_: np.zeros(0, bool)) == []


def test_equal_values_are_pairs_and_none_is_equal_to_nothing():
    pairs = equal_pairs(np.array([3, -1, 3, 7, -1, 3]))
    assert {*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)} == {(0, 2), (2, 5)}


def test_everything_in_a_group_is_the_same_as_its_keeper():
    """0-1-2-3 is a chain; 1 is worth most and takes 0 and 2, 3 is left alone; 5 and 4 are a pair."""
    pairs = groups_module.Pairs(np.array([0, 1, 2, 4]), np.array([1, 2, 3, 5]), np.zeros(4, np.int64))
    worth = np.array([1, 9, 5, 4, 1, 2])
    same = {(1, 0), (1, 2), (2, 3), (5, 4)}
    found = groups_of(pairs, worth, lambda keeper, others: np.array([(keeper, int(o)) in same for o in others]))
    assert found == [[1, 0, 2], [5, 4]]


@pytest.mark.parametrize("seed", range(5))
def test_groups_do_not_depend_on_the_order_of_pairs(seed):
    hashes = library(seed, 8, 4, 12)
    pairs = similar_pairs(hashes)
    assert pairs is not None
    near = distances(hashes.pdq) <= 31
    worth = np.random.default_rng(seed).integers(0, 5, len(hashes))
    order = np.random.default_rng(seed).permutation(len(pairs))
    mixed = groups_module.Pairs(pairs.second[order], pairs.first[order], pairs.distance[order])
    one, other = (groups_of(p, worth, lambda k, o: near[k, o]) for p in (pairs, mixed))
    assert one == other
    for group in one:
        assert all(near[group[0], member] for member in group[1:])
