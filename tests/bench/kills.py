"""One scan, killed over and over with SIGKILL and begun again each time: is anything lost, doubled or changed?

A library of short clips is scanned once without interruption. Then an empty data folder is filled by scans of the same
library while, at random moments of the work (seeded), SIGKILL hits one of

- driver: the process that called `scan()`;
- scan worker: the process that decodes and runs the engine;
- data worker: another worker of Ray, which reads the list of scenes or waits for work;
- raylet: Ray's process of this machine;
- tree: all processes of the scan at once.

After the death of a worker the scan goes on by itself; after the others the same scan is started again. At the end all
rows (contents, faces, frame hashes; every column but the time of the scan) must equal those of the uninterrupted run.

Rows:

- kills, by victim; rows_differ: rows of one run that the other lacks (0 wanted); contents, faces, frames: compared
- stored_twice: scans written although an equal one was stored, seen before the files are joined at the end
- begun_again: scans begun more often than once, in % of all; the media come over HTTP, so the server counts
- hung, left_over: runs that had to be ended by force, processes still there 30 s after their driver was gone
- seconds of all runs with the starts of Ray, uninterrupted run as baseline
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from pipelines.store.templates import CONTENT_SCHEMA, ScanDataset
from tests.bench.report import Options, Report
from tests.bench.scan_library import scene_files
from tests.bench.scan_stash import side_environment, stash_of

VICTIMS = ("driver", "scan worker", "data worker", "raylet", "tree")
FATAL = {"driver", "raylet", "tree"}
"""After these the scan is started again; after the others it goes on."""
SEED = 20
MOST_JITTER_S = 1.5
END_TIMEOUT_S = 60.0
LEFT_OVER_S = 30.0
RUN_TIMEOUT_S = 1800.0
POLL_S = 0.05


@dataclass
class Outcome:
    """What happened while a scan was killed."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    most_stored: int = 0
    hung: int = 0
    left_over: int = 0
    seconds: float = 0.0
    moments: list[str] = field(default_factory=list)


def run(report: Report, options: Options) -> None:
    """Adds the rows above. `options.quick`: 26 scenes, 3 kills."""
    scenes, kills = (26, 3) if options.quick else (240, 20)
    with tempfile.TemporaryDirectory(prefix="bk-") as name:
        folder = Path(name)
        with stash_of(scene_files(options.workdir, scenes, quick=True)) as stash:
            environment = side_environment(folder / "whole", options, stash, over_http=True, TMPDIR=name)
            whole = survive(environment, folder / "whole", scenes, [], seed=SEED)
            opened_once = stash.opened()
            environment = side_environment(folder / "killed", options, stash, over_http=True, TMPDIR=name)
            plan = [VICTIMS[i % len(VICTIMS)] for i in range(kills)]
            killed = survive(environment, folder / "killed", scenes, plan, seed=SEED)
            opened = stash.opened() - opened_once
        print("\n".join(killed.moments))
        report.add("kills", killed.kills.total(), "count", baseline=kills)
        for victim in VICTIMS:
            report.add(f"kills.{victim.replace(' ', '_')}", killed.kills[victim], "count")
        report_rows(report, ScanDataset(folder / "whole" / "scans"), ScanDataset(folder / "killed" / "scans"))
        report.add("stored_twice", max(0, killed.most_stored - scenes), "scans")
        again = opened - opened_once
        report.add("begun_again", again, "scans", baseline=opened_once, ratio=again / opened_once)
        report.add("runs", killed.runs, "count")
        report.add("hung", killed.hung, "count")
        report.add("left_over", killed.left_over, "processes")
        report.add("seconds", killed.seconds, "s", baseline=whole.seconds, ratio=killed.seconds / whole.seconds)


def report_rows(report: Report, whole: ScanDataset, killed: ScanDataset) -> None:
    """Adds how the two datasets compare."""
    expected, found = rows_of(whole), rows_of(killed)
    for kind, rows in expected.items():
        report.add(kind, len(found[kind]), "rows", baseline=len(rows))
    differ = sum(len(list((Counter(expected[k]) - Counter(found[k])).elements())) for k in expected)
    differ += sum(len(list((Counter(found[k]) - Counter(expected[k])).elements())) for k in expected)
    report.add("rows_differ", differ, "rows", baseline=0)


