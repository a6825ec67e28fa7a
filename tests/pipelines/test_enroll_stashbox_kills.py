"""`stash-sense enroll stashbox`, killed with all of its processes three times, ends like one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipelines.store.performers import PerformerDatabase
from pipelines.store.tables import template_values
from serve_app.ray_env import free_port
from tests.fakes.stashbox import FakeStashBox, large_world

COMMAND = (sys.executable, "-c", "from serve_app.cli import main; main()", "enroll", "stashbox", "--json")
PERFORMERS = 24
IN_HAND = 2 * (3 + 8)
"""Pictures that two workers have fetched for a performer that is not written yet, and ahead of it."""


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="bk-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path, models_dir: Path, box: FakeStashBox, tmp: Path) -> dict[str, str]:
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("STASH_SENSE_", "RAY_"))}
    own = {
        "DATA_DIR": str(folder),
        "MODELS_DIR": str(models_dir),
        "PORT": str(free_port()),
        "SCAN_NICENESS": "0",
        "SCAN_WORKERS": "2",
        "STASHBOXES": json.dumps([box.rule]),
        "STASHBOX_REQUESTS_SHARE": "1.0",
    }
    return bare | {"TMPDIR": str(tmp)} | {f"STASH_SENSE_{name}": value for name, value in own.items()}


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL for everything of the process's session."""
    members = [p for p in psutil.process_iter() if _session(p.pid) == process.pid]
    for member in members:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(30)
    psutil.wait_procs(members, timeout=10)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def enrolled(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Returns performer and template by picture."""
    faces = PerformerDatabase(folder / "performer-db").source_faces("127.0.0.1")
    names = [source.rsplit("/", 1)[1] for source in faces["source"].to_pylist()]
    assert len(set(names)) == len(names)
    templates = template_values(faces["template"]).astype(np.float16)
    return {n: (u, t.tobytes()) for n, u, t in zip(names, faces["universal_id"].to_pylist(), templates, strict=True)}


def fetched(box: FakeStashBox) -> Counter[str]:
    return Counter(r.path for r in box.requests.named("/images/"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_enrolment_that_is_killed_three_times_ends_like_one_that_was_not(short_dir, data, models_dir, open_models):
    with FakeStashBox(large_world(data, PERFORMERS)) as box:
        run = {"text": True, "stdout": subprocess.PIPE, "start_new_session": True}
        whole = environment(short_dir / "whole", models_dir, box, short_dir)
        process = subprocess.run(COMMAND, env=whole, check=True, timeout=300, **run)
        report = json.loads(process.stdout.splitlines()[-1])["boxes"][0]
        pictures = fetched(box)
        assert set(pictures.values()) == {1}
        assert report["fetched"] == len(pictures)

        box.requests.clear()
        killed = environment(short_dir / "killed", models_dir, box, short_dir)
        for kill in (1, 2, 3):
            victim = subprocess.Popen(COMMAND, env=killed, **run)
            end = time.monotonic() + 120
            while len(fetched(box)) < kill * len(pictures) // 4 and victim.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.05)
            assert victim.poll() is None
            os.kill(victim.pid, signal.SIGSTOP)
            kill_all(victim)
        lists = len(box.requests.named("queryPerformers"))
        last = subprocess.run(COMMAND, env=killed, check=True, timeout=300, **run)
        report = json.loads(last.stdout.splitlines()[-1])["boxes"][0]
        assert len(box.requests.named("queryPerformers")) == lists  # the listing was kept
        assert 0 < report["done"] < PERFORMERS
        again = fetched(box)
        assert set(again) == set(pictures)
        assert again.total() - len(pictures) <= 3 * IN_HAND
        assert enrolled(short_dir / "killed") == enrolled(short_dir / "whole")
