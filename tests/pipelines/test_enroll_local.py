"""Performers of a fake Stash into the database: real photos, real clips, real templates."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pipelines.enroll.folder import enroll_folder
from pipelines.enroll.local import forget_performers, run_job
from pipelines.errors import JobConflict, PackMismatch, StashUnreachable
from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.faces.identify import Identifier
from pipelines.folder_lock import alone_in
from pipelines.identify_media import analyze_image
from pipelines.jobs import JobContext, LocalEnrolRequest, job_type
from pipelines.settings import Settings
from pipelines.stash.limiter import Priority
from pipelines.stash.retries import Retries
from pipelines.store.directory import Directory
from pipelines.store.enrolled_faces import kept_pictures, seen_in
from pipelines.store.face_crops import FaceCrops
from pipelines.store.performers import SourceInfo
from pipelines.store.tables import face_table
from pipelines.store.templates import ScanDataset
from tests.fakes.people import PACK
from tests.fakes.stash import FakeStash, Library
from tests.pipelines.local_home import FANSDB, LISTINGS, STASHDB, Home, Scans, quick_library, stashdb

pytestmark = pytest.mark.timeout(300)
SIGNER_A, SIGNER_B, SIGNER_C = "real/asl_again.mkv", "real/asl_bird.mkv", "real/asl_book.mkv"
HER, HIM, BOTH = "real/head_pose_female.mp4", "real/head_pose_male.mp4", "real/head_pose_female_and_male.mp4"


@pytest.fixture(scope="module")
def scans(engine, data: Path) -> Scans:
    return Scans(data, engine)


@pytest.fixture
def home(scans: Scans, tmp_path: Path, models_dir: Path, open_models: Path) -> Iterator[Home]:
    with FakeStash(Library(), api_key="hush-key") as stash:
        settings = Settings(
            data_dir=tmp_path / "data", models_dir=models_dir, stash_url=stash.url, stash_api_key="hush-key"
        )
        yield Home(stash, settings, scans)


def no_engine() -> None:
    raise AssertionError("nothing had to be looked at")


class Unused:
    """An engine that must not be used."""

    def analyze(self, *_: object, **__: object) -> None:
        no_engine()


def named(home: Home, photo: str) -> str | None:
    """Returns who the person of a photo is."""
    faces = analyze_image(home.scans.data / "faces" / "people" / photo, home.scans.engine)
    (person,) = Identifier(home.database.load()).image(faces)
    return person.match.universal_id if person.match else None


def test_pictures_scenes_images_and_galleries(home: Home):
    a = home.performer("Ann", "signer_a/01.jpg", boxes=[STASHDB, FANSDB], alias_list=("Annie",), country="DE")
    b, c, d = (
        home.performer("Bea"),
        home.performer("Cleo"),
        home.performer("Dan", career_start="2001", career_end="2019"),
    )
    home.performer("Nobody")
    own, theirs = home.scene(SIGNER_A, a), home.scene(SIGNER_B, b)
    home.scene(BOTH, d)
    home.gallery([f"people/headpose_female/0{n}.jpg" for n in (1, 2, 3)], c)
    image = home.image("people/headpose_male/01.jpg", d)
    home.image("groups/obama_biden_1.jpg", d)
    home.image("people/joe_biden/01.jpg")
    said = []

    report = home.enroll(on_progress=said.append)

    found = home.enrolled()
    assert set(found) == {f"stash:{i}" for i in (a, b, c, d)}
    assert found[f"stash:{a}"][0] == f"performer/{a}/image"
    assert {s.split("@")[0] for s in found[f"stash:{a}"][1:]} == {f"scene/{own}"}
    assert {s.split("@")[0] for s in found[f"stash:{b}"]} == {f"scene/{theirs}"}
    assert len(found[f"stash:{b}"]) == len(set(found[f"stash:{b}"])) == 4
    assert {s.split("/")[0] for s in found[f"stash:{c}"]} == {"image"}
    assert found[f"stash:{d}"] == [f"image/{image}"]
    assert report.faces == {"picture": 1, "scene": 8, "gallery": 2, "image": 1}
    assert report.gates == {"enrolled": 5, "several_people": 2}
    assert (report.listed, report.new, report.enrolled, report.published) == (5, 5, 4, True)
    assert home.pictures_asked() == [a]
    assert {p.step for p in said} >= {"listing", "choosing"}
    page = json.loads(Path(report.report_page).with_name("report.json").read_text())
    assert {row["reason"] for row in page["rows"]} == {"enrolled", "several_people"}
    json.dumps(report.to_dict())

    crops = FaceCrops(home.settings.enrolled_crops_path, "stash")
    assert [len(crops.keys(f"stash:{i}")) for i in (a, b, c, d)] == [1, 0, 0, 0], "of pictures only"
    directory = Directory(home.database, home.database.current())
    for performer, where in ((a, f"scene/{own}"), (b, f"scene/{theirs}"), (d, f"image/{image}")):
        faces = directory.person(f"stash:{performer}")["pictures"]
        assert kept_pictures(home.settings.enrolled_crops_path, faces) == {
            ("stash", f"stash:{performer}", f["key"]) for f in faces if f["source"] == f"performer/{performer}/image"
        }
        seen = seen_in(ScanDataset(home.settings.scans_path), OPEN.template_id, faces)
        assert {source.partition("@")[0] for source, _ in seen} == {where}
        assert len(seen) == sum(f["source"].startswith(where) for f in faces)
        assert all((one.time_s is None) == (one.kind == "image") for one in seen.values())

    (ann, *_, dan) = home.database.source_performers("stash").to_pylist()
    assert ann["ids"] == sorted([f"stash:{a}", stashdb("Ann"), "fansdb.cc:Ann-uuid"])
    assert (ann["name"], ann["aliases"], ann["country"]) == ("Ann", ["Annie"], "DE")
    assert ann["image_url"] == f"{home.stash.url}/performer/{a}/image"
    assert (dan["career_start"], dan["career_end"]) == (2001, 2019)
    assert named(home, "signer_b/02.jpg") == f"stash:{b}"
    assert named(home, "headpose_female/03.jpg") == f"stash:{c}"
    assert named(home, "barack_obama/01.jpg") is None
    assert home.database.manifest().sources["stash"].details["gates"] == report.gates


def test_an_unchanged_library_costs_its_listings(home: Home):
    home.performer("Ann", "signer_a/01.jpg")
    b = home.performer("Bea")
    home.performer("Cat", "../noface/azure_dog.jpg")
    home.scene(SIGNER_B, b)
    home.gallery(["people/headpose_male/01.jpg"], home.performer("Dan"))
    first = home.enroll()
    assert first.gates == {"enrolled": 3, "no_face": 1}

    again = home.enroll(engine=Unused())

    assert home.asked_listings_only()
    assert len(home.stash.requests) <= 6
    assert (again.version, again.published, again.pictures, again.looked_at) == (first.version, False, {}, 0)
    assert (again.gates, again.faces, again.enrolled) == (first.gates, first.faces, 3)


def test_pictures_count_by_their_bytes_and_not_by_their_address(home: Home):
    ids = [home.performer(f"P{n}", f"signer_{who}/01.jpg") for n, who in enumerate("abc")]
    first = home.enroll()
    assert first.pictures == {"fetched": 3, "looked_at": 3}

    home.touch("performer", *ids)
    bulk = home.enroll(engine=Unused())
    assert (bulk.changed, bulk.pictures, bulk.published) == (3, {"fetched": 3, "unchanged": 3}, False)
    assert {one.status for one in home.stash.requests.named("/performer/")} == {304}
    assert not home.enroll(engine=Unused()).pictures

    home.stash.library.performers[int(ids[1])].image = (home.scans.data / "faces/people/signer_b/02.jpg").read_bytes()
    home.touch("performer", ids[1])
    before = home.database.source_faces("stash")["source_sha256"].to_pylist()
    changed = home.enroll()
    after = home.database.source_faces("stash")["source_sha256"].to_pylist()
    assert (changed.pictures, changed.published) == ({"fetched": 1, "looked_at": 1}, True)
    assert [x == y for x, y in zip(before, after, strict=True)] == [True, False, True]

    home.stash.library.performers[int(ids[0])].image = None  # the silhouette is not fetched, the old picture goes
    home.touch("performer", ids[0])
    assert not home.enroll(engine=Unused()).pictures
    assert set(home.enrolled()) == {f"stash:{i}" for i in ids[1:]}


def test_full_asks_for_everything_and_looks_at_nothing_twice(home: Home):
    a = home.performer("Ann", "signer_a/01.jpg")
    home.performer("Bea", "signer_b/01.jpg")
    home.enroll()
    full = home.enroll(full=True, engine=Unused())
    assert (full.pictures, full.published) == ({"fetched": 2, "unchanged": 2}, False)
    one = home.enroll(performers=[a], engine=Unused())
    assert (one.pictures, home.pictures_asked()) == ({"fetched": 1, "unchanged": 1}, [a])
    assert len(home.enrolled()) == 2


def test_names_and_links_are_refreshed_without_pictures(home: Home):
    a = home.performer("Ann", "signer_a/01.jpg", boxes=[STASHDB])
    home.enroll()
    row = home.stash.library.performers[int(a)]
    row.name, row.stash_ids = "Anna", ()
    home.touch("performer", a)
    report = home.enroll(engine=Unused())
    assert (report.renamed, report.published, report.pictures) == (1, True, {"fetched": 1, "unchanged": 1})
    (anna,) = home.database.source_performers("stash").to_pylist()
    assert (anna["name"], anna["ids"]) == ("Anna", [f"stash:{a}"])


def test_merged_and_deleted_performers_and_changed_tags(home: Home):
    a, b, c = home.performer("Ann", "signer_a/01.jpg"), home.performer("Bea"), home.performer("Cleo", "signer_c/01.jpg")
    scene, other = home.scene(SIGNER_B, b), home.scene(SIGNER_C, c)
    heir = home.performer("Beate")
    home.enroll()
    assert set(home.enrolled()) == {f"stash:{i}" for i in (a, b, c)}

    async def merge() -> None:
        async with quick_library(home.settings) as library:
            await library.merge_performers([b], heir)

    asyncio.run(merge())
    home.stash.vanish([int(a)], "performer")
    home.stash.library.scenes[int(other)].performer_ids = (int(c), int(heir))
    report = home.enroll(engine=Unused())
    assert (report.gone, report.merged) == (2, {b: heir})
    assert set(home.enrolled()) == {f"stash:{heir}", f"stash:{c}"}
    assert {s.split("@")[0] for s in home.enrolled()[f"stash:{heir}"]} == {f"scene/{scene}"}
    assert home.enrolled()[f"stash:{c}"] == [f"performer/{c}/image"]

    home.stash.vanish([int(heir), int(c)], "performer")
    last = home.enroll(engine=Unused())
    assert (last.version, last.published, home.enrolled()) == (None, True, {})


def test_who_has_gone_here_stays_where_others_know_them(home: Home, tmp_path: Path):
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Ann").symlink_to(home.scans.data / "faces" / "people" / "signer_a")
    enroll_folder(tmp_path / "people", home.scans.engine, home.database)
    a = home.performer("Ann", "signer_a/01.jpg")
    home.enroll()
    home.stash.vanish([int(a)], "performer")
    home.enroll()
    assert named(home, "signer_a/02.jpg") == "local:ann"


@pytest.mark.parametrize("picture", [None, "signer_a/01.jpg"])
def test_a_wrongly_tagged_scene_is_refused(home: Home, picture: str | None):
    home.performer("Bea", "signer_b/01.jpg")
    wrong = home.performer("Xena", picture)
    home.scene(SIGNER_B, wrong)
    report = home.enroll()
    assert report.gates["other_person"] == 1
    assert f"stash:{wrong}" not in home.enrolled() or home.enrolled()[f"stash:{wrong}"] == [f"performer/{wrong}/image"]


def test_a_wrong_tag_is_refused_by_what_another_source_knows(home: Home, tmp_path: Path):
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Bea").symlink_to(home.scans.data / "faces" / "people" / "signer_b")
    enroll_folder(tmp_path / "people", home.scans.engine, home.database)
    wrong = home.performer("Xena")
    home.scene(SIGNER_B, wrong)
    report = home.enroll()
    assert (report.gates, report.published, home.enrolled()) == ({"other_person": 1}, False, {})
    page = json.loads(Path(report.report_page).with_name("report.json").read_text())
    assert "local:bea" in page["rows"][0]["examples"][0]["detail"]


def test_what_is_learned_later_takes_a_wrong_face_away(home: Home, tmp_path: Path):
    wrong = home.performer("Xena")
    home.scene(SIGNER_B, wrong)
    assert home.enroll().faces == {"scene": 4}  # nobody knew better
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Bea").symlink_to(home.scans.data / "faces" / "people" / "signer_b")
    enroll_folder(tmp_path / "people", home.scans.engine, home.database)
    report = home.enroll(engine=Unused())
    assert (report.gates, report.published, home.enrolled()) == ({"other_person": 1}, True, {})
    assert named(home, "signer_b/03.jpg") == "local:bea"


def test_what_nothing_decides_is_left_out(home: Home):
    x = home.performer("Xena")
    home.scene(SIGNER_A, x)
    home.scene(SIGNER_B, x)
    y, z = home.performer("Yves"), home.performer("Zoe")
    home.scene(HIM, y)
    home.scene(HIM, z)
    report = home.enroll()
    assert (report.gates, home.enrolled()) == ({"undecided": 4}, {})

    home.stash.library.performers[int(x)].image = (home.scans.data / "faces/people/signer_a/01.jpg").read_bytes()
    home.touch("performer", x)
    decided = home.enroll()
    assert decided.gates == {"undecided": 2, "enrolled": 2, "outlier": 1}
    home.stash.vanish([int(z)], "performer")
    assert home.enroll(engine=Unused()).gates == {"enrolled": 3, "outlier": 1}


def test_three_places_outvote_one(home: Home):
    x = home.performer("Xena")
    home.scene(SIGNER_A, x)
    home.image("people/signer_a/01.jpg", x)
    home.image("people/signer_a/02.jpg", x)
    odd = home.scene(SIGNER_B, x)
    report = home.enroll()
    assert report.gates == {"enrolled": 3, "outlier": 1}
    assert not any(s.startswith(f"scene/{odd}") for s in home.enrolled()[f"stash:{x}"])


def test_a_picture_must_be_the_person_that_other_sources_know(home: Home, tmp_path: Path):
    """A link to a stash-box whose faces are somebody else's: the picture stays out, whoever is right."""
    (face,) = analyze_image(home.scans.data / "faces/people/signer_b/01.jpg", home.scans.engine)
    columns = {"universal_id": [stashdb("Ann")], "source": ["x"], "source_sha256": [None]}
    columns |= {name: [0.9] for name in ("quality", "yaw_deg", "detection_score")}
    source = SourceInfo(id="stashdb.org", kind="stashbox", updated=datetime.now(UTC))
    home.database.put(OPEN, source, [Performer(stashdb("Ann"), "Ann")], face_table(columns, face.template[None]))
    a = home.performer("Ann", "signer_a/01.jpg", boxes=[STASHDB])
    right, wrong = home.scene(SIGNER_B, a), home.scene(SIGNER_A, a)
    report = home.enroll()
    assert report.gates == {"outlier": 2, "enrolled": 1}
    assert {s.split("@")[0] for s in home.enrolled()[f"stash:{a}"]} == {f"scene/{right}"}
    assert wrong != right


