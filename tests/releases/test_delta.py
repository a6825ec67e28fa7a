"""Full bundles, deltas and links of the successor, made with the real usearch library."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import InputError, ReleaseCorrupt, ReleaseGap, ReleaseUnsupported
from pipelines.faces.catalogue import BUFFALO_L
from pipelines.faces.gallery import Performer
from pipelines.releases import ImportReport, import_release, inspect
from pipelines.releases.bundle import Bundle
from pipelines.releases.delta import apply_delta
from pipelines.releases.facts import Watch
from pipelines.store.performers import PerformerDatabase
from tests.fakes.packs import small_buffalo_l
from tests.releases import bundles
from tests.releases.bundles import Person, write_delta
from tests.releases.conftest import SmallRelease, photo_templates, templates_by_url

Import = Callable[..., ImportReport]
SOURCE = "release:stash-sense2"
FULL = "2026.09.01"


def stashdb(number: int) -> str:
    return f"stashdb.org:{bundles.uuid(number)}"


def face(key: int, number: int, seed: int, endpoint: str = "stashdb", **facts: Any) -> dict[str, Any]:
    """Returns a row of `faces` of a delta."""
    return {
        "embedding_index": key,
        "endpoint": endpoint,
        "stashbox_id": bundles.uuid(number),
        "image_url": bundles.face_url(key),
        "quality_score": 0.5,
        "yaw": 4.0,
        "embedding": bundles.vectors(1, seed=seed)[0].tobytes(),
        **facts,
    }


def performer(number: int, name: str, endpoint: str = "stashdb", **facts: Any) -> dict[str, Any]:
    """Returns a row of `performers` of a delta; the server's number of a performer is the last digits of its id."""
    row = {"id": number, "endpoint": endpoint, "stashbox_id": bundles.uuid(number), "action": "upsert", "name": name}
    return {**row, "aliases_json": "[]", "images_json": "[]", **facts}


def by_name(database: PerformerDatabase) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in database.source_performers(SOURCE).to_pylist()}


def faces_by_key(database: PerformerDatabase) -> dict[int, tuple[str, np.ndarray]]:
    return {int(k.rpartition("=")[2]): v for k, v in templates_by_url(database, SOURCE).items()}


# --- full bundles ----------------------------------------------------------------------------------------------------


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


# --- deltas ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def imported(release2: SmallRelease, import_new: Import) -> SmallRelease:
    import_new(release2.folder)
    return release2


def test_inspect_says_what_a_delta_leads_to(tmp_path: Path):
    path = write_delta(tmp_path, FULL, "2026.09.08", {})
    facts = inspect(path)
    assert (facts.kind, facts.from_version, facts.version) == ("stash-sense2-delta", FULL, "2026.09.08")
    assert facts.source == SOURCE
    assert inspect(path.with_suffix("")).version == "2026.09.08"


