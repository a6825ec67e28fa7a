"""The people of one scene: which of its faces are one person.

Lives here: `Tracks` and the grouping of faces by average-linkage clustering of their projected templates. It does not
depend on the order of the faces. Who the people are is `identify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_array
from scipy.spatial.distance import squareform

from pipelines.faces.sightings import Rows, SeenFace, Sightings, same_frame_pairs
from pipelines.faces.templates import performer_means, unit
from pipelines.faces.types import F32, I32

__all__ = ["SeenFace", "Tracks", "find_tracks", "group_faces", "overlap", "seen_side_by_side", "side_by_side"]

MAX_FACES = 2000
"""Most faces (or groups of faces) that are compared all with all: 32 MB of distances and about 0.2 s on one core."""
SAME_BOX_OVERLAP = 0.5
"""Two boxes of one frame that share this much of the smaller one are one face found twice."""
SHARED_BY_ACCIDENT = 0.1
"""Two tracks are two people when they are seen together in more than this share of the shorter one's frames. Below it
a mirror, a picture on the wall or a stray face in one of them is likelier."""
_NOT_THE_SAME = 10.0
"""Distance of two faces seen side by side. Cosine distances end at 2; with 10, two people who are seen together in
every one of up to 60 frames stay apart at an average distance 0.17 higher, while a single wrong pair (a mirror, a
picture on the wall) among many does not split a person."""
_LEAST_QUALITY = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The faces of one scene by person; t people, in order of first appearance.

    Attributes:
        order: (n,) rows of the sightings, sorted by track, within a track by frame.
        starts: (t + 1,) where each track begins in `order`; the last one is n.
        templates: (t, projected_dim) float32, unit length: mean of the projected templates, weighted by the square of
            their quality. It scores higher than the mean of the single scores (lowest of 97 people in 40 videos 0.50
            against 0.48, median 0.88 against 0.85) and strangers hardly (largest 0.37 against 0.35; pack `open`,
            2026-11-22); the power of the weight made no difference.
    """

    order: Rows
    starts: Rows
    templates: F32

    def __len__(self) -> int:
        return len(self.templates)

    @classmethod
    def one_each(cls, vectors: F32) -> Self:
        """Returns every one of (n, d) projected templates as a track of its own, row by row."""
        return cls(np.arange(len(vectors)), np.arange(len(vectors) + 1), vectors)

    def rows(self, tracks: Sequence[int]) -> Rows:
        """Returns the rows of the sightings of these tracks."""
        return np.concatenate([self.order[self.starts[t] : self.starts[t + 1]] for t in tracks])

    def labels(self) -> Rows:
        """Returns (n,) the track of each row of the sightings."""
        labels = np.empty(len(self.order), dtype=np.intp)
        labels[self.order] = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return labels


def find_tracks(sightings: Sightings, vectors: F32, same_person_score: float, *, max_faces: int = MAX_FACES) -> Tracks:
    """Returns the people among at least one face of one scene; the order of the faces is irrelevant.

    Args:
        vectors: (n, projected_dim) projected templates of the sightings.
        same_person_score: least average score of the faces of one person (`Calibration.same_person_score`).
        max_faces: scenes with more faces are grouped in stretches of time first, see `group_faces`.
    """
    order = sightings.canonical_order()
    vectors, frames, boxes = vectors[order], sightings.frames[order], sightings.boxes[order]
    labels = group_faces(vectors, frames, boxes, same_person_score, max_faces=max_faces)
    by_track = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_track], np.arange(int(labels.max()) + 2))
    weights = np.maximum(sightings.qualities[order[by_track]], np.float32(_LEAST_QUALITY)) ** 2
    sums = np.add.reduceat(vectors[by_track] * weights[:, None], starts[:-1], axis=0)
    return Tracks(order[by_track], starts, unit(sums))


def seen_side_by_side(tracks: Tracks, sightings: Sightings) -> npt.NDArray[np.bool_]:
    """Returns (t, t) bool: tracks that are different faces of the same frames, more often than by accident."""
    count = len(tracks)
    if count < 2:
        return np.zeros((count, count), dtype=bool)
    by_frame = np.argsort(sightings.frames, kind="stable")
    frames, boxes, labels = sightings.frames[by_frame], sightings.boxes[by_frame], tracks.labels()[by_frame]
    first, second = same_frame_pairs(frames)
    clear = (labels[first] != labels[second]) & (overlap(boxes[first], boxes[second]) < SAME_BOX_OVERLAP)
    first, second = first[clear], second[clear]
    low, high = np.minimum(labels[first], labels[second]), np.maximum(labels[first], labels[second])
    # Two tracks share a frame once, however many faces of them are in it.
    met = np.unique((frames[first].astype(np.int64) * count + low) * count + high)
    shared = np.bincount(met % (count * count), minlength=count * count).reshape(count, count)
    own = np.bincount(np.unique(frames.astype(np.int64) * count + labels) % count, minlength=count)
    accident = SHARED_BY_ACCIDENT * np.minimum(own[:, None], own[None, :])
    apart: npt.NDArray[np.bool_] = shared + shared.T > accident
    return apart