def test_excluded_and_minors_are_not_even_fetched(home: Home):
    a = home.performer("Ann", "signer_a/01.jpg", boxes=[STASHDB])
    b = home.performer("Bea", "signer_b/01.jpg", birthdate="2020-01-01")
    c = home.performer("Cleo", "signer_c/01.jpg", birthdate="1980")
    home.scene(SIGNER_A, a)
    home.database.exclude([stashdb("Ann")], "asked")
    report = home.enroll()
    assert report.barred == {"excluded": 1, "under_18": 1}
    assert (home.pictures_asked(), set(home.enrolled())) == ([c], {f"stash:{c}"})
    assert report.gates == {"enrolled": 1}

    home.database.exclude([f"stash:{c}"])
    assert home.enroll(engine=Unused()).version is None
    home.database.include([f"stash:{c}"])
    back = home.enroll()
    assert back.pictures == {"fetched": 1, "looked_at": 1}  # nothing was kept of who was excluded
    assert forget_performers(home.settings, [f"stash:{c}", f"stash:{b}", "stashdb.org:x"]) == 2
    assert home.enroll().pictures == {"fetched": 1, "looked_at": 1}


def test_forgetting_people_does_not_wait_for_an_enrolment_without_end(home: Home, monkeypatch: pytest.MonkeyPatch):
    a, b = home.performer("Ann", "signer_a/01.jpg"), home.performer("Bea")
    home.scene(SIGNER_B, b)
    assert forget_performers(home.settings, [f"stash:{a}"]) == 0
    home.enroll()
    monkeypatch.setattr("pipelines.enroll.local_state.FORGET_WAIT_S", 0.3)
    with alone_in(home.settings.portraits_path), pytest.raises(JobConflict, match="running"):
        forget_performers(home.settings, [f"stash:{a}"])
    for file in ("performers.parquet", "last.json"):
        (home.settings.portraits_path / file).unlink()
    assert forget_performers(home.settings, [f"stash:{a}", "local:x"]) == 1
    assert forget_performers(home.settings, [f"stash:{b}"]) == 0
    assert home.enroll().pictures == {"fetched": 1, "looked_at": 1}


