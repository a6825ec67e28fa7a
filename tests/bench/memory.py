"""Peak memory while a two-hour 4K video is sampled and its faces are analysed.

Rows:

- peak_over_idle_mb: peak of the process tree less the same process with the engine loaded and idle
- idle_mb, peak_mb, left_over_mb (after the work, less idle), frames, faces, seconds
- peak_over_idle_mb.two_threads, ...: the same with two decoding threads
- peak_over_idle_mb.served, ...: the same over HTTP; the tree is this process, Ray, Serve, its proxy and replicas
"""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

from pipelines.enroll.folder import enroll_folder
from pipelines.faces.catalogue import get_pack
from pipelines.faces.engine import FaceEngine
from pipelines.identify_media import analyze_video
from pipelines.media.frames import SamplingPlan
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from serve_app.client import ServerClient
from serve_app.local import start
from serve_app.ray_env import free_port
from tests.bench.media_files import GrainyVideo, grainy_file
from tests.bench.process_memory import tree_memory_mb, watch_memory
from tests.bench.report import Options, Report

FACES = Path(__file__).parents[1] / "data" / "faces"
PHOTO = FACES / "groups" / "compreface_016_8.jpg"
TWO_HOURS_4K = GrainyVideo(
    width=3840, height=2160, base_s=10, duration_s=7200, grain=0, picture=PHOTO, options={"crf": "32"}
)


def run(report: Report, options: Options) -> None:
    """Adds the rows above. `options.quick`: 2 minutes of 1080p, one thread only."""
    video = TWO_HOURS_4K
    if options.quick:
        video = GrainyVideo(base_s=10, duration_s=120, grain=0, picture=PHOTO)
    path = grainy_file(options.workdir, video)
    report.add("file_mb", path.stat().st_size / 1e6, "MB")
    engine = FaceEngine(get_pack("open"), options.models)
    gc.collect()
    time.sleep(0.5)
    idle_mb, _ = tree_memory_mb()
    report.add("idle_mb", idle_mb, "MB")
    _measure(report, "", engine, path, SamplingPlan(), idle_mb)
    if not options.quick:
        _measure(report, ".two_threads", engine, path, SamplingPlan(threads=2), idle_mb)
    _measure_served(report, options, engine, path)


def _measure(report: Report, case: str, engine: FaceEngine, path: Path, plan: SamplingPlan, idle_mb: float) -> None:
    started = time.perf_counter()
    with watch_memory() as memory:
        found = analyze_video(path, engine, plan)
    seconds = time.perf_counter() - started
    gc.collect()
    report.add(f"peak_over_idle_mb{case}", memory.peak_mb - idle_mb, "MB", baseline=idle_mb)
    report.add(f"peak_mb{case}", memory.peak_mb, "MB")
    report.add(f"left_over_mb{case}", tree_memory_mb()[0] - idle_mb, "MB")
    report.add(f"frames{case}", found.report.decoded, "count")
    report.add(f"faces{case}", len(found.seen), "count")
    report.add(f"seconds{case}", seconds, "s")


def _measure_served(report: Report, options: Options, engine: FaceEngine, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bm-") as folder:
        settings = Settings(
            data_dir=Path(folder), models_dir=options.models.parent, port=free_port(), allowed_roots=(path.parent,)
        )
        enroll_folder(FACES / "people", engine, PerformerDatabase(settings.database_path))
        with start(settings) as server, ServerClient(server.url, server.api_key) as client:
            client.identify(PHOTO)
            time.sleep(2)
            idle_mb, processes = tree_memory_mb()
            with watch_memory(interval_s=0.2) as memory:
                answer = client.identify(path)
    report.add("peak_over_idle_mb.served", memory.peak_mb - idle_mb, "MB", baseline=idle_mb)
    report.add("processes.served", processes, "count")
    report.add("faces.served", answer["faces"], "count")
    report.add("seconds.served", answer["timing_ms"]["total"] / 1000, "s")
