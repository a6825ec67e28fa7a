"""Duplicate scenes, from real clips through a real scan to recommendations, and how the library may change."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.actions import ACTIONS
from pipelines.analyzers import duplicate_pairs
from pipelines.analyzers.duplicate_scenes import DuplicateScenes, DuplicateScenesDetails
from pipelines.analyzers.same_set_scenes import SameSetDetails, SameSetScenes
from pipelines.duplicates.proof import PROOF_VERSION
from pipelines.duplicates.proof_store import ProofStore
from pipelines.duplicates.types import Proof
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.media.video import SamplingPlan
from pipelines.parts import scan_recipe
from pipelines.scan_content import scan_content
from pipelines.settings import Settings
from pipelines.store.scan_schema import ContentScan, ScanKey
from pipelines.store.templates import ScanDataset
from tests.analyzers.conftest import Home
from tests.fakes.stash import STASHDB, Library, StashId, oshash, video_facts

LONG, TRIM = "noface_bottles.mp4", "bottles_trimmed.mp4"
CUT_S = 9.0


def trimmed_mirror(source: Path, path: Path) -> None:
    """Writes the end of a video as MPEG-4 of half the size, mirrored, without its first CUT_S seconds."""
    with av.open(source) as given, av.open(path, "w") as made:
        video = given.streams.video[0]
        video.thread_type = "AUTO"
        width, height = video.width // 4 * 2, video.height // 4 * 2
        out = made.add_stream("mpeg4", rate=25, width=width, height=height, bit_rate=900_000)
        out.codec_context.time_base = Fraction(1, 25)
        last = -1
        for frame in given.decode(video):
            number = int((frame.time - CUT_S) * 25)
            if number <= last:
                continue
            last = number
            small = frame.reformat(width, height, "rgb24").to_ndarray()
            turned = av.VideoFrame.from_ndarray(np.ascontiguousarray(small[:, ::-1]), "rgb24")
            turned.pts, turned.time_base = number, Fraction(1, 25)
            made.mux(out.encode(turned))
        made.mux(out.encode())


@pytest.fixture(scope="session")
def clips(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> file: two encodes of one clip, another clip of the same people, a video and its end, and others."""
    own = tmp_path_factory.mktemp("clips")
    trimmed_mirror(data / "video" / "real" / LONG, own / TRIM)
    derived = ("signers_mix1__360p_low.mp4", "signers_mix1__vp9.webm", "signers_mix2.mp4")
    real = (
        LONG,
        "short_hamilton_clip.mp4",
        "noface_nasa_dark.mp4",
        "head_pose_male.mp4",
        "head_pose_female_and_male.mp4",
    )
    return {
        **{name: data / "video" / "derived" / name for name in derived},
        **{name: data / "video" / "real" / name for name in real},
        TRIM: own / TRIM,
    }


@pytest.fixture(scope="session")
def scans(clips: dict[str, Path], open_models: Path) -> dict[str, ContentScan]:
    engine = FaceEngine(OPEN, open_models, EngineOptions(threads=2))
    recipe = scan_recipe(Settings(), "scene")
    found = {}
    for number, (name, path) in enumerate(clips.items(), 1):
        key = ScanKey("scene", str(number), f"oshash:{oshash(path)}", recipe)
        found[name] = scan_content(key, path, engine, SamplingPlan(frames=24))
        assert found[name].status in {"ok", "no_face"}
    return found


@pytest.fixture
def home(make_home: Callable[[Library], Home], clips: dict[str, Path], scans: dict[str, ContentScan]) -> Home:
    library = Library()
    library.roots["/clips"] = None
    studio, other = library.add("studio", name="North"), library.add("performer", name="Ada")
    for name, path in clips.items():
        file = library.add_file(kind="video", path=f"/clips/{name}", local=path, **video_facts(path))
        facts = {}
        if name.startswith("head_pose"):
            facts = {"studio_id": studio.id, "performer_ids": (other.id,), "date": "2024-05-01"}
        if name in {"short_hamilton_clip.mp4", "noface_nasa_dark.mp4"}:
            facts = {"stash_ids": (StashId(STASHDB, "11111111-1111-4111-8111-111111111111"),)}
        library.add("scene", title=name.split(".")[0], file_ids=(file.id,), **facts)
    home = make_home(library)
    folder = home.settings.data_dir / "library"
    folder.mkdir(parents=True)
    for name, path in clips.items():
        (folder / name).symlink_to(path)
    home.settings = home.settings.model_copy(update={"path_map": (f"/clips={folder}",)})
    dataset = ScanDataset(home.settings.scans_path)
    for scan in scans.values():
        dataset.write(scan)
    return home


