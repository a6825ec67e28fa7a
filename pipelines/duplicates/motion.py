"""Motion residual: whether what moves in two aligned stretches is the same.

Takes of one set share everything that stands still, and with one edit even the cuts. What differs is how people move:
so the mean of each shot is subtracted from small grey pictures, and the rest is correlated, shot by shot. Every shot
has a say as long as it is, however little moves in it: the shot with the largest motion is often a studio's intro,
which takes have in common, and with a shot that hides a cut the same edit alone correlates by .99. Where motion is less
than what coding adds, a shot counts less, down to nothing in a frozen picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.duplicates.align import nearest
from pipelines.duplicates.grid import Grid
from pipelines.faces.types import U8

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

CUT = 0.75
"""Neighbouring pictures that correlate less are of two shots (measured 2026-11-22)."""
_LEAST_JUMP, _JUMP_OF_USUAL = 0.012, 6.0
"""A jump between neighbours is a cut too when it is so much larger than those around it. Cuts between two crops of one
room often correlate above CUT, up to .98 where nothing moves, and what stays of them in the residual makes takes with
the same cuts look alike (r .95 to 1.0 where 0 to .3 is right; own measurement, 2026-11-26)."""
SHORTEST_SHOT_S = 1.0
"""Shots of 2.5 s were needed when the largest motion decided; films with quick cuts have few of those, and with every
shot counted, short ones lower the correlation of takes too (.63 to .38; own measurement, 2026-11-26)."""
FEWEST_SAMPLES = 36
"""Samples in shots that are long enough: 6 s, as 12 samples at 2 a second were (2026-11-22)."""
HALF_MOTION = 3e-5
"""Share of the pictures' variance that moves where a shot counts half. A classroom in which only a few heads move has
1e-4, and coding at a low rate adds as much as that to it (own measurement, 2026-11-26)."""
_FINE_S = np.arange(-0.6, 0.61, 0.05)
_CROPS = np.array([0, 0.02, 0.03, 0.04, 0.05])
"""Shares of a picture that a copy may lack at each side: motion of small things is lost where they do not coincide."""
_PICTURES_FOR_CROP = 24
_PICTURES_FOR_SHIFT = 150


def motion_residual(
    a: Grid,
    b: Grid,
    span_a_s: tuple[float, float],
    offset_s: float,
    speed: float = 1.0,
    *,
    mirrored: bool = False,
    views: tuple[int, int] = (0, 0),
) -> float | None:
    """Returns the correlation of motion, -1..1; None where too little moves or too few samples lie in long shots.

    Args:
        span_a_s: stretch of a; (time in b) = speed * (time in a) + offset_s, to within half a second.
    """
    rows = np.flatnonzero((a.times_s >= span_a_s[0]) & (a.times_s < span_a_s[1]) & a.seen)
    if len(rows) < FEWEST_SAMPLES or len(b) < FEWEST_SAMPLES:
        return None
    times_a = a.times_s[rows]
    times_b = times_a * speed + offset_s
    thumbs_a, thumbs_b = a.thumbs[views[0]][rows], b.thumbs[views[1]]
    thumbs_b = thumbs_b[..., ::-1] if mirrored else thumbs_b
    times_b += _fine_shift(thumbs_a, thumbs_b, b, times_b)
    thumbs_a, thumbs_b = _without_crop(thumbs_a, thumbs_b, nearest(b.times_s, times_b))
    pictures_b, sound = _at(thumbs_b, b, times_b)
    return _residual(times_a, _normalised(thumbs_a), pictures_b, sound)


def _fine_shift(thumbs_a: U8, thumbs_b: U8, b: Grid, times_b: F64) -> float:
    """Returns by how much b is later than it was said to be, s; coarse pictures say it as well as fine ones."""
    some = slice(None, None, max(1, len(thumbs_a) // _PICTURES_FOR_SHIFT))
    small_a, small_b = _normalised(_halved(thumbs_a[some])), _halved(thumbs_b)
    found = [_agreement(small_a, *_at(small_b, b, times_b[some] + shift)) for shift in _FINE_S]
    return float(_FINE_S[int(np.argmax(found))])


def _halved(thumbs: U8) -> F32:
    n, height, width = thumbs.shape
    return np.asarray(thumbs.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4), dtype=np.float32))


def _without_crop(thumbs_a: U8, thumbs_b: U8, partner: npt.NDArray[np.int64]) -> tuple[U8, U8]:
    """Returns the pictures of both, those of one cropped as those of the other are."""
    some = np.unique(np.linspace(0, len(thumbs_a) - 1, _PICTURES_FOR_CROP).astype(np.int64))
    few_a, few_b = thumbs_a[some], thumbs_b[partner[some]]
    best, crops = -1.0, (0.0, 0.0)
    for crop_a, crop_b in [*((crop, 0.0) for crop in _CROPS), *((0.0, crop) for crop in _CROPS[1:])]:
        pair = _normalised(_cropped(few_a, crop_a)), _normalised(_cropped(few_b, crop_b))
        agreement = float(np.median((pair[0] * pair[1]).mean(axis=1)))
        if agreement > best:
            best, crops = agreement, (crop_a, crop_b)
    return _cropped(thumbs_a, crops[0]), _cropped(thumbs_b, crops[1])


def _cropped(thumbs: U8, share: float) -> U8:
    """Returns the pictures without `share` of them at each side, in their size."""
    if not share:
        return thumbs
    height, width = thumbs.shape[1:]
    kept = 1 - 2 * share
    inner = np.array([[kept, 0, share * width - share], [0, kept, share * height - share]], np.float32)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = [cv2.warpAffine(np.ascontiguousarray(one), inner, (width, height), flags=how) for one in thumbs]
    return np.asarray(cut, np.uint8)


def _normalised(thumbs: npt.NDArray[np.generic]) -> F32:
    """Returns (n, px), each picture with mean 0 and length 1 per pixel."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(flat.std(axis=1, keepdims=True), 1e-3)
    return np.asarray(flat, np.float32)


