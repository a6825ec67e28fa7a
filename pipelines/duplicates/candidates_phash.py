"""Pairs of scenes by Stash's phash of any of their files: a candidate, never proof.

A phash is made of 25 pictures spread over the whole file. Copies differ in 0 to 8 of its 64 bits, unrelated scenes in
16 or more; takes of one fixed camera in 4 to 10 (own measurement, 2026-11-22), which is why it proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.duplicates.hamming import I64, U8, near_pairs
from pipelines.duplicates.pairs import neighbours, pair_codes, ragged_product
from pipelines.duplicates.scene_table import SceneTable

MAX_PHASH_DISTANCE = 10
GROUP_PARTNERS = 20
"""Of more scenes with one phash, each is paired with this many of the nearest duration."""
CROWD = 50


@dataclass(frozen=True, slots=True, eq=False)
class PhashPairs:
    """Pairs, each once and in order.

    Attributes:
        code: (m,) see `pairs`.
        distance: (m,) uint8, of the nearest two files.
        capped: scenes or hashes of which not all pairs were taken, because there are too many.
    """

    code: I64
    distance: U8
    capped: int


def phash_pairs(table: SceneTable, *, most: int = MAX_PHASH_DISTANCE, threads: int = 1) -> PhashPairs:
    """Returns the pairs of different scenes of which two files differ in at most `most` bits; exact but for crowds."""
    n = len(table)
    hashes, group = np.unique(table.phash, return_inverse=True)
    # The nearest durations are neighbours, within a phash and where a group is cut.
    length = (table.duration_s[table.phash_scene] * 1000).astype(np.int64)
    order = np.lexsort((length, group))
    group, scene, length = group[order], table.phash_scene[order], length[order]

    same_a, same_b, capped = neighbours(
        group.astype(np.int64), length, within=np.iinfo(np.int64).max, most=GROUP_PARTNERS
    )
    (left, right, far), crowded = near_pairs(hashes, most, crowd=CROWD, threads=threads)
    starts = np.searchsorted(group, np.arange(len(hashes)))
    full = np.diff(np.r_[starts, len(group)])
    sizes = np.minimum(full, GROUP_PARTNERS)
    capped += int((full > GROUP_PARTNERS)[np.unique(np.r_[left, right])].sum()) if len(left) else 0
    near_a, near_b = ragged_product(left, right, starts, sizes)

    a, b = scene[np.r_[same_a, near_a]], scene[np.r_[same_b, near_b]]
    distance = np.r_[np.zeros(len(same_a), np.uint8), np.repeat(far, sizes[left] * sizes[right])]
    different = a != b
    code, distance = pair_codes(a, b, n), distance[different]
    order = np.lexsort((distance, code))
    code, distance = code[order], distance[order]
    first = np.r_[True, code[1:] != code[:-1]] if len(code) else np.zeros(0, np.bool_)
    return PhashPairs(code[first], distance[first], capped + crowded)
