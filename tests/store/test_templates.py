import json
import os
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import InputError, NotWritable, StoreCorrupt, StoreTooNew
from pipelines.store.templates import ContentScan, ScanDataset, ScanKey, ScannedFaces, ScanRecipe, template_matrix
from tests.store.scans import RECIPE, START, as_rows, faces, failed, make_scan

OTHER = ScanRecipe("wide-11111111", "s1", "h1")


@pytest.fixture
def dataset(tmp_path) -> ScanDataset:
    return ScanDataset(tmp_path / "scans")


def stored(dataset: ScanDataset) -> dict[tuple[str, str], tuple]:
    return {(s.key.kind, s.key.content_id): as_rows(s) for s in dataset.scans()}


def expected(*scans: ContentScan) -> dict[tuple[str, str], tuple]:
    return {(s.key.kind, s.key.content_id): as_rows(s) for s in scans}


SCANS = [
    make_scan(1, count=7),
    make_scan(2, count=0),
    make_scan(3, count=3, status="partial", reason="5 of 60 wanted frames are not there"),
    failed(4, retryable=False),
    make_scan(1, kind="image", count=2, frames=1, galleries=("7", "9"), duration_s=float("nan")),
    make_scan("10", count=600, frames=60),
]


@pytest.mark.parametrize("compacted", [False, True], ids=["pending", "compacted"])
def test_what_is_written_is_read_again(dataset, compacted):
    for scan in SCANS:
        dataset.write(scan)
    if compacted:
        report = dataset.compact()
        assert (report.ran, report.folded, report.parts) == (True, len(SCANS), 1)
        assert not list((dataset.root / "pending").iterdir())
    assert stored(dataset) == expected(*SCANS)
    for scan in SCANS:
        again = dataset.read(scan.key.kind, scan.key.content_id)
        assert as_rows(again) == as_rows(scan)
        assert again.scanned_at == scan.scanned_at
    assert dataset.read("scene", "99") is None
    assert dataset.read("image", "10") is None


@pytest.mark.parametrize("compacted", [False, True], ids=["pending", "compacted"])
def test_batches_hold_every_row_once_and_whole_contents(dataset, compacted):
    scans = [make_scan(i, count=50 * (i % 4), frames=60) for i in range(300)]
    for scan in scans:
        dataset.write(scan)
    if compacted:
        dataset.compact()
    batches = list(dataset.faces())
    assert len(batches) > 1
    assert all(len(batch) <= 8192 + 200 for batch in batches)
    ids = [set(batch["content_id"].to_pylist()) for batch in batches]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 225
    assert sum(map(len, batches)) == sum(len(s.faces) for s in scans)
    table = pa.Table.from_batches(batches)
    own = table.filter(pa.compute.equal(table["content_id"], "7"))
    assert np.array_equal(template_matrix(own["template"]), scans[7].faces.template)
    frames = pa.Table.from_batches(dataset.frames(["content_id", "phash"]))
    assert frames.schema.names == ["content_id", "phash"]
    assert len(frames) == 300 * 60


def test_columns_of_the_rows(dataset):
    dataset.write(SCANS[0])
    for _ in range(2):
        (batch,) = dataset.faces()
        assert batch.schema.field("template").type == pa.list_(pa.float16(), 8)
        assert batch.schema.names == [
            *("kind", "content_id", "file_fingerprint", "pack", "sampling", "frame", "time_s", "box", "landmarks"),
            *("score", "yaw", "roll", "quality", "template"),
        ]
        (batch,) = dataset.frames()
        assert batch.schema.names == [
            *("kind", "content_id", "file_fingerprint", "pack", "sampling", "frame", "time_s", "phash", "pdq"),
            "pdq_quality",
        ]
        assert batch.schema.field("phash").type == pa.uint64()
        assert batch.schema.field("pdq").type == pa.binary(32)
        dataset.compact()


def test_done_has_one_row_a_content_and_reads_no_face(dataset):
    for scan in SCANS:
        dataset.write(scan)
    dataset.compact()
    for path in (dataset.root / "parts").glob("*.f*.parquet"):
        path.write_bytes(b"unreadable")
    done = dataset.done()
    assert done["content_id"].to_pylist() == ["1", "1", "10", "2", "3", "4"]
    assert done["status"].to_pylist() == ["ok", "ok", "ok", "no_face", "partial", "failed"]
    assert set(done["recipe"].to_pylist()) == {RECIPE.digest}
    assert dataset.done(["content_id", "face_count"])["face_count"].to_pylist() == [2, 7, 600, 0, 3, 0]


@pytest.mark.parametrize("compact_between", [False, True])
def test_the_newest_scan_counts(dataset, compact_between):
    old, new = make_scan(1, count=9), make_scan(1, count=4, fingerprint="oshash:2", minutes=1)
    for scan in (new, old):  # in whatever order they are written
        dataset.write(scan)
        if compact_between:
            dataset.compact()
    assert stored(dataset) == expected(new)
    assert sum(map(len, dataset.faces())) == 4
    dataset.compact()
    assert stored(dataset) == expected(new)
    assert as_rows(dataset.read("scene", "1")) == as_rows(new)