def by_name(home: Home, clips: dict[str, Path]) -> dict[tuple[str, str], DuplicateScenesDetails]:
    names = list(clips)
    found = {}
    for one in home.found(statuses=("pending",)):
        a, b = one.target_id.split(":")
        found[names[int(a) - 1], names[int(b) - 1]] = DuplicateScenesDetails.model_validate(one.details)
    return found


def test_copies_are_found_and_explained_and_nothing_else(home, clips):
    report = home.run(DuplicateScenes)
    assert report.failed == 0
    found = by_name(home, clips)
    confidence = {one.target_id: one.confidence for one in home.found()}
    copy = found["signers_mix1__360p_low.mp4", "signers_mix1__vp9.webm"]
    assert copy.relation == "copy"
    assert confidence["1:2"] >= 80
    assert copy.signals.pdq_distance is not None
    assert copy.keeper.id == "2"
    assert copy.actions["merge_scenes"] == {"destination_id": "2", "source_ids": ["1"]}
    assert copy.actions.keys() == {action.id for action in DuplicateScenes.actions}
    assert ACTIONS["delete_scene"].parse(copy.actions["delete_scene"]).scene_id == "1"
    assert ACTIONS["merge_scenes"].parse(copy.actions["merge_scenes"]).source_ids == ("1",)
    trim = found[LONG, TRIM]
    assert trim.relation == "trim"
    assert trim.keeper.id == "4"
    assert trim.alignment.mirrored
    assert trim.alignment.offset_s == pytest.approx(-CUT_S, abs=1.0)
    assert any("mirrored" in reason for reason in trim.reasons)
    same = found["short_hamilton_clip.mp4", "noface_nasa_dark.mp4"]
    assert (same.relation, same.signals.stash_id) == ("same_stash_id", True)
    assert confidence["5:6"] == 100
    others = set(found) - {
        ("signers_mix1__360p_low.mp4", "signers_mix1__vp9.webm"),
        (LONG, TRIM),
        ("short_hamilton_clip.mp4", "noface_nasa_dark.mp4"),
    }
    names = list(clips)
    assert all(confidence[f"{names.index(a) + 1}:{names.index(b) + 1}"] < 50 for a, b in others)


def test_a_second_run_decodes_nothing_and_changes_nothing(home, monkeypatch):
    first = home.run(DuplicateScenes)
    assert first.findings.new >= 3
    monkeypatch.setattr(duplicate_pairs, "proven", None)  # a proof would fail
    monkeypatch.setattr(duplicate_pairs, "find_candidates", None)  # and so would a search
    before = home.found()
    again = home.run(DuplicateScenes, full=True)
    assert (again.findings.new, again.findings.closed, again.failed) == (0, 0, 0)
    assert home.found() == before


def test_a_bounded_run_goes_on_where_it_was(home, monkeypatch):
    asked: list[int] = []
    real = duplicate_pairs.proven

    def counted(settings, requests, should_stop):
        asked.append(len(requests))
        return real(settings, requests, should_stop)

    monkeypatch.setattr(duplicate_pairs, "proven", counted)
    monkeypatch.setattr(DuplicateScenes, "most_proofs", 1)
    first = home.run(DuplicateScenes)
    assert asked == [1]
    assert first.failed > 0
    assert (first.worked, first.waiting > 0) == (1, True)
    assert "wait for the next run" in next(iter(first.errors.values()))
    monkeypatch.setattr(duplicate_pairs, "find_candidates", None)  # what was found is kept
    waiting = [first.waiting]
    while waiting[-1]:
        asked_stash = home.asked(lambda: waiting.append(home.run(DuplicateScenes).waiting))
        assert "findScenes" in asked_stash
        assert waiting[-1] == waiting[-2] - 1
    assert set(asked) == {1}
    assert {"1:2", "4:9", "5:6"} <= set(home.statuses())


