"""One side of a comparison of scans in a process of its own: `python -m tests.bench.scan_sides ray|plain`.

Settings come from the environment, as those of the program do. The sides do the same work with the same functions:

- ray: `pipelines.scan.scan`, timed without the start of Ray and its end;
- plain: as many threads as the scan has workers, each with an engine of one thread; no Ray.

Prints one line of JSON at the end: {"seconds", "contents"}.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.jobs import ScanRequest
from pipelines.machine import cores
from pipelines.parts import media_access
from pipelines.rematch import rematch
from pipelines.scan import COMPACT_FROM, scan
from pipelines.scan_manifest import ListingCounts, ScanEntry, Settled, entries_to_scan, recipes
from pipelines.scan_worker import ContentScanner
from pipelines.settings import Settings, load_settings
from pipelines.stash.connect import open_library
from pipelines.store.templates import ScanDataset
from serve_app.cli.here import ray_here
from tests.bench.process_memory import TreeMemory, watch_memory

Side = Literal["ray", "plain"]
SAMPLE_S = 0.25


@dataclass(frozen=True, slots=True)
class SideRun:
    """What one run of a side took; `peak_mb` and `processes` are those of its process tree, 0 when not watched."""

    seconds: float
    contents: int
    peak_mb: float = 0.0
    processes: int = 0
    samples_mb: tuple[float, ...] = ()


def run_side(side: Side, environment: Mapping[str, str], log: Path, *, watch: bool = False) -> SideRun:
    """Runs a side to its end; its memory is sampled when `watch` is set, which costs some time."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.scan_sides", side],
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
        with watch_memory(process.pid, SAMPLE_S) if watch else nullcontext(TreeMemory()) as memory:
            said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the {side} side ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    facts = json.loads(said.splitlines()[-1])
    return SideRun(**facts, peak_mb=memory.peak_mb, processes=memory.processes, samples_mb=tuple(memory.samples_mb))


def main() -> None:
    settings = load_settings()
    seconds, contents = (with_ray if sys.argv[1] == "ray" else without_ray)(settings)
    print(json.dumps({"seconds": seconds, "contents": contents}))


def with_ray(settings: Settings) -> tuple[float, int]:
    """Returns seconds and contents of a scan of all scenes."""

    with ray_here(settings):
        began = time.perf_counter()
        report = scan(settings, ScanRequest())
        return time.perf_counter() - began, report.done


def without_ray(settings: Settings) -> tuple[float, int]:
    """Returns seconds and contents of the same work in this process: list the scenes, scan them, name the people."""
    began = time.perf_counter()
    waiting = asyncio.run(list_scenes(settings))
    contents = len(waiting)
    dataset = ScanDataset(settings.scans_path)
    with ThreadPoolExecutor(settings.scan_workers or cores()) as pool:
        for done in [pool.submit(work_off, settings, waiting, dataset) for _ in range(pool._max_workers)]:
            done.result()
    if dataset.pending_count() >= COMPACT_FROM:
        dataset.compact()
    rematch(settings)
    return time.perf_counter() - began, contents


async def list_scenes(settings: Settings) -> deque[ScanEntry]:
    """Returns all scenes that are not scanned yet."""
    request = ScanRequest()
    settled = Settled(ScanDataset(settings.scans_path), request)
    asked = (media_access(settings), request, settled, recipes(settings), ListingCounts())
    async with open_library(settings) as library:
        return deque([entry async for entry in entries_to_scan(library, *asked)])


def work_off(settings: Settings, waiting: deque[ScanEntry], dataset: ScanDataset) -> None:
    """Scans and stores scenes until there are none left, with an engine of one thread."""
    scanner = ContentScanner(settings)
    while True:
        try:
            entry = waiting.popleft()
        except IndexError:
            return
        dataset.write(scanner.scan(entry))


if __name__ == "__main__":
    main()
