"""Libraries made from a seed: what they hold, how much memory they take, and the one of odd files."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tests.fakes.conftest import Asker
from tests.fakes.stash import FANSDB, STASHDB, FakeStash, generate_library, odd_library


def test_counts_and_relations_hold() -> None:
    library = generate_library(400, images=60, galleries=6, performers=30, seed=5)
    assert [len(t) for t in (library.scenes, library.images, library.galleries, library.performers)] == [400, 60, 6, 30]
    for scene in library.scenes.values():
        assert set(scene.performer_ids) <= set(library.performers)
        assert set(scene.tag_ids) <= set(library.tags)
        assert scene.studio_id is None or scene.studio_id in library.studios
        assert scene.updated_at >= scene.created_at
    assert sum(len(library.members(i, "images")) for i in library.galleries) == 60
    assert len({performer.name for performer in library.performers.values()}) == 30


def test_performers_are_linked_to_two_boxes() -> None:
    library = generate_library(1, performers=60)
    boxes = [{one.endpoint for one in row.stash_ids} for row in library.performers.values()]
    assert {frozenset(found) for found in boxes} == {
        frozenset({STASHDB}),
        frozenset({STASHDB, FANSDB}),
        frozenset({FANSDB}),
        frozenset(),
    }
    ids = [one.stash_id for row in library.performers.values() for one in row.stash_ids]
    assert len(ids) == len(set(ids))


def test_phashes_are_hex_without_leading_zeros() -> None:
    library = generate_library(200)
    values = [file.fingerprint("phash") or "" for file in library.files.values()]
    assert all(value == f"{int(value, 16):x}" for value in values)
    assert {len(value) for value in values} > {16}
    assert all(len(file.fingerprint("oshash") or "") == 16 for file in library.files.values())


def test_a_scene_takes_little_memory() -> None:
    """100,000 scenes have to fit beside what is tested: 4 kB each are 400 MB."""
    generate_library(10)
    tracemalloc.start()
    library = generate_library(3000)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(library.scenes) < 4000


def test_media_without_a_folder_are_streamed_only(data: Path) -> None:
    clip = data / "video" / "real" / "asl_again.mkv"
    library = generate_library(3, media=[clip, clip])
    assert [library.local_file(scene) for scene in library.scenes.values()] == [clip, clip, None]
    assert library.roots == {"/data": None}
    assert library.files[1].path == "/data/scene_000001.mkv"
    assert library.files[1].duration > 0


@pytest.mark.slow
def test_odd_files_are_scenes_whatever_they_are(tmp_path: Path) -> None:
    """Making them takes the time. Each can be asked for, and what cannot be opened has no duration."""
    library = odd_library(tmp_path)
    by_name = {scene.title: library.files[scene.file_ids[0]] for scene in library.scenes.values()}
    assert by_name["0 bytes"].size == by_name["0 bytes"].duration == 0
    assert by_name["0 bytes"].fingerprints == ()
    assert (by_name["HEVC, 10 bits"].video_codec, by_name["AV1"].video_codec) == ("hevc", "av1")
    assert (by_name["8K"].width, by_name["8K"].height) == (7680, 4320)
    assert by_name["audio only"].width == 0
    with FakeStash(library) as stash:
        ask = Asker(stash)
        scenes = ask("{ findScenes(filter: {per_page: -1}) { scenes { id title files { duration } } } }")
        for scene in scenes["findScenes"]["scenes"]:
            missing = scene["title"] == "not there"
            assert ask.http.get(f"/scene/{scene['id']}/stream").status_code == (404 if missing else 200)
            assert ask.http.get(f"/scene/{scene['id']}/screenshot").status_code == 200
