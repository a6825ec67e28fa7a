"""Rows of faces leave the dataset of scans for good, whole or not at all, also under SIGKILL."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.store.templates import ScanDataset
from tests.store.scans import START, make_scan

KILLED_AT_EACH = """
import os, sys
from pathlib import Path
from tests.killing import kill_before
from tests.store.test_templates_erase import erase

for root in sys.argv[1:]:
    child = os.fork()
    if not child:
        kill_before(int(root.rsplit("-", 1)[1]), ("replace", "rename", "unlink", "fsync", "link"))
        erase(Path(root))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status))
    if not status:
        break
"""
GONE = {("scene", "1"): [0, 3], ("scene", "4"): [0, 1, 2, 3, 4], ("image", "2"): [1]}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A dataset with a part, replaced scans in it and in files of their own, and new ones."""
    dataset = ScanDataset(tmp_path_factory.mktemp("base") / "scans")
    for content in range(6):
        dataset.write(make_scan(content, count=5))
    dataset.compact()
    dataset.write(make_scan(1, count=5, minutes=3, seed=77))
    dataset.write(make_scan(4, count=4, minutes=-3, seed=78))
    dataset.write(make_scan(2, kind="image", count=2, frames=1))
    return dataset.root


def erase(root: Path) -> int:
    dataset = ScanDataset(root)
    keys = {("scene", "1"): timedelta(minutes=3), ("scene", "4"): timedelta(), ("image", "2"): timedelta()}
    return dataset.erase_faces({key: (START + age, GONE[key]) for key, age in keys.items()})


def templates(root: Path) -> dict[tuple[str, str], np.ndarray]:
    return {(s.key.kind, s.key.content_id): s.faces.template for s in ScanDataset(root).scans()}


def on_disk(root: Path) -> set[bytes]:
    """Every template that any file holds."""
    found = set()
    for path in root.rglob("*.parquet"):
        table = pq.read_table(path)
        if "template" in table.column_names:
            found |= {np.array(t, np.float16).tobytes() for t in table["template"].to_pylist()}
        elif "faces" in table.column_names:
            rows = [face for faces in table["faces"].to_pylist() for face in faces]
            found |= {np.array(face["template"], np.float16).tobytes() for face in rows}
    return found


def expected(before: dict[tuple[str, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    return {key: np.delete(rows, GONE.get(key, []), axis=0) for key, rows in before.items()}


def same(one: dict[tuple[str, str], np.ndarray], other: dict[tuple[str, str], np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(rows.tobytes() == other[key].tobytes() for key, rows in one.items())


def test_rows_are_gone_from_the_disk_and_contents_stay(base, tmp_path):
    root = shutil.copytree(base, tmp_path / "scans")
    before = templates(root)
    assert erase(root) == 2 + 5 + 1
    assert same(templates(root), expected(before))
    gone = {before[key][row].tobytes() for key, rows in GONE.items() for row in rows}
    assert not on_disk(root) & gone
    assert not on_disk(root) & {t.tobytes() for t in make_scan(1, count=5).faces.template}, "a replaced scan is left"
    dataset = ScanDataset(root)
    rows = dataset.done(["kind", "content_id", "face_count"]).to_pylist()
    counts = {(row["kind"], row["content_id"]): row["face_count"] for row in rows}
    assert counts == {key: len(rows) for key, rows in expected(before).items()}
    assert dataset.counts().faces == sum(counts.values())
    scan = dataset.read("scene", "4")
    assert (scan.status, len(scan.faces), len(scan.frames)) == ("ok", 0, 10)
    dataset.write(make_scan(9))
    dataset.compact()
    assert same({k: v for k, v in templates(root).items() if k[1] != "9"}, expected(before))


def test_a_content_that_was_scanned_again_is_left_alone(base, tmp_path):
    root = shutil.copytree(base, tmp_path / "scans")
    before = templates(root)
    dataset = ScanDataset(root)
    assert dataset.erase_faces({("scene", "1"): (START, [0]), ("scene", "none"): (START, [0])}) == 0
    assert dataset.erase_faces({}) == 0
    assert same(templates(root), before)


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_operation_loses_nothing_else(base, tmp_path, step):
    numbers = range(1, 80, step)
    roots = [shutil.copytree(base, tmp_path / f"scans-{number}") for number in numbers]
    before = templates(base)
    words = [sys.executable, "-c", KILLED_AT_EACH, *map(str, roots)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    assert said[0] == "9"
    assert said[-1] == "0", "there are more operations than this test kills at"
    after = expected(before)
    for root, signal in zip(roots, said, strict=False):
        now = templates(root)
        assert all(rows.tobytes() in (before[k].tobytes(), after[k].tobytes()) for k, rows in now.items())
        assert now.keys() == before.keys()
        if signal == "0":
            assert same(now, after)
        else:
            left = {key for key, rows in now.items() if rows.tobytes() != after[key].tobytes()}
            removed = ScanDataset(root).erase_faces(
                {key: (START + timedelta(minutes=3 if key[1] == "1" else 0), GONE[key]) for key in left}
            )
            assert removed == sum(len(GONE[key]) for key in left)
            assert same(templates(root), after)