def rows_of(dataset: ScanDataset) -> dict[str, list[str]]:
    """Returns every row as text (so that NaN equals NaN), without the time of the scan."""
    columns = [name for name in CONTENT_SCHEMA.names if name != "scanned_at"]
    return {
        "contents": _texts([dataset.done(columns)]),
        "faces": _texts(dataset.faces()),
        "frames": _texts(dataset.frames()),
    }


def _texts(batches: Iterable[pa.Table | pa.RecordBatch]) -> list[str]:
    return [repr({k: v for k, v in row.items() if k != "scanned_at"}) for batch in batches for row in batch.to_pylist()]


def survive(environment: Mapping[str, str], data_dir: Path, scenes: int, victims: list[str], *, seed: int) -> Outcome:
    """Scans until all is done, killing each of `victims` once, in random order at random moments of the work."""
    rng = random.Random(seed)
    order = rng.sample(victims, len(victims))
    due = sorted(rng.uniform(0.02, 0.95) * scenes for _ in victims)
    pending = list(zip(order, due, strict=True))
    outcome = Outcome()
    began = time.monotonic()
    while True:
        data_dir.mkdir(exist_ok=True)
        with (data_dir / f"run-{outcome.runs}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.scan_sides", "ray"],
                env=dict(environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        outcome.runs += 1
        try:
            completed = _watch(process, ScanDataset(data_dir / "scans"), pending, rng, outcome)
        finally:
            left = _clean_up(process, waits=process.poll() is not None)
            outcome.left_over += len(left)
            outcome.moments += [f"left over by run {outcome.runs}: {title}" for title in left]
        if completed:
            outcome.seconds = time.monotonic() - began
            return outcome
        if time.monotonic() - began > RUN_TIMEOUT_S:
            raise SystemExit(f"not done after {RUN_TIMEOUT_S:.0f} s: {(data_dir / f'run-{outcome.runs - 1}.log')}")


def _watch(
    process: subprocess.Popen[bytes],
    dataset: ScanDataset,
    pending: list[tuple[str, float]],
    rng: random.Random,
    outcome: Outcome,
) -> bool:
    """Kills what is due during one run; returns whether the run came to its end."""
    while process.poll() is None:
        stored = dataset.pending_count()
        outcome.most_stored = max(stored, outcome.most_stored)
        if pending and stored >= pending[0][1] and (target := find(process, pending[0][0], rng)):
            victim, _ = pending.pop(0)
            time.sleep(rng.uniform(0, MOST_JITTER_S))
            _kill(target)
            outcome.kills[victim] += 1
            outcome.moments.append(f"{victim} killed after {stored} scenes, in run {outcome.runs}")
            if victim in FATAL:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_TIMEOUT_S)
                outcome.hung += process.poll() is None
                return False
        time.sleep(POLL_S)
    if process.returncode:
        outcome.moments.append(f"run {outcome.runs} ended with {process.returncode}")
    return process.returncode == 0


def find(process: subprocess.Popen[bytes], victim: str, rng: random.Random) -> list[psutil.Process]:
    """Returns the processes to kill; empty while there is none of the kind."""
    tree = members(process.pid)
    if victim == "tree":
        return tree
    if victim == "driver":
        return [p for p in tree if p.pid == process.pid]
    kinds: dict[str, Callable[[str], bool]] = {
        "scan worker": lambda title: title.startswith("ray::") and "ScanWorker" in title,
        "data worker": lambda title: title.startswith("ray::") and not any(w in title for w in ("ScanWorker", "Agent")),
        "raylet": lambda title: title.split(" ")[0].endswith("/raylet"),
    }
    found = [p for p in tree if kinds[victim](_title(p))]
    return [rng.choice(found)] if found else []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def _clean_up(process: subprocess.Popen[bytes], *, waits: bool) -> list[str]:
    """Ends what is left of a run; returns the processes that were still there although their time was over."""
    end = time.monotonic() + (LEFT_OVER_S if waits else 0)
    while (left := members(process.pid)) and time.monotonic() < end:
        time.sleep(0.2)
    titles = [_title(p)[:100] for p in left]
    _kill(left)
    process.wait()
    return titles if waits else []


def members(session: int) -> list[psutil.Process]:
    """Returns the living processes of a session, whoever their parent is."""
    found: list[Any] = []
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError, psutil.Error):
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