def test_a_picture_that_cannot_be_had_is_counted_and_tried_again(home: Home):
    ids = [home.performer(f"P{n}", f"signer_{who}/01.jpg") for n, who in enumerate("abc")]
    home.performer("Damaged", "../formats/truncated.jpg")
    picture = home.stash.library.performers[int(ids[0])].image
    home.stash.library.performers[int(ids[0])].image = b"x" * ((32 << 20) + 1)
    report = home.enroll()
    assert report.pictures == {"fetched": 4, "looked_at": 3, "failed": 1}
    assert report.gates == {"enrolled": 2, "unreadable": 2}
    home.stash.library.performers[int(ids[0])].image = picture
    again = home.enroll()
    assert (again.pictures, len(home.enrolled())) == ({"fetched": 1, "looked_at": 1}, 3)
    assert again.gates == {"enrolled": 3, "unreadable": 1}


def test_a_stash_that_stays_away_leaves_everything_as_it_is(home: Home, monkeypatch: pytest.MonkeyPatch):
    home.performer("Ann", "signer_a/01.jpg")
    first = home.enroll()
    few = Retries(attempts={Priority.BATCH: 2, Priority.INTERACTIVE: 2}, first_wait_s=0.01, longest_wait_s=0.01)
    monkeypatch.setattr("tests.pipelines.local_home.QUICK", few)
    for name in ("Bea", "Cleo", "Dora", "Edda"):
        home.performer(name, "signer_b/01.jpg")
    home.stash.knobs.set(fail_rate=1.0, paths=("/performer/",))
    with pytest.raises(StashUnreachable):
        home.enroll()
    home.stash.knobs.set(fail_rate=1.0, paths=())
    with pytest.raises(StashUnreachable):
        home.enroll()
    assert home.database.current() == first.version
    home.stash.knobs.set(fail_rate=0.0)
    assert home.enroll().pictures == {"fetched": 4, "looked_at": 4}


