"""Motion residual: whether what moves in two aligned stretches is the same.

Takes of one set share everything that stands still, and with one edit even the cuts. What differs is how people move:
so the mean of each shot is subtracted from small grey pictures, and the rest is correlated, shot by shot (all shots at
once, a studio's intro with its large motion decides for all of them).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.duplicates.grid import Grid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

CUT = 0.75
"""Neighbouring pictures that correlate less are of two shots (measured 2026-11-22)."""
_LEAST_JUMP, _JUMP_OF_USUAL = 0.012, 6.0
"""A jump between neighbours is a cut too when it is so much larger than those around it. Cuts between two crops of one
room often correlate above CUT, up to .98 where nothing moves, and what stays of them in the residual makes takes with
the same cuts look alike (r .95 to 1.0 where 0 to .3 is right; own measurement, 2026-11-26)."""
SHORTEST_SHOT_S = 2.5
FEWEST_SAMPLES = 36
"""Samples in shots that are long enough: 6 s, as 12 samples at 2 a second were (2026-11-22)."""
LEAST_MOTION = 0.004
"""Share of the pictures' variance that moves; below it noise is compared (own measurement, 2026-11-26)."""
_FINE_S = np.arange(-0.6, 0.61, 0.05)


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
    pictures_a = _normalised(a.thumbs[views[0]][rows])
    thumbs_b = b.thumbs[views[1]]
    thumbs_b = thumbs_b[..., ::-1] if mirrored else thumbs_b
    found = [_at(thumbs_b, b, times_a * speed + offset_s + shift) for shift in _FINE_S]
    agreement = [_agreement(pictures_a, pictures, sound) for pictures, sound in found]
    pictures_b, sound = found[int(np.argmax(agreement))]
    return _residual(times_a, pictures_a, pictures_b, sound)


def _normalised(thumbs: npt.NDArray[np.generic]) -> F32:
    """Returns (n, px), each picture with mean 0 and length 1 per pixel."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(flat.std(axis=1, keepdims=True), 1e-3)
    return np.asarray(flat, np.float32)


def _at(thumbs: npt.NDArray[np.uint8], b: Grid, times_s: F64) -> tuple[F32, npt.NDArray[np.bool_]]:
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
    found: list[tuple[int, float]] = []
    for number in np.unique(shot):
        rows = np.flatnonzero((shot == number) & sound)
        if len(rows) < 4 or times_s[rows[-1]] - times_s[rows[0]] < SHORTEST_SHOT_S:
            continue
        x, y = a[rows] - a[rows].mean(axis=0), b[rows] - b[rows].mean(axis=0)
        energy_a, energy_b = float((x * x).mean()), float((y * y).mean())
        if min(energy_a, energy_b) >= LEAST_MOTION:
            found.append((len(rows), float((x * y).mean() / np.sqrt(energy_a * energy_b))))
    samples = sum(count for count, _ in found)
    if samples < FEWEST_SAMPLES:
        return None
    return sum(count * r for count, r in found) / samples
