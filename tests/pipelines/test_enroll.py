import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.enroll.crop_writer import CropWriter
from pipelines.enroll.folder import enroll_folder, local_id
from pipelines.errors import InputError, PackMismatch
from pipelines.faces.catalogue import OPEN
from pipelines.faces.gates import REASONS, Gates, choose_faces
from pipelines.faces.identify import Identifier
from pipelines.media.images import load_image
from pipelines.settings import Settings
from pipelines.store.face_crops import face_key
from pipelines.store.performers import PerformerDatabase
from pipelines.store.tables import template_values
from tests.fakes.people import PACK, People, face


@pytest.fixture
def database(tmp_path) -> PerformerDatabase:
    return PerformerDatabase(tmp_path / "performer-db")


def copy(data: Path, target: Path, *files: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        source = data / "faces" / file
        shutil.copy(source, target / f"{source.parent.name}-{source.name}")


def test_all_people_of_the_test_data_are_enrolled(enrolled, data):
    database, report = enrolled
    folders = {p.name for p in (data / "faces" / "people").iterdir()}
    files = [p for p in (data / "faces" / "people").rglob("*") if p.is_file()]
    gallery = database.load()
    assert {p.name for p in gallery.performers} == folders
    assert {p.universal_id for p in gallery.performers} == {f"local:{name}" for name in folders}
    assert report.performers == report.new_performers == len(folders)
    assert report.new_faces == report.faces == len(gallery.raw.rows)
    assert report.new_faces + len(report.rejected) == len(files)
    assert set(report.reasons) <= {"turned_away"}
    assert report.version == database.current()


def test_every_enrolled_photo_is_recognised(enrolled, engine, data):
    """Plumbing: the photos are those of the gallery."""
    identifier = Identifier(enrolled[0].load())
    for path in sorted((data / "faces" / "people").glob("*/01.*"))[::3]:
        people = identifier.image(engine.analyze([load_image(path)])[0])
        assert path.parent.name in {p.match.name for p in people if p.match}, path


def test_a_second_run_adds_nothing(enrolled, engine, data):
    database, first = enrolled
    second = enroll_folder(data / "faces" / "people", engine, database)
    assert (second.version, second.new_faces, second.new_performers) == (first.version, 0, 0)
    assert second.duplicates == first.faces
    assert second.faces == first.faces


def test_new_photos_join_and_replace_starts_anew(engine, data, tmp_path, database):
    folder, crops = tmp_path / "in", CropWriter(Settings(data_dir=tmp_path), "folder")
    copy(data, folder / "Obama", "people/barack_obama/01.jpg")
    enroll_folder(folder, engine, database, crops=crops)
    copy(data, folder / "Obama", "people/barack_obama/02.jpg")
    copy(data, folder / "Biden", "people/joe_biden/01.jpg")
    report = enroll_folder(folder, engine, database, crops=crops)
    assert (report.performers, report.faces, report.new_performers, report.new_faces) == (2, 3, 1, 2)
    assert report.duplicates == 1
    own = database.source_faces("folder", owner="local:obama")
    assert crops.crops.keys("local:obama") == {face_key(t) for t in template_values(own["template"])}
    for key in crops.crops.keys("local:obama"):
        assert load_image(crops.crops.get("local:obama", key)).shape == (96, 96, 3)
    other = tmp_path / "other"
    copy(data, other / "Biden", "people/joe_biden/01.jpg")
    report = enroll_folder(other, engine, database, replace=True)
    assert (report.performers, report.faces) == (1, 1)
    assert [p.name for p in database.load().performers] == ["Biden"]


def test_who_is_excluded_is_not_looked_at(engine, data, tmp_path, database):
    database.exclude(["local:obama"])
    folder = tmp_path / "in"
    copy(data, folder / "Obama", "people/barack_obama/01.jpg")
    with pytest.raises(InputError, match="1 x the performer is on the exclusion list"):
        enroll_folder(folder, engine, database)
    copy(data, folder / "Biden", "people/joe_biden/01.jpg")
    report = enroll_folder(folder, engine, database)
    assert (report.new_faces, report.reasons) == (1, {"excluded": 1})
    manifest = database.manifest().sources["folder"]
    assert (manifest.kind, manifest.label, manifest.details) == ("folder", str(folder), {"folders": [str(folder)]})


def test_every_bad_file_is_counted_with_its_reason(engine, data, tmp_path, database):
    folder = tmp_path / "in"
    obama = folder / "obama"
    copy(data, obama, "people/barack_obama/01.jpg", "people/barack_obama/02.jpg", "people/barack_obama/03.jpg")
    copy(data, obama, "formats/corrupted.png", "formats/empty.png", "noface/azure_dog.jpg", "people/joe_biden/01.jpg")
    copy(data, obama, "groups/compreface_000_5.jpg")
    (obama / "notes.txt").write_text("not a picture")
    shutil.copy(data / "video" / "real" / "asl_bird.mkv", obama / "clip.mkv")
    shutil.copy(obama / "barack_obama-01.jpg", obama / "zz-again.jpg")
    (obama / ".hidden.jpg").write_bytes(b"")
    report = enroll_folder(folder, engine, database)
    reasons = {Path(r.path).name: r.reason for r in report.rejected}
    assert reasons == {
        "formats-corrupted.png": "unreadable",
        "formats-empty.png": "unreadable",
        "notes.txt": "unreadable",
        "clip.mkv": "not_an_image",
        "noface-azure_dog.jpg": reasons["noface-azure_dog.jpg"],
        "groups-compreface_000_5.jpg": "ambiguous",
        "joe_biden-01.jpg": "outlier",
    }
    assert reasons["noface-azure_dog.jpg"] in {"no_face", "outlier", "small_face"}
    assert (report.new_faces, report.duplicates) == (3, 1)
    assert set(report.reasons) <= set(REASONS)
    assert sum(report.reasons.values()) == len(report.rejected) == 7


def test_a_file_of_another_performer_is_refused(engine, data, tmp_path, database):
    folder = tmp_path / "in"
    copy(data, folder / "a", "people/barack_obama/01.jpg")
    copy(data, folder / "b", "people/barack_obama/01.jpg", "people/joe_biden/01.jpg")
    report = enroll_folder(folder, engine, database)
    assert [(Path(r.path).parent.name, r.reason, r.detail) for r in report.rejected] == [
        ("b", "other_performer", "local:a")
    ]
    assert report.new_faces == 2


def test_nothing_to_enrol_is_an_error_and_changes_nothing(engine, data, tmp_path, database):
    good = tmp_path / "good"
    copy(data, good / "obama", "people/barack_obama/01.jpg")
    version = enroll_folder(good, engine, database).version
    bad = tmp_path / "bad"
    copy(data, bad / "nobody", "noface/azure_printed_text.jpg", "formats/corrupted.png")
    for replace in (False, True):
        with pytest.raises(InputError, match="no face was found"):
            enroll_folder(bad, engine, database, replace=replace)
    assert database.current() == version
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "absent"):
        with pytest.raises(InputError):
            enroll_folder(folder, engine, database)


