"""Compaction under SIGKILL: at every single operation on the disk, nothing is lost and nothing is doubled."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipelines.store.templates import ContentScan, ScanDataset, ScanRecipe
from tests.store.scans import as_rows, failed, make_scan

KILLED_AT_EACH = """
import os, sys
from pathlib import Path
from tests.killing import kill_before
from pipelines.store.templates import ScanDataset

for root in sys.argv[2:]:
    child = os.fork()
    if not child:
        kill_before(int(root.rsplit("-", 1)[1]), ("replace", "rename", "unlink", "fsync", "link"))
        dataset = ScanDataset(Path(root))
        dataset.forget("scene", ["3"]) if sys.argv[1] == "forget" else dataset.compact()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status))
    if not status:
        break
"""
"""Runs one compaction in each folder, whose name ends with the number of the operation before which it is killed."""

OTHER = ScanRecipe("wide-11111111", "s1", "h1")


def stored(dataset: ScanDataset) -> dict[tuple[str, str], tuple]:
    found = [((s.key.kind, s.key.content_id), as_rows(s)) for s in dataset.scans()]
    assert len(found) == len(dict(found)), "a content is there twice"
    return dict(found)


def expected(*scans: ContentScan) -> dict[tuple[str, str], tuple]:
    return {(s.key.kind, s.key.content_id): as_rows(s) for s in scans}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A dataset whose compaction has all kinds of steps: fold, write anew what was replaced, remove."""
    dataset = ScanDataset(tmp_path_factory.mktemp("base") / "scans")
    for content in range(6):
        dataset.write(make_scan(content, count=4))
    dataset.compact()
    for scan in WANTED:
        dataset.write(scan)
    dataset.write(failed(0, minutes=2))
    return dataset.root


WANTED = [
    *(make_scan(content, count=2, fingerprint="oshash:2", minutes=1) for content in range(3)),
    make_scan(3, count=4),
    make_scan(4, count=3, recipe=OTHER, template_dim=32, minutes=1),
    make_scan(5, count=4),
    make_scan(1, kind="image", count=1, frames=1),
    failed(9),
]


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
        ("compact", 4),
        ("forget", 12),
        pytest.param("compact", 1, marks=pytest.mark.slow),
        pytest.param("forget", 1, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_operation_loses_and_doubles_nothing(base, tmp_path, action, step):
    before, after = expected(*WANTED), expected(*WANTED)
    if action == "forget":
        del after["scene", "3"]
    runs = run_killed(action, base, tmp_path, range(1, 74, step))
    assert runs[0][1]
    assert not runs[-1][1], "there are more operations than this test kills at"
    for number, (root, killed) in enumerate(runs):
        dataset = ScanDataset(root)
        found = stored(dataset)
        assert found in (before, after), root.name
        if not killed:
            assert found == after
            break
        if number % 5 == 0:
            dataset.forget("scene", ["3"]) if action == "forget" else dataset.compact()
            assert stored(dataset) == after
            dataset.compact()
            check_tidy(dataset)


def check_tidy(dataset: ScanDataset) -> None:
    """Nothing is on the disk that the list does not name."""
    listed = {part.name for part in dataset._files.read_list().parts}
    assert {path.name.split(".")[0] for path in (dataset.root / "parts").iterdir()} == listed
    assert not list(dataset.root.rglob("*.partial"))
    assert dataset.pending_count() == 0


def test_a_reader_finishes_what_it_began_while_a_compaction_runs(base, tmp_path):
    dataset = ScanDataset(shutil.copytree(base, tmp_path / "scans"))
    reading = dataset.scans()
    first = next(reading)
    assert dataset.compact().ran
    rest = {(s.key.kind, s.key.content_id): as_rows(s) for s in (first, *reading)}
    assert rest == expected(*WANTED) == stored(dataset)
    dataset.compact()
    assert dataset.pending_count() == 0


def test_writers_readers_and_compactions_at_once(tmp_path):
    dataset = ScanDataset(tmp_path / "scans")
    scans = [make_scan(content, count=3) for content in range(120)]
    faults: list[BaseException] = []
    over = threading.Event()

    def write(own: list[ContentScan]) -> None:
        writer = ScanDataset(dataset.root)
        for scan in own:
            writer.write(scan)

    def repeat(action) -> None:
        try:
            while not over.is_set():
                action()
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)

    def read() -> None:
        found = stored(dataset)
        assert found.items() <= expected(*scans).items()
        assert sum(map(len, dataset.faces())) % 3 == 0

    others = [threading.Thread(target=repeat, args=(action,)) for action in (read, dataset.compact)]
    writers = [threading.Thread(target=write, args=(scans[number::3],)) for number in range(3)]
    for thread in (*others, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    for thread in others:
        thread.join()
    assert not faults
    dataset.compact()
    assert stored(dataset) == expected(*scans)
    assert dataset.pending_count() == 0


def test_one_compaction_at_a_time(base, tmp_path):
    dataset = ScanDataset(shutil.copytree(base, tmp_path / "scans"))
    with dataset._files.compacting() as alone:
        assert alone
        assert not dataset.compact().ran
    assert dataset.compact().ran


def test_a_compaction_that_is_stopped_changes_nothing(base, tmp_path):
    dataset = ScanDataset(shutil.copytree(base, tmp_path / "scans"))
    asked = iter([False, False, True])
    report = dataset.compact(should_stop=lambda: next(asked, True))
    assert (report.ran, report.folded) == (True, 0)
    assert stored(dataset) == expected(*WANTED)
    assert not list(dataset.root.rglob("*.partial"))