def test_stopping_keeps_what_was_looked_at(home: Home):
    for n in range(6):
        home.performer(f"P{n}", ["signer_a/01.jpg", "signer_b/01.jpg", "signer_c/01.jpg"][n % 3])
    home.stash.knobs.set(latency_s=0.3, paths=("/performer/",))
    stop = []

    def watch(now) -> None:
        if now.counts.get("looked_at", 0) >= 2:
            stop.append(True)

    stopped = home.enroll(on_progress=watch, should_stop=lambda: bool(stop))
    assert (stopped.stopped, stopped.version, home.database.current()) == (True, None, None)
    home.stash.knobs.set(latency_s=0.0)
    rest = home.enroll()
    assert rest.pictures["looked_at"] <= 4
    assert len(home.enrolled()) == 6


def test_without_scenes_or_galleries(home: Home):
    b, c = home.performer("Bea"), home.performer("Cleo")
    home.scene(SIGNER_B, b)
    home.image("people/headpose_male/01.jpg", c)
    home.enroll()
    assert len(home.enrolled()) == 2
    home.enroll(use_scenes=False)
    assert set(home.enrolled()) == {f"stash:{c}"}
    home.enroll(use_galleries=False)
    assert set(home.enrolled()) == {f"stash:{b}"}


def test_some_performers_only_leave_all_others_as_they_are(home: Home):
    a, b = home.performer("Ann", "signer_a/01.jpg"), home.performer("Bea", "signer_b/01.jpg")
    home.enroll(performers=[a])
    assert (set(home.enrolled()), home.pictures_asked()) == ({f"stash:{a}"}, [a])
    for file in home.settings.portraits_path.glob("*.parquet"):
        file.unlink()
    home.enroll(performers=[b])
    assert set(home.enrolled()) == {f"stash:{a}", f"stash:{b}"}
    home.stash.vanish([int(b)], "performer")
    home.enroll(performers=[b])
    assert set(home.enrolled()) == {f"stash:{a}"}


