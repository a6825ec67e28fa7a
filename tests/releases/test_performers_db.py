"""performers.db by column name: what is read, and what may be missing, added or nonsense."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import ReleaseCorrupt
from pipelines.releases.performers_db import catalogue_number, read_faces, read_performers, universal_id
from tests.releases import bundles
from tests.releases.bundles import Person

ANNA = Person(
    1,
    "Anna",
    {"stashdb": "aaa", "theporndb": "ttt"},
    aliases=("Annie", "A."),
    merged=(("stashdb", "old"),),
    country="GB",
    gender="FEMALE",
    birth_date="1990-05",
    disambiguation="the first",
    career=(2010, 2015),
)
BEN = Person(2, "Ben", {"fansdb": "bbb"})
CARLA = Person(3, "Carla", catalogue="pornbox")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    faces = [(10 + i, 1, i, i, bundles.face_url(i), "stashdb", 0.5, None, 0, -3.5) for i in range(3)]
    bundles.write_performers_db(
        tmp_path / "performers.db", bundles.PERFORMERS + bundles.TWO_INDICES, [ANNA, BEN, CARLA], faces
    )
    return tmp_path / "performers.db"


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("stashdb", "stashdb.org:x"),
        ("theporndb", "theporndb.net:x"),
        ("fansdb", "fansdb.cc:x"),
        ("pmvstash", "pmvstash.org:x"),
        ("javstash", "javstash.org:x"),
        ("StashDB", "stashdb.org:x"),
        ("newbox", "newbox.org:x"),
        ("box.example", "box.example:x"),
        ("https://box.example/graphql", "box.example:x"),
    ],
)
def test_universal_ids_are_made_of_the_short_names(endpoint: str, expected: str):
    assert universal_id(endpoint, " x ") == expected


@pytest.mark.parametrize(
    ("own_id", "number"),
    [
        ("pornbox:12", 12),
        ("pornbox:x12", None),
        ("theporndb.net:12", None),
        ("pornbox:", None),
        ("pornbox:\u0662", None),
    ],
)
def test_only_catalogues_have_numbers_that_mean_a_performer(own_id: str, number: int | None):
    assert catalogue_number(own_id) == number


def test_a_performer_has_what_all_tables_say(path: Path):
    known = read_performers(path)
    anna = known.by_id["stashdb.org:aaa"]
    assert known.by_id["theporndb.net:ttt"] is known.by_id["stashdb.org:old"] is known.by_number[1] is anna
    assert anna.ids == ["stashdb.org:aaa", "theporndb.net:ttt", "stashdb.org:old"]
    assert (anna.name, sorted(anna.aliases), anna.country, anna.gender) == ("Anna", ["A.", "Annie"], "GB", "FEMALE")
    assert (anna.birth_date, anna.disambiguation) == ("1990-05", "the first")
    assert (anna.career_start, anna.career_end) == (2010, 2015)
    assert known.by_id["fansdb.cc:bbb"].name == "Ben"
    assert known.by_number[3].ids == []


def test_somebody_elses_own_id_is_never_taken_for_a_merged_one(path: Path):
    change(path, "INSERT INTO merged_ids VALUES (1, 'bbb', 'fansdb', NULL)")
    known = read_performers(path)
    assert known.by_id["fansdb.cc:bbb"].name == "Ben"


def test_tables_and_columns_may_be_missing_or_new(path: Path):
    change(
        path,
        "DROP TABLE aliases",
        "DROP TABLE merged_ids",
        "ALTER TABLE performers DROP COLUMN career_end_year",
        "ALTER TABLE performers DROP COLUMN gender",
        "ALTER TABLE performers ADD COLUMN shoe_size TEXT DEFAULT 'large'",
        "ALTER TABLE stashbox_ids ADD COLUMN trust REAL",
        "CREATE TABLE tattoos (id INTEGER)",
    )
    anna = read_performers(path).by_number[1]
    assert (anna.name, anna.aliases, anna.gender) == ("Anna", [], None)
    assert (anna.career_start, anna.career_end) == (2010, None)
    change(path, "DROP TABLE stashbox_ids")
    assert read_performers(path).by_number[1].ids == []


def test_values_of_any_type_are_taken_as_the_columns_say(path: Path):
    change(
        path,
        "UPDATE performers SET canonical_name = 77, career_start_year = 'two', country = x'ff41' WHERE id = 1",
        "UPDATE aliases SET alias = '  ' WHERE alias = 'A.'",
        "UPDATE faces SET quality_score = 'good', yaw = '12.5' WHERE facenet_index = 0",
    )
    anna = read_performers(path).by_number[1]
    assert (anna.name, anna.career_start, anna.aliases) == ("77", 0, ["Annie"])
    assert anna.country == "\ufffdA"
    faces = read_faces(path, ("facenet_index", "arcface_index"))
    assert faces.yaw_deg[0] == pytest.approx(12.5)
    assert faces.quality[0] == 0


def test_a_view_is_no_table_and_a_database_without_performers_is_refused(path: Path):
    change(path, "ALTER TABLE performers RENAME TO others", "CREATE VIEW performers AS SELECT * FROM others")
    with pytest.raises(ReleaseCorrupt, match="no table performers"):
        read_performers(path)


def test_faces_come_in_the_order_of_their_number(path: Path):
    change(path, "UPDATE faces SET facenet_index = 7, arcface_index = 7 WHERE facenet_index = 0")
    faces = read_faces(path, ("facenet_index", "arcface_index"))
    assert faces.index.tolist() == [1, 2, 7]
    assert faces.image_url.to_pylist() == [bundles.face_url(i) for i in (1, 2, 0)]
    assert faces.image_sha256.null_count == 3
    assert faces.yaw_deg.tolist() == [-3.5] * 3


def test_faces_whose_numbers_disagree_are_counted(path: Path):
    change(
        path,
        "UPDATE faces SET arcface_index = 99 WHERE facenet_index = 0",
        "UPDATE faces SET facenet_index = NULL WHERE facenet_index = 1",
        "INSERT INTO faces (performer_id, facenet_index, arcface_index) VALUES (1, -4, -4)",
    )
    faces = read_faces(path, ("facenet_index", "arcface_index"))
    assert (faces.index.tolist(), faces.conflicts) == ([2], 3)


def test_no_faces_table_is_no_face(path: Path):
    change(path, "DROP TABLE faces")
    faces = read_faces(path, ("embedding_index",))
    assert len(faces.index) == len(faces.quality) == len(faces.image_url) == 0
    assert read_faces(path, ("facenet_index",)).index.dtype == np.int64


@given(start=st.integers(0, 3000), length=st.integers(1, 400), value=st.integers(0, 255))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_database_is_read_or_refused_by_name(path: Path, start: int, length: int, value: int):
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes([value]) * length
    damaged = path.with_name("damaged.db")
    damaged.write_bytes(content)
    for read in (read_performers, lambda p: read_faces(p, ("facenet_index", "arcface_index"))):
        assert "damaged.db" in complaint_of(read, damaged)


def complaint_of(read: Callable[[Path], object], path: Path) -> str:
    """Returns what a reader complains about, or the file's name when it does not."""
    try:
        read(path)
    except ReleaseCorrupt as error:
        return error.message
    return path.name
