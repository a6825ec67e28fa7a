"""Average linkage of many vectors against scipy's, which holds all distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

import pipelines.faces.clusters as clusters_module
from pipelines.faces.clusters import average_linkage
from pipelines.faces.templates import unit


def people(seed: int, persons: int, each: int, strangers: int, spread: float, dimension: int = 32):
    """Returns unit vectors of persons seen several times and of strangers, in a random order, and whose they are."""
    chance = np.random.default_rng(seed)
    centres = unit(chance.normal(size=(persons, dimension)))
    noise = chance.normal(size=(persons * each, dimension)) / np.sqrt(dimension)
    seen = unit(np.repeat(centres, each, axis=0) + spread * noise.astype(np.float32))
    others = unit(chance.normal(size=(strangers, dimension)))
    labels = np.concatenate([np.repeat(np.arange(persons), each), persons + np.arange(strangers)])
    order = chance.permutation(len(labels))
    return np.concatenate([seen, others])[order], labels[order]


def all_at_once(vectors: np.ndarray, cut: float) -> np.ndarray:
    distances = 1.0 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform((distances + distances.T) / 2, checks=False), method="average")
    return fcluster(tree, 1.0 - cut, criterion="distance")


def groups(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    persons=st.integers(1, 6),
    each=st.integers(1, 12),
    strangers=st.integers(0, 20),
    spread=st.floats(0.2, 2.0),
    cut=st.floats(0.1, 0.8),
)
def test_the_groups_are_those_of_all_distances_at_once(seed, persons, each, strangers, spread, cut):
    vectors, _ = people(seed, persons, each, strangers, spread)
    if len(vectors) < 2:
        return
    labels = average_linkage(vectors, cut)
    assert labels is not None
    assert groups(labels) == groups(all_at_once(vectors, cut))
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(int(labels.max()) + 1)]
    assert first == sorted(first)


def test_planted_people_are_found_in_blocks(monkeypatch):
    monkeypatch.setattr(clusters_module, "PRODUCTS_AT_ONCE", 200_000)
    vectors, truth = people(1, 20, 10, 50, 0.6, dimension=128)
    labels = average_linkage(vectors, 0.5, threads=1)
    assert labels is not None
    assert groups(labels) == groups(truth)


def test_a_chain_of_similar_neighbours_is_not_one_person():
    angles = np.linspace(0, np.pi, 60)
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = average_linkage(chain, 0.8)
    assert labels is not None
    assert len(groups(labels)) > 2
    for members in groups(labels):
        own = chain[sorted(members)]
        assert (own @ own.T).mean() >= 0.8


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_and_one(count: int):
    labels = average_linkage(np.eye(4, dtype=np.float32)[:count], 0.5)
    assert labels is not None
    assert labels.tolist() == list(range(count))


def test_equal_vectors_are_one_group():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    labels = average_linkage(vectors, 0.9)
    assert labels is not None
    assert labels.tolist() == np.repeat([0, 1, 2], 5).tolist()


def test_it_stops_when_asked():
    assert average_linkage(np.eye(4, dtype=np.float32), 0.5, should_stop=lambda: True) is None
