import dataclasses
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import DatabaseCorrupt, DatabaseMissing, InputError, NotWritable, PackMismatch
from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.store.performers import PerformerDatabase
from tests.store.performers import faces, people, raw, source

FILES = ["sources/folder/faces.parquet", "performers.parquet", "head.faiss", "space.json", "manifest.json"]


@pytest.fixture
def database(tmp_path) -> PerformerDatabase:
    return PerformerDatabase(tmp_path / "performer-db")


def write(database, owners=(2, 0, 1, 0), seed=0):
    return database.put(OPEN, source(), people(0, 1, 2), faces(list(owners), seed))


def test_what_is_written_is_loaded(database):
    version = write(database)
    gallery = database.load()
    assert gallery.version == version == database.current()
    assert gallery.performers == tuple(people(0, 1, 2))
    assert gallery.performer(1) == people(1)[0]
    assert gallery.row_of["stashdb.org:0002"] == 2
    assert gallery.size == 3
    assert gallery.raw.rows.tolist() == [0, 0, 1, 2]
    np.testing.assert_allclose(gallery.raw.templates.astype(np.float32), raw(4)[[1, 3, 2, 0]], atol=1e-3)
    assert gallery.search(raw(4), 1).performers[:, 0].tolist() == [2, 0, 1, 0]


def test_manifest_tells_what_a_version_is(database):
    version = write(database)
    manifest = database.verify()
    assert (manifest.version, manifest.pack, manifest.template_id) == (version, OPEN.id, OPEN.template_id)
    assert (manifest.performers, manifest.faces, manifest.sources) == (
        3,
        4,
        {"folder": source().model_copy(update={"performers": 3, "faces": 4})},
    )
    folder = database.root / version
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    assert set(manifest.files) == set(files) - {"manifest.json"}
    assert manifest.size_bytes == sum(files.values()) - files["manifest.json"]


def test_nothing_enrolled_is_a_named_error(database):
    assert database.current() is None
    assert database.versions() == []
    with pytest.raises(DatabaseMissing, match="enroll"):
        database.load()
    with pytest.raises(DatabaseMissing):
        database.load("20200101T000000.000000Z-0000")
    with pytest.raises(DatabaseMissing):
        database.load("../../etc")


def test_performers_without_a_face_are_kept_and_never_found(database):
    database.put(OPEN, source(), people(0, 1, 2), faces([0, 2]))
    gallery = database.load()
    assert (len(gallery.performers), gallery.size) == (3, 2)
    assert 1 not in gallery.search(raw(20, 3), 3).performers


@pytest.mark.parametrize("bad", ["strangers", "twice", "none"])
def test_tables_that_do_not_fit_are_refused_and_leave_nothing(database, bad):
    performers, table = {
        "strangers": (people(0), faces([0, 5])),
        "twice": (people(0, 0), faces([0])),
        "none": (people(0), faces([0]).slice(0, 0)),
    }[bad]
    with pytest.raises(InputError):
        database.put(OPEN, source(), performers, table)
    assert database.versions() == []


@pytest.mark.parametrize("universal_id", ["", "abc", "stashdb.org:", "a b:c"])
def test_ids_have_a_domain(universal_id):
    with pytest.raises(InputError):
        Performer(universal_id, "x")


def test_old_versions_are_removed_and_the_newest_kept(database):
    versions = [write(database, seed=n) for n in range(5)]
    assert database.versions() == versions[-3:]
    assert database.current() == versions[-1]


def test_an_earlier_version_can_be_used_again_and_is_not_removed(database):
    first = write(database)
    second = write(database, seed=1)
    database.use(first)
    assert database.current() == first
    assert database.load().version == first
    write(database, seed=2)
    assert first in database.versions()
    assert second in database.versions()


def test_added_faces_join_the_enrolled_ones(database):
    write(database)
    database.add(OPEN, source(), people(1, 3), faces([1, 3, 3], seed=7))
    gallery = database.load()
    assert [p.universal_id[-1] for p in gallery.performers] == ["0", "1", "2", "3"]
    assert gallery.raw.rows.tolist() == [0, 0, 1, 1, 2, 3, 3]


def test_the_same_bytes_are_added_once_per_performer(database):
    database.put(OPEN, source(), people(0), faces([0, 0], files=["a", None]))
    database.add(OPEN, source(), people(0, 1), faces([0, 0, 0, 1], seed=3, files=["a", "b", None, "a"]))
    table = database.faces()
    pairs = sorted(zip(table["universal_id"].to_pylist(), map(str, table["source_sha256"].to_pylist()), strict=True))
    zero, one = "stashdb.org:0000", "stashdb.org:0001"
    assert pairs == [(zero, "None"), (zero, "None"), (zero, "a"), (zero, "b"), (one, "a")]


def test_what_is_known_of_a_performer_is_not_overwritten(database):
    write(database)
    database.add(OPEN, source(), [Performer("stashdb.org:0001", "Other name")], faces([1], seed=9))
    assert database.load().performer(1) == people(1)[0]