def test_other_pack_is_refused_unless_replaced(engine, data, tmp_path, database, monkeypatch):
    folder = tmp_path / "in"
    copy(data, folder / "obama", "people/barack_obama/01.jpg")
    enroll_folder(folder, engine, database)
    file = dataclasses.replace(OPEN.detector.file, sha256="0" * 64, graph_sha256="0" * 64)
    other = dataclasses.replace(OPEN, detector=dataclasses.replace(OPEN.detector, file=file))
    monkeypatch.setattr(engine, "pack", other)
    with pytest.raises(PackMismatch, match="--replace"):
        enroll_folder(folder, engine, database)
    assert enroll_folder(folder, engine, database, replace=True).faces == 1
    assert database.manifest().template_id == other.template_id


def test_progress_reaches_the_number_of_files(engine, data, tmp_path, database):
    folder = tmp_path / "in"
    copy(data, folder / "obama", *(f"people/barack_obama/0{n}.jpg" for n in (1, 2, 3)))
    steps = []
    enroll_folder(folder, engine, database, progress=steps.append)
    assert steps[-1].done == steps[-1].total == 3
    assert [s.done for s in steps] == sorted(s.done for s in steps)


def test_large_photos_are_analysed_a_block_at_a_time(engine, tmp_path, database, data):
    folder = tmp_path / "in" / "obama"
    folder.mkdir(parents=True)
    photo = Image.fromarray(load_image(data / "faces" / "people" / "barack_obama" / "01.jpg"))
    for n in range(3):
        photo.resize((3600, int(3600 * photo.height / photo.width))).save(folder / f"{n}.jpg", quality=60 + n)
    steps = []
    report = enroll_folder(folder.parent, engine, database, progress=steps.append)
    assert report.new_faces == 3
    assert len(steps) > 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("barack_obama", "local:barack_obama"),
        ("Jane  Doe (II)", "local:jane-doe-ii"),
        ("Zoë", "local:zoë"),
        ("山田 花子", "local:山田-花子"),
    ],
)
def test_local_ids_are_readable_and_stable(name, expected):
    assert local_id(name) == expected


