"""Writers of the performer database under SIGKILL and on full disks: the old state or the new one, nothing between."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import NoSpace, StashSenseError
from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.store.performers import PerformerDatabase
from tests.store.performers import faces, found, people, put, source

KILLED_AT_EACH = """
import os, sys
from pathlib import Path
from tests.killing import kill_before
from pipelines.store.performers import PerformerDatabase
from tests.store.test_performers_kills import ACTIONS

for root in sys.argv[2:]:
    child = os.fork()
    if not child:
        kill_before(int(root.rsplit("-", 1)[1]), ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync", "link"))
        ACTIONS[sys.argv[1]](PerformerDatabase(Path(root), keep=1))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status), flush=True)
    if not status:
        break
"""
"""Runs one action in each folder, whose name ends with the number of the operation before which it is killed."""

ANN = Performer("local:ann", "Annie", ids=("stashdb.org:0001",))
ACTIONS = {
    "put": lambda database: put(database, "release:a", *people(1, 2, 3), seed=9),
    "exclude": lambda database: database.exclude(["local:ann"]),
    "erase": lambda database: database.erase(["local:ann"]),
}


def state(database: PerformerDatabase) -> tuple[list[str], list[str]]:
    """Who can be found, and who is excluded."""
    return found(database), [e.universal_id for e in database.excluded()]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A database with two sources and two versions, the most that are kept."""
    database = PerformerDatabase(tmp_path_factory.mktemp("base") / "performer-db", keep=1)
    put(database, "release:a", *people(1, 2))
    put(database, "folder", ANN, Performer("local:bob", "Bob"))
    return database.root


def run_killed(action: str, base: Path, folder: Path, numbers: range) -> list[tuple[Path, bool]]:
    """Returns a copy of `base` for each number, and whether its process was killed there."""
    roots = [folder / f"{action}-{number}" for number in numbers]
    for root in roots:
        shutil.copytree(base, root)
    words = [sys.executable, "-c", KILLED_AT_EACH, action, *map(str, roots)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return list(zip(roots, [signal == "9" for signal in said], strict=False))


@pytest.mark.parametrize(
    ("action", "step"),
    [
        ("put", 8),
        ("exclude", 13),
        ("erase", 11),
        *(pytest.param(action, 1, marks=pytest.mark.slow) for action in ACTIONS),
    ],
)
def test_a_kill_at_any_operation_leaves_the_old_or_the_new(base, tmp_path, action, step):
    before = state(PerformerDatabase(base))
    whole = PerformerDatabase(shutil.copytree(base, tmp_path / "whole"), keep=1)
    ACTIONS[action](whole)
    after = state(whole)
    assert before != after
    runs = run_killed(action, base, tmp_path, range(1, 150, step))
    assert runs[0][1]
    assert not runs[-1][1], "there are more operations than this test kills at"
    for root, killed in runs:
        database = PerformerDatabase(root, keep=1)
        for version in database.versions():
            database.verify(version)
        now = state(database)
        # Somebody is hidden from the moment the list is written, before there is a version without.
        assert now in (before, after, (after[0], before[1])), root.name
        if not killed:
            assert now == after
        check_next_writer(database, action, now == after)


def check_next_writer(database: PerformerDatabase, action: str, done: bool) -> None:
    """The next writer removes what is left over; an erasure that was begun is finished by it."""
    noted = (database.root / "erasing.json").exists()
    put(database, "other", *people(7), seed=3)
    assert "stashdb.org:0007" in found(database)
    assert len(database.versions()) <= 3
    assert not [path.name for path in database.root.iterdir() if path.name.startswith((".partial", ".current"))]
    if action == "erase" and (noted or done):
        for version in database.versions():
            held = str(database.source_performers("release:a", version)) + str(database.performers(version).to_pylist())
            assert "stashdb.org:0001" not in held
            database.verify(version)


def limited(size_bytes: int, action, database: PerformerDatabase) -> StashSenseError | None:
    """Runs an action that can write files of at most that size; returns what it raised."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, old[1]))
    try:
        action(database)
    except StashSenseError as error:
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    return None


@pytest.mark.parametrize("action", ACTIONS)
def test_whichever_file_does_not_fit_the_old_version_stays(base, tmp_path, action):
    """The system refuses to write on at every size that one of the files has, inside Arrow and FAISS as well."""
    original = PerformerDatabase(base)
    before = state(original)
    sizes = {entry.size_bytes for entry in original.manifest().files.values()}
    refused = 0
    for number, size in enumerate(sorted({1, 20, *(size - 1 for size in sizes)})):
        database = PerformerDatabase(shutil.copytree(base, tmp_path / str(number)))
        error = limited(size, ACTIONS[action], database)
        for version in database.versions():
            database.verify(version)
        now = state(database)
        assert error is not None or now != before
        if error is not None:
            refused += 1
            assert isinstance(error, NoSpace)
            assert str(database.root) in error.message
            assert now[0] == before[0] or action == "exclude"
        assert not list(database.root.glob(".*partial*"))
    assert refused >= 5


@pytest.mark.parametrize("name", ["write_table", "ParquetWriter"])
def test_what_arrow_cannot_write_leaves_the_version(base, tmp_path, monkeypatch, name):
    database = PerformerDatabase(shutil.copytree(base, tmp_path / "db"))
    current = database.current()

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"pyarrow.parquet.{name}", full)
    with pytest.raises(NoSpace, match="No space left"):
        database.put(OPEN, source("release:a"), people(1), faces([1]))
    assert database.current() == current
