"""Metadata pairs, their caps, who blocks, and how all sources come together."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.duplicates.candidates import find_candidates
from pipelines.duplicates.candidates_metadata import PARTNERS, metadata_pairs, stash_id_pairs
from pipelines.duplicates.scene_table import Links, SceneTable
from tests.duplicates.invented import NOBODY, Film, frame_table, names, scene

BOX = "https://stashdb.example/graphql"


def test_equal_entries_of_one_box_make_a_pair():
    table = SceneTable.of(
        [
            scene(3, stash_ids=((BOX, "a"),)),
            scene(10, stash_ids=((BOX + "/", "a"), ("https://other.example", "b"))),
            scene(9, stash_ids=(("https://other.example", "a"),)),
            scene(4, stash_ids=(("https://other.example", "b"),)),
            scene(5, stash_ids=((BOX, ""),)),
            scene(6, stash_ids=((BOX, ""),)),
        ]
    )
    codes, capped = stash_id_pairs(table)
    assert names(table, codes) == {("3", "10"), ("4", "10")}
    assert capped == 0


METADATA = {
    "same day": ({"date": "2024-05-01"}, {"date": "2024-05-01"}, True),
    "three days": ({"date": "2024-04-29"}, {"date": "2024-05-02"}, True),
    "four days": ({"date": "2024-04-29"}, {"date": "2024-05-03"}, False),
    "a year only": ({"date": "2024"}, {"date": "2024"}, False),
    "no such day": ({"date": "2024-02-31"}, {"date": "2024-02-31"}, False),
    "no date": ({}, {}, False),
    "another studio": ({"date": "2024-05-01"}, {"date": "2024-05-01", "studio": "2"}, False),
    "no studio": ({"date": "2024-05-01", "studio": ""}, {"date": "2024-05-01", "studio": ""}, False),
    "no shared performer": ({"date": "2024-05-01"}, {"date": "2024-05-01", "performers": ("9",)}, False),
    "same cast and length": ({"performers": ("2", "1")}, {"duration_s": 601.0}, True),
    "other length": ({"performers": ("2", "1")}, {"duration_s": 602.0}, False),
    "other cast": ({"performers": ("2", "1", "3")}, {"duration_s": 600.0}, False),
    "unknown length": ({"duration_s": 0.0}, {"duration_s": 0.0}, False),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_pairs(case):
    first, second, paired = METADATA[case]
    lengths = {} if "length" in case or "cast" in case else {"duration_s": 1200.0}
    common = {"studio": "1", "performers": ("1", "2")}
    table = SceneTable.of([scene(1, **(common | first)), scene(2, **(common | lengths | second))])
    assert names(table, metadata_pairs(table).code) == ({("1", "2")} if paired else set())


def test_five_thousand_scenes_of_one_studio_on_one_day_are_capped_and_said():
    table = SceneTable.of(
        scene(n, studio="1", performers=("1",), date="2024-05-01", duration_s=float((n * 7919) % 5000 + 10))
        for n in range(1, 5001)
    )
    found = metadata_pairs(table)
    assert 0 < len(found.code) <= 5000 * PARTNERS * 2
    assert found.capped >= 4900
    lengths = table.duration_s
    a, b = found.code // len(table), found.code % len(table)
    assert np.abs(lengths[a] - lengths[b]).max() <= PARTNERS


def test_sources_come_together_the_likeliest_first():
    table = SceneTable.of(
        [
            scene(1, phashes=(0,), stash_ids=((BOX, "a"),)),
            scene(2, phashes=(0b111,), stash_ids=((BOX, "a"),)),
            scene(3, phashes=(2**40 - 1,), performers=("1",)),
            scene(4, phashes=(2**40 - 2,), performers=("1",)),
            scene(5, performers=("7",), duration_s=500.0),
            scene(6, performers=("7",), duration_s=500.4),
            scene(7),
            scene(8),
        ]
    )
    film = Film(1)
    times = list(range(0, 600, 20))
    frames = frame_table(table, film.frames(6, times) + film.frames(7, times, shift=12, mirrored=True, bits=2))
    found = find_candidates(table, frames, NOBODY)
    rows = {(table.ids[a], table.ids[b]): signals for a, b, signals in found}
    assert list(rows) == [("1", "2"), ("3", "4"), ("7", "8"), ("5", "6")]
    assert (rows["1", "2"].stash_id, rows["1", "2"].phash_distance) == (True, 3)
    assert (rows["3", "4"].phash_distance, rows["3", "4"].cast_duration) == (1, True)
    assert rows["5", "6"].phash_distance is None
    assert rows["7", "8"].frame_votes >= 10
    assert rows["7", "8"].hints.mirrored is True
    assert rows["7", "8"].hints.offsets_s == (pytest.approx(12.0),)
    assert rows["3", "4"].hints.offsets_s == ()
    counts = found.counts
    assert (counts.stash_id, counts.phash, counts.frames, counts.metadata, counts.blocked) == (1, 2, 1, 2, 0)


def test_other_people_take_a_pair_away_unless_a_stash_box_says_it():
    table = SceneTable.of(
        [
            scene(n, phashes=((n // 2 * (2**40 - 1)) ^ (n % 2 * 0b11111),), stash_ids=((BOX, "a"),) if n >= 6 else ())
            for n in range(2, 8)
        ]
        + [scene(8, phashes=(2**64 - 2,)), scene(9, phashes=(2**64 - 1,))]
    )
    seen = [("2", 1), ("2", 2), ("3", 3), ("4", 1), ("4", 2), ("5", 2), ("6", 1), ("7", 2), ("8", 1), ("9", 2)]
    people = Links(np.array([table.ids.index(s) for s, _ in seen]), np.array([p for _, p in seen]))
    found = find_candidates(table, frame_table(table, []), people)
    rows = {(table.ids[a], table.ids[b]): signals for a, b, signals in found}
    assert ("2", "3") not in rows
    assert rows["4", "5"].faces_jaccard == pytest.approx(0.5)
    assert rows["6", "7"].faces_jaccard == 0.0
    assert rows["8", "9"].faces_jaccard == 0.0  # nearly the same phash: somebody may be named wrongly
    assert found.counts.blocked >= 1


def test_an_empty_library_and_ids_that_are_no_numbers():
    empty = SceneTable.of([])
    assert len(find_candidates(empty, frame_table(empty, []), NOBODY)) == 0
    with pytest.raises(ValueError, match="abc"):
        SceneTable.of([scene(1).__class__("abc")])
    with pytest.raises(ValueError, match="twice"):
        SceneTable.of([scene(1), scene(1)])
