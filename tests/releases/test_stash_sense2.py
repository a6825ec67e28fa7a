"""Full bundles of the successor, made with the real usearch library."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import ReleaseCorrupt, ReleaseUnsupported
from pipelines.releases import import_release
from pipelines.store.performers import PerformerDatabase
from tests.fakes.packs import small_buffalo_l
from tests.releases import bundles
from tests.releases.bundles import Person
from tests.releases.conftest import Import, SmallRelease, photo_templates
from tests.releases.deltas import FULL, SOURCE, by_name, faces_by_key, stashdb


@pytest.mark.parametrize("zipped", [True, False])
def test_a_full_bundle_comes_back_face_by_face(
    release2: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path, zipped: bool
):
    path = bundles.zip_folder(release2.folder, tmp_path / "a.zip") if zipped else release2.folder
    report = import_new(path)
    assert (report.release, report.source, dict(report.skipped)) == (FULL, SOURCE, {})
    assert (report.performers, report.faces) == (12, 60)
    found = faces_by_key(database)
    assert sorted(found) == release2.keys
    for n, key in enumerate(release2.keys):
        assert found[key][0] == release2.persons[release2.owners[n]].universal_id
        assert np.abs(found[key][1] - release2.vectors[n]).max() < 2e-2
    row = database.source_faces(SOURCE).slice(0, 1).to_pylist()[0]
    key = int(row["source"].rpartition("=")[2])
    assert row["source"] == f"{bundles.face_url(key)}#face={key}"
    assert row["source_sha256"] == bundles.picture_sha256(key)
    assert row["yaw_deg"] == bundles.yaw(key)
    hits = database.load().search(release2.vectors, 1)
    names = database.load().names(hits.performers[:, 0])
    assert [names[r][0] for r in hits.performers[:, 0].tolist()] == [
        release2.persons[o].universal_id for o in release2.owners
    ]


def test_holes_strangers_and_missing_vectors_are_counted(
    database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    persons = [Person(1, "One", {"stashdb": bundles.uuid(1)})]
    folder = tmp_path / "b"
    keys = np.array([2, 4, 6])
    owners = {2: 0, 4: None, 6: 0, 7: None, 9: 0}
    bundles.write_stash_sense2(folder, persons, owners, (keys, bundles.vectors(3, seed=1)))
    report = import_new(folder)
    assert report.skipped == {"no_owner": 1, "missing_vectors": 1}
    assert sorted(faces_by_key(database)) == [2, 6]


def test_keys_beyond_faces_json_and_wrong_counts_are_refused(import_new: Import, tmp_path: Path):
    persons = [Person(1, "One", {"stashdb": bundles.uuid(1)})]
    bundles.write_stash_sense2(tmp_path / "a", persons, {0: 0}, (np.array([0, 5]), bundles.vectors(2)))
    with pytest.raises(ReleaseCorrupt, match=r"up to 5, faces\.json has 1"):
        import_new(tmp_path / "a")
    bundles.write_stash_sense2(tmp_path / "b", persons, {0: 0, 3: 0}, (np.array([0, 3]), bundles.vectors(2)))
    for stated in (2, 4):  # the faces, or the address space
        bundles.change_manifest(tmp_path / "b", face_count=stated)
        import_new(tmp_path / "b")
    bundles.change_manifest(tmp_path / "b", face_count=3)
    with pytest.raises(ReleaseCorrupt, match="states 3"):
        import_new(tmp_path / "b")


def test_yaw_of_the_optional_list_is_taken_where_the_database_has_none(
    release2: SmallRelease, database: PerformerDatabase, import_new: Import
):
    connection = sqlite3.connect(release2.folder / "performers.db")
    connection.execute("UPDATE faces SET yaw = NULL WHERE embedding_index IN (1, 4)")
    connection.commit()
    connection.close()
    (release2.folder / "face_yaw.json").write_text(json.dumps([None, 33.5, None, None, None]))
    bundles.change_manifest(release2.folder)
    import_new(release2.folder)
    rows = {r["source"].rpartition("=")[2]: r["yaw_deg"] for r in database.source_faces(SOURCE).to_pylist()}
    assert (rows["1"], rows["4"], rows["7"]) == (33.5, None, bundles.yaw(7))


def test_a_number_that_somebody_of_a_stash_box_has_is_not_a_catalogues(
    database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    persons = [
        Person(5, "Stash-box", {"stashdb": bundles.uuid(5)}, aliases=("Mine",)),
        Person(6, "Model", catalogue="pornbox"),
    ]
    folder = bundles.write_stash_sense2(tmp_path / "b", persons, {0: 0, 1: 1}, (np.array([0, 1]), bundles.vectors(2)))
    (folder / "faces.json").write_text(json.dumps([stashdb(5), "pornbox:5"]))
    listed = {stashdb(5): {"name": "Stash-box"}, "pornbox:5": {"name": "Other", "country": "FR"}}
    (folder / "performers.json").write_text(json.dumps(listed))
    import_new(folder)
    people = by_name(database)
    assert people["Other"]["ids"] == ["pornbox:5"]
    assert people["Other"]["aliases"] == []
    assert people["Stash-box"]["aliases"] == ["Mine"]


def test_real_photos_are_found_in_a_bundle_made_of_them(tmp_path: Path, data: Path, open_models: Path):
    """Photos -> detector, aligner and a random-weight embedder -> bundle as a release has it -> import -> search."""
    pack = small_buffalo_l(tmp_path / "models")
    names, templates = photo_templates(pack, tmp_path / "models", open_models, data)
    persons = [Person(n, name, {"stashdb": bundles.uuid(n)}) for n, name in enumerate(names, 1)]
    keys = np.arange(len(names)) * 7 + 3
    bundles.write_stash_sense2(
        tmp_path / "bundle", persons, dict(zip(keys.tolist(), range(len(names)), strict=True)), (keys, templates)
    )
    database = PerformerDatabase(tmp_path / "db")
    import_release(tmp_path / "bundle", database, pack, workdir=tmp_path / "work")
    gallery = database.load(pack=pack)
    hits = gallery.search(templates, 1)
    found = gallery.names(hits.performers[:, 0])
    assert [found[row][1] for row in hits.performers[:, 0].tolist()] == names
    assert hits.scores[:, 0].min() > 0.999


def test_a_release_in_a_zip_with_two_folders_is_none(imported: SmallRelease, import_new: Import, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a/delta.db", b"")
        file.writestr("b/delta_manifest.json", b"{}")
    with pytest.raises(ReleaseUnsupported, match="no released performer database"):
        import_new(tmp_path / "a.zip")
