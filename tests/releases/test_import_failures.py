"""Whatever goes wrong in an import: the old version stays, nothing is left over, the message names the cause."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import voyager

from pipelines import durable
from pipelines.errors import (
    InputError,
    NoSpace,
    NotWritable,
    PackMismatch,
    ReleaseCorrupt,
    ReleaseUnsupported,
    StashSenseError,
    Stopped,
)
from pipelines.faces.catalogue import BUFFALO_L, STASH_SENSE_2026
from pipelines.releases import import_release
from pipelines.store.performers import PerformerDatabase
from tests.conftest import REPOSITORY
from tests.releases import bundles
from tests.releases.conftest import Import, SmallRelease, stash_sense_release

STAGES = ("unpack", "verify", "read", "write")


@pytest.fixture
def old(release: SmallRelease, import_old: Import, database: PerformerDatabase) -> str:
    """The version that must stay."""
    import_old(release.folder)
    version = database.current()
    assert version is not None
    return version


@pytest.fixture
def new(tmp_path: Path) -> SmallRelease:
    """A newer bundle on disk."""
    return stash_sense_release(tmp_path / "new", [n % 12 for n in range(40)], version="2026.03.01")


def still_serves(database: PerformerDatabase, old: str, release: SmallRelease) -> None:
    """Checks that the old version is the current, only and whole one, and finds its people."""
    assert database.current() == old
    assert database.versions() == [old]
    assert sorted(p.name for p in database.root.iterdir() if p.name not in {".lock", "excluded.json"}) == [
        old,
        "current",
    ]
    database.verify()
    gallery = database.load()
    hits = gallery.search(release.vectors[:5], 1)
    names = gallery.names(hits.performers[:, 0])
    found = [names[row][0] for row in hits.performers[:, 0].tolist()]
    assert found == [release.persons[owner].universal_id for owner in release.owners[:5]]


def cut(folder: Path, path: Path) -> None:
    content = bundles.zip_folder(folder, path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def traversal(folder: Path, path: Path) -> None:
    bundles.zip_folder(folder, path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../../escaped", b"x")


def symlink(folder: Path, path: Path) -> None:
    bundles.zip_folder(folder, path)
    info = zipfile.ZipInfo("face_yaw.json")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(info, b"/etc/passwd")


def bomb(folder: Path, path: Path) -> None:
    (folder / "extra.bin").write_bytes(bytes(120_000_000))
    bundles.zip_folder(folder, path)
    (folder / "extra.bin").unlink()
    small = {"performers.json", "faces.json", "performers.db", "manifest.json"}
    with zipfile.ZipFile(path) as full, zipfile.ZipFile(path.with_suffix(".small"), "w", zipfile.ZIP_DEFLATED) as file:
        for name in full.namelist():
            file.writestr(name, full.read(name) if name in small or name == "extra.bin" else b"")
    path.with_suffix(".small").rename(path)


def wrong_checksum(folder: Path, path: Path) -> None:
    index = folder / "face_facenet.voy"
    content = bytearray(index.read_bytes())
    content[-5] ^= 1
    index.write_bytes(content)
    bundles.zip_folder(folder, path)


def bad_voyager(folder: Path, path: Path) -> None:
    index = folder / "face_arcface.voy"
    index.write_bytes(index.read_bytes()[:5000])
    bundles.change_manifest(folder)
    bundles.zip_folder(folder, path)


def crashing_voyager(folder: Path, path: Path) -> None:
    index = folder / "face_arcface.voy"
    content = bytearray(index.read_bytes())
    content[0x39] = 0xFF
    index.write_bytes(content)
    bundles.change_manifest(folder)
    bundles.zip_folder(folder, path)


def other_dimension(folder: Path, path: Path) -> None:
    index = voyager.Index(voyager.Space.Cosine, 128)
    index.add_items(bundles.vectors(40, 128), ids=list(range(40)))
    index.save(str(folder / "face_arcface.voy"))
    bundles.change_manifest(folder)
    bundles.zip_folder(folder, path)


def bad_sqlite(folder: Path, path: Path) -> None:
    database = folder / "performers.db"
    content = bytearray(database.read_bytes())
    content[100:3000] = b"\xaa" * 2900
    database.write_bytes(content)
    bundles.change_manifest(folder)
    bundles.zip_folder(folder, path)


def nobody(folder: Path, path: Path) -> None:
    (folder / "faces.json").write_text("[" + ", ".join(["null"] * 40) + "]")
    bundles.change_manifest(folder)
    bundles.zip_folder(folder, path)


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (cut, ReleaseCorrupt, "no zip"),
        (traversal, ReleaseCorrupt, "escaped.*outside the folder"),
        (symlink, ReleaseCorrupt, "face_yaw.*link"),
        (bomb, ReleaseCorrupt, r"extra\.bin.*100 times"),
        (wrong_checksum, ReleaseCorrupt, r"face_facenet\.voy is damaged"),
        (bad_voyager, ReleaseCorrupt, r"face_arcface\.voy cannot be read"),
        (crashing_voyager, ReleaseCorrupt, r"face_arcface\.voy cannot be read.*SIG"),
        (other_dimension, ReleaseUnsupported, "128 numbers"),
        (bad_sqlite, ReleaseCorrupt, r"performers\.db cannot be read"),
        (nobody, StashSenseError, "face"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_bad_bundle_leaves_the_old_version(
    release: SmallRelease,
    new: SmallRelease,
    old: str,
    database: PerformerDatabase,
    import_old: Import,
    tmp_path: Path,
    damage: Callable[[Path, Path], None],
    error: type[Exception],
    words: str,
):
    damage(new.folder, tmp_path / "new.zip")
    with pytest.raises(error, match=words):
        import_old(tmp_path / "new.zip")
    still_serves(database, old, release)
    assert not list((tmp_path / "work").iterdir())
    assert not (tmp_path / "escaped").exists()


def test_another_pack_leaves_the_old_version(
    release: SmallRelease, release2: SmallRelease, old: str, database: PerformerDatabase, tmp_path: Path
):
    with pytest.raises(PackMismatch, match="--replace"):
        import_release(release2.folder, database, BUFFALO_L, workdir=tmp_path / "work")
    with pytest.raises(PackMismatch, match="Choose the pack buffalo_l"):
        import_release(release2.folder, database, STASH_SENSE_2026, workdir=tmp_path / "work")
    still_serves(database, old, release)
    import_release(release2.folder, database, BUFFALO_L, only=True, workdir=tmp_path / "work")
    assert list(database.manifest().sources) == ["release:stash-sense2"]


def test_nothing_there_is_said(import_old: Import, tmp_path: Path):
    with pytest.raises(InputError, match="no file or folder"):
        import_old(tmp_path / "nowhere.zip")
    with pytest.raises(InputError, match="nothing to import"):
        import_old([])


@pytest.mark.parametrize("full", ["work", "performer-db"])
def test_a_full_disk_is_found_before_it_is_full(
    release: SmallRelease,
    new: SmallRelease,
    old: str,
    database: PerformerDatabase,
    import_old: Import,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    full: str,
):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(
        durable.shutil, "disk_usage", lambda path: usage(0, 0, 10_000 if full in str(path) else 1 << 40)
    )
    with pytest.raises(NoSpace, match=r"only 0\.01 MB are free"):
        import_old(bundles.zip_folder(new.folder, tmp_path / "new.zip"))
    still_serves(database, old, release)
    assert not list((tmp_path / "work").iterdir())


def test_a_work_folder_that_cannot_be_made_is_said(new: SmallRelease, database: PerformerDatabase, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        import_release(new.folder, database, STASH_SENSE_2026, workdir=tmp_path / "file" / "work")


@pytest.mark.parametrize("stage", STAGES)
def test_stopping_at_any_step_leaves_the_old_version(
    release: SmallRelease,
    new: SmallRelease,
    old: str,
    database: PerformerDatabase,
    import_old: Import,
    tmp_path: Path,
    stage: str,
):
    reached: list[str] = []
    with pytest.raises(Stopped):
        import_old(
            bundles.zip_folder(new.folder, tmp_path / "new.zip"),
            progress=lambda step: reached.append(step.stage),
            should_stop=lambda: stage in reached,
        )
    assert reached[-1] == stage
    still_serves(database, old, release)
    assert not list((tmp_path / "work").iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.faces.catalogue import STASH_SENSE_2026
from pipelines.releases import import_release
from pipelines.store.performers import PerformerDatabase
bundle, root, work, stage = sys.argv[1:]
def progress(step):
    if step.stage == stage and step.done:
        os.kill(os.getpid(), signal.SIGKILL)
import_release(Path(bundle), PerformerDatabase(Path(root)), STASH_SENSE_2026, workdir=Path(work), progress=progress)
"""


@pytest.mark.parametrize("stage", STAGES)
def test_a_crash_at_any_step_leaves_the_old_version(
    release: SmallRelease,
    new: SmallRelease,
    old: str,
    database: PerformerDatabase,
    import_old: Import,
    tmp_path: Path,
    stage: str,
):
    bundle = bundles.zip_folder(new.folder, tmp_path / "new.zip")
    words = [sys.executable, "-c", KILLED, bundle, database.root, tmp_path / "work", stage]
    assert subprocess.run(words, cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL
    assert list((tmp_path / "work").iterdir())
    assert database.current() == old
    database.verify()
    assert import_old(bundle).faces == 40
    assert database.manifest().sources["release:stash-sense"].release == "2026.03.01"
    assert not list((tmp_path / "work").iterdir())
    assert not list(database.root.glob(".partial*"))


def test_a_newer_release_replaces_the_older_one_and_nobody_else(
    new: SmallRelease, old: str, database: PerformerDatabase, import_old: Import
):
    report = import_old(new.folder)
    assert (report.faces, database.manifest().faces) == (40, 40)
    assert database.versions() == [old, report.version]
    database.use(old)
    assert database.manifest().sources["release:stash-sense"].release == bundles.VERSION
