"""What deltas say about people: who comes, changes, goes, becomes another, and who is never confused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.store.performers import PerformerDatabase
from tests.releases import bundles
from tests.releases.bundles import Person, write_delta
from tests.releases.conftest import Import, SmallRelease
from tests.releases.deltas import FULL, SOURCE, by_name, catalogue_face, face, faces_by_key, performer, stashdb


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
