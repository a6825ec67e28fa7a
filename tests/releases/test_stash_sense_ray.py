"""Exports of this program as releases: what one installation writes, another one imports."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.errors import PackMismatch, ReleaseCorrupt, ReleaseUnsupported
from pipelines.faces.catalogue import BUFFALO_L, OPEN
from pipelines.faces.gallery import Performer
from pipelines.releases import ImportReport, import_release, inspect
from pipelines.store.performers import PerformerDatabase, SourceInfo
from pipelines.store.tables import face_table
from tests.releases.bundles import zip_folder

ANN = Performer("stashdb.org:ann", "Ann", ("Annie",), country="NO", ids=("fansdb.cc:a",), career_start=2001)
BEA, CLEO = Performer("local:bea", "Bea", ids=("stashdb.org:bea",)), Performer("stash:12", "Cleo")


def database(folder: Path, *people: Performer, source: str = "folder", seed: int = 0) -> PerformerDatabase:
    """Returns a database with two faces of each of these people."""
    made = PerformerDatabase(folder)
    count = 2 * len(people)
    templates = np.random.default_rng(seed).normal(size=(count, OPEN.template_dim)).astype(np.float16)
    columns = {
        "universal_id": [p.universal_id for p in people for _ in range(2)],
        "source": [f"picture {n}" for n in range(count)],
        "source_sha256": [f"{n:064x}" for n in range(count)],
        "quality": [0.5] * count,
        "yaw_deg": [None] * count,
        "detection_score": [0.9] * count,
    }
    info = SourceInfo(id=source, kind="folder", updated=datetime.now(UTC))
    made.put(OPEN, info, list(people), face_table(columns, templates))
    return made


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    database(tmp_path / "theirs", ANN, BEA, CLEO).export(tmp_path / "exported")
    return tmp_path / "exported"


def imported(path: Path, tmp_path: Path) -> tuple[PerformerDatabase, ImportReport]:
    mine = PerformerDatabase(tmp_path / "mine")
    return mine, import_release(path, mine, OPEN, workdir=tmp_path / "work")


@pytest.mark.parametrize("zipped", [False, True])
def test_an_export_is_imported(exported: Path, tmp_path: Path, zipped: bool):
    path = zip_folder(exported, tmp_path / "release.zip") if zipped else exported
    facts = inspect(path)
    assert (facts.kind, facts.pack, facts.performers, facts.faces) == ("stash-sense-ray", "open", 3, 6)
    mine, report = imported(path, tmp_path)
    assert (report.performers, report.faces, report.skipped) == (2, 4, {"local_ids": 2})
    assert report.release == PerformerDatabase(tmp_path / "theirs").current()
    ann, bea = (Performer.from_record(row) for row in mine.performers().to_pylist())
    assert ann == ANN
    assert (bea.universal_id, bea.name) == ("stashdb.org:bea", "Bea")
    faces = mine.source_faces(report.source)
    before = pq.read_table(exported / "faces.parquet")
    assert faces is not None

    def pictures(table: pa.Table) -> dict[str, list[float]]:
        return dict(zip(table["source_sha256"].to_pylist(), table["template"].to_pylist(), strict=True))

    taken = pc.is_in(before["universal_id"], pa.array(["stashdb.org:ann", "local:bea"]))
    assert pictures(faces) == pictures(before.filter(taken))
    again = import_release(path, mine, OPEN, workdir=tmp_path / "work")
    assert (again.faces, list(mine.manifest().sources)) == (4, ["release:stash-sense-ray"]), (
        "in place of the one before"
    )


def test_another_pack_is_refused(exported: Path, tmp_path: Path):
    with pytest.raises(PackMismatch, match="pack open"):
        import_release(exported, PerformerDatabase(tmp_path / "mine"), BUFFALO_L, workdir=tmp_path / "work")
    rewrite(exported, models={"template_id": "another"})
    with pytest.raises(ReleaseUnsupported, match="another"):
        imported(exported, tmp_path)


def rewrite(folder: Path, **facts: object) -> None:
    """Changes the manifest and brings its checksums up to date."""
    import hashlib

    manifest = json.loads((folder / "manifest.json").read_text())
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["checksums"]}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksums": digests, **facts}))


@pytest.mark.parametrize("name", ["performers", "members", "faces"])
def test_what_is_no_export_is_refused_and_changes_nothing(exported: Path, tmp_path: Path, name: str):
    path = exported / f"{name}.parquet"
    whole, table = path.read_bytes(), pq.read_table(path)
    path.write_bytes(whole[:-1] + b"x")
    with pytest.raises(ReleaseCorrupt, match="damaged"):
        imported(exported, tmp_path)
    for bad in (
        lambda: path.write_bytes(b"no parquet"),
        lambda: pq.write_table(table.drop_columns(["universal_id"]), path),
        lambda: pq.write_table(table.set_column(1, table.schema.names[1], pa.array([1] * len(table))), path),
    ):
        bad()
        rewrite(exported)
        with pytest.raises(ReleaseCorrupt):
            imported(exported, tmp_path)
    path.write_bytes(whole)
    for facts in ({"face_count": 5}, {"performer_count": 4}, {"pack": None}, {"checksums": {}}, {"version": "../x"}):
        rewrite(exported, **facts)
        with pytest.raises(ReleaseCorrupt):
            imported(exported, tmp_path)
    path.unlink()
    with pytest.raises((ReleaseCorrupt, ReleaseUnsupported)):
        imported(exported, tmp_path)
    assert PerformerDatabase(tmp_path / "mine").current() is None
