"""Who must not be found: the exclusion list, people younger than 18, and erasure from every version."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DatabaseCorrupt, DatabaseMissing, InputError, PackMismatch
from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.store.exclusions import ExclusionList
from pipelines.store.performers import PerformerDatabase
from pipelines.store.rules import under_18
from tests.store.performers import faces, found, people, put, raw, source

ANN = Performer("local:ann", "Annie", ids=("stashdb.org:0001",))
TODAY = datetime.now(UTC).date()


@pytest.fixture
def database(tmp_path) -> PerformerDatabase:
    return PerformerDatabase(tmp_path / "performer-db")


def everything(database) -> str:
    """Returns all ids that any file of any version holds, as one text."""
    held = []
    for version in database.versions():
        held += [database.performers(version).to_pylist(), database.faces(version, ["universal_id"]).to_pylist()]
        held += [database.source_performers(s, version).to_pylist() for s in database.manifest(version).sources]
    return str(held)


# --- the exclusion list ----------------------------------------------------------------------------------------------


def test_who_is_excluded_is_found_in_no_version_and_not_enrolled_again(database):
    first = put(database, "release:a", *people(1, 2))
    second = put(database, "folder", ANN)
    version = database.exclude(["local:ann"], "asked for it")
    assert version == database.current()
    assert version != second
    (entry,) = database.excluded()
    assert (entry.universal_id, entry.name, entry.reason) == ("local:ann", "Name 1", "asked for it")
    assert entry.ids == ("local:ann", "stashdb.org:0001")
    assert entry.created <= datetime.now(UTC)
    assert database.manifest().left_out == {"excluded": 1, "under_18": 0}
    for one in (first, second, version):
        assert found(database, one) == ["stashdb.org:0002"]
    assert database.load(first).size == 1
    assert "stashdb.org:0001" not in database.load(second).row_of
    assert "stashdb.org:0001" not in str(database.source_performers("release:a").to_pylist())
    assert database.source_faces("release:a").num_rows == 2
    put(database, "release:a", *people(1, 2, 3))
    assert found(database) == ["stashdb.org:0002", "stashdb.org:0003"]
    database.verify()


def test_another_id_of_an_excluded_person_is_learnt(database):
    database.exclude(["stashdb.org:0001"])
    both = Performer("stashdb.org:0001", "Ann", ids=("theporndb.net:9",))
    put(database, "release:a", both, *people(2))
    assert database.excluded()[0].ids == ("stashdb.org:0001", "theporndb.net:9")
    put(database, "theporndb.net", Performer("theporndb.net:9", "A."))
    assert found(database) == ["stashdb.org:0002"]
    assert database.source_faces("theporndb.net").num_rows == 0


def test_nobody_but_excluded_people_is_nobody(database):
    put(database, "release:a", *people(1))
    assert database.exclude(["stashdb.org:0001"]) is None
    with pytest.raises(DatabaseMissing):
        database.load()
    with pytest.raises(InputError, match="no face"):
        put(database, "release:a", *people(1))
    put(database, "release:a", *people(1, 2))
    assert found(database) == ["stashdb.org:0002"]


def test_strangers_can_be_excluded_and_everybody_be_included_again(database):
    version = put(database, "release:a", *people(1, 2))
    assert database.exclude(["stashdb.org:0009", "local:x"]) is None
    assert database.current() == version
    assert [e.name for e in database.excluded()] == ["", ""]
    database.exclude(["stashdb.org:0001"])
    database.include(["stashdb.org:0001", "local:x"])
    assert [e.universal_id for e in database.excluded()] == ["stashdb.org:0009"]
    assert found(database, version) == ["stashdb.org:0001", "stashdb.org:0002"]
    assert found(database) == ["stashdb.org:0002"]
    for bad in ([], ["nonsense"]):
        with pytest.raises(InputError):
            database.exclude(bad)


def test_a_gallery_follows_the_list(database):
    put(database, "release:a", *people(1, 2, 3), seed=4)
    gallery = database.load()
    ExclusionList(database.root).path.write_text(
        json.dumps({"excluded": [{"universal_id": "x:y", "ids": ["stashdb.org:0002"], "created": str(TODAY)}]})
    )
    before = database.exclusion_stamp()
    hiding = database.hide(gallery)
    assert (hiding.size, gallery.size) == (2, 3)
    hits = hiding.search(raw(6, 4), 3)
    assert (hits.performers != 1).all()
    assert hits.performers[0].tolist() == [0, 2, -1]
    assert np.isneginf(hiding.index.scores_of(hiding.space.project(raw(1)), np.array([1]))).all()
    database.include(["stashdb.org:0002"])
    assert database.exclusion_stamp() != before
    assert database.hide(hiding).size == 3
    np.testing.assert_array_equal(
        database.hide(hiding).search(raw(6, 4), 3).performers, gallery.search(raw(6, 4), 3).performers
    )


def test_a_list_that_cannot_be_read_stops_every_answer_and_every_change(database):
    put(database, "release:a", *people(1, 2))
    ExclusionList(database.root).path.write_text('{"excluded": [{"oops": 1}]}')
    for action in (database.load, database.excluded, lambda: put(database, "release:a", *people(1))):
        with pytest.raises(DatabaseCorrupt, match=r"excluded\.json"):
            action()


# --- age -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("birth_date", "young"),
    [
        (None, False),
        ("", False),
        ("soon", False),
        ("1990", False),
        ("2008-11-23", False),
        ("2008-11-24", True),
        ("2008-11", True),
        ("2008-10", False),
        ("2008", True),
        ("2007", False),
        ("2008-00-00", True),
        ("2008-11-00", True),
        ("0000-00-00", False),
        ("2020-01-01T00:00:00Z", True),
    ],
)
def test_in_doubt_somebody_is_too_young(birth_date, young):
    assert under_18(pa.chunked_array([[birth_date]], pa.string()), date(2026, 11, 23)).tolist() == [young]


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.dates(date(1990, 1, 1), date(2100, 1, 1)))
def test_age_is_that_of_the_calendar(born, today):
    birthdays = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    for text in (f"{born:%Y-%m-%d}", f"{born:%Y-%m}", f"{born:%Y}"):
        young = bool(under_18(pa.chunked_array([[text]]), today)[0])
        assert young >= (birthdays < 18)
    assert bool(under_18(pa.chunked_array([[f"{born:%Y-%m-%d}"]]), today)[0]) == (birthdays < 18)


def test_who_is_too_young_in_any_source_is_left_out_of_all(database):
    young = f"{TODAY - timedelta(days=17 * 365):%Y-%m-%d}"
    put(database, "release:a", *people(1, 2))
    put(database, "folder", Performer("local:ann", "Annie", ids=("stashdb.org:0001",), birth_date=young))
    assert database.manifest().left_out == {"excluded": 0, "under_18": 1}
    assert found(database) == ["stashdb.org:0002"]
    assert database.source_faces("release:a").num_rows == 2
    assert database.source_faces("folder").num_rows == 0


# --- erasure ---------------------------------------------------------------------------------------------------------


def test_erasure_leaves_nothing_in_any_version(database):
    first = put(database, "release:a", *people(1, 2), seed=1)
    put(database, "folder", ANN, Performer("local:bob", "Bob"), seed=2)
    third = put(database, "other", *people(5))
    kept = {name: database.load(v).space.centre for v, name in zip(database.versions(), "abc", strict=True)}
    erasure = database.erase(["local:ann"])
    assert erasure.ids == ("local:ann", "stashdb.org:0001")
    assert (erasure.performers, erasure.faces, len(erasure.versions)) == (2, 4, 3)
    assert erasure.current == database.current() != third
    versions = database.versions()
    assert len(versions) == 3
    assert not set(versions) & set(erasure.versions)
    assert [v.partition("-")[0] for v in versions] == [v.partition("-")[0] for v in sorted(erasure.versions)]
    assert database.written_anew(first) == versions[0]
    assert database.manifest(versions[0]).replaces == first
    for universal_id in erasure.ids:
        assert universal_id not in everything(database)
    assert found(database, versions[0]) == ["stashdb.org:0002"]
    assert found(database) == ["local:bob", "stashdb.org:0002", "stashdb.org:0005"]
    for version, name in zip(versions, "abc", strict=True):
        database.verify(version)
        assert not np.array_equal(database.load(version).space.centre, kept[name])
    linked = [database.root / v / "sources/release@a/faces.parquet" for v in versions]
    assert linked[0].samefile(linked[1])
    assert not list(database.root.glob(".partial-*"))
    assert not (database.root / "erasing.json").exists()
    again = database.erase(["local:ann"])
    assert (again.versions, again.faces, again.current) == ((), 0, database.current())
    put(database, "folder", ANN)
    assert "stashdb.org:0001" in database.load().row_of


def test_erasing_everybody_leaves_no_version(database):
    put(database, "release:a", *people(1))
    put(database, "release:a", *people(1, 2))
    erasure = database.erase(["stashdb.org:0001", "stashdb.org:0002"])
    assert (erasure.faces, erasure.current, database.versions()) == (6, None, [])
    with pytest.raises(DatabaseMissing):
        database.load()


def test_who_is_excluded_can_be_erased_too(database):
    first = put(database, "release:a", *people(1, 2))
    database.exclude(["stashdb.org:0001"])
    assert "stashdb.org:0001" in everything(database)
    erasure = database.erase(["stashdb.org:0001"])
    assert (erasure.versions, erasure.performers, erasure.faces) == ((first,), 1, 2)
    assert "stashdb.org:0001" not in everything(database)
    assert [e.universal_id for e in database.excluded()] == ["stashdb.org:0001"]


def test_a_damaged_old_version_is_removed_by_an_erasure(database):
    first = put(database, "release:a", *people(1, 2))
    put(database, "release:a", *people(1, 2, 3))
    (database.root / first / "sources/release@a/faces.parquet").unlink()
    erasure = database.erase(["stashdb.org:0001"])
    assert (first in erasure.versions, len(erasure.versions), len(database.versions())) == (True, 2, 1)
    assert "stashdb.org:0001" not in everything(database)


def test_an_unknown_pack_stops_the_erasure_of_the_current_version_only(database, monkeypatch):
    put(database, "release:a", *people(1, 2))
    path = database.root / database.current() / "manifest.json"
    path.write_text(path.read_text().replace(OPEN.template_id, "other-00000000"))
    with pytest.raises(PackMismatch):
        database.erase(["stashdb.org:0001"])
    database.put(OPEN, source(), people(3), faces([3]), only=True)
    assert len(database.versions()) == 2
    erasure = database.erase(["stashdb.org:0001"])
    assert (len(erasure.versions), database.versions()) == (1, [database.current()])