@pytest.mark.parametrize("compact_between", [False, True])
def test_what_may_be_tried_again_never_replaces_what_is_final(dataset, compact_between):
    good = make_scan(1)
    dataset.write(good)
    if compact_between:
        dataset.compact()
    dataset.write(failed(1, fingerprint="oshash:2", minutes=1))
    assert stored(dataset) == expected(good)
    dataset.compact()
    assert stored(dataset) == expected(good)
    broken = failed(1, fingerprint="oshash:2", minutes=2, retryable=False)
    dataset.write(broken)
    dataset.compact()
    assert stored(dataset) == expected(broken)
    mended = make_scan(1, fingerprint="oshash:3", minutes=3)
    dataset.write(mended)
    assert stored(dataset) == expected(mended)


def test_writing_the_same_scan_again_changes_nothing(dataset):
    scan = make_scan(1)
    dataset.write(scan)
    dataset.write(scan)
    assert dataset.pending_count() == 1
    dataset.compact()
    dataset.write(scan)
    assert stored(dataset) == expected(scan)
    assert sum(map(len, dataset.faces())) == 5
    dataset.compact()
    assert (dataset.counts().faces, dataset.counts().pending) == (5, 0)


def test_packs_with_templates_of_different_lengths_live_side_by_side(dataset):
    narrow, wide = make_scan(1), make_scan(2, recipe=OTHER, template_dim=32)
    for compacted in (False, True):
        for scan in (narrow, wide, make_scan(3, count=0, recipe=OTHER)):
            dataset.write(scan)
        if compacted:
            assert dataset.compact().parts == 2
        assert {b.schema.field("template").type.list_size for b in dataset.faces()} == {8, 32}
        (batch,) = dataset.faces(pack=OTHER.pack)
        assert set(batch["content_id"].to_pylist()) == {"2"}
        assert [s.key.content_id for s in dataset.scans(pack=OTHER.pack)] == ["2", "3"]
        assert stored(dataset)["scene", "2"] == as_rows(wide)


def test_a_scan_with_another_pack_replaces_the_old_one_only_of_its_content(dataset):
    for content in (1, 2):
        dataset.write(make_scan(content))
    dataset.compact()
    newer = make_scan(1, recipe=OTHER, template_dim=32, minutes=1)
    dataset.write(newer)
    dataset.compact()
    assert stored(dataset) == expected(newer, make_scan(2))


def test_replaced_scans_leave_the_disk(dataset):
    for content in range(10):
        dataset.write(make_scan(content, count=100))
    dataset.compact()
    for content in range(5):
        dataset.write(make_scan(content, count=1, minutes=1))
    report = dataset.compact()
    assert (report.rewritten, report.parts) == (1, 2)
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in (dataset.root / "parts").glob("*.faces.parquet"))
    assert rows == 505 == dataset.counts().faces


def test_parts_are_merged_when_there_are_many(dataset):
    scans = [make_scan(content) for content in range(40)]
    for number, scan in enumerate(scans):
        dataset.write(scan)
        if number % 5 == 4:
            dataset.compact()
    assert dataset.counts().parts == 1
    assert stored(dataset) == expected(*scans)


def test_forgotten_contents_leave_nothing(dataset):
    scans = [make_scan(content) for content in range(6)]
    for scan in scans[:4]:
        dataset.write(scan)
    dataset.compact()
    for scan in scans[4:]:
        dataset.write(scan)
    dataset.write(make_scan(1, kind="image"))
    assert dataset.forget("scene", ["1", "5", "77"]) == 2
    assert set(stored(dataset)) == {("scene", c) for c in "0234"} | {("image", "1")}
    for path in dataset.root.rglob("*.parquet"):
        table = pq.read_table(path)
        gone = zip(table["kind"].to_pylist(), table["content_id"].to_pylist(), strict=True)
        assert not {("scene", "1"), ("scene", "5")} & set(gone)
    assert dataset.forget("scene", ["1"]) == 0


def test_counts(dataset):
    assert (dataset.counts().scenes, dataset.counts().newest) == (0, None)
    for scan in SCANS:
        dataset.write(scan)
    counts = dataset.counts()
    assert (counts.scenes, counts.images, counts.pending, counts.parts) == (5, 1, 6, 0)
    assert counts.by_status == {"ok": 3, "no_face": 1, "partial": 1, "failed": 1}
    assert (counts.faces, counts.frames, counts.newest) == (612, 91, START)


def test_an_empty_dataset_reads_as_nothing_and_is_not_made(dataset):
    assert len(dataset.done()) == 0
    assert list(dataset.faces()) == list(dataset.frames()) == list(dataset.scans()) == []
    assert dataset.read("scene", "1") is None
    assert not dataset.root.exists()


