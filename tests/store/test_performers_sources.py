"""Several sources in one version: shards that are linked, replaced, extended and removed; keep, use, remove, export."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DatabaseCorrupt, DatabaseMissing, InputError, NoSpace, NotWritable, PackMismatch
from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer, performer_table
from pipelines.store.performers import PerformerDatabase
from pipelines.store.shards import shard_folder
from tests.store.performers import faces, found, people, put, raw, source

ANN = Performer("local:ann", "Annie", ids=("stashdb.org:0001",), gender="FEMALE")


@pytest.fixture
def database(tmp_path) -> PerformerDatabase:
    return PerformerDatabase(tmp_path / "performer-db")


def files_of(database, version, name):
    return sorted(shard_folder(database.root / version, name).iterdir())


def test_sources_are_searched_as_one_and_the_same_person_has_all_faces(database):
    put(database, "release:a", *people(1, 2), seed=1)
    put(database, "folder", ANN, seed=2, each=3)
    gallery = database.load()
    assert [p.name for p in gallery.performers] == ["Name 1", "Name 2"]
    one = gallery.performer(0)
    assert (one.aliases, one.ids, one.gender) == (("Alias 1", "Annie"), ("local:ann", "stashdb.org:0001"), "FEMALE")
    assert gallery.raw.rows.tolist() == [0] * 5 + [1] * 2
    own = np.concatenate([raw(3, 2), raw(4, 1)[:2]])
    np.testing.assert_allclose(np.sort(gallery.raw.templates[:5].astype(np.float32), 0), np.sort(own, 0), atol=1e-3)
    mean = gallery.space.project(own.mean(0, keepdims=True))
    np.testing.assert_allclose(gallery.index.vectors_of(0), mean, atol=2e-3)
    assert (gallery.row_of["local:ann"], gallery.row_of["stashdb.org:0001"]) == (0, 0)
    assert "local:bob" not in gallery.row_of
    manifest = database.verify()
    assert {name: (s.performers, s.faces) for name, s in manifest.sources.items()} == {
        "release:a": (2, 4),
        "folder": (1, 3),
    }
    assert (manifest.performers, manifest.faces) == (2, 7)


def test_what_a_source_gave_is_replaced_and_the_rest_linked(database):
    first = put(database, "release:a", *people(1, 2), seed=1)
    put(database, "folder", ANN, Performer("local:bob", "Bob"))
    version = put(database, "folder", ANN, seed=5)
    assert found(database) == ["stashdb.org:0001", "stashdb.org:0002"]
    for old, new in zip(files_of(database, first, "release:a"), files_of(database, version, "release:a"), strict=True):
        assert old.samefile(new)
    assert database.verify().sources["release:a"] == database.verify(first).sources["release:a"]


def test_shards_are_copied_where_links_are_not_possible(database, monkeypatch):
    first = put(database, "release:a", *people(1, 2))

    def refused(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refused)
    version = put(database, "folder", ANN)
    for old, new in zip(files_of(database, first, "release:a"), files_of(database, version, "release:a"), strict=True):
        assert not old.samefile(new)
        assert old.read_bytes() == new.read_bytes()
    database.verify()


def test_only_one_source_is_left_when_asked(database):
    put(database, "release:a", *people(1, 2))
    database.put(OPEN, source(), [ANN], faces(["local:ann"]), only=True)
    assert list(database.manifest().sources) == ["folder"]
    assert found(database) == ["local:ann"]


def test_a_source_is_removed(database):
    put(database, "release:a", *people(1, 2))
    put(database, "folder", ANN, Performer("local:bob", "Bob"))
    version = database.remove_source("release:a")
    assert version == database.current()
    assert found(database) == ["local:ann", "local:bob"]
    assert database.source_faces("release:a") is None
    assert database.source_performers("release:a") is None
    with pytest.raises(InputError, match="no source"):
        database.remove_source("release:a")
    assert database.remove_source("folder") is None
    with pytest.raises(DatabaseMissing):
        database.load()
    database.use(version)
    assert found(database) == ["local:ann", "local:bob"]


def test_tables_are_read_by_source_and_together(database):
    put(database, "release:a", *people(1, 2))
    put(database, "folder", ANN)
    assert database.source_performers("folder").to_pylist() == performer_table([ANN]).to_pylist()
    assert database.source_faces("folder", columns=["source"])["source"].to_pylist() == ["0.jpg", "1.jpg"]
    together = database.faces(columns=["origin", "universal_id"])
    assert together.column_names == ["origin", "universal_id"]
    assert together["origin"].to_pylist() == ["release:a"] * 4 + ["folder"] * 2
    assert database.faces().num_rows == 6
    enrolled = database.enrolled_faces(OPEN, "folder")
    assert enrolled.universal_ids == {"local:ann"}
    np.testing.assert_allclose(enrolled.templates_of("local:ann"), raw(2), atol=1e-3)
    assert database.enrolled_faces(OPEN).templates_of("stashdb.org:0001").shape == (2, OPEN.template_dim)
    assert database.enrolled_faces(OPEN, "nothing").templates_of("x:y").shape == (0, OPEN.template_dim)


def test_faces_are_taken_in_batches_of_any_size(database):
    table = faces([1, 2] * 40)
    sizes = iter([1, 0, 30, 7, 42])
    batches = (table.slice(sum([1, 0, 30, 7][:n]), next(sizes)).combine_chunks().to_batches() for n in range(5))
    database.put(OPEN, source(), people(1, 2), (batch for own in batches for batch in own))
    assert database.source_faces("folder").select(["source_sha256"]).equals(table.select(["source_sha256"]))
    np.testing.assert_array_equal(
        database.load().index.vectors_of(0), PerformerDatabase(database.root).load().index.vectors_of(0)
    )


def broken(table: pa.Table, error: Exception) -> Iterator[pa.RecordBatch]:
    yield from table.to_batches()
    raise error


@pytest.mark.parametrize("error", [OSError(5, "the picture server is gone"), InputError("a bad batch"), KeyError("x")])
def test_what_the_giver_of_faces_raises_arrives_and_leaves_the_version(database, error):
    version = put(database, "folder", ANN)
    with pytest.raises(type(error)) as raised:
        database.put(OPEN, source("release:a"), people(1), broken(faces([1]), error))
    assert raised.value is error
    assert (database.current(), database.versions()) == (version, [version])
    assert not list(database.root.glob(".partial-*"))


def test_templates_that_are_no_numbers_and_strangers_are_refused(database):
    version = put(database, "folder", ANN)
    table = faces([1, 2])
    odd = np.array(raw(2), dtype=np.float16)
    odd[1, 7] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(odd.ravel()), OPEN.template_dim)
    infinite = table.set_column(table.schema.get_field_index("template"), table.schema.field("template"), column)
    for performers, given, says in (
        (people(1, 2), infinite, "stashdb.org:0002"),
        (people(1), table, "stashdb.org:0002"),
        (people(1, 2), table.slice(0, 0), "no face"),
        (people(1, 2), table.drop_columns(["quality"]), "columns"),
    ):
        with pytest.raises(InputError, match=says):
            database.put(OPEN, source("release:a"), performers, given)
    assert database.versions() == [version]


def test_another_pack_needs_only(database):
    from pipelines.faces.catalogue import get_pack

    put(database, "release:a", *people(1, 2))
    other = get_pack("buffalo_l")
    with pytest.raises(PackMismatch, match=r"open.*--replace"):
        database.put(other, source(), [ANN], faces(["local:ann"]))


def test_old_versions_are_removed_but_never_the_current_one(database):
    first = put(database, "folder", *people(1))
    second = put(database, "folder", *people(2))
    with pytest.raises(InputError, match="in use"):
        database.remove(second)
    database.remove(first)
    assert database.versions() == [second]
    with pytest.raises(DatabaseMissing):
        database.remove(first)
    assert found(database) == ["stashdb.org:0002"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_everything_is_exported_or_some_people(database, tmp_path, kind):
    put(database, "release:a", *people(1, 2))
    put(database, "folder", ANN)
    read = pq.read_table if kind == "parquet" else pcsv.read_csv
    paths = database.export(tmp_path / "all", format=kind)
    tables = [f"{n}.{kind}" for n in ("performers", "members", "faces")]
    assert [path.name for path in paths] == (tables if kind == "csv" else [*tables, "manifest.json"])
    performers, members, exported = map(read, paths[:3])
    assert performers["name"].to_pylist() == ["Name 1", "Name 2"]
    assert set(zip(*(members[n].to_pylist() for n in ("source", "universal_id", "person")), strict=True)) == {
        ("release:a", "stashdb.org:0001", "stashdb.org:0001"),
        ("release:a", "stashdb.org:0002", "stashdb.org:0002"),
        ("folder", "local:ann", "stashdb.org:0001"),
    }
    assert exported["origin"].to_pylist() == ["release:a"] * 4 + ["folder"] * 2
    first = exported["template"][0].as_py()
    values = first if kind == "parquet" else first.split()
    np.testing.assert_allclose(np.array(values, np.float32), raw(4)[0], atol=1e-3)
    some = list(map(read, database.export(tmp_path / "some", format=kind, templates=False, ids=["local:ann"])))
    assert [len(table) for table in some] == [1, 2, 4]
    assert "template" not in some[2].column_names
    with pytest.raises(InputError, match="Nobody"):
        database.export(tmp_path / "none", format=kind, ids=["local:nobody"])
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable):
        database.export(tmp_path / "file" / "x", format=kind)


@pytest.mark.parametrize("name", ["faces.parquet", "performers.parquet"])
def test_a_damaged_shard_is_named_and_the_version_stays(database, name):
    version = put(database, "release:a", *people(1, 2))
    path = shard_folder(database.root / version, "release:a") / name
    content = path.read_bytes()
    path.write_bytes(b"x" * (len(content) // 2) + content[len(content) // 2 : -8] + b"x" * 8)
    with pytest.raises(DatabaseCorrupt, match=name.split(".")[0] if name[0] == "f" else "release@a"):
        put(database, "folder", ANN)
    assert database.versions() == [version]
    database.put(OPEN, source(), [ANN], faces(["local:ann"]), only=True)
    assert found(database) == ["local:ann"]


def test_too_little_space_is_said_before_the_index_is_built(database, monkeypatch):
    version = put(database, "folder", ANN)
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(NoSpace, match=r"needs .* are free"):
        put(database, "folder", *people(1, 2))
    assert database.versions() == [version]
