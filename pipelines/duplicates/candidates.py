"""All pairs of a library that may be duplicates, with what speaks for each, the likeliest first.

Four sources give pairs: stash-box entries, Stash's phash, the frame hashes of the scan, metadata. Who is seen in the
scenes takes pairs away: two scenes in which other people are recognised do not show the same, unless many frames or the
phash say so, because a face may be named wrongly. Nothing here confirms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from pipelines.duplicates.candidates_frames import frame_pairs
from pipelines.duplicates.candidates_metadata import CAST_DURATION, STUDIO_DATE, metadata_pairs, stash_id_pairs
from pipelines.duplicates.candidates_phash import phash_pairs
from pipelines.duplicates.frame_table import FrameTable
from pipelines.duplicates.hamming import I64, U8
from pipelines.duplicates.scene_table import Links, SceneTable
from pipelines.duplicates.types import ProofHints
from pipelines.duplicates.votes import LEAST_VOTES

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

NO_PHASH = 255
LINKED_PHASH = 4
"""phashes that differ in so few bits count as linked when frames are counted for the stop list."""
SURE_VOTES = 2 * LEAST_VOTES
"""Frames from which on a pair is looked at whoever was recognised."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the candidates know of one pair.

    Attributes:
        stash_id: both have an equal entry of a stash-box.
        phash_distance: bits of 64 that differ, None above 10.
        frame_votes: frames that agree on one offset.
        offset_s: time in b - time in a by these frames; None without votes.
        mirrored: by these frames.
        studio_date: same studio, a shared performer, a near date.
        cast_duration: same performers and duration.
        faces_jaccard: share of recognised people that both have, None where one has none.
    """

    stash_id: bool = False
    phash_distance: int | None = None
    frame_votes: int = 0
    offset_s: float | None = None
    mirrored: bool = False
    studio_date: bool = False
    cast_duration: bool = False
    faces_jaccard: float | None = None

    @property
    def hints(self) -> ProofHints:
        """Where a proof may begin to look."""
        if self.offset_s is None:
            return ProofHints()
        return ProofHints((self.offset_s,), self.mirrored)


@dataclass(frozen=True, slots=True)
class CandidateCounts:
    """How many pairs came from where. `capped` counts by source what was too much to look at in full."""

    stash_id: int = 0
    phash: int = 0
    frames: int = 0
    metadata: int = 0
    blocked: int = 0
    flat_frames: int = 0
    stopped_frames: int = 0
    capped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """m pairs, the likeliest first.

    Attributes:
        a, b: (m,) places in the `SceneTable`, a < b.
    """

    a: I64
    b: I64
    stash_id: Bools
    phash_distance: U8
    frame_votes: I32
    offset_s: F32
    mirrored: Bools
    rules: U8
    faces_jaccard: F32
    counts: CandidateCounts

    def __len__(self) -> int:
        return len(self.a)

    def signals(self, row: int) -> Signals:
        """Returns what is known of one pair."""
        distance, votes, faces = int(self.phash_distance[row]), int(self.frame_votes[row]), self.faces_jaccard[row]
        return Signals(
            stash_id=bool(self.stash_id[row]),
            phash_distance=None if distance == NO_PHASH else distance,
            frame_votes=votes,
            offset_s=float(self.offset_s[row]) if votes else None,
            mirrored=bool(self.mirrored[row]),
            studio_date=bool(self.rules[row] & STUDIO_DATE),
            cast_duration=bool(self.rules[row] & CAST_DURATION),
            faces_jaccard=None if math.isnan(faces) else float(faces),
        )

    def __iter__(self) -> Iterator[tuple[int, int, Signals]]:
        return ((int(self.a[row]), int(self.b[row]), self.signals(row)) for row in range(len(self)))


def find_candidates(
    table: SceneTable, frames: FrameTable, people: Links, *, known: I64 | None = None, threads: int = 1
) -> Candidates:
    """Returns all pairs worth a proof.

    Args:
        people: who was recognised in which scene.
        known: codes of pairs (see `pairs`) that were proven to be duplicates before.
    """
    n = len(table)
    ids, ids_capped = stash_id_pairs(table)
    phash = phash_pairs(table, threads=threads)
    metadata = metadata_pairs(table)
    sure = np.r_[ids, phash.code[phash.distance <= LINKED_PHASH], np.zeros(0, np.int64) if known is None else known]
    voted = frame_pairs(frames, n, linked=_linked(sure, n), threads=threads)

    code = np.unique(np.r_[ids, phash.code, metadata.code, voted.code])
    distance = np.full(len(code), NO_PHASH, np.uint8)
    distance[np.searchsorted(code, phash.code)] = phash.distance
    rules = np.zeros(len(code), np.uint8)
    rules[np.searchsorted(code, metadata.code)] = metadata.rules
    votes, offset, mirrored = np.zeros(len(code), np.int32), np.zeros(len(code), np.float32), np.zeros(len(code), bool)
    place = np.searchsorted(code, voted.code)
    votes[place], offset[place], mirrored[place] = voted.votes, voted.offset_s, voted.mirrored
    stash_id = np.isin(code, ids)
    jaccard = _jaccard(people, code // max(n, 1), code % max(n, 1), n)

    blocked = (jaccard == 0) & ~stash_id & (distance > LINKED_PHASH) & (votes < SURE_VOTES)
    counts = CandidateCounts(
        stash_id=len(ids),
        phash=len(phash.code),
        frames=len(voted.code),
        metadata=len(metadata.code),
        blocked=int(blocked.sum()),
        flat_frames=frames.flat,
        stopped_frames=voted.stopped,
        capped={
            name: number
            for name, number in (
                ("stash_id", ids_capped),
                ("phash", phash.capped),
                ("metadata", metadata.capped),
                ("frames", voted.capped),
            )
            if number
        },
    )
    order = _likeliest_first(stash_id, distance, votes, rules, jaccard)
    kept = order[~blocked[order]]
    return Candidates(
        code[kept] // max(n, 1),
        code[kept] % max(n, 1),
        stash_id[kept],
        distance[kept],
        votes[kept],
        offset[kept],
        mirrored[kept],
        rules[kept],
        jaccard[kept],
        counts,
    )


def _linked(codes: I64, n: int) -> I64:
    """Returns (n,) equal numbers for scenes that pairs connect."""
    if not n:
        return np.zeros(0, np.int64)
    edges = csr_array((np.ones(len(codes), np.int8), (codes // n, codes % n)), shape=(n, n))
    labels: I64 = connected_components(edges, directed=False)[1].astype(np.int64)
    return labels


def _jaccard(people: Links, a: I64, b: I64, n: int) -> F32:
    """Returns (m,) float32, people of both / people of either; NaN where one of the two has none."""
    shape = (n, int(people.item.max(initial=0)) + 1)
    seen = csr_array((np.ones(len(people.item), np.int32), (people.scene, people.item)), shape=shape)
    seen.data[:] = 1
    number = np.diff(seen.indptr)
    known = (number[a] > 0) & (number[b] > 0) if n else np.zeros(0, np.bool_)
    result = np.full(len(a), np.nan, np.float32)
    both = np.asarray(seen[a[known]].multiply(seen[b[known]]).sum(axis=1)).ravel() if known.any() else np.zeros(0)
    result[known] = both / (number[a[known]] + number[b[known]] - both)
    return result


def _likeliest_first(stash_id: Bools, distance: U8, votes: I32, rules: U8, jaccard: F32) -> I64:
    """Returns the order in which pairs are worth a look: what costs a proof without need comes last."""
    worth = (
        1000.0 * stash_id
        + 10.0 * np.maximum(0, 11 - distance.astype(np.int64))
        + 8.0 * np.minimum(votes, 15)
        + 20.0 * ((rules & STUDIO_DATE) > 0)
        + 25.0 * ((rules & CAST_DURATION) > 0)
        + 15.0 * np.nan_to_num(jaccard)
    )
    order: I64 = np.argsort(-worth, kind="stable")
    return order
