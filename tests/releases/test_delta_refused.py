"""Deltas that are not taken: gaps, damage, useless vectors; the database stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import InputError, ReleaseCorrupt, ReleaseGap
from pipelines.store.performers import PerformerDatabase
from tests.releases import bundles
from tests.releases.bundles import write_delta
from tests.releases.conftest import Import, SmallRelease
from tests.releases.deltas import FULL, face, faces_by_key


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
