"""Scenes with several files: which one is kept, what is said, and when a finding closes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipelines.analyzers.duplicate_scene_files import (
    CERTAIN,
    OTHER_CONTENT,
    OTHER_LENGTH,
    DuplicateSceneFiles,
    DuplicateSceneFilesDetails,
    judge,
)
from pipelines.analyzers.file_quality import generation
from pipelines.stash.records import Fingerprint, VideoFile
from tests.analyzers.conftest import Home
from tests.fakes.stash import Library, generate_library

FULL_HD, UHD = (1920, 1080), (3840, 2160)


def video(
    own: str, size: tuple[int, int], codec: str, mbit: float, duration_s: float = 600.0, **more: Any
) -> VideoFile:
    facts: dict[str, Any] = {"frame_rate": 30.0, "size_bytes": int(mbit * 125_000 * duration_s)} | more
    return VideoFile(
        own,
        f"/data/{own}.mp4",
        f"{own}.mp4",
        width=size[0],
        height=size[1],
        video_codec=codec,
        bit_rate=int(mbit * 1e6),
        duration_s=duration_s,
        **facts,
    )


KEEPERS = {
    "resolution": (video("keep", UHD, "hevc", 15), video("other", FULL_HD, "h264", 8)),
    "resolution in an older codec": (video("keep", UHD, "h264", 30), video("other", FULL_HD, "av1", 6)),
    "av1 over h264 at half the bits": (video("keep", FULL_HD, "av1", 3), video("other", FULL_HD, "h264", 6)),
    "av1 over hevc at the same bits": (video("keep", FULL_HD, "av1", 3), video("other", FULL_HD, "hevc", 3)),
    "vp9 over h264 at the same bits": (video("keep", FULL_HD, "vp9", 3), video("other", FULL_HD, "h264", 3)),
    "hevc over h264 at the same bits": (video("keep", FULL_HD, "hevc", 3), video("other", FULL_HD, "h264", 3)),
    "h264 over mpeg4": (video("keep", FULL_HD, "h264", 4), video("other", FULL_HD, "mpeg4", 5)),
    "h264 over an av1 with far too few bits": (
        video("keep", FULL_HD, "h264", 7),
        video("other", FULL_HD, "av1", 0.6),
    ),
    "bitrate": (video("keep", FULL_HD, "h264", 5), video("other", FULL_HD, "h264", 2)),
    "the whole one over a large part": (video("keep", FULL_HD, "h264", 4), video("other", UHD, "av1", 15, 570.0)),
    "the smaller of equals": (
        video("keep", FULL_HD, "h264", 9, size_bytes=1000),
        video("other", FULL_HD, "h264", 9, size_bytes=2000),
    ),
}


@pytest.mark.parametrize("case", KEEPERS)
def test_the_best_file_is_kept(case: str):
    files = KEEPERS[case]
    assert judge(files).keeper.id == judge(files[::-1]).keeper.id == "keep"


def test_codecs_by_whatever_name():
    assert [generation(c) for c in ("AV1", "HEVC", "h.265", "vp9", "h264", "mpeg4", "")] == [4, 3, 3, 3, 2, 1, 1]


@pytest.mark.parametrize(
    ("duration_s", "phash", "confidence"),
    [
        (600.0, "ffff000000000000", CERTAIN),
        (595.0, "ffff000000000000", CERTAIN),
        (560.0, "ffff000000000000", OTHER_LENGTH),
        (300.0, "ffff000000000000", OTHER_CONTENT),
        (600.0, "00000000ffffffff", OTHER_CONTENT),
    ],
)
def test_what_speaks_against_it_lowers_the_confidence(duration_s: float, phash: str, confidence: float):
    first = video("1", FULL_HD, "h264", 5, fingerprints=(Fingerprint("phash", "ffff000000000000"),))
    second = video("2", FULL_HD, "h264", 5, duration_s, fingerprints=(Fingerprint("phash", phash),))
    judged = judge((first, second))
    assert judged.confidence == confidence
    assert bool(judged.doubts) == (confidence < CERTAIN)


def test_facts_that_are_missing_do_no_harm():
    bare = VideoFile("1", "/data/1.mp4")
    assert judge((bare, VideoFile("2", "/data/2.mp4"))).keeper.id == "1"
    assert judge((bare, video("2", FULL_HD, "h264", 5))).keeper.id == "2"


@pytest.fixture
def library() -> Library:
    """60 scenes; the third and the seventh have a second file, twice as wide and high."""
    library = generate_library(60)
    for scene_id in (3, 7):
        add_file(library, scene_id)
    return library


def add_file(library: Library, scene_id: int, **facts: Any) -> int:
    scene = library.scenes[scene_id]
    first = library.files[scene.file_ids[0]]
    given: dict[str, Any] = {
        "path": f"/data/better_{scene_id}_{len(scene.file_ids)}.mkv",
        "size": 5_000_000_000,
        "width": 2 * first.width,
        "height": 2 * first.height,
        "duration": first.duration,
        "video_codec": "av1",
        "bit_rate": 4 * first.bit_rate,
        "frame_rate": first.frame_rate,
        "fingerprints": (("oshash", f"{scene_id:08x}{len(scene.file_ids):08x}"),),
    }
    file = library.add_file(kind="video", **given | facts)
    scene.file_ids = (*scene.file_ids, file.id)
    library.touch(scene)
    return int(file.id)


def test_findings_of_a_library(make_home: Callable[[Library], Home], library: Library):
    home = make_home(library)
    report = home.run(DuplicateSceneFiles)
    assert (report.full, report.planned, report.findings.new) == (True, 2, 2)
    third, seventh = home.found()
    assert (third.target_id, seventh.target_id, third.type, third.status) == (
        "3",
        "7",
        DuplicateSceneFiles.id,
        "pending",
    )
    details = DuplicateSceneFilesDetails.model_validate_json(
        DuplicateSceneFilesDetails.model_validate(third.details, strict=False).model_dump_json()
    )
    first, better = library.scenes[3].file_ids
    assert details.keeper_file_id == str(better)
    assert details.savings_bytes == library.files[first].size
    assert details.actions == {
        "delete_scene_files": {"scene_id": "3", "keep_file_id": str(better), "delete_file_ids": [str(first)]},
        "set_primary_file": {"scene_id": "3", "file_id": str(better)},
    }
    assert home.found(q="better_7")[0].target_id == "7"


def test_a_scene_that_has_one_file_again_closes_its_finding(make_home: Callable[[Library], Home], library: Library):
    home = make_home(library)
    home.run(DuplicateSceneFiles)
    library.scenes[3].file_ids = library.scenes[3].file_ids[1:]
    library.touch(library.scenes[3])
    report = home.run(DuplicateSceneFiles)
    assert (report.full, report.findings.closed) == (False, 1)
    closed = home.found(statuses=("closed",))
    assert [(one.target_id, one.reason) for one in closed] == [("3", DuplicateSceneFiles.closing)]


def test_a_third_file_is_another_finding_even_for_what_was_dismissed_for_ever(
    make_home: Callable[[Library], Home], library: Library
):
    home = make_home(library)
    home.run(DuplicateSceneFiles)
    third = home.found()[0]
    home.recommendations.dismiss_one(third.id, "forever")
    add_file(library, 3, path="/data/third.mkv")
    home.run(DuplicateSceneFiles)
    assert [(one.target_id, one.status) for one in home.found(target_id="3")] == [("3", "closed"), ("3", "pending")]


@pytest.mark.parametrize(("version", "seen"), [("0.31", True), ("0.29", False)])
def test_a_file_that_changes_without_its_scene_is_seen(
    make_home: Callable[[Library], Home],
    library: Library,
    version: str,
    seen: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("pipelines.analyzers.sources.RESOLUTION", timedelta(0))
    home = make_home(library)
    home.stash.knobs.version = version
    home.run(DuplicateSceneFiles)
    home.run(DuplicateSceneFiles)
    before = home.found(target_id="7")[0].details["savings_bytes"]
    file = library.files[library.scenes[7].file_ids[0]]
    library.clock = lambda: datetime.fromisoformat(library.scenes[7].updated_at).timestamp() + 30_000
    file.size += 1000
    library.touch(file)
    assert not home.run(DuplicateSceneFiles).full
    assert (home.found(target_id="7")[0].details["savings_bytes"] == before + 1000) is seen
    home.run(DuplicateSceneFiles, full=True)
    assert home.found(target_id="7")[0].details["savings_bytes"] == before + 1000
