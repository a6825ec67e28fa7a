"""A scan that is killed in the middle, three times in three ways, ends with the rows of one that was not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.store.templates import ScanDataset
from tests.bench.kills import rows_of, survive
from tests.bench.report import Options
from tests.bench.scan_library import scene_files
from tests.bench.scan_stash import side_environment, stash_of

SCENES = 26


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="sk-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_scan_that_is_killed_three_times_ends_with_the_same_rows(short_dir: Path, open_models: Path):
    options = Options(quick=True, models=open_models, eval_data=None, workdir=short_dir)
    with stash_of(scene_files(short_dir, SCENES, quick=True)) as stash:

        def scanned(name: str, victims: list[str]) -> ScanDataset:
            environment = side_environment(short_dir / name, options, stash, TMPDIR=str(short_dir))
            outcome = survive(environment, short_dir / name, SCENES, victims, seed=1)
            assert outcome.kills.total() == len(victims)
            assert outcome.hung == outcome.left_over == 0
            return ScanDataset(short_dir / name / "scans")

        whole, killed = scanned("whole", []), scanned("killed", ["driver", "scan worker", "tree"])
    expected, found = rows_of(whole), rows_of(killed)
    assert len(found["contents"]) == SCENES
    for kind, rows in expected.items():
        assert sorted(found[kind]) == sorted(rows), kind