def test_a_later_schema_is_refused_by_readers_and_writers(dataset):
    dataset.write(make_scan(1))
    listed = json.loads((dataset.root / "dataset.json").read_text())
    (dataset.root / "dataset.json").write_text(json.dumps(listed | {"schema_version": 2, "new_field": 1}))
    later = ScanDataset(dataset.root)
    for act in (later.done, later.counts, later.compact, lambda: later.read("scene", "1"), lambda: list(later.faces())):
        with pytest.raises(StoreTooNew, match="schema 2"):
            act()
    with pytest.raises(StoreTooNew):
        later.write(make_scan(2))


def test_damaged_files_are_named(dataset):
    dataset.write(make_scan(1))
    (path,) = (dataset.root / "pending").iterdir()
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreCorrupt, match=path.name):
        dataset.done()
    (dataset.root / "dataset.json").write_text("{")
    with pytest.raises(StoreCorrupt, match=r"dataset\.json"):
        dataset.done()


def test_a_part_with_a_missing_row_is_damaged(dataset):
    dataset.write(make_scan(1))
    dataset.compact()
    (path,) = (dataset.root / "parts").glob("*.faces.parquet")
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(StoreCorrupt, match="4 rows, should have 5"):
        list(dataset.faces())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        ScanDataset(tmp_path / "file" / "scans").write(make_scan(1))


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(dataset):
    dataset.write(make_scan(1))
    pending = dataset.root / "pending"
    host = os.uname().nodename.replace(".", "-")
    dead = pending / f".scene.2.abc.20260101.parquet.{host}.4194305.aa.partial"
    alive = pending / f".scene.3.abc.20260101.parquet.{host}.{os.getpid()}.aa.partial"
    elsewhere = pending / ".scene.4.abc.20260101.parquet.otherhost.12.aa.partial"
    old = pending / ".scene.5.abc.20260101.parquet.otherhost.12.aa.partial"
    for path in (dead, alive, elsewhere, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    run = dataset.root / f".run.{host}.4194305.aa.partial"
    run.mkdir()
    (run / "scene.1.mark").touch()
    ScanDataset(dataset.root).prepare()
    assert not run.exists()
    assert (dead.exists(), alive.exists(), elsewhere.exists(), old.exists()) == (False, True, True, False)
    assert len(dataset.done()) == 1


def test_scans_of_a_key_since_a_moment(dataset):
    scan = make_scan(1, minutes=5)
    dataset.write(scan)
    assert dataset.written_since(scan.key, START + timedelta(minutes=5))
    assert not dataset.written_since(scan.key, START + timedelta(minutes=6))
    assert not dataset.written_since(make_scan(1, fingerprint="oshash:2").key, START)
    assert not dataset.written_since(make_scan(12).key, START)


@pytest.mark.parametrize("content_id", ["", "../1", "1.2", "a" * 65, "1/2"])
def test_ids_that_are_no_ids_are_refused(content_id):
    with pytest.raises(InputError, match="content id"):
        ScanKey("scene", content_id, "oshash:1", RECIPE)


def test_records_are_checked():
    with pytest.raises(InputError, match="kind"):
        ScanKey("gallery", "1", "oshash:1", RECIPE)
    with pytest.raises(ValueError, match="needs a reason"):
        make_scan(1, status="partial")
    with pytest.raises(ValueError, match="cannot have 5 faces"):
        make_scan(1, status="no_face")
    good = faces(3)
    with pytest.raises(ValueError, match="box is"):
        ScannedFaces(**{n: getattr(good, n) for n in ScannedFaces.__dataclass_fields__} | {"box": good.box[:2]})
    with pytest.raises(ValueError, match="template is float32"):
        ScannedFaces(
            **{n: getattr(good, n) for n in ScannedFaces.__dataclass_fields__}
            | {"template": good.template.astype(np.float32)}
        )


def test_recipes_differ_where_anything_differs():
    recipes = [RECIPE, OTHER, ScanRecipe(RECIPE.pack, "s2", "h1"), ScanRecipe(RECIPE.pack, "s1", "h2")]
    assert len({r.digest for r in recipes}) == 4
    assert RECIPE.digest == ScanRecipe("open-00000000", "s1", "h1").digest


@pytest.mark.parametrize("compacted", [0, 3, 6])
def test_some_contents_are_read_without_the_others(dataset, compacted):
    """A content that is in a part and in a newer pending file, ids that begin alike, one never scanned."""
    for number, scan in enumerate(SCANS):
        dataset.write(scan)
        if number + 1 == compacted:
            dataset.compact()
    newer = make_scan(1, count=2, minutes=5, fingerprint="oshash:2")
    dataset.write(newer)
    found = list(dataset.scans(keys=[("scene", "1"), ("image", "1"), ("scene", "404")]))
    assert [as_rows(s) for s in found] == [as_rows(SCANS[4]), as_rows(newer)]
    assert list(dataset.scans(keys=[])) == []
    assert [s.key.content_id for s in dataset.scans(keys=[("scene", "1"), ("scene", "10")], pack=RECIPE.pack)] == [
        "1",
        "10",
    ]
