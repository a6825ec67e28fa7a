"""Bundles of the first Stash Sense, made with the real Voyager library: what is imported, and what is tolerated."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import PackMismatch, ReleaseCorrupt, ReleaseUnsupported
from pipelines.faces.catalogue import BUFFALO_L, STASH_SENSE_2026
from pipelines.faces.templates import TemplateSpace
from pipelines.releases import ImportStep, import_release, inspect
from pipelines.store.performers import PerformerDatabase
from tests.fakes.packs import small_stash_sense_2026
from tests.releases import bundles
from tests.releases.bundles import Person
from tests.releases.conftest import FACES, Import, SmallRelease, photo_templates, stash_sense_release, templates_by_url

SOURCE = "release:stash-sense"


def edit_json(path: Path, change: Callable[[object], object]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def without(name: str) -> Callable[[object], object]:
    return lambda performers: {k: v for k, v in performers.items() if k != name}


def test_inspect_says_what_a_bundle_is(release: SmallRelease, tmp_path: Path):
    zipped = bundles.zip_folder(release.folder, tmp_path / "a.zip")
    for path in (release.folder, zipped):
        facts = inspect(path)
        assert (facts.kind, facts.version, facts.pack) == ("stash-sense", bundles.VERSION, "stash-sense-2026")
        assert (facts.performers, facts.faces, facts.source) == (12, FACES, SOURCE)
        assert facts.unpacked_bytes == sum(p.stat().st_size for p in release.folder.iterdir())
        assert facts.checksums["face_facenet.voy"] == bundles.sha256(release.folder / "face_facenet.voy")
    assert inspect(zipped).size_bytes == zipped.stat().st_size


@pytest.mark.parametrize("form", ["folder", "zip", "zip with a folder"])
def test_every_template_comes_back_with_its_face(
    release: SmallRelease, database: PerformerDatabase, import_old: Import, tmp_path: Path, form: str
):
    path = release.folder
    if form == "zip":
        path = bundles.zip_folder(release.folder, tmp_path / "a.zip")
    elif form == "zip with a folder":
        path = tmp_path / "a.zip"
        with bundles.zipfile.ZipFile(path, "w") as file:
            for each in release.folder.iterdir():
                file.write(each, f"v2026/{each.name}")
    report = import_old(path)
    assert (report.performers, report.faces, dict(report.skipped)) == (12, FACES, {})
    assert (report.source, report.release, report.version) == (SOURCE, bundles.VERSION, database.current())
    found = templates_by_url(database, SOURCE)
    for face in range(FACES):
        universal_id, template = found[bundles.face_url(face)]
        assert universal_id == release.persons[release.owners[face]].universal_id
        assert np.abs(template - release.vectors[face]).max() < 1e-3
    rows = database.source_faces(SOURCE, columns=["source", "quality", "yaw_deg", "source_sha256", "detection_score"])
    row = {r["source"]: r for r in rows.to_pylist()}[bundles.face_url(17)]
    assert (row["quality"], row["yaw_deg"]) == pytest.approx((bundles.quality(17), bundles.yaw(17)))
    assert row["source_sha256"] is None
    assert not list((tmp_path / "work").iterdir())


def test_performers_have_all_that_is_known(release: SmallRelease, database: PerformerDatabase, import_old: Import):
    import_old(release.folder)
    rows = {row["name"]: row for row in database.source_performers(SOURCE).to_pylist()}
    six = rows["Person 6"]
    assert six["universal_id"] == f"stashdb.org:{bundles.uuid(6)}"
    assert six["ids"] == [f"stashdb.org:{bundles.uuid(6)}", f"theporndb.net:{bundles.uuid(106)}"]
    assert (six["birth_date"], six["career_start"], six["career_end"]) == ("1980-02-03", 2001, None)
    assert six["image_url"] == release.persons[5].image_url
    assert sorted(rows["Person 5"]["aliases"]) == ["Alias 0 of 5", "Alias 1 of 5"]
    assert f"stashdb.org:{bundles.uuid(904)}" in rows["Person 4"]["ids"]
    info = database.manifest().sources[SOURCE]
    assert (info.kind, info.release, info.details["full"]) == ("release", bundles.VERSION, bundles.VERSION)


def test_everybody_is_found_by_their_own_faces(release: SmallRelease, database: PerformerDatabase, import_old: Import):
    import_old(release.folder)
    gallery = database.load()
    hits = gallery.search(release.vectors, 1)
    names = gallery.names(hits.performers[:, 0])
    for face, row in enumerate(hits.performers[:, 0].tolist()):
        assert names[row][0] == release.persons[release.owners[face]].universal_id


def test_a_score_is_the_weighted_cosine_of_both_embedders(
    release: SmallRelease, database: PerformerDatabase, import_old: Import
):
    import_old(release.folder)
    faces = database.source_faces(SOURCE)
    stored = np.stack(faces["template"].to_pylist()).astype(np.float32)
    space = TemplateSpace.for_gallery(STASH_SENSE_2026, np.zeros((0, 1024), np.float32))
    probe = np.random.default_rng(9).standard_normal((5, 1024)).astype(np.float32) * 6
    scores = space.project(probe) @ space.project(stored).T

    def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)

    url = faces["source"].to_pylist()
    order = [url.index(bundles.face_url(i)) for i in range(FACES)]
    facenet, arcface = release.vectors[:, :512], release.vectors[:, 512:]
    old_way = 0.5 * cosine(probe[:, :512], facenet) + 0.5 * cosine(probe[:, 512:], arcface)
    assert np.abs(scores[:, order] - old_way).max() < 1e-3


def test_null_entries_strangers_and_unlisted_faces_are_counted(
    tmp_path: Path, database: PerformerDatabase, import_old: Import
):
    owners: list[int | None] = [0, 1, None, 2, 3, None, 4, 5, 0, 1]
    release = stash_sense_release(tmp_path / "bundle", owners)
    gone, json_only = release.persons[2].universal_id, release.persons[3].universal_id
    edit_json(release.folder / "performers.json", without(gone))
    connection = sqlite3.connect(release.folder / "performers.db")
    connection.execute("DELETE FROM stashbox_ids WHERE performer_id IN (3, 4)")
    connection.execute("DELETE FROM faces WHERE facenet_index = 8")
    connection.commit()
    connection.close()
    bundles.change_manifest(release.folder, performer_count=11)
    report = import_old(release.folder)
    assert report.skipped == {"no_owner": 2, "unknown_performers": 1, "unlisted_faces": 1}
    assert (report.performers, report.faces) == (5, 7)
    people = {row["universal_id"]: row for row in database.source_performers(SOURCE).to_pylist()}
    assert people[json_only]["name"] == "Person 4"
    assert people[json_only]["aliases"] == []
    assert database.source_faces(SOURCE)["source"].null_count == 0


def test_a_performer_of_the_database_alone_is_imported(tmp_path: Path, database: PerformerDatabase, import_old: Import):
    release = stash_sense_release(tmp_path / "bundle")
    edit_json(release.folder / "performers.json", without(release.persons[0].universal_id))
    bundles.change_manifest(release.folder, performer_count=11)
    assert import_old(release.folder).performers == 12
    assert "Person 1" in database.source_performers(SOURCE)["name"].to_pylist()


def test_ids_of_one_installation_and_unusable_names_are_left_out(tmp_path: Path, import_old: Import):
    release = stash_sense_release(tmp_path / "bundle")
    path = release.folder / "faces.json"
    faces = json.loads(path.read_text())
    faces[0], faces[1], faces[2] = "local:12", "no id at all", "stash:5"
    path.write_text(json.dumps(faces))
    nameless = release.persons[3].universal_id
    edit_json(release.folder / "performers.json", lambda p: {**p, nameless: {"name": " "}})
    connection = sqlite3.connect(release.folder / "performers.db")
    connection.execute("UPDATE performers SET canonical_name = '' WHERE id = 4")
    connection.commit()
    connection.close()
    bundles.change_manifest(release.folder)
    report = import_old(release.folder)
    assert report.skipped == {"local_ids": 2, "bad_performers": 1 + FACES // 12}


def test_facts_that_cannot_be_stored_are_left_out_of_a_performer(
    tmp_path: Path, database: PerformerDatabase, import_old: Import
):
    release = stash_sense_release(tmp_path / "bundle")
    one = release.persons[0].universal_id
    odd = {"name": "Odd \ud800 name\0", "country": ["GB"], "image_url": "javascript:alert(1)", "gender": 7}
    edit_json(release.folder / "performers.json", lambda p: {**p, one: odd})
    connection = sqlite3.connect(release.folder / "performers.db")
    connection.execute("UPDATE performers SET career_start_year = 99999999999, career_end_year = -4 WHERE id = 1")
    connection.execute("UPDATE performers SET disambiguation = ?, image_url = NULL WHERE id = 1", ("x" * 5000,))
    connection.execute("INSERT INTO stashbox_ids VALUES (1, 'local', '12', NULL), (1, 'fansdb', 'a b', NULL)")
    connection.commit()
    connection.close()
    bundles.change_manifest(release.folder)
    assert import_old(release.folder).performers == 12
    row = {row["universal_id"]: row for row in database.source_performers(SOURCE).to_pylist()}[one]
    assert (row["name"], row["country"], row["image_url"], row["gender"]) == ("Odd ? name", None, None, None)
    assert (row["career_start"], row["career_end"], row["disambiguation"]) == (None, None, "x" * 1000)
    assert row["ids"] == ["local.org:12", one]


def test_optional_files_and_new_columns_do_not_matter(tmp_path: Path, import_old: Import):
    release = stash_sense_release(tmp_path / "bundle")
    (release.folder / "face_adaface.voy").write_bytes(b"of no use here")
    (release.folder / "tattoo_embeddings.json").write_text("[null]")
    connection = sqlite3.connect(release.folder / "performers.db")
    connection.execute("ALTER TABLE faces ADD COLUMN landmarks TEXT DEFAULT 'x'")
    connection.execute("ALTER TABLE faces DROP COLUMN yaw")
    connection.commit()
    connection.close()
    bundles.change_manifest(release.folder, extra={"nested": [1]})
    manifest = json.loads((release.folder / "manifest.json").read_text())
    manifest["checksums"]["face_adaface_old.voy"] = "sha256:" + "0" * 64  # of an optional file that is not there
    (release.folder / "manifest.json").write_text(json.dumps(manifest))
    assert import_old(release.folder).faces == FACES


def test_progress_goes_through_all_steps(release: SmallRelease, import_old: Import, tmp_path: Path):
    steps: list[ImportStep] = []
    import_old(bundles.zip_folder(release.folder, tmp_path / "a.zip"), progress=steps.append)
    assert list(dict.fromkeys(s.stage for s in steps)) == ["unpack", "verify", "read", "write"]
    last = {step.stage: step for step in steps}
    assert all(step.done == step.total for step in last.values())
    assert last["write"].total == FACES


def test_another_pack_is_refused_before_anything_is_read(
    release: SmallRelease, database: PerformerDatabase, tmp_path: Path
):
    with pytest.raises(PackMismatch, match="stash-sense-2026"):
        import_release(release.folder, database, BUFFALO_L, workdir=tmp_path / "work")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("facenet_dim", 128), ("flip_averaging", False), ("detector", "scrfd_10g")]
)
def test_templates_of_other_models_are_refused(release: SmallRelease, import_old: Import, name: str, value: object):
    models = json.loads((release.folder / "manifest.json").read_text())["models"]
    bundles.change_manifest(release.folder, models={**models, name: value})
    with pytest.raises(ReleaseUnsupported, match=name):
        import_old(release.folder)


@pytest.mark.parametrize("missing", ["faces.json", "performers.json", "performers.db", "face_arcface.voy"])
def test_a_missing_file_is_named(release: SmallRelease, import_old: Import, missing: str):
    (release.folder / missing).unlink()
    with pytest.raises(ReleaseCorrupt, match=missing):
        import_old(release.folder)


@pytest.mark.parametrize("name", ["performers.db", "face_facenet.voy", "face_arcface.voy"])
def test_a_wrong_checksum_is_refused_before_the_file_is_opened(release: SmallRelease, import_old: Import, name: str):
    with (release.folder / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ReleaseCorrupt, match=rf"{name} is damaged"):
        import_old(release.folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"face_count": 61}, "60 entries in faces.json, the manifest states 61"),
        ({"performer_count": 5}, "12 performers in performers.json, the manifest states 5"),
        ({"version": None}, "which version"),
        ({"version": "../../x"}, "which version"),
        ({"face_count": "many"}, "face_count"),
        ({"checksums": {}}, "no checksum of performers.db"),
        ({"checksums": {"performers.db": "md5:0"}}, "performers.db"),
        ({"checksums": {"../performers.db": "sha256:" + "0" * 64}}, "must be"),
        ({"models": []}, "manifest"),
    ],
)
def test_a_manifest_that_is_not_true_is_refused(
    release: SmallRelease, import_old: Import, change: dict[str, object], words: str
):
    bundles.change_manifest(release.folder, **change)
    with pytest.raises(ReleaseCorrupt, match=words):
        import_old(release.folder)


def test_indices_of_another_size_are_refused(tmp_path: Path, import_old: Import):
    release = stash_sense_release(tmp_path / "bundle")
    smaller = stash_sense_release(tmp_path / "smaller", [0] * 50)
    (release.folder / "face_arcface.voy").write_bytes((smaller.folder / "face_arcface.voy").read_bytes())
    bundles.change_manifest(release.folder)
    with pytest.raises(ReleaseCorrupt, match=r"face_arcface\.voy holds 50 faces, faces\.json 60"):
        import_old(release.folder)


def test_an_index_with_other_numbers_is_refused(tmp_path: Path, import_old: Import):
    import voyager

    release = stash_sense_release(tmp_path / "bundle")
    index = voyager.Index(voyager.Space.Cosine, 512)
    index.add_items(bundles.vectors(FACES), ids=list(range(1, FACES + 1)))
    index.save(str(release.folder / "face_facenet.voy"))
    bundles.change_manifest(release.folder)
    with pytest.raises(ReleaseCorrupt, match="from 0 to 59"):
        import_old(release.folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("faces.json", "{}"),
        ("faces.json", "[1, 2"),
        ("faces.json", "[[]]"),
        ("faces.json", "[" * 100_000),
        ("performers.json", "[]"),
        ("manifest.json", "[]"),
        ("manifest.json", "\ufeff{"),
    ],
)
def test_json_that_is_not_what_it_should_be_is_named(
    release: SmallRelease, import_old: Import, name: str, content: str
):
    (release.folder / name).write_text(content)
    with pytest.raises(ReleaseCorrupt, match=name.replace(".", r"\.")):
        import_old(release.folder)


@pytest.mark.parametrize("files", [[], ["holiday.jpg"]])
def test_what_is_no_release_is_unsupported(tmp_path: Path, import_old: Import, files: list[str]):
    for name in files:
        (tmp_path / name).write_text("x")
    with pytest.raises(ReleaseUnsupported, match="no released performer database"):
        import_old(tmp_path)


def test_real_photos_are_found_in_a_bundle_made_of_them(tmp_path: Path, data: Path, open_models: Path):
    """Photos -> detector, aligner and random-weight embedders -> bundle as a release has it -> import -> search."""
    pack = small_stash_sense_2026(tmp_path / "models")
    names, templates = photo_templates(pack, tmp_path / "models", open_models, data)
    persons = [Person(n, name, {"stashdb": bundles.uuid(n)}) for n, name in enumerate(names, 1)]
    owners = list(range(len(names)))
    bundles.write_stash_sense(tmp_path / "bundle", persons, owners, templates[:, :512], templates[:, 512:])
    database = PerformerDatabase(tmp_path / "db")
    import_release(tmp_path / "bundle", database, pack, workdir=tmp_path / "work")
    gallery = database.load(pack=pack)
    hits = gallery.search(templates, 1)
    found = gallery.names(hits.performers[:, 0])
    assert [found[row][1] for row in hits.performers[:, 0].tolist()] == names
    assert hits.scores[:, 0].min() > 0.999
