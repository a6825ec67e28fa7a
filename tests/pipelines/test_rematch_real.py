"""Re-match of real scans: the people found from stored faces are those found from the frames themselves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import pipelines.rematch as rematch_module
from pipelines.faces.catalogue import OPEN
from pipelines.identify_media import analyze_image, analyze_video
from pipelines.media.frames import SamplingPlan
from pipelines.rematch import current, rematch
from pipelines.scan_content import scan_content
from pipelines.settings import Settings
from pipelines.store.matches import ContentMatch
from pipelines.store.templates import ScanDataset, ScanKey, ScanRecipe
from serve_app.cli.here import ray_here
from tests.bench.match_library import Faces, enrol, scene_scan

RECIPE = ScanRecipe(OPEN.template_id, "real", "1")
VIDEOS = (
    "derived/signers_mix2.mp4",
    "real/asl_bird.mkv",
    "real/head_pose_female_and_male.mp4",
    "real/noface_bottles.mp4",
)


@pytest.fixture(scope="module")
def settings(enrolled, tmp_path_factory):
    """Settings of a data folder with the people of the test data, without scans."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "performer-db").symlink_to(enrolled[0].root)
    return Settings(data_dir=folder)


def same_people(stored: ContentMatch, people, *, precise: bool = True) -> None:
    """Whether stored people are those of the online answer."""
    assert [p.universal_id for p in stored.people] == [p.match.universal_id if p.match else None for p in people]
    for ours, theirs in zip(stored.people, people, strict=True):
        assert (ours.faces, ours.frames) == (theirs.faces, theirs.frames)
        assert [x for r in ours.ranges for x in r] == pytest.approx([x for r in theirs.ranges for x in r], abs=2e-3)
        if theirs.match:
            assert ours.distance == pytest.approx(theirs.match.distance, abs=1e-3)
            assert ours.confidence == pytest.approx(theirs.match.confidence, abs=2e-2)
        assert [c.distance for c in ours.candidates] == pytest.approx([c.distance for c in theirs.candidates], abs=1e-3)
        assert ours.best_time_s == (None if theirs.best.time_s is None else pytest.approx(theirs.best.time_s, abs=2e-3))


def test_stored_scenes_and_images_are_named_like_their_frames(settings, engine, identifier, data):
    dataset, plan = ScanDataset(settings.scans_path), SamplingPlan()
    pictures = (
        sorted((data / "faces" / "people").glob("*/*.jpg"))[:3] + sorted((data / "faces" / "groups").glob("*.jpg"))[:2]
    )
    for number, name in enumerate(VIDEOS):
        key = ScanKey("scene", str(number), f"oshash:{number}", RECIPE)
        dataset.write(scan_content(key, data / "video" / name, engine, plan))
    for number, path in enumerate(pictures):
        dataset.write(scan_content(ScanKey("image", str(number), f"md5:{number}", RECIPE), path, engine, plan))
    assert rematch(settings).matched == len(VIDEOS) + len(pictures)
    named = 0
    for number, name in enumerate(VIDEOS):
        video = analyze_video(data / "video" / name, engine, plan)
        people = identifier.scene(video.seen, frame_times=video.frame_times, duration_s=video.info.duration_s)
        stored = current(settings, "scene", str(number))
        assert stored is not None
        same_people(stored, people)
        named += sum(p.match is not None for p in people)
        scale = max(1.0, max(video.info.width, video.info.height) / 1280)
        for ours, theirs in zip(stored.people, people, strict=True):
            assert ours.best_box == pytest.approx((theirs.best.face.box * scale).tolist(), abs=2)
    for number, path in enumerate(pictures):
        stored = current(settings, "image", str(number))
        assert stored is not None
        people = identifier.image(analyze_image(path, engine))
        same_people(stored, people)
        named += sum(p.match is not None for p in people)
    assert named >= 6


@pytest.fixture
def ray_running(tmp_path: Path):
    """Ray of this machine, started like a command starts it, which tries again on a busy machine."""
    with ray_here(Settings(data_dir=tmp_path / "ray")):
        yield


def test_ray_finds_what_one_process_finds(ray_running, tmp_path, monkeypatch):
    """All contents once, the same people; a stop is obeyed while the actors still start."""
    here, there = (Settings(data_dir=tmp_path / name) for name in ("here", "there"))
    drawn = Faces(30)
    enrol(here.database_path, drawn, 30, 90)
    for number in range(40):
        ScanDataset(here.scans_path).write(scene_scan(drawn, number, 30))
    there.data_dir.mkdir()
    for name in ("scans", "performer-db"):
        (there.data_dir / name).symlink_to(here.data_dir / name)
    monkeypatch.setattr(rematch_module, "CHUNK_CONTENTS", 5)
    monkeypatch.setattr(rematch_module, "RAY_FROM_CHUNKS", 100)
    assert rematch(here).matched == 40
    monkeypatch.setattr(rematch_module, "RAY_FROM_CHUNKS", 1)
    asked = iter([False])
    began = time.monotonic()
    stopped = rematch(there, should_stop=lambda: next(asked, True))
    assert (stopped.matched, stopped.stopped) == (0, True)
    assert time.monotonic() - began < 30
    seen: list[int] = []
    assert rematch(there, on_progress=lambda now: seen.append(now["done"])).matched == 40
    assert seen == list(range(5, 41, 5))
    for number in range(40):
        ours, theirs = current(there, "scene", str(number)), current(here, "scene", str(number))
        assert ours is not None
        assert theirs is not None
        assert [(p.universal_id, p.ranges) for p in ours.people] == [(p.universal_id, p.ranges) for p in theirs.people]
