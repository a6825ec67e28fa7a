"""Re-match of 10,000 scenes (600,000 templates) against 108,000 performers with 366,794 enrolled faces.

As many performers and faces as the largest released database of the old system holds. Library and database are
invented (`match_library`) and kept in the work folder. The ratio to scanning compares with the scenes that the engine
scans a second, on all cores, of a few real clips of the tests in the same run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pipelines.rematch as rematch_module
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.identify_media import analyze_video
from pipelines.machine import cores
from pipelines.rematch import RematchReport, rematch
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from serve_app.cli.here import ray_here
from tests.bench.match_library import write_library
from tests.bench.process_memory import watch_memory
from tests.bench.report import Options, Report

SIZES = {"scenes": 10_000, "performers": 108_000, "faces": 366_794}
QUICK_SIZES = {"scenes": 600, "performers": 3_000, "faces": 10_000}
CLIPS = ("real/asl_again.mkv", "real/head_pose_female.mp4", "derived/signers_mix2.mp4")
VIDEOS = Path(__file__).parents[1] / "data" / "video"


def run(report: Report, options: Options) -> None:
    sizes = QUICK_SIZES if options.quick else SIZES
    library = options.workdir / f"rematch-{sizes['scenes']}-{sizes['performers']}-v1"
    write_library(library, **sizes)
    report.add("enrolled_faces", PerformerDatabase(library / "performer-db").manifest().faces, "faces")
    scan_rate = _scan_rate(options)
    report.add("scan_scenes_per_s", scan_rate, "scenes/s, short real clips, all cores")
    with _settings(library) as settings:
        rate = _measured(report, "here", settings, lambda: rematch(settings, full=True))
        report.add("ratio_to_scan_here", rate / scan_rate, "x", baseline=scan_rate, ratio=rate / scan_rate)
        _incremental(report, settings)
    with _settings(library) as settings, ray_here(settings), _always_by_ray():
        rate = _measured(report, "ray", settings, lambda: rematch(settings, full=True))
        report.add("ratio_to_scan_ray", rate / scan_rate, "x", baseline=scan_rate, ratio=rate / scan_rate)


def _measured(report: Report, how: str, settings: Settings, work: Callable[[], RematchReport]) -> float:
    """Adds time, rate and memory of one re-match of everything; returns scenes a second."""
    with watch_memory(interval_s=0.25) as memory:
        began, cpu = time.perf_counter(), time.process_time()
        done = work()
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    report.add(f"scenes_per_s_{how}", done.matched / seconds, f"scenes/s, {done.matched} in {seconds:.1f} s")
    report.add(f"scenes_per_minute_{how}", 60 * done.matched / seconds, "scenes/min")
    report.add(f"cpu_s_{how}", cpu_s, "s of this process")
    report.add(f"people_{how}", done.named, f"named, {done.unknown} unknown")
    report.add(f"peak_mb_{how}", memory.peak_mb, f"MB, {memory.processes} processes")
    table = settings.matches_path / f"{done.database_version}.parquet"
    report.add(f"parquet_mb_{how}", table.stat().st_size / 1e6, "MB")
    return done.matched / seconds


def _incremental(report: Report, settings: Settings) -> None:
    """What a scan that found nothing new, or one new scene, pays for its re-match."""
    for name, arguments in (("nothing_new", {}), ("one_scene", {"contents": [("scene", "7")], "full": True})):
        began = time.perf_counter()
        rematch(settings, **arguments)  # type: ignore[arg-type]
        report.add(f"{name}_s", time.perf_counter() - began, "s")


def _scan_rate(options: Options) -> float:
    engine = FaceEngine(OPEN, options.models, EngineOptions(threads=cores()))
    analyze_video(VIDEOS / CLIPS[0], engine)
    began = time.perf_counter()
    for clip in CLIPS:
        analyze_video(VIDEOS / clip, engine)
    return len(CLIPS) / (time.perf_counter() - began)


@contextmanager
def _settings(library: Path) -> Iterator[Settings]:
    """Settings of a fresh data folder with the library's scans and performers in it."""
    with tempfile.TemporaryDirectory(dir=library) as folder:
        for name in ("scans", "performer-db"):
            (Path(folder) / name).symlink_to((library / name).resolve())
        yield Settings(data_dir=Path(folder))
        shutil.rmtree(Path(folder) / "matches", ignore_errors=True)


@contextmanager
def _always_by_ray() -> Iterator[None]:
    before, rematch_module.RAY_FROM_CHUNKS = rematch_module.RAY_FROM_CHUNKS, 1
    try:
        yield
    finally:
        rematch_module.RAY_FROM_CHUNKS = before