def _at(thumbs: npt.NDArray[np.generic], b: Grid, times_s: F64) -> tuple[F32, npt.NDArray[np.bool_]]:
    """Returns b's pictures at some times, linear between neighbours, and which of them can be relied on."""
    after = np.clip(np.searchsorted(b.times_s, times_s), 1, len(b) - 1)
    before = after - 1
    gap = b.times_s[after] - b.times_s[before]
    share = np.clip((times_s - b.times_s[before]) / np.maximum(gap, 1e-6), 0, 1).astype(np.float32)
    left, right = _normalised(thumbs[before]), _normalised(thumbs[after])
    mixed = left * (1 - share[:, None]) + right * share[:, None]
    same_shot = (left * right).mean(axis=1) >= CUT
    mixed = np.where(same_shot[:, None], mixed, np.where(share[:, None] < 0.5, left, right))
    edge = (share < 0.3) | (share > 0.7)
    inside = (times_s >= b.times_s[0] - 0.1) & (times_s <= b.times_s[-1] + 0.1) & (gap <= 1.0)
    return mixed, inside & (same_shot | edge) & b.seen[before] & b.seen[after]


def _agreement(a: F32, b: F32, sound: npt.NDArray[np.bool_]) -> float:
    return float((a[sound] * b[sound]).mean()) if sound.sum() >= FEWEST_SAMPLES / 2 else -1.0


def _cuts(similar: F32) -> npt.NDArray[np.bool_]:
    """Returns where neighbours differ much, and much more than those around them: fast motion is no row of cuts."""
    if not len(similar):
        return np.zeros(0, bool)
    padded = np.pad(similar, 3, mode="edge")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(padded, 7), axis=1)
    jump = (1 - similar > _LEAST_JUMP) & (1 - similar > _JUMP_OF_USUAL * (1 - usual))
    return np.asarray((similar < CUT * usual) | jump, bool)


def _residual(times_s: F64, a: F32, b: F32, sound: npt.NDArray[np.bool_]) -> float | None:
    cuts = np.zeros(len(a), bool)
    cuts[1:] = _cuts((a[1:] * a[:-1]).mean(axis=1)) | (np.diff(times_s) > 1.0)
    usable = np.flatnonzero(sound)
    b_cut = np.zeros(len(a), bool)
    b_cut[usable[1:]] = _cuts((_normalised(b[usable[1:]]) * _normalised(b[usable[:-1]])).mean(axis=1))
    shot = np.cumsum(cuts | b_cut)
    weights, found = [], []
    for number in np.unique(shot):
        rows = np.flatnonzero((shot == number) & sound)
        if len(rows) < 4 or times_s[rows[-1]] - times_s[rows[0]] < SHORTEST_SHOT_S:
            continue
        x, y = a[rows] - a[rows].mean(axis=0), b[rows] - b[rows].mean(axis=0)
        energy_a, energy_b = float((x * x).mean()), float((y * y).mean())
        energy = min(energy_a, energy_b)
        if energy > 0:
            weights.append(len(rows) * energy / (energy + HALF_MOTION))
            found.append(float((x * y).mean() / np.sqrt(energy_a * energy_b)))
    return float(np.average(found, weights=weights)) if sum(weights) >= FEWEST_SAMPLES else None