def test_templates_of_another_pack_are_refused(database):
    write(database)
    other = dataclasses.replace(
        OPEN,
        detector=dataclasses.replace(
            OPEN.detector, file=dataclasses.replace(OPEN.detector.file, sha256="0" * 64, graph_sha256="0" * 64)
        ),
    )
    for attempt in (
        lambda: database.load(pack=other),
        lambda: database.add(other, source(), people(1), faces([1])),
        lambda: database.enrolled_faces(other),
    ):
        with pytest.raises(PackMismatch) as error:
            attempt()
        assert error.value.hint


def test_new_weights_or_centring_rebuild_the_index_from_the_stored_templates(database):
    write(database)
    assert database.load().space.centre.any()
    plain = database.load(pack=dataclasses.replace(OPEN, centre=False))
    assert not plain.space.centre.any()
    assert plain.search(raw(4), 1).performers[:, 0].tolist() == [2, 0, 1, 0]
    np.testing.assert_allclose(plain.search(raw(1), 1).scores, 1, atol=2e-3)


def damaged(database, name, change):
    path = database.root / write(database) / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "name", ["sources/folder/faces.parquet", "performers.parquet", "head.faiss", "space.json", "manifest.json"]
)
def test_truncated_files_are_named_errors(database, name):
    damaged(database, name, lambda content: content[: len(content) // 2])
    with pytest.raises(DatabaseCorrupt):
        database.load()


@pytest.mark.parametrize(
    "name", ["sources/folder/faces.parquet", "performers.parquet", "head.faiss", "space.json", "manifest.json"]
)
def test_missing_files_are_named_errors(database, name):
    (database.root / write(database) / name).unlink()
    with pytest.raises(DatabaseCorrupt):
        database.load()


def test_a_changed_byte_is_found_when_verified(database):
    damaged(
        database,
        "sources/folder/faces.parquet",
        lambda content: content[:-200] + bytes([content[-200] ^ 1]) + content[-199:],
    )
    database.manifest()
    with pytest.raises(DatabaseCorrupt, match=r"faces\.parquet"):
        database.verify()


def test_a_damaged_pointer_is_a_named_error(database):
    write(database)
    (database.root / "current").write_text("../secrets\n")
    with pytest.raises(DatabaseCorrupt):
        database.load()


def test_unknown_fields_of_a_manifest_are_refused(database):
    path = database.root / write(database) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"surprise": 1}))
    with pytest.raises(DatabaseCorrupt, match="surprise"):
        database.manifest()


def test_a_folder_that_cannot_be_written_is_a_named_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        write(PerformerDatabase(tmp_path / "file" / "db"))


def test_a_failed_write_leaves_the_current_version(database, monkeypatch):
    version = write(database)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.store.shards.pq.write_table", full)
    with pytest.raises(NotWritable, match="No space left"):
        write(database, seed=1)
    assert database.versions() == [version]
    assert database.load().version == version
    assert not list(database.root.glob(".partial-*"))


def _write_for_ever(root: Path) -> None:
    database = PerformerDatabase(root)
    for seed in range(10_000):
        database.put(OPEN, source(), people(0, 1, 2), faces([0, 1, 2] * 200, seed))


def test_killed_writers_leave_whole_versions(tmp_path):
    """The writer is killed at random moments; whatever is there afterwards verifies, and writing goes on."""
    database = PerformerDatabase(tmp_path)
    context = multiprocessing.get_context("fork")
    for wait_s in (0.2, 0.33, 0.47, 0.6):
        writer = context.Process(target=_write_for_ever, args=(tmp_path,))
        writer.start()
        time.sleep(wait_s)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        for version in database.versions():
            database.verify(version)
        if database.current():
            database.verify()
            database.load()
    version = database.put(OPEN, source(), people(0, 1, 2), faces([0, 1, 2]))
    assert database.current() == version
    assert not list(tmp_path.glob(".partial-*"))


def test_readers_see_whole_versions_while_others_are_written(database):
    write(database)
    context = multiprocessing.get_context("fork")
    writer = context.Process(target=_write_for_ever, args=(database.root,))
    writer.start()
    try:
        until = time.monotonic() + 1.5
        seen = set()
        while time.monotonic() < until:
            gallery = database.load()
            assert gallery.search(raw(2), 1).performers.min() >= 0
            seen.add(gallery.version)
    finally:
        writer.kill()
        writer.join()
    assert len(seen) > 1


def test_two_writers_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add_some, args=(tmp_path, first)) for first in (0, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(p.name for p in PerformerDatabase(tmp_path).load().performers) == sorted(
        f"Name {n}" for first in (0, 10) for n in range(first, first + 4)
    )


def _add_some(root: Path, first: int) -> None:
    for number in range(first, first + 4):
        PerformerDatabase(root).add(OPEN, source(), people(number), faces([number], seed=number))
