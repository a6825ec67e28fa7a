"""From near frames to pairs of scenes: votes for one time offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.duplicates.frame_table import FrameTable
from pipelines.duplicates.hamming import I64

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]

LEAST_VOTES = 3
"""Distinct frames on both sides (own measurement, 2026-11-22: unrelated scenes never have three)."""
LEAST_CLOSE_VOTES = 2
MAX_CLOSE_PDQ = 60
"""Fewer frames are enough where PDQ agrees too, in bits of 256. With a frame every 10 s, where two encodes rarely have
three frames in common, this finds 75 of 140 copies instead of 60, and none of 450 other pairs but those of a fixed
camera or the same cuts (`python -m tests.bench duplicate_recall`, 2026-11-26)."""
MAX_SINGLE_PDQ = 40
"""One frame is enough where its PDQ agrees as that of copies does and it lies in the midst of both scenes: openings and
end cards are those of a studio. Finds 107 of 140 copies instead of 96 with a frame every 10 s, 84 instead of 67 with
one every 20 s, and again none of those 450 (2026-11-26); with the ends, 39 of the 450."""
_END_S, _END_SHARE = 30.0, 0.1
DRIFTING_VOTES = 8
"""Distinct frames on both sides at whatever offsets: another speed has no single offset. Chosen well above what
scenes of the same room reach by accident, 0.2 of 3,600 pairs of frames (own measurement, 2026-11-22)."""
BIN_S = 4.0
"""Offsets that count as one. Sampled key frames of two encodes lie up to some seconds apart in the same shot."""
_BINS = 1 << 17
_HALF = _BINS // 2


@dataclass(slots=True, eq=False)
class FramePairs:
    """Pairs, each once and in order.

    Attributes:
        code: (m,) see `pairs`.
        votes: (m,) int32, distinct frames at the best offset; 1 also where many agree on none.
        offset_s: (m,) float32, time in b - time in a.
        mirrored: (m,) bool.
        stopped: frames that are near those of too many scenes.
        capped: values of a band that too many frames have, searched less thoroughly.
    """

    code: I64
    votes: I32
    offset_s: F32
    mirrored: npt.NDArray[np.bool_]
    stopped: int = 0
    capped: int = 0


def count_votes(frames: FrameTable, n: int, plain: tuple[I32, I32], mirror: tuple[I32, I32]) -> FramePairs:
    """Returns the pairs of scenes that enough near frames vote for; the better of plain and mirrored.

    Args:
        n: number of scenes.
        plain, mirror: places of near frames in `frames`, in either order, each pair once; PDQ of mirrored ones agrees.
    """
    left: I32 = np.r_[plain[0], mirror[0]]
    right: I32 = np.r_[plain[1], mirror[1]]
    turned = np.repeat(np.array([False, True]), [len(plain[0]), len(mirror[0])])
    swap = frames.scene[left] > frames.scene[right]
    left, right = np.where(swap, right, left), np.where(swap, left, right)
    bits = np.bitwise_count(frames.pdq[left] ^ frames.pdq[right]).sum(axis=1)
    close = turned | (bits <= MAX_CLOSE_PDQ)
    midst = _in_the_midst(frames, n)
    alone = ~turned & (bits <= MAX_SINGLE_PDQ) & midst[left] & midst[right]
    pair = frames.scene[left].astype(np.int64) * n + frames.scene[right]
    offset = frames.time_s[right] - frames.time_s[left]
    keys, who = np.unique(pair * 2 + turned, return_inverse=True)
    votes, best = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.float32)
    for shift in (0.0, BIN_S / 2):
        place = np.clip(np.floor((offset + shift) / BIN_S), -_HALF, _HALF - 1).astype(np.int64) + _HALF
        bins, of_bin = np.unique(who * _BINS + place, return_inverse=True)
        count = _both_sides(of_bin, left, right, len(bins))
        sure = _both_sides(of_bin[close], left[close], right[close], len(bins)) >= LEAST_CLOSE_VOTES
        sure |= np.bincount(of_bin[alone], minlength=len(bins)) > 0
        count[(count < LEAST_VOTES) & ~sure] = 0
        middle = _means(of_bin, offset, len(bins))
        owner = bins // _BINS
        order = np.lexsort((count, owner))
        last = order[np.r_[owner[order][1:] != owner[order][:-1], True]] if len(order) else order
        better = count[last] > votes[owner[last]]
        chosen = last[better]
        votes[owner[chosen]], best[owner[chosen]] = count[chosen], middle[chosen]
    anywhere = _both_sides(who, left, right, len(keys))
    votes = np.where((votes == 0) & (anywhere >= DRIFTING_VOTES), 1, votes)
    enough = votes > 0
    keys, votes, best = keys[enough], votes[enough], best[enough]
    order = np.lexsort((-votes, keys // 2))
    code = (keys // 2)[order]
    first = order[np.r_[True, code[1:] != code[:-1]]] if len(order) else order
    return FramePairs(keys[first] // 2, votes[first].astype(np.int32), best[first], keys[first] % 2 == 1)


def _in_the_midst(frames: FrameTable, n: int) -> npt.NDArray[np.bool_]:
    """Returns (m,) which frames are in neither end of their scene."""
    last = np.zeros(n, np.float32)
    np.maximum.at(last, frames.scene, frames.time_s)
    end_s = np.minimum(_END_S, _END_SHARE * last)[frames.scene]
    midst: npt.NDArray[np.bool_] = (frames.time_s >= end_s) & (frames.time_s <= last[frames.scene] - end_s)
    return midst


def _both_sides(group: I64, left: I32, right: I32, groups: int) -> I64:
    """Returns (groups,) how many different frames each group has on the side that has fewer."""
    fewest: I64 = np.minimum(_distinct(group, left, groups), _distinct(group, right, groups))
    return fewest


def _distinct(group: I64, item: I32, groups: int) -> I64:
    """Returns (groups,) how many different items each group has."""
    if not len(group):
        return np.zeros(groups, np.int64)
    span = int(item.max()) + 1
    counted: I64 = np.bincount(np.unique(group * span + item) // span, minlength=groups)
    return counted


def _means(group: I64, value: F32, groups: int) -> F32:
    total = np.bincount(group, weights=value, minlength=groups)
    means: F32 = (total / np.maximum(1, np.bincount(group, minlength=groups))).astype(np.float32)
    return means
