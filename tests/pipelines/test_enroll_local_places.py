"""What places show, by stored templates: one person or several, which faces, and what is remembered of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.enroll.local_judged import read_judged, write_judged
from pipelines.enroll.local_judging import stamp_of
from pipelines.enroll.local_people import LocalPerformer, read_performers, write_performers
from pipelines.enroll.local_places import Judge, Judged, Place, PlaceGates, spread
from pipelines.faces.catalogue import OPEN
from pipelines.store.templates import ContentScan
from tests.pipelines.local_home import Scans

BOTH, HER, HIM = (f"video/real/head_pose_{who}.mp4" for who in ("female_and_male", "female", "male"))


@pytest.fixture(scope="module")
def scans(engine, data: Path) -> Scans:
    return Scans(data, engine)


@pytest.fixture
def judge() -> Judge:
    return Judge(OPEN, PlaceGates(), 1280)


def only(scan: ContentScan, rows: np.ndarray) -> ContentScan:
    """Returns the scan with these faces only."""
    faces = scan.faces
    taken = {name: getattr(faces, name)[rows] for name in faces.__dataclass_fields__}
    return replace(scan, faces=replace(faces, **taken))


def test_one_person_gives_her_best_faces_from_all_over_the_scene(judge: Judge, scans: Scans):
    scan = scans.of("scene", "1", HIM)
    found = judge.judge("scene", [scan], "s")
    assert (found.reason, len(found.sources)) == ("", 4)
    times = [float(source.split("@")[1]) for source in found.sources]
    assert times == sorted(times)
    quarter = (scan.faces.time_s.max() - scan.faces.time_s.min()) / 4
    assert times[-1] - times[0] > 2 * quarter
    assert found.template.shape == (4, OPEN.template_dim)


def test_two_people_are_refused_unless_the_other_is_a_stray(judge: Judge, scans: Scans):
    scan = scans.of("scene", "1", BOTH)
    assert judge.judge("scene", [scan], "s").reason == "several_people"
    left = scan.faces.box[:, 0] < np.median(scan.faces.box[:, 0])
    alone = np.flatnonzero(left)
    assert judge.judge("scene", [only(scan, alone)], "s").reason == ""
    stray = np.sort(np.append(alone, np.flatnonzero(~left)[0]))
    assert judge.judge("scene", [only(scan, stray)], "s").reason == ""
    twice = np.sort(np.concatenate([alone, np.flatnonzero(~left)[:2]]))
    assert judge.judge("scene", [only(scan, twice)], "s").reason == "several_people"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("quality", 0.1, "low_quality"),
        ("quality", 0.2, "low_quality"),
        ("yaw", -60.0, "turned_away"),
        ("score", 0.65, "low_score"),
        ("box", None, "small_face"),
    ],
)
def test_each_gate_is_named(judge: Judge, scans: Scans, field: str, value: float | None, reason: str):
    scan = scans.of("scene", "1", HIM)
    before = getattr(scan.faces, field)
    changed = before / 2 if value is None else np.full_like(before, value)
    found = judge.judge("scene", [replace(scan, faces=replace(scan.faces, **{field: changed}))], "s")
    assert (found.reason, found.sources) == (reason, ())


def test_a_face_of_a_large_video_is_measured_in_the_frame_that_was_looked_at(judge: Judge, scans: Scans):
    scan = scans.of("scene", "1", HIM)
    large = replace(scan, width=480 * 8, height=270 * 8, faces=replace(scan.faces, box=scan.faces.box * 8))
    assert judge.judge("scene", [large], "s").reason == ""  # 71 px x 8 x 1280 / 3840
    larger = replace(large, faces=replace(scan.faces, box=scan.faces.box * 1.5))
    assert judge.judge("scene", [larger], "s").reason == "small_face"


def test_who_is_seen_too_rarely_is_not_taken(judge: Judge, scans: Scans):
    scan = scans.of("scene", "1", HIM)
    assert judge.judge("scene", [only(scan, np.arange(2))], "s").reason == "too_few_frames"
    assert judge.judge("scene", [only(scan, np.arange(0))], "s").reason == "no_face"


def test_galleries_are_judged_as_a_whole(judge: Judge, scans: Scans):
    men = [scans.of("image", str(n), f"faces/people/headpose_male/0{n}.jpg") for n in (1, 2, 3)]
    other = [scans.of("image", str(n + 3), f"faces/people/barack_obama/0{n}.jpg") for n in (1, 2)]
    found = judge.judge("gallery", men, "s")
    assert (found.reason, found.sources) == ("", ("image/1", "image/2", "image/3"))
    assert judge.judge("gallery", [*men, *other], "s").reason == "several_people"
    assert judge.judge("gallery", [*men, other[0]], "s").reason == ""
    assert "image/4" not in judge.judge("gallery", [*men, other[0]], "s").sources
    assert judge.judge("image", men[:1], "s").sources == ("image/1",)
    clip = scans.of("image", "9", HIM)
    assert judge.judge("gallery", [*men, clip], "s").sources == found.sources
    assert len(judge.judge("image", [clip], "s").sources) == 4


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1, width=32)), min_size=1, max_size=60), st.integers(1, 8))
def test_spread_takes_the_best_of_each_stretch(faces: list[tuple[int, float]], most: int):
    frames = np.array([frame for frame, _ in faces], np.int32)
    quality = np.array([value for _, value in faces], np.float32)
    rows = np.arange(len(faces))
    taken = spread(rows, frames, quality, most)
    assert len(taken) == len(set(taken.tolist())) == min(most, len(faces))
    assert (np.diff(frames[taken]) >= 0).all()
    assert quality[taken].max() == quality.max()


def test_what_is_remembered_comes_back_as_it_was(judge: Judge, scans: Scans, tmp_path: Path):
    path = tmp_path / "places.parquet"
    good = replace(judge.judge("scene", [scans.of("scene", "1", HIM)], "a"), performer_id="7")
    bad = Judged("b", "several_people", "2 people", performer_id="8")
    known = {("scene", "1"): good, ("image", "2"): bad, ("gallery", "3"): replace(good, stamp="c")}
    write_judged(path, known.items(), OPEN.template_dim, "gates")
    back = read_judged(path, OPEN.template_dim, "gates")
    assert list(back) == list(known)
    for key, judged in known.items():
        for name in Judged.__dataclass_fields__:
            if judged.sources or name != "template":
                np.testing.assert_array_equal(getattr(back[key], name), getattr(judged, name))
    assert read_judged(path, OPEN.template_dim, "other gates") == {}
    assert read_judged(path, 7, "gates") == {}
    path.write_bytes(b"PAR1 and no more")
    assert read_judged(path, OPEN.template_dim, "gates") == {}
    write_judged(path, [], OPEN.template_dim, "gates")
    assert read_judged(path, OPEN.template_dim, "gates") == {}


def test_performers_come_back_as_they_were(tmp_path: Path):
    path = tmp_path / "performers.parquet"
    full = LocalPerformer("7", "2024", "Ann", "(x)", ("A", "B"), ("stashdb.org:1",), "FEMALE", "DE", "1980", 2001, 2010)
    known = {"7": full, "8": LocalPerformer("8", "2025", "Bea", image_url="http://s/8", sha256="ab", etag='"x"')}
    write_performers(path, known.values())
    assert read_performers(path) == known
    path.write_bytes(b"")
    assert read_performers(path) == {}


def test_the_stamp_of_a_gallery_changes_with_its_images():
    stamps = {("image", str(n)): f"t{n}" for n in range(4)}
    gallery = Place("gallery", "1", "7", ("1", "2"))
    assert stamp_of(gallery, stamps) == stamp_of(replace(gallery, performer_id="8"), stamps)
    assert stamp_of(gallery, stamps) != stamp_of(replace(gallery, images=("1", "2", "3")), stamps)
    assert stamp_of(gallery, stamps) != stamp_of(gallery, stamps | {("image", "2"): "later"})
