from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipelines.duplicates.evidence import EvidenceCache
from tests.duplicates.pictures import Film, grid_of, letterboxed

GRID = grid_of(lambda t: letterboxed(Film(1, 1).at(t)), 0, 6)


def test_a_grid_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = EvidenceCache(tmp_path / "evidence")
    assert cache.get("oshash:1", "0-6000") is None
    cache.put("oshash:1", "0-6000", GRID)
    found = cache.get("oshash:1", "0-6000")
    assert found is not None
    for name in ("times_s", "pdq", "mirrored", "thumbs", "contrast"):
        assert np.array_equal(getattr(found, name), getattr(GRID, name)), name
    assert (found.start_s, found.end_s, found.bars) == (GRID.start_s, GRID.end_s, GRID.bars)
    assert cache.get("oshash:1", "keys") is None
    assert cache.get("oshash:2", "0-6000") is None


def test_a_damaged_grid_is_one_that_was_never_there(tmp_path: Path) -> None:
    cache = EvidenceCache(tmp_path)
    for damage in (b"", b"PK\x03\x04 no archive", None):
        cache.put("f", "keys", GRID)
        path = next(tmp_path.glob("*/*.npz"))
        path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
        assert cache.get("f", "keys") is None
        assert not path.exists()


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = EvidenceCache(tmp_path)
    for number in range(10):
        cache.put(f"f{number}", "keys", GRID)
    size = next(tmp_path.glob("*/*.npz")).stat().st_size
    for age, path in enumerate(sorted(tmp_path.glob("*/*.npz"))):
        os.utime(path, (1_000_000 + age, 1_000_000 + age))
    assert cache.get("f3", "keys") is not None
    small = EvidenceCache(tmp_path, largest_bytes=5 * size)
    assert small.prune() == 6
    assert cache.get("f3", "keys") is not None
    assert sum(p.stat().st_size for p in tmp_path.glob("*/*.npz")) <= 5 * size
    assert small.prune() == 0


def test_writing_prunes_by_itself(tmp_path: Path) -> None:
    cache = EvidenceCache(tmp_path, largest_bytes=1)
    for number in range(32):
        cache.put(f"f{number}", "keys", GRID)
    assert list(tmp_path.glob("*/*.npz")) == []
