"""Groups of scenes of the same footage, by average linkage over proven pairs.

A chain of weak links makes no group: the average over all pairs of two groups counts, pairs that were proven to be
different as 0, and pairs that nobody looked at as UNSEEN. A clip does not join what it was cut from with another clip
of it, so clips stay pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from pipelines.duplicates.hamming import I64

LEAST_AVERAGE = 0.7
UNSEEN = 0.5
"""A strong link and an unseen pair (0.95, 0.5) still make a group of three, a weak one (0.8, 0.5) does not."""
LARGEST = 2000
"""Scenes that hang together and are looked at in one piece: 16 MB of distances. Larger ones stay pairs."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Two scenes and how sure it is that they are duplicates, 0..1; 0 when the opposite is proven."""

    a: str
    b: str
    weight: float


def group_scenes(edges: Sequence[Edge]) -> Mapping[str, str]:
    """Returns scene -> id of its group, the smallest number of a scene in it; groups have two scenes or more."""
    ids = sorted({scene for edge in edges for scene in (edge.a, edge.b)}, key=lambda one: (len(one), one))
    number = {scene: place for place, scene in enumerate(ids)}
    if not ids:
        return {}
    a = np.array([number[edge.a] for edge in edges])
    b = np.array([number[edge.b] for edge in edges])
    weight = np.array([edge.weight for edge in edges])
    linked = weight >= LEAST_AVERAGE
    graph = csr_array((np.ones(int(linked.sum())), (a[linked], b[linked])), shape=(len(ids), len(ids)))
    labels = connected_components(graph, directed=False)[1]
    order = np.argsort(labels, kind="stable")
    groups: dict[str, str] = {}
    inside = labels[a] == labels[b]
    edge_order = np.argsort(labels[a][inside], kind="stable")
    own_a, own_b, own_w = (column[inside][edge_order] for column in (a, b, weight))
    edge_labels = labels[own_a]
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if not 2 <= len(members) <= LARGEST:
            continue
        span = slice(*np.searchsorted(edge_labels, [labels[members[0]], labels[members[0]] + 1]))
        for part in _linked(members, own_a[span], own_b[span], own_w[span]):
            groups |= {ids[place]: ids[part[0]] for place in part.tolist()}
    return groups


def _linked(members: I64, a: I64, b: I64, weight: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[I64]:
    """Returns the groups of two or more among members that hang together, each in order."""
    similar = np.full((len(members), len(members)), UNSEEN)
    row, column = np.searchsorted(members, a), np.searchsorted(members, b)
    similar[row, column] = similar[column, row] = weight
    np.fill_diagonal(similar, 1.0)
    tree = linkage(squareform(1.0 - similar, checks=False), "average")
    labels = fcluster(tree, 1.0 - LEAST_AVERAGE, "distance")
    parts = [np.sort(members[labels == label]) for label in np.unique(labels)]
    return [part for part in parts if len(part) > 1]
