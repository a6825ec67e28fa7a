"""Vectors out of real Voyager and usearch indices, and what a damaged index does: nothing to this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import voyager
from usearch.index import Index

from pipelines.errors import ImporterMissing, ReleaseCorrupt, ReleaseUnsupported, Stopped
from pipelines.releases import vectors as vectors_module
from pipelines.releases.facts import Watch
from pipelines.releases.vectors import Library, read_vectors
from tests.releases import bundles

DIMENSION = 32


def write_voyager(path: Path, values: np.ndarray, space: voyager.Space = voyager.Space.Cosine) -> Path:
    index = voyager.Index(space, values.shape[1])
    index.add_items(values, ids=list(range(len(values))), num_threads=1)
    index.save(str(path))
    return path


def write_usearch(path: Path, keys: np.ndarray, values: np.ndarray, metric: str = "cos") -> Path:
    index = Index(ndim=values.shape[1], metric=metric, dtype="f16")
    index.add(keys, values)
    index.save(str(path))
    return path


@pytest.fixture
def values() -> np.ndarray:
    return bundles.vectors(300, DIMENSION, seed=3)


def test_voyager_gives_every_vector_back_at_unit_length(tmp_path: Path, values: np.ndarray):
    path = write_voyager(tmp_path / "a.voy", values * np.float32(7.5))
    read = read_vectors("voyager", path, tmp_path / "out", DIMENSION, Watch())
    assert read.keys.tolist() == list(range(300))
    assert read.good.all()
    assert read.values.dtype == np.float16
    assert np.abs(read.values.astype(np.float32) - values).max() < 1e-3


def test_what_voyager_marked_as_deleted_is_no_vector(tmp_path: Path, values: np.ndarray):
    index = voyager.Index.load(str(write_voyager(tmp_path / "a.voy", values)))
    index.mark_deleted(7)
    index.save(str(tmp_path / "b.voy"))
    read = read_vectors("voyager", tmp_path / "b.voy", tmp_path / "out", DIMENSION, Watch())
    assert np.flatnonzero(~read.good).tolist() == [7]
    assert np.abs(read.values[8].astype(np.float32) - values[8]).max() < 1e-3


def test_usearch_gives_sparse_keys_in_order(tmp_path: Path, values: np.ndarray):
    keys = np.random.default_rng(1).permutation(300) * 5 + 2
    path = write_usearch(tmp_path / "a.usearch", keys, values)
    read = read_vectors("usearch", path, tmp_path / "out", DIMENSION, Watch())
    order = np.argsort(keys)
    assert read.keys.tolist() == keys[order].tolist()
    assert np.abs(read.values.astype(np.float32) - values[order]).max() < 2e-2


def test_empty_vectors_and_no_numbers_are_marked(tmp_path: Path, values: np.ndarray):
    values[3], values[5, 0], values[6, 1] = 0, np.nan, np.inf
    path = write_usearch(tmp_path / "a.usearch", np.arange(300), values)
    read = read_vectors("usearch", path, tmp_path / "out", DIMENSION, Watch())
    assert {3, 5, 6} <= set(np.flatnonzero(~read.good).tolist())
    assert np.isfinite(read.values).all()


def test_an_empty_index_is_read(tmp_path: Path):
    path = write_usearch(tmp_path / "a.usearch", np.arange(0), np.zeros((0, DIMENSION), np.float32))
    assert read_vectors("usearch", path, tmp_path / "out", DIMENSION, Watch()).values.shape == (0, DIMENSION)


@pytest.mark.parametrize("library", ["voyager", "usearch"])
def test_another_length_or_metric_is_unsupported(tmp_path: Path, values: np.ndarray, library: Library):
    path = tmp_path / "index"
    write_voyager(path, values) if library == "voyager" else write_usearch(path, np.arange(300), values)
    with pytest.raises(ReleaseUnsupported, match="32 numbers"):
        read_vectors(library, path, tmp_path / "out", 64, Watch())
    if library == "voyager":
        write_voyager(path, values, voyager.Space.Euclidean)
    else:
        write_usearch(path, np.arange(300), values, "l2sq")
    with pytest.raises(ReleaseUnsupported, match="cosine"):
        read_vectors(library, path, tmp_path / "out", DIMENSION, Watch())


@pytest.mark.parametrize("library", ["voyager", "usearch"])
@pytest.mark.parametrize("damage", ["garbage", "empty", "head", "half", "end", "other"])
def test_a_damaged_index_is_refused_by_name(tmp_path: Path, values: np.ndarray, library: Library, damage: str):
    path = tmp_path / "index.bin"
    write_voyager(path, values) if library == "voyager" else write_usearch(path, np.arange(300), values)
    content = path.read_bytes()
    if damage == "other":
        write_usearch(path, np.arange(300), values) if library == "voyager" else write_voyager(path, values)
    else:
        ends = {"empty": 0, "head": 20, "half": len(content) // 2, "end": len(content) - 9}
        path.write_bytes(b"garbage " * 500 if damage == "garbage" else content[: ends[damage]])
    with pytest.raises(ReleaseCorrupt, match=r"index\.bin cannot be read"):
        read_vectors(library, path, tmp_path / "out", DIMENSION, Watch())


def test_an_index_that_crashes_its_library_is_an_error_here(tmp_path: Path, values: np.ndarray):
    path = write_voyager(tmp_path / "crash.voy", values)
    content = bytearray(path.read_bytes())
    content[0x39] = 0xFF  # where in an item its key lies: Voyager reads there without looking
    path.write_bytes(content)
    with pytest.raises(ReleaseCorrupt, match=r"crash\.voy cannot be read: .* \(SIG[A-Z]+\)"):
        read_vectors("voyager", path, tmp_path / "out", DIMENSION, Watch())


def test_a_reader_that_is_killed_is_named(tmp_path: Path, values: np.ndarray):
    path = write_voyager(tmp_path / "a.voy", values)
    killed = False

    def kill_the_reader() -> bool:
        nonlocal killed
        for child in readers_of(path):
            child.kill()
            killed = True
        return False

    with pytest.raises(ReleaseCorrupt, match="SIGKILL"):
        read_vectors("voyager", path, tmp_path / "out", DIMENSION, Watch(should_stop=kill_the_reader))
    assert killed


def test_stopping_ends_the_reader(tmp_path: Path, values: np.ndarray):
    path = write_voyager(tmp_path / "a.voy", values)
    with pytest.raises(Stopped):
        read_vectors("voyager", path, tmp_path / "out", DIMENSION, Watch(should_stop=lambda: True))
    assert not readers_of(path)


def test_a_reader_that_does_not_end_is_given_up(tmp_path: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    path = write_voyager(tmp_path / "a.voy", values)
    monkeypatch.setattr(vectors_module, "PATIENCE_S", 0.3)
    with pytest.raises(ReleaseCorrupt, match="took more than 0 s"):
        read_vectors("voyager", path, tmp_path / "out", DIMENSION, Watch(should_stop=stop_the_reader(path)))
    assert not readers_of(path)


def readers_of(path: Path) -> list[psutil.Process]:
    """Returns the processes of this one that read the index; other tests may have left some that have ended."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if str(path) in child.cmdline():
                found.append(child)
    return found


def stop_the_reader(path: Path) -> Callable[[], bool]:
    """Returns a question that freezes the reader of that index before it says no."""

    def ask() -> bool:
        for child in readers_of(path):
            child.suspend()
        return False

    return ask


def test_a_missing_library_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vectors_module, "find_spec", lambda _: None)
    with pytest.raises(ImporterMissing, match="make importers"):
        read_vectors("voyager", tmp_path / "a.voy", tmp_path / "out", DIMENSION, Watch())