def test_names_without_letters_get_an_id_of_their_own():
    assert local_id("!!!") != local_id("???")
    assert local_id("!!!") == local_id("!!!")


NOBODY = np.zeros((0, PACK.template_dim), np.float32)


def reasons(photos, enrolled=NOBODY):
    choices, warning = choose_faces(photos, enrolled, PACK, Gates())
    return [c.reason or "ok" for c in choices], warning


def big(face_, factor=3.0):
    return dataclasses.replace(face_, box=face_.box * factor)


def test_the_largest_face_is_the_person():
    people = People(3)
    choices, _ = choose_faces([[face(people.template(1)), big(face(people.template(0)))]], NOBODY, PACK)
    assert choices[0].face.template @ people.centres[0] > 0.8


def test_rivals_are_told_apart_by_the_other_photos():
    people = People(3)
    clear, both = [face(people.template(0))], [face(people.template(1)), face(people.template(0), left=300)]
    assert reasons([both]) == (["ambiguous"], "")
    choices, _ = choose_faces([clear, both], NOBODY, PACK)
    assert choices[1].face.template @ people.centres[0] > 0.8
    strangers = [face(people.template(1)), face(people.template(2), left=300)]
    assert reasons([clear, strangers])[0] == ["ok", "ambiguous"]


def test_faces_must_be_large_and_certain():
    people = People(1)
    small, unsure = big(face(people.template(0)), 0.3), face(people.template(0), score=0.5)
    assert reasons([[small], [unsure], []])[0] == ["small_face", "low_score", "no_face"]


def test_turned_faces_are_left_out_unless_there_is_nothing_better():
    people = People(1)
    front, side, back = (face(people.template(0), yaw=yaw) for yaw in (5, -60, 80))
    assert reasons([[front], [side], [back]])[0] == ["ok", "turned_away", "turned_away"]
    assert reasons([[back], [side]])[0] == ["turned_away", "ok"]
    assert reasons([[side]], people.centres[:1])[0] == ["turned_away"]


def test_outliers_go_one_at_a_time_the_least_alike_first():
    people = People(4)
    own = [[face(people.template(0))] for _ in range(4)]
    assert reasons([*own, [face(people.template(1))], [face(people.template(2))]])[0] == ["ok"] * 4 + ["outlier"] * 2


def test_two_photos_cannot_outvote_each_other():
    people = People(2)
    found, warning = reasons([[face(people.template(0))], [face(people.template(1))]])
    assert found == ["ok", "ok"]
    assert "two people" in warning


def test_enrolled_photos_outvote_new_ones():
    people = People(2)
    known = np.stack([people.template(0) for _ in range(3)])
    assert reasons([[face(people.template(1))]], known)[0] == ["outlier"]
    assert reasons([[face(people.template(0))]], known)[0] == ["ok"]