def group_faces(
    vectors: F32,
    frames: npt.NDArray[np.integer[Any]],
    boxes: F32,
    same_person_score: float,
    *,
    max_faces: int = MAX_FACES,
) -> I32:
    """Returns (n,) int32 labels 0, 1, ... in order of first appearance.

    Up to `max_faces` faces are clustered at once. More are cut into stretches of that many in order of frame, the
    groups of the stretches are then clustered by their means. Of more than `max_faces` groups the largest are
    clustered, each other one joins the most similar of them or stays a person of its own. Memory is bounded by
    max_faces^2, time by n * max_faces.

    Args:
        vectors: (n, d) projected templates in order of frame.
        frames: (n,) frame number of each face.
        boxes: (n, 4) px.
    """
    cut = 1.0 - same_person_score
    if len(vectors) <= max_faces:
        return _by_appearance(_cluster(vectors, side_by_side(frames, boxes), cut))
    labels = np.empty(len(vectors), dtype=np.int64)
    count = 0
    for start in range(0, len(vectors), max_faces):
        part = slice(start, start + max_faces)
        own = _cluster(vectors[part], side_by_side(frames[part], boxes[part]), cut)
        labels[part] = own + count
        count += int(own.max()) + 1
    return _by_appearance(_join_groups(vectors, frames, labels, cut, max_faces))


def side_by_side(frames: npt.NDArray[np.integer[Any]], boxes: F32) -> npt.NDArray[np.bool_]:
    """Returns (n, n) bool: whether two faces are of one frame and not the same face found twice.

    Args:
        frames: (n,) in ascending order.
    """
    together = np.zeros((len(frames), len(frames)), dtype=bool)
    first, second = same_frame_pairs(frames)
    clear = overlap(boxes[first], boxes[second]) < SAME_BOX_OVERLAP
    first, second = first[clear], second[clear]
    together[first, second] = True
    together[second, first] = True
    return together


def overlap(a: F32, b: F32) -> F32:
    """Returns (n,) the shared area of boxes a and b, (n, 4) each, as a fraction of the smaller one."""
    size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.maximum(size, 0), axis=1)
    smaller = np.minimum(np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1))
    fraction: F32 = shared / np.maximum(smaller, np.float32(1e-6))
    return fraction


def _cluster(vectors: F32, apart: npt.NDArray[np.bool_], cut: float) -> I32:
    """Returns labels from 0: average linkage, cut where two groups are on average further apart than `cut`."""
    if len(vectors) == 1:
        return np.zeros(1, dtype=np.int32)
    distances = np.clip(1.0 - vectors.astype(np.float64) @ vectors.T.astype(np.float64), 0.0, 2.0)
    distances[apart] = _NOT_THE_SAME
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), method="average")
    return _flat(tree, cut)


def _flat(tree: npt.NDArray[np.float64], cut: float) -> I32:
    """Returns the labels of the groups that are joined at distances up to `cut`: scipy's fcluster by distance, which
    spends half a millisecond on looking at its arguments.
    """
    count = len(tree) + 1
    labels = list(range(2 * count - 1))
    joins = [(int(a), int(b)) for a, b in tree[tree[:, 2] <= cut, :2]]
    # Groups are numbered in order of their joining, so the last one comes first and hands its label down.
    for group, (a, b) in reversed(list(enumerate(joins, count))):
        labels[a] = labels[b] = labels[group]
    flat: I32 = np.unique(labels[:count], return_inverse=True)[1].astype(np.int32)
    return flat


def _join_groups(
    vectors: F32, frames: npt.NDArray[np.integer[Any]], labels: npt.NDArray[np.int64], cut: float, most: int
) -> npt.NDArray[np.int64]:
    """Returns labels in which groups of different stretches that are one person have become one."""
    sizes = np.bincount(labels)
    means = unit(performer_means(vectors[np.argsort(labels, kind="stable")], np.sort(labels), len(sizes)))
    present = coo_array((np.ones(len(labels), np.int32), (labels, frames - frames.min()))).tocsr()
    by_size = np.argsort(-sizes, kind="stable")
    largest, rest = np.sort(by_size[:most]), by_size[most:]
    apart = (present[largest] @ present[largest].T).toarray() > 0
    np.fill_diagonal(apart, val=False)
    joined = np.arange(len(sizes)) + len(largest)
    joined[largest] = _cluster(means[largest], apart, cut)
    if len(rest):
        nearest, score = _nearest_group(means[rest], means[largest])
        shared = np.asarray(present[rest].multiply(present[largest[nearest]]).sum(axis=1)).ravel()
        near = (score >= 1.0 - cut) & (shared == 0)
        joined[rest[near]] = joined[largest[nearest[near]]]
    return joined[labels]


def _nearest_group(means: F32, others: F32) -> tuple[npt.NDArray[np.intp], F32]:
    """Returns, for each mean, the row of the most similar of `others` and its score; a block at a time."""
    rows = np.empty(len(means), dtype=np.intp)
    best = np.empty(len(means), dtype=np.float32)
    for start in range(0, len(means), MAX_FACES):
        scores = means[start : start + MAX_FACES] @ others.T
        rows[start : start + MAX_FACES] = scores.argmax(axis=1)
        best[start : start + MAX_FACES] = scores.max(axis=1)
    return rows, best


def _by_appearance(labels: npt.NDArray[np.integer[Any]]) -> I32:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    ranked: I32 = rank[inverse]
    return ranked
