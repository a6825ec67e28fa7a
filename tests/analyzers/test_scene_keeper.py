"""Which of several scenes is kept, and why."""

from __future__ import annotations

import pytest

from pipelines.analyzers.scene_keeper import choose_keeper
from pipelines.stash.records import PerformerRef, Scene, StashId, StudioRef
from tests.analyzers.test_duplicate_scene_files import FULL_HD, UHD, video

RICH = {
    "date": "2024-01-01",
    "studio": StudioRef("1"),
    "performers": (PerformerRef("1"),),
    "urls": ("https://a.example",),
}
ID = {"stash_ids": (StashId("https://box.example", "1"),)}

KEPT = {
    "the higher resolution": (
        Scene("2", files=(video("a", UHD, "hevc", 15),)),
        Scene("1", files=(video("b", FULL_HD, "h264", 8),)),
        "resolution",
    ),
    "the whole one, however well known the cut": (
        Scene("2", files=(video("a", FULL_HD, "h264", 4),)),
        Scene("1", files=(video("b", UHD, "av1", 15, 300.0),), organized=True, play_count=9, **RICH, **ID),
        "longer",
    ),
    "the one linked to a stash-box": (
        Scene("2", files=(video("a", FULL_HD, "h264", 8),), **ID),
        Scene("1", files=(video("b", FULL_HD, "h264", 8),)),
        "stash-box",
    ),
    "the organized one": (
        Scene("2", files=(video("a", FULL_HD, "h264", 8),), organized=True),
        Scene("1", files=(video("b", FULL_HD, "h264", 8),)),
        "organized",
    ),
    "the one of which more is known": (
        Scene("2", files=(video("a", FULL_HD, "h264", 8),), **RICH),
        Scene("1", files=(video("b", FULL_HD, "h264", 8),)),
        "more is known",
    ),
    "the one that was played": (
        Scene("2", files=(video("a", FULL_HD, "h264", 8),), play_count=3),
        Scene("1", files=(video("b", FULL_HD, "h264", 8),)),
        "played",
    ),
    "the one that has a file": (
        Scene("2", files=(video("a", FULL_HD, "h264", 8),)),
        Scene("1", organized=True, **RICH, **ID),
        "",
    ),
    "the best file of a scene counts": (
        Scene("2", files=(video("a", FULL_HD, "h264", 2), video("c", UHD, "hevc", 15))),
        Scene("1", files=(video("b", FULL_HD, "h264", 8),)),
        "resolution",
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_the_better_scene_is_kept(case):
    best, other, reason = KEPT[case]
    for scenes in ((best, other), (other, best)):
        found = choose_keeper(scenes)
        assert found.scene_id == "2"
        assert reason in " ".join(found.reasons)


def test_among_equals_the_older_scene_wins_and_three_give_the_order_of_two():
    scenes = [Scene(n, files=(video("f" + n, FULL_HD, "h264", 8),)) for n in ("30", "4", "21")]
    assert choose_keeper(scenes).scene_id == "4"
    assert choose_keeper(scenes[::2]).scene_id == "21"
    assert choose_keeper([Scene("5"), Scene("3")]).scene_id == "3"