@pytest.mark.parametrize("lost", ["last.json", "places.parquet", "performers.parquet"])
def test_what_is_lost_between_two_runs_is_found_again(home: Home, lost: str):
    """Among them what a kill right after publishing leaves."""
    home.performer("Ann", "signer_a/01.jpg")
    home.scene(SIGNER_B, home.performer("Bea"))
    first = home.enroll()
    (home.settings.portraits_path / lost).unlink()
    again = home.enroll(engine=Unused())
    assert (again.version, again.published, again.gates) == (first.version, False, first.gates)


def test_templates_of_another_pack(home: Home):
    def put(source_id: str, kind: str) -> None:
        source = SourceInfo(id=source_id, kind=kind, updated=datetime.now(UTC))
        columns = {"universal_id": ["local:x"], "source": ["x"], "source_sha256": [None]}
        columns |= {name: [0.9] for name in ("quality", "yaw_deg", "detection_score")}
        faces = face_table(columns, np.ones((1, PACK.template_dim), np.float32))
        home.database.put(PACK, source, [Performer("local:x", "X")], faces, only=True)

    a = home.performer("Ann", "signer_a/01.jpg")
    put("folder", "folder")
    with pytest.raises(PackMismatch):
        home.enroll()
    assert len(home.stash.requests) == 0
    put("stash", "stash")
    assert home.enroll().published
    assert set(home.enrolled()) == {f"stash:{a}"}


