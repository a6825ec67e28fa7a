"""Votes of frames: offsets, clips, mirrors, the stop list, flat frames, heavy bands."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.duplicates import candidates_frames
from pipelines.duplicates.candidates_frames import STOP_SCENES, frame_pairs
from pipelines.duplicates.frame_table import FrameTable
from pipelines.duplicates.scene_table import SceneTable
from pipelines.media.frames import SamplingPlan, sample_frames
from pipelines.media.hashes import frame_hashes
from tests.duplicates.invented import Film, batches, frame_table, names, scene

EVERY = list(range(0, 600, 10))


def table_of(n: int) -> SceneTable:
    return SceneTable.of(scene(number) for number in range(1, n + 1))


def test_a_trimmed_copy_is_found_with_its_offset_among_others():
    table = table_of(12)
    film = Film(0)
    rows = film.frames(2, EVERY) + film.frames(7, EVERY[5:40], shift=-43.5)
    for other in (0, 1, 3, 4, 5, 6, 8, 9, 10, 11):
        rows += Film(other + 1).frames(other, EVERY)
    found = frame_pairs(frame_table(table, rows), len(table), threads=2)
    assert names(table, found.code) == {("3", "8")}
    assert found.offset_s[0] == pytest.approx(-43.5)
    assert found.votes[0] >= 15  # six bits differ: many frames have no equal band
    assert not found.mirrored[0]
    assert (found.stopped, found.capped) == (0, 0)


def with_other_pdq(rows):
    return [(*row[:3], row[3] ^ np.uint8(0b11), row[4]) for row in rows]


def test_three_frames_at_one_offset_are_needed_or_two_whose_pdq_agrees():
    table = table_of(4)
    film = Film(1)
    clip = film.frames(0, EVERY)
    two, three = film.frames(1, EVERY[:2], bits=1), film.frames(2, EVERY[10:13], bits=1, shift=100)
    close = film.frames(3, EVERY[20:22], bits=1)
    rows = clip + with_other_pdq(two) + with_other_pdq(three) + close
    found = frame_pairs(frame_table(table, rows), 4)
    assert names(table, found.code) == {("1", "3"), ("1", "4")}
    assert found.votes.tolist() == [3, 2]
    assert len(frame_pairs(frame_table(table, clip + close[:1]), 4).code) == 0
    table = table_of(3)
    scattered = [(2, 37.0 * n * n, *row[2:]) for n, row in enumerate(three)]
    assert len(frame_pairs(frame_table(table, clip + with_other_pdq(scattered)), 3).code) == 0


def test_one_frame_is_enough_where_it_is_a_copy_in_the_midst_of_both():
    table = table_of(4)
    film, rows = Film(1), Film(1).frames(0, EVERY)
    for scene_place, shared in ((1, film.frames(1, [300], bits=1)), (2, film.frames(2, [590], bits=1))):
        rows += Film(scene_place + 1).frames(scene_place, [n for n in EVERY if n != shared[0][1]]) + shared
    rows += Film(4).frames(3, EVERY[:30] + EVERY[31:]) + with_other_pdq(film.frames(3, [300], bits=1))
    found = frame_pairs(frame_table(table, rows), 4)
    assert names(table, found.code) == {("1", "2")}  # 3 shares an end card, 4 a frame that only looks alike
    assert found.votes.tolist() == [1]
    assert found.offset_s[0] == pytest.approx(0)


def test_one_frame_that_comes_often_is_one_vote():
    table = table_of(2)
    film = Film(2)
    still = film.frames(0, [100] * 6, bits=0)
    assert len(frame_pairs(frame_table(table, still + film.frames(1, [100], bits=0)), 2).code) == 0


def test_another_speed_is_found_by_many_frames_without_one_offset():
    table = table_of(2)
    film = Film(3)
    fast = [(1, row[1] * 0.8, *row[2:]) for row in film.frames(1, EVERY, bits=1)]
    found = frame_pairs(frame_table(table, film.frames(0, EVERY) + fast), 2)
    assert len(found.code) == 1


def test_what_many_scenes_show_is_stopped_but_copies_of_one_film_are_not():
    many = 40
    table = table_of(many)
    opening, rows = Film(99, 30), []
    for number in range(many):
        rows += opening.frames(number, list(range(0, 30, 3)), bits=1)
        rows += Film(number if number >= 2 else 0).frames(number, EVERY[4:], bits=1)
    frames = frame_table(table, rows)
    found = frame_pairs(frames, many)
    assert names(table, found.code) == {("1", "2")}
    assert found.stopped == many * 10
    copies = np.r_[np.zeros(many - 2, np.int64), 1, 2]  # all but two show one film, as was proven
    linked = frame_pairs(frames, many, linked=copies)
    assert linked.stopped == 0
    assert ("1", "2") in names(table, linked.code)
    assert len(frame_pairs(frame_table(table, rows[: 70 * (STOP_SCENES - 1)]), many).code) > 1


def test_with_a_query_only_its_pairs_come():
    table = table_of(4)
    one, two = Film(1), Film(2)
    rows = one.frames(0, EVERY) + one.frames(1, EVERY) + two.frames(2, EVERY) + two.frames(3, EVERY)
    asked = np.array([False, False, False, True])
    found = frame_pairs(frame_table(table, rows), 4, query=asked)
    assert names(table, found.code) == {("3", "4")}


def test_flat_frames_and_scans_of_another_file_are_left_out():
    table = table_of(3)
    film = Film(4)
    flat = [(*row[:4], 5) for row in film.frames(1, EVERY)]
    frames = frame_table(table, film.frames(0, EVERY) + flat)
    assert (len(frames), frames.flat) == (60, 60)
    changed = SceneTable.of([scene(1), scene(2, phashes=(1, 2)), scene(3, phashes=(7,))])
    moved = SceneTable.of([scene(1), scene(3)])
    rows = film.frames(0, EVERY) + film.frames(2, EVERY)
    kept = batches(table, rows)
    assert set(FrameTable.from_batches(kept, changed).scene) == {0, 2}
    assert set(FrameTable.from_batches(kept, moved).scene) == {0, 1}


def test_a_band_that_many_frames_have_is_divided_and_finds_the_same(monkeypatch):
    table = table_of(30)
    rows = []
    for number in range(30):
        film = Film(number // 2)
        film.phash = (film.phash & ~np.uint64(0xFFFF)) | np.uint64(7)
        rows += film.frames(number, EVERY, bits=0)
    frames = frame_table(table, rows)
    whole = frame_pairs(frames, 30)
    monkeypatch.setattr(candidates_frames, "HEAVY_ROWS", 100)
    divided = frame_pairs(frames, 30)
    assert len(whole.code) == 15
    assert divided.capped > 0
    assert divided.code.tolist() == whole.code.tolist()
    assert divided.votes.tolist() == whole.votes.tolist()


def test_too_many_near_frames_make_the_stop_list_stricter(monkeypatch):
    monkeypatch.setattr(candidates_frames, "MOST_HITS", 2000)
    table = table_of(12)
    room = Film(50)
    rows = [row for number in range(10) for row in room.frames(number, EVERY, bits=0)]
    rows += Film(1).frames(10, EVERY, bits=1) + Film(1).frames(11, EVERY, bits=1)
    found = frame_pairs(frame_table(table, rows), 12)
    assert names(table, found.code) == {("11", "12")}
    assert found.stopped == 600


def test_a_mirrored_copy_of_real_pictures_is_found(data):
    table = table_of(3)
    rows = []
    for place, (name, turn) in enumerate(
        (("head_pose_female.mp4", False), ("head_pose_female.mp4", True), ("asl_bird.mkv", False))
    ):
        for block in sample_frames(data / "video" / "real" / name, SamplingPlan(frames=30)):
            for frame in block:
                image = np.ascontiguousarray(frame.image[:, ::-1]) if turn else frame.image
                phash, pdq, quality = frame_hashes(image)
                rows.append((place, frame.time_s + 5 * turn, phash, pdq, quality))
    found = frame_pairs(frame_table(table, rows), 3)
    assert names(table, found.code) == {("1", "2")}
    assert found.mirrored.tolist() == [True]
    assert found.offset_s[0] == pytest.approx(5, abs=2)


def test_no_frames_give_nothing():
    table = table_of(2)
    assert len(frame_pairs(frame_table(table, []), 2).code) == 0
