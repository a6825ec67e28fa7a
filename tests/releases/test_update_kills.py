"""An update under SIGKILL: before every single operation on the disk, and then again until it succeeds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.releases.update import update
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from tests.fakes.releases import release_server
from tests.releases.served import FIRST_PACK, first_zip

OLD, NEW = "2026.02.18", "2026.10.1"

KILLED_AT_EACH = """
import os, signal, sys
from pathlib import Path
from pipelines.releases.update import update
from pipelines.settings import Settings

def kill_at(number):
    count = 0
    def counted(function):
        def call(*args, **more):
            nonlocal count
            count += 1
            if count == number:
                os.killpg(0, signal.SIGKILL)
            return function(*args, **more)
        return call
    for name in ("replace", "rename", "unlink", "fsync", "link", "mkdir", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))

url = sys.argv[1]
for root in sys.argv[2:]:
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        kill_at(int(root.rsplit("-", 1)[1]))
        update(Settings(data_dir=root, pack="stash-sense-2026", release_sources=[f"mine={url}"]), "mine")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.WTERMSIG(status), flush=True)
    if not status:
        break
"""
"""Runs one update in each folder, whose name ends with the number of the operation before which it is killed."""


def state(settings: Settings) -> tuple[int, str | None]:
    """People and release of the current version, all of its files verified."""
    database = PerformerDatabase(settings.database_path)
    (source,) = database.verify().sources.values()
    return len(database.load().performers), source.release


def settings_for(root: Path, url: str) -> Settings:
    return Settings(data_dir=root, pack=FIRST_PACK, release_sources=(f"mine={url}",))


SOME = pytest.param(range(1, 200, 9), id="some")
ALL = pytest.param(range(1, 200), id="all", marks=pytest.mark.slow)


@pytest.mark.parametrize("numbers", [SOME, ALL])
def test_killed_anywhere_the_old_version_serves_and_the_next_try_gets_through(tmp_path: Path, numbers: range):
    with release_server() as server:
        server.publish(OLD, {"stash-sense-data.zip": first_zip(tmp_path, OLD, 3)})
        base = tmp_path / "base"
        update(settings_for(base, server.document_url), "mine")
        server.publish(NEW, {"stash-sense-data.zip": first_zip(tmp_path, NEW, 4)})
        roots = [tmp_path / f"root-{number}" for number in numbers]
        for root in roots:
            shutil.copytree(base, root)
        script = [sys.executable, "-c", KILLED_AT_EACH, server.document_url, *map(str, roots)]
        done = subprocess.run(script, capture_output=True, text=True, check=True, timeout=250)
        signals = [int(line) for line in done.stdout.split()]
        assert signals[-1] == 0, "the last one went through: there are no more operations"
        assert len(signals) > len(numbers) // 4
        assert set(signals[:-1]) == {9}
        states = set()
        for root in roots[: len(signals)]:
            settings = settings_for(root, server.document_url)
            states.add(killed := state(settings))
            assert killed in {(3, OLD), (4, NEW)}
            report = update(settings, "mine")
            assert report.changed == (killed == (3, OLD))
            assert state(settings) == (4, NEW)
            found = {p.relative_to(settings.releases_path).as_posix() for p in settings.releases_path.rglob("*")}
            assert found <= {".lock", "mine", "mine/taken.json"}
            assert not list(settings.database_path.glob(".partial-*"))
        assert states == {(3, OLD), (4, NEW)}, "killed before and after the swap"