def test_the_job():
    kind = job_type("enroll_local")
    assert kind.schedulable
    assert kind.resumable
    assert kind.parse({"performers": ["7"]}) == LocalEnrolRequest(performers=("7",))
    assert LISTINGS


def test_the_job_runs_with_an_engine_of_its_own(home: Home):
    home.performer("Ann", "signer_a/01.jpg")
    said = []
    context = JobContext(
        home.settings, LocalEnrolRequest(), lambda done, total, _: said.append((done, total)), lambda: False
    )
    report = run_job(context)
    assert (report["enrolled"], report["pictures"]) == (1, {"fetched": 1, "looked_at": 1})
    assert json.loads(json.dumps(report)) == report
    assert (1, 1) in said


KILLED = """
import sys
from pipelines.enroll.local import enroll_local
from pipelines.settings import Settings
enroll_local(Settings.model_validate_json(sys.stdin.read()))
"""


def test_a_killed_run_has_lost_nothing_that_was_looked_at(home: Home, tmp_path: Path):
    photos = ("signer_a/01.jpg", "signer_b/01.jpg", "signer_c/01.jpg", "headpose_male/01.jpg", "barack_obama/01.jpg")
    for number, photo in enumerate(photos):
        home.performer(f"P{number}", photo)
    home.stash.knobs.set(latency_s=1.0, paths=("/performer/",))
    scans = home.settings.portraits_path / "pictures" / "pending"
    given = json.loads(home.settings.model_dump_json()) | {"stash_requests_per_s": 1.5}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        until = time.monotonic() + 120
        while len(list(scans.glob("*.parquet"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    looked_at = len(list(scans.glob("*.parquet")))
    assert 2 <= looked_at < len(photos)
    assert home.database.current() is None

    home.stash.knobs.set(latency_s=0.0)
    rest = home.enroll()
    assert rest.pictures["looked_at"] == len(photos) - looked_at
    assert len(home.enrolled()) == len(photos)
    assert home.enroll(engine=Unused()).pictures == {}