def test_a_delta_adds_replaces_and_removes(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    before = faces_by_key(database)
    new_person = performer(
        50,
        "New",
        birth_date="1991",
        gender="FEMALE",
        aliases_json='["N.", "Newcomer"]',
        images_json='[{"url": "https://cdn.invalid/n.jpg"}]',
        career_start_year=2015,
    )
    report = import_new(
        write_delta(
            tmp_path,
            FULL,
            "2026.09.08",
            {
                "performers": [new_person, performer(2, "Two renamed")],
                "faces": [face(500, 50, 60), face(501, 50, 61), face(1, 1, 62)],
                "removed_faces": [{"embedding_index": 4}, {"embedding_index": 9999}],
            },
        )
    )
    assert (report.release, dict(report.skipped)) == ("2026.09.08", {"unknown_removals": 1})
    found = faces_by_key(database)
    assert set(found) == set(before) - {4} | {500, 501}
    assert report.faces == len(found) == 61
    for key, seed, owner in ((500, 60, 50), (501, 61, 50), (1, 62, 1)):
        assert found[key][0] == stashdb(owner)
        assert np.abs(found[key][1] - bundles.vectors(1, seed=seed)[0]).max() < 1e-3
    for key in set(before) - {1, 4}:
        assert found[key][0] == before[key][0]
        assert np.array_equal(found[key][1], before[key][1])
    people = by_name(database)
    new = people["New"]
    assert (new["universal_id"], new["birth_date"], new["career_start"]) == (stashdb(50), "1991", 2015)
    assert (new["aliases"], new["image_url"]) == (["N.", "Newcomer"], "https://cdn.invalid/n.jpg")
    assert "Person 2" not in people
    assert people["Two renamed"]["universal_id"] == stashdb(2)
    info = database.manifest().sources[SOURCE]
    assert (info.release, info.details["full"], info.details["deltas"]) == ("2026.09.08", FULL, ["2026.09.08"])


def test_a_chain_is_written_as_one_version(
    release2: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    first = write_delta(tmp_path, FULL, "b", {"performers": [performer(50, "New")], "faces": [face(500, 50, 60)]})
    second = write_delta(
        tmp_path,
        "b",
        "c",
        {"faces": [face(500, 50, 61), face(501, 50, 62)], "removed_faces": [{"embedding_index": 1}]},
    )
    third = write_delta(tmp_path, "c", "d", {"faces": [face(1, 3, 63)], "removed_faces": [{"embedding_index": 501}]})
    report = import_new(release2.folder, first, second, third)
    assert (report.release, len(database.versions())) == ("d", 1)
    found = faces_by_key(database)
    assert set(found) == set(release2.keys) | {500}
    assert np.abs(found[500][1] - bundles.vectors(1, seed=61)[0]).max() < 1e-3
    assert found[1][0] == stashdb(3)
    one_by_one = PerformerDatabase(tmp_path / "other")
    for path in (release2.folder, first, second, third):
        import_release(path, one_by_one, BUFFALO_L, workdir=tmp_path / "work")
    other = faces_by_key(one_by_one)
    assert {k: v[0] for k, v in other.items()} == {k: v[0] for k, v in found.items()}
    assert all(np.array_equal(other[k][1], found[k][1]) for k in found)
    assert by_name(one_by_one) == by_name(database)


@pytest.mark.parametrize("order", [("b", "c"), (FULL, "b", "x", "c")])
def test_a_gap_needs_a_full_download(
    imported: SmallRelease,
    database: PerformerDatabase,
    import_new: Import,
    tmp_path: Path,
    order: tuple[str, ...],
):
    before = database.current()
    links = list(zip(order[::2], order[1::2], strict=True))
    with pytest.raises(ReleaseGap, match="full download"):
        import_new(*[write_delta(tmp_path, start, end, {}) for start, end in links])
    assert database.current() == before


def test_a_delta_without_a_full_release_is_refused(import_new: Import, tmp_path: Path):
    with pytest.raises(ReleaseGap, match="no full release"):
        import_new(write_delta(tmp_path, FULL, "b", {}))


def test_two_full_bundles_are_no_chain(release2: SmallRelease, import_new: Import):
    with pytest.raises(InputError, match="first of several"):
        import_new(release2.folder, release2.folder)


def test_the_same_number_never_makes_two_people_one(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    """The numbers 1 and 11 of this database are somebody else's on the server: nobody may be overwritten."""
    taken = performer(60, "Stranger", id=1)
    theporndb_with_a_number = performer(61, "Numbered", "theporndb", stashbox_id="12", id=11)
    catalogue = {"id": 2, "canonical_name": "Of a catalogue", "country": "DE"}
    import_new(
        write_delta(
            tmp_path,
            FULL,
            "b",
            {
                "performers": [taken, theporndb_with_a_number],
                "faces": [face(500, 60, 70), face(501, 61, 71, "theporndb", stashbox_id="12")],
                "catalogue_performers": [catalogue],
                "catalogue_performer_urls": [
                    {"performer_id": 2, "url_type": "catalogue", "source_endpoint": "seekfans"}
                ],
                "catalogue_faces": [catalogue_face(502, 2, "seekfans", 72)],
            },
        )
    )
    people = by_name(database)
    expected = {
        "Person 1": stashdb(1),
        "Person 2": stashdb(2),
        "Model 11": "pornbox:11",
        "Model 12": "pornbox:12",
        "Stranger": stashdb(60),
        "Numbered": "theporndb.net:12",
        "Of a catalogue": "seekfans:2",
    }
    assert {name: people[name]["universal_id"] for name in expected} == expected
    assert all(len(people[name]["ids"]) == 1 for name in expected)
    found = faces_by_key(database)
    assert (found[500][0], found[501][0], found[502][0]) == (stashdb(60), "theporndb.net:12", "seekfans:2")
    for n, key in enumerate(imported.keys):
        assert found[key][0] == imported.persons[imported.owners[n]].universal_id


def catalogue_face(key: int, number: int, catalogue: str, seed: int) -> dict[str, Any]:
    row = {"embedding_index": key, "performer_id": number, "source_endpoint": catalogue}
    return {**row, "image_url": bundles.face_url(key), "embedding": bundles.vectors(1, seed=seed)[0].tobytes()}


def test_catalogue_performers_come_change_and_go(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    import_new(
        write_delta(
            tmp_path,
            FULL,
            "b",
            {
                "catalogue_performers": [
                    {"id": 11, "canonical_name": "Model renamed", "gender": "MALE"},
                    {"id": 70, "canonical_name": "New model"},
                    {"id": 71, "canonical_name": "Of nowhere"},
                ],
                "catalogue_performer_urls": [
                    {"performer_id": 70, "url_type": "catalogue", "source_endpoint": "seekfans"}
                ],
                "catalogue_faces": [catalogue_face(500, 70, "other", 80), catalogue_face(1, 11, "pornbox", 81)],
                "catalogue_removed_performers": [{"id": 12}, {"id": 4444}],
            },
        )
    )
    people = by_name(database)
    assert people["Model renamed"]["universal_id"] == "pornbox:11"
    assert people["Model renamed"]["gender"] == "MALE"
    assert people["New model"]["universal_id"] == "seekfans:70"
    assert {"Model 11", "Model 12", "Of nowhere"}.isdisjoint(people)
    found = faces_by_key(database)
    assert (found[500][0], found[1][0]) == ("seekfans:70", "pornbox:11")
    assert "pornbox:12" not in {owner for owner, _ in found.values()}
    assert database.manifest().sources[SOURCE].details["skipped"] == {"bad_performers": 1, "unknown_removals": 1}


def test_removed_and_merged_performers(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    report = import_new(
        write_delta(
            tmp_path,
            FULL,
            "b",
            {
                "performers": [
                    performer(3, "", action="removed"),
                    performer(4, "", action="removed", merged_into_id=bundles.uuid(5)),
                    performer(77, "", action="removed"),
                    performer(6, "Known elsewhere", "fansdb"),
                ],
                "faces": [face(500, 3, 90)],
            },
        )
    )
    people = by_name(database)
    assert {"Person 3", "Person 4"}.isdisjoint(people)
    assert people["Person 5"]["ids"] == [stashdb(4), stashdb(5)]
    assert not {stashdb(3), stashdb(4)} & {owner for owner, _ in faces_by_key(database).values()}
    assert report.skipped == {"unknown_removals": 1, "unknown_performers": 1, "without_faces": 1}


def test_another_catalogue_completes_but_does_not_overwrite(
    database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    both = Person(1, "Shown", {"stashdb": bundles.uuid(1), "fansdb": bundles.uuid(2)}, country="GB")
    folder = bundles.write_stash_sense2(tmp_path / "b", [both], {0: 0}, (np.array([0]), bundles.vectors(1)))
    fans = performer(2, "Other name", "fansdb", country="US", birth_date="1985-01-01", aliases_json='["Alias"]')
    import_new(folder, write_delta(tmp_path, FULL, "b", {"performers": [fans]}))
    row = by_name(database)["Shown"]
    assert (row["universal_id"], row["country"], row["birth_date"]) == (stashdb(1), "GB", "1985-01-01")
    assert row["aliases"] == ["Other name", "Alias"]
    stash_gone = write_delta(tmp_path, "b", "c", {"performers": [performer(1, "", action="removed")]})
    import_new(stash_gone)
    row = by_name(database)["Shown"]
    assert row["universal_id"] == f"fansdb.cc:{bundles.uuid(2)}"
    assert row["ids"] == [f"fansdb.cc:{bundles.uuid(2)}"]
    assert faces_by_key(database)[0][0] == f"fansdb.cc:{bundles.uuid(2)}"


def test_corrected_owners_are_followed_where_the_delta_says_who_they_are(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    report = import_new(
        write_delta(
            tmp_path,
            FULL,
            "b",
            {
                "performers": [performer(2, "Person 2", id=8001)],
                "faces": [face(500, 3, 91)],
                "face_owner_repair": [
                    {"embedding_index": 1, "performer_id": 8001},
                    {"embedding_index": 500, "performer_id": 8001},
                    {"embedding_index": 4, "performer_id": 12},
                    {"embedding_index": 7, "performer_id": 3},
                    {"embedding_index": 999, "performer_id": 8001},
                ],
            },
        )
    )
    found = faces_by_key(database)
    assert [found[key][0] for key in (1, 500, 4)] == [stashdb(2), stashdb(2), "pornbox:12"]
    assert found[7][0] == imported.persons[imported.owners[2]].universal_id
    assert report.skipped == {"unknown_repairs": 1}


def test_older_deltas_without_newer_tables_and_columns(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    schema = """
    CREATE TABLE performers (endpoint TEXT, stashbox_id TEXT, action TEXT, name TEXT, aliases_json TEXT, extra TEXT);
    CREATE TABLE faces (embedding_index INTEGER, endpoint TEXT, stashbox_id TEXT, image_url TEXT, embedding BLOB);
    CREATE TABLE removed_faces (embedding_index INTEGER);
    """
    new = {"endpoint": "stashdb", "stashbox_id": bundles.uuid(50), "action": "upsert", "name": "New"}
    row = {k: v for k, v in face(500, 50, 92).items() if k not in {"quality_score", "yaw"}}
    import_new(write_delta(tmp_path, FULL, "b", {"performers": [new], "faces": [row]}, schema=schema))
    assert faces_by_key(database)[500][0] == stashdb(50)


@pytest.mark.parametrize(
    ("blob", "words"), [(b"", "no|0 bytes"), (b"\0" * 12, "12 bytes"), (None, "no bytes"), ("text", "no bytes|bytes")]
)
def test_a_vector_of_another_length_is_refused(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path, blob: object, words: str
):
    before = database.current()
    with pytest.raises(ReleaseCorrupt, match=words):
        import_new(write_delta(tmp_path, FULL, "b", {"faces": [face(500, 1, 1, embedding=blob)]}))
    assert database.current() == before


def test_half_precision_and_useless_vectors(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    half = (bundles.vectors(1, seed=93)[0] * 20).astype(np.float16)
    nothing, broken = np.zeros(512, np.float32), np.full(512, np.nan, np.float32)
    rows = [face(k, 1, 1, embedding=v.tobytes()) for k, v in ((500, half), (501, nothing), (502, broken))]
    report = import_new(write_delta(tmp_path, FULL, "b", {"faces": rows}))
    found = faces_by_key(database)
    assert np.abs(found[500][1] - bundles.vectors(1, seed=93)[0]).max() < 1e-3
    assert {501, 502}.isdisjoint(found)
    assert report.skipped == {"bad_vectors": 2}


@pytest.mark.parametrize("damage", ["checksum", "no checksum", "no database", "no table", "no versions"])
def test_a_damaged_delta_is_refused(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path, damage: str
):
    before = database.current()
    schema = "CREATE TABLE performers (id);" if damage == "no table" else bundles.DELTA
    folder = write_delta(tmp_path, FULL, "b", {}, zipped=False, schema=schema)
    if damage == "checksum":
        with (folder / "delta.db").open("ab") as file:
            file.write(b"x")
    elif damage == "no checksum":
        (folder / "delta_manifest.json").unlink()
    elif damage == "no database":
        (folder / "delta.db").write_bytes(b"no database at all" * 100)
        stated = {"from_version": FULL, "to_version": "b"}
        checksums = {"delta.db": "sha256:" + bundles.sha256(folder / "delta.db")}
        (folder / "delta_manifest.json").write_text(json.dumps({**stated, "checksums": checksums}))
    elif damage == "no versions":
        stated = json.loads((folder / "delta_manifest.json").read_text())
        (folder / "delta_manifest.json").write_text(json.dumps({"checksums": stated["checksums"]}))
        folder = folder.rename(tmp_path / "nameless")
    with pytest.raises(ReleaseCorrupt):
        import_new(folder)
    assert database.current() == before


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("face"), st.integers(0, 12), st.integers(1, 6)),
        st.tuples(st.just("remove face"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("performer"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("remove performer"), st.integers(1, 6), st.just(0)),
    ),
    max_size=8,
)


@given(chain=st.lists(OPERATIONS, min_size=1, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_chain_gives_what_a_plain_replay_gives(chain: list[list[tuple[str, int, int]]], tmp_path: Path):
    """The reference is two dictionaries: names by performer, owners by face."""
    people = {1, 2, 3}
    owners = {0: 1, 2: 2, 4: 3, 6: 1}
    vectors = {key: bundles.vectors(1, seed=key)[0] for key in owners}
    keys = np.array(list(owners))
    start = np.stack([vectors[k] for k in owners]).astype(np.float16)
    bundle = Bundle(
        people=[Performer(stashdb(n), f"P{n}") for n in sorted(people)],
        owner=np.array([owners[k] - 1 for k in owners], dtype=np.int32),
        key=keys,
        url=pa.nulls(len(keys), pa.string()),
        sha256=pa.nulls(len(keys), pa.string()),
        quality=np.zeros(len(keys), np.float32),
        yaw_deg=np.zeros(len(keys), np.float32),
        take=lambda rows: start[rows],
    )
    for number, operations in enumerate(chain):
        tables: dict[str, dict[Any, Any]] = {"performers": {}, "faces": {}, "removed_faces": {}}
        for what, first, second in operations:
            if what in {"performer", "remove performer"}:
                action = "removed" if what.startswith("remove") else "upsert"
                tables["performers"][first] = performer(first, f"P{first}", action=action)
            elif what == "face":
                tables["faces"][first] = face(first, second, 100 * (number + 1) + first)
            else:
                tables["removed_faces"][first] = {"embedding_index": first}
        for n, row in tables["performers"].items():
            (people.discard if row["action"] == "removed" else people.add)(n)
        owners = {k: n for k, n in owners.items() if n in people}
        for key, row in tables["faces"].items():
            owner = int(row["stashbox_id"][-3:])
            if owner in people:
                owners[key], vectors[key] = owner, bundles.vectors(1, seed=100 * (number + 1) + key)[0]
        owners = {k: n for k, n in owners.items() if k not in tables["removed_faces"]}
        inner = tmp_path / f"{number}-{np.random.default_rng().integers(1 << 40)}"
        rows = {table: list(of_table.values()) for table, of_table in tables.items()}
        folder = write_delta(inner, str(number), str(number + 1), rows, zipped=False)
        bundle = apply_delta(bundle, folder, BUFFALO_L, Watch())
    assert {p.universal_id for p in bundle.people} == {stashdb(n) for n in people}
    live = np.flatnonzero(bundle.owner >= 0)
    found = {int(bundle.key[i]): bundle.people[bundle.owner[i]].universal_id for i in live}
    assert found == {key: stashdb(n) for key, n in owners.items()}
    templates = bundle.take(live).astype(np.float32)
    for i, template in zip(live, templates, strict=True):
        assert np.abs(template - vectors[int(bundle.key[i])]).max() < 1e-3
    assert len(live) == len(found)


# --- links -----------------------------------------------------------------------------------------------------------


def write_links(folder: Path, groups: object, aliases: object = None) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "performer_links.json").write_text(json.dumps(groups))
    if aliases is not None:
        (folder / "aliases.json").write_text(json.dumps(aliases))


@pytest.mark.parametrize("where", ["in the bundle", "afterwards", "in one chain"])
def test_linked_people_become_one(
    release2: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path, where: str
):
    groups = [
        ["pornbox:11", stashdb(1), "fansdb.cc:not-here"],
        [stashdb(2), stashdb(3), stashdb(4)],
        ["x:1", "y:2"],
        [stashdb(5), "local:7", 12, "no id"],
    ]
    aliases = {stashdb(1): ["Uno", "Alias of 1", "Person 1"], "fansdb.cc:not-here": ["Hidden"], "x:1": ["Nobody"]}
    folder = release2.folder if where == "in the bundle" else tmp_path / f"stash-sense2-links-{FULL}"
    write_links(folder, groups, aliases)
    if where == "in the bundle":
        report = import_new(release2.folder)
    elif where == "in one chain":
        report = import_new(release2.folder, folder)
    else:
        import_new(release2.folder)
        report = import_new(bundles.zip_folder(folder, tmp_path / f"{folder.name}.zip"))
    assert (report.release, dict(report.skipped)) == (FULL, {"unknown_links": 1})
    people = {row["universal_id"]: row for row in database.performers().to_pylist()}
    assert len(people) == 12 - 1 - 2
    one = people[stashdb(1)]
    assert one["ids"] == ["fansdb.cc:not-here", "pornbox:11", stashdb(1)]
    assert one["name"] == "Person 1"
    assert {"Uno", "Alias of 1", "Hidden", "Model 11"} <= set(one["aliases"])
    assert set(people[stashdb(2)]["ids"]) == {stashdb(2), stashdb(3), stashdb(4)}
    assert people[stashdb(5)]["ids"] == [stashdb(5)]
    gallery = database.load()
    hits = gallery.search(release2.vectors[[0, 10]], 1)  # of Person 1 and of Model 11
    assert len(set(hits.performers[:, 0].tolist())) == 1


def test_links_alone_need_a_release(import_new: Import, tmp_path: Path):
    write_links(tmp_path / "links", [])
    with pytest.raises(ReleaseGap, match="no full release"):
        import_new(tmp_path / "links")


@pytest.mark.parametrize(("groups", "aliases"), [({}, None), ([5], None), ([], []), ([], {"a:b": "c"})])
def test_links_that_are_none_are_refused(
    imported: SmallRelease, import_new: Import, tmp_path: Path, groups: object, aliases: object
):
    write_links(tmp_path / "links", groups, aliases)
    with pytest.raises(ReleaseCorrupt, match="json holds no"):
        import_new(tmp_path / "links")


def test_checksums_of_the_notes_must_hold_too(imported: SmallRelease, import_new: Import, tmp_path: Path):
    write_links(tmp_path / "links", [[stashdb(1), stashdb(2)]])
    right = bundles.sha256(tmp_path / "links/performer_links.json")
    with pytest.raises(ReleaseCorrupt, match=r"performer_links\.json is damaged"):
        import_new(tmp_path / "links", checksums={"performer_links.json": "0" * 64})
    import_new(tmp_path / "links", checksums={"performer_links.json": right})


def test_a_release_in_a_zip_with_two_folders_is_none(imported: SmallRelease, import_new: Import, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a/delta.db", b"")
        file.writestr("b/delta_manifest.json", b"{}")
    with pytest.raises(ReleaseUnsupported, match="no released performer database"):
        import_new(tmp_path / "a.zip")