def test_a_new_scene_is_searched_for_and_a_new_title_is_not(home, monkeypatch):
    home.run(DuplicateScenes)
    searches: list[int] = []
    real = duplicate_pairs.find_candidates

    def counted(table, *args, **options):
        searches.append(len(table))
        return real(table, *args, **options)

    monkeypatch.setattr(duplicate_pairs, "find_candidates", counted)
    first = home.library.scenes[1]
    first.title = "Another title"
    home.library.touch(first)
    home.run(DuplicateScenes)
    assert searches == []
    assert any("Another title" in one.title for one in home.found())
    home.library.add("scene", title="New")
    home.run(DuplicateScenes)
    assert searches == [10]


def test_a_video_that_is_away_is_tried_again_after_all_others(home, monkeypatch):
    """However many pairs cannot be read, a bounded run gets on, and in the end nothing is queued by itself."""
    (home.settings.data_dir / "library" / LONG).unlink()
    monkeypatch.setattr(DuplicateScenes, "most_proofs", 2)
    reports = [home.run(DuplicateScenes)]
    while reports[-1].waiting and len(reports) < 30:
        reports.append(home.run(DuplicateScenes))
    assert [one.waiting for one in reports] == sorted({one.waiting for one in reports}, reverse=True)
    assert reports[-1].waiting == 0


def test_another_take_is_listed_apart_and_only_informs(home, clips):
    home.run(DuplicateScenes)
    files = {str(n): f"oshash:{oshash(path)}" for n, path in enumerate(clips.values(), 1)}
    take = Proof("same_set", 64.0, 0.2, 20.0, version=PROOF_VERSION)
    ProofStore(home.store, PROOF_VERSION).put({(files["7"], files["8"]): take, (files["5"], files["6"]): take})
    assert home.run(SameSetScenes).findings.new == 1
    (one,) = home.found(types=("same_set_scenes",))
    details = SameSetDetails.model_validate(one.details)
    assert (one.target_id, one.confidence, details.actions) == ("7:8", 50.0, {})
    assert "another take of the same set" in one.summary
    assert SameSetScenes.actions == ()
    assert home.run(SameSetScenes).findings.new == 0
    home.run(DuplicateScenes)
    pair = [one for one in home.found(types=("duplicate_scenes",)) if one.target_id == "7:8" and one.status != "closed"]
    assert pair == [], "it is no duplicate"
    home.library.drop_scene(8)
    home.run(DuplicateScenes, full=True)
    assert home.run(SameSetScenes).findings.closed == 1


def test_a_stopped_run_keeps_what_was_proven(home, monkeypatch):
    monkeypatch.setattr(duplicate_pairs, "PAIRS_A_BATCH", 1)
    proofs: list[int] = []
    real = duplicate_pairs.proven

    def counted(settings, requests, should_stop):
        for some in real(settings, requests, should_stop):
            proofs.append(len(some))
            yield some

    monkeypatch.setattr(duplicate_pairs, "proven", counted)
    assert home.run(DuplicateScenes, should_stop=lambda: bool(proofs)).stopped
    stopped_at = len(proofs)
    home.run(DuplicateScenes)
    once = len(proofs)
    assert once > stopped_at >= 1
    home.run(DuplicateScenes, full=True)
    assert len(proofs) == once


def test_a_deleted_scene_closes_its_pair_and_a_file_that_is_gone_proves_nothing(home, clips):
    home.run(DuplicateScenes)
    home.library.drop_scene(2)
    home.library.touch(home.library.scenes[7])  # Stash says nothing of a deletion, but something else has changed
    home.run(DuplicateScenes)
    closed = next(one for one in home.found() if one.target_id == "1:2")
    assert closed.status == "closed"
    assert closed.reason == "The scene 2 is not in Stash any more: it was deleted."


def test_a_file_that_cannot_be_read_leaves_a_pair_below_50(home, clips):
    (home.settings.data_dir / "library" / TRIM).unlink()
    (home.settings.data_dir / "library" / TRIM).write_bytes(b"no video")
    home.run(DuplicateScenes)
    found = {one.target_id: one for one in home.found()}
    assert "4:9" not in found or found["4:9"].confidence < 50
    assert found["1:2"].confidence >= 80
