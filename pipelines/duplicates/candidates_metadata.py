"""Pairs of scenes by what Stash knows of them: stash-box entries, studio, performers, date, duration.

An equal entry of a stash-box is an answer; everything else here is a reason to look at the pictures, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.duplicates.hamming import I64, U8
from pipelines.duplicates.pairs import neighbours, pair_codes
from pipelines.duplicates.scene_table import NO_DATE, SceneTable

NEAR_DAYS = 3
"""Sites of one network publish a scene within some days of each other (own choice, 2026-11-26)."""
CLOSE_DURATION_MS = 1000
"""Re-encodings keep their length to a few frames (own choice, 2026-11-26)."""
PARTNERS = 10
"""Of more scenes of a performer on the same days, each is paired with this many of the nearest day and duration."""
ID_PARTNERS = 50

STUDIO_DATE = 1
CAST_DURATION = 2
"""Bits of `MetadataPairs.rules`: same studio, a shared performer and a near date; the same cast and duration."""

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class MetadataPairs:
    """Pairs, each once and in order.

    Attributes:
        code: (m,) see `pairs`.
        rules: (m,) uint8, which rules hold.
        capped: scenes of groups so large that not all of their pairs were taken.
    """

    code: I64
    rules: U8
    capped: int


def stash_id_pairs(table: SceneTable) -> tuple[I64, int]:
    """Returns the pairs with an equal entry of a stash-box, and how many scenes have more than ID_PARTNERS others."""
    links = table.stash_ids
    left, right, capped = neighbours(links.item, links.scene, within=len(table), most=ID_PARTNERS)
    codes = pair_codes(links.scene[left], links.scene[right], len(table))
    return np.unique(codes), capped


def metadata_pairs(table: SceneTable) -> MetadataPairs:
    """Returns the pairs that metadata gives a reason to look at."""
    near, near_capped = _studio_date(table)
    cast, cast_capped = _cast_duration(table)
    codes = np.unique(np.r_[near, cast])
    rules = np.isin(codes, near) * np.uint8(STUDIO_DATE) | np.isin(codes, cast) * np.uint8(CAST_DURATION)
    return MetadataPairs(codes, rules.astype(np.uint8), near_capped + cast_capped)


def _studio_date(table: SceneTable) -> tuple[I64, int]:
    links = table.performers
    usable = (table.studio[links.scene] >= 0) & (table.day[links.scene] != NO_DATE)
    scene, performer = links.scene[usable], links.item[usable]
    key = table.studio[scene] * (int(performer.max(initial=0)) + 1) + performer
    # Within a day, the nearest duration comes first.
    moment = table.day[scene] * _DAY_MS + np.minimum(_duration_ms(table)[scene], _DAY_MS - 1)
    left, right, capped = neighbours(key, moment, within=(NEAR_DAYS + 1) * _DAY_MS - 1, most=PARTNERS)
    near = np.abs(table.day[scene[left]] - table.day[scene[right]]) <= NEAR_DAYS
    return np.unique(pair_codes(scene[left[near]], scene[right[near]], len(table))), capped


def _cast_duration(table: SceneTable) -> tuple[I64, int]:
    duration = _duration_ms(table)
    key = np.where(duration > 0, table.cast, -1)
    left, right, capped = neighbours(key, duration, within=CLOSE_DURATION_MS, most=PARTNERS)
    return np.unique(pair_codes(left, right, len(table))), capped


def _duration_ms(table: SceneTable) -> I64:
    return (table.duration_s.astype(np.float64) * 1000).astype(np.int64)
