"""Scanning a library with Ray against the same work without it, against the way before, and the memory it takes.

The library: 200 scenes, in each group of 20 six 5-minute 1080p files (GOP 250, faces, grain, made from the real clips)
and fourteen real clips. Each file stands under many names, so every side reads from the page cache. A fake Stash holds
the scenes; its paths are mapped to files of this machine. All sides run in processes of their own, one at a time.

Rows (ratios are `value` to `baseline` unless the name says otherwise):

- ray_over_plain: seconds of `scan()` (Ray runs already) against one Python process that does the same work with as many
  threads, each with an engine of one thread: same list of scenes, decoding, engine, hashes, files written, matching.
  The plain side runs before and after; the baseline is the mean. At most 1.15 is wanted. Its spread: plain_spread.
- old_over_ray: seconds of the way before for the library / seconds of `scan()`; at least 4 is wanted. The way before
  (60 ffmpeg seeks a scene, 8 at a time, then picture by picture detect, embed, k-NN) takes each distinct file once and
  counts it as often as it stands in the library. old_over_plain: against the plain side; old_s.FILE: one file.
- http_over_files: seconds of `scan()` over a group of 20 scenes read from Stash by HTTP Range, path-mapped as baseline
- memory_20_200: peak of the whole tree of a scan of 200 scenes, of 20 scenes as baseline; 0.85 to 1.15 is wanted
- peak_2h_4k_mb: peak of the whole tree while one 2-hour 4K file is scanned, of 20 scenes as baseline
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.enroll.folder import enroll_folder
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.store.performers import PerformerDatabase
from tests.bench.media_files import grainy_file
from tests.bench.memory import TWO_HOURS_4K, GrainyVideo
from tests.bench.old_identify import OldIndex, old_identify
from tests.bench.report import Options, Report
from tests.bench.scan_library import PEOPLE, copies, scene_files
from tests.bench.scan_sides import Side, SideRun, run_side
from tests.bench.scan_stash import BenchStash, side_environment, stash_of
from tests.bench.scene import enrolled_faces

SCENES, GROUP = 200, 20
OLD_ENROLLED_FACES = 20_000
"""Few enough to build the index in seconds; a larger one makes the way before slower."""


@dataclass(frozen=True)
class Bench:
    """What all parts of this benchmark need. `performers`: a performer database that each data folder gets."""

    options: Options
    folder: Path
    performers: Path

    def scan(
        self, side: Side, stash: BenchStash, *, watch: bool = False, over_http: bool = False, matched: bool = True
    ) -> SideRun:
        """Runs a side in a new data folder."""
        with tempfile.TemporaryDirectory(prefix="run-", dir=self.folder) as name:
            data_dir = Path(name) / "data"
            data_dir.mkdir()
            if matched:
                (data_dir / "performer-db").symlink_to(self.performers)
            environment = side_environment(data_dir, self.options, stash, over_http=over_http)
            run = run_side(side, environment, Path(name) / "log", watch=watch)
        print(f"  {side}: {run.contents} scenes in {run.seconds:.1f} s, peak {run.peak_mb:.0f} MB")
        return run


def run(report: Report, options: Options) -> None:
    """Adds the rows above. `options.quick`: 6 short clips, no long files; some rows are left out."""
    with prepared(options) as bench:
        files = scene_files(options.workdir, 6 if options.quick else SCENES, quick=options.quick)
        with stash_of(files) as stash:
            ray_s, plain_s = against_plain(report, bench, stash)
        against_old(report, bench, files, ray_s, plain_s)
        small_mb = small_library(report, bench, files[: 4 if options.quick else GROUP])
        if not options.quick:
            with stash_of(files) as stash:
                memory(report, bench.scan("ray", stash, watch=True), small_mb)
        video = GrainyVideo(base_s=10, duration_s=120, grain=0, picture=TWO_HOURS_4K.picture)
        with stash_of([grainy_file(options.workdir, video if options.quick else TWO_HOURS_4K)]) as stash:
            peak_mb = bench.scan("ray", stash, watch=True).peak_mb
        report.add("peak_2h_4k_mb", peak_mb, "MB", baseline=small_mb, ratio=peak_mb / small_mb)


@contextmanager
def prepared(options: Options) -> Iterator[Bench]:
    """A folder with the sample people enrolled."""
    with tempfile.TemporaryDirectory(prefix="bc-") as name:
        performers = Path(name) / "performer-db"
        enroll_folder(PEOPLE, FaceEngine(OPEN, options.models, EngineOptions(threads=2)), PerformerDatabase(performers))
        yield Bench(options, Path(name), performers)


def against_plain(report: Report, bench: Bench, stash: BenchStash) -> tuple[float, float]:
    """Returns seconds of the Ray side and of the plain side."""
    before = bench.scan("plain", stash)
    ray = bench.scan("ray", stash)
    plain = [before] if bench.options.quick else [before, bench.scan("plain", stash)]
    seconds = statistics.mean(p.seconds for p in plain)
    if {p.contents for p in plain} != {ray.contents}:
        raise SystemExit(f"the sides scanned different numbers of scenes: {ray.contents}, {plain}")
    report.add("ray_over_plain", ray.seconds, "s", baseline=seconds, ratio=ray.seconds / seconds)
    spread = max(p.seconds for p in plain) / min(p.seconds for p in plain)
    report.add("plain_spread", plain[-1].seconds, "s", baseline=plain[0].seconds, ratio=spread)
    report.add("ray_scenes_per_s", ray.contents / ray.seconds, "scenes/s")
    return ray.seconds, seconds


def against_old(report: Report, bench: Bench, files: list[Path], ray_s: float, plain_s: float) -> None:
    """Adds what the way before takes for the same library, each distinct file measured once."""
    engine = FaceEngine(OPEN, bench.options.models, EngineOptions(threads=2))
    templates, names = enrolled_faces(engine, 3_000 if bench.options.quick else OLD_ENROLLED_FACES)
    index = OldIndex.build(OPEN, templates, names, bench.options.workdir)
    counted = copies(files)
    distinct = sorted(counted)[: 3 if bench.options.quick else None]
    total_s = 0.0
    for file in distinct:
        began = time.perf_counter()
        old_identify(file, engine, index)
        seconds = time.perf_counter() - began
        total_s += seconds * counted[file]
        report.add(f"old_s.{file.stem[:28]}", seconds, "s")
    measured = sum(counted[file] for file in distinct)
    total_s *= len(files) / measured
    report.add("old_over_ray", ray_s, "s", baseline=total_s, ratio=total_s / ray_s)
    report.add("old_over_plain", plain_s, "s", baseline=total_s, ratio=total_s / plain_s)


def small_library(report: Report, bench: Bench, files: list[Path]) -> float:
    """Returns the peak memory of a scan of these files, in MB; adds what they take over HTTP."""
    with stash_of(files) as stash:
        http = bench.scan("ray", stash, over_http=True)
        if not bench.options.quick:
            local = bench.scan("ray", stash)
            report.add("http_over_files", http.seconds, "s", baseline=local.seconds, ratio=http.seconds / local.seconds)
        return bench.scan("ray", stash, watch=True).peak_mb


def memory(report: Report, large: SideRun, small_mb: float) -> None:
    report.add("memory_20_200", large.peak_mb, "MB", baseline=small_mb, ratio=large.peak_mb / small_mb)
    quarter = max(1, len(large.samples_mb) // 4)
    second, last = (statistics.median(large.samples_mb[q * quarter : (q + 1) * quarter]) for q in (1, 3))
    report.add("memory_creep", last, "MB", baseline=second, ratio=last / second)
    report.add("processes", large.processes, "count")
