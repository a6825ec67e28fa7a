"""50,000 recommendations on SQLite: a page, the numbers, a search, dismissing and restoring all of them at once.

Details are those of a pair of scenes, some 2 kB each. The store is made anew for every run; each figure is the median
of several calls, and a write is undone in between. Over HTTP it is the app in this process, without a socket.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from pipelines.settings import SettingLayers, Settings
from pipelines.store.recommendation_records import Finding, RecommendationFilter
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import open_store
from serve_app.api import create_api
from serve_app.crops import Crops
from serve_app.job_queue import JobQueue
from serve_app.keys import digest
from serve_app.live_settings import LiveSettings
from serve_app.services import Services
from serve_app.stash_sources import StashSources
from tests.bench.report import Options, Report

COUNT, QUICK_COUNT = 50_000, 1_000
LIMIT_MS = 200.0
REPEATS = 7
TYPES = ("duplicate_scenes", "duplicate_scene_files", "unidentified_scene", "missing_stashbox_link", "duplicate_images")
KEY = "bench"


def run(report: Report, options: Options) -> None:
    count = QUICK_COUNT if options.quick else COUNT
    with tempfile.TemporaryDirectory(dir=options.workdir) as folder:
        settings = Settings(data_dir=Path(folder))
        store = open_store(settings.store_url)
        kept = RecommendationStore(store)
        began = time.perf_counter()
        for run_id, type_id in enumerate(TYPES, 1):
            kept.apply(type_id, run_id, findings(type_id, count // len(TYPES)))
        report.add("keep_all", time.perf_counter() - began, f"s for {count} new findings")
        began = time.perf_counter()
        kept.apply(TYPES[0], 9, findings(TYPES[0], count // len(TYPES)))
        report.add("keep_again", time.perf_counter() - began, f"s for {count // len(TYPES)} unchanged findings")
        _reads(report, kept)
        _writes(report, kept, count)
        with client(settings) as http:
            _timed(report, "page_over_http", lambda: http.get("/recommendations?status=pending").raise_for_status())
            _timed(report, "counts_over_http", lambda: http.get("/recommendations/counts").raise_for_status())
        store.close()


def _reads(report: Report, kept: RecommendationStore) -> None:
    pending = RecommendationFilter(statuses=("pending",))
    for sort in ("confidence", "newest", "title"):
        _timed(report, f"page_by_{sort}", lambda: kept.page(pending, sort=sort))  # type: ignore[arg-type] # noqa: B023
    one_type = RecommendationFilter(types=(TYPES[0],), statuses=("pending",))
    _timed(report, "page_of_a_type", lambda: kept.page(one_type))
    cursor = kept.page(pending, limit=500).next_cursor
    _timed(report, "page_after_500", lambda: kept.page(pending, cursor=cursor))
    _timed(report, "search", lambda: kept.page(RecommendationFilter(q="garden 4711")))
    _timed(report, "about_a_scene", lambda: kept.page(RecommendationFilter(target_type="scene", target_id="4711")))
    _timed(report, "counts", kept.counts)


def _writes(report: Report, kept: RecommendationStore, count: int) -> None:
    batches: list[str] = []

    def dismiss(wanted: Any) -> None:
        batches.append(str(kept.dismiss(wanted, "until_changed").batch))

    def undo() -> None:
        kept.restore_batch(batches.pop())

    share = count // len(TYPES)
    of_a_type = RecommendationFilter(types=(TYPES[0],))
    _timed(report, f"dismiss_{share}_by_type", lambda: dismiss(of_a_type), after=undo)
    ids = kept.ids(of_a_type)
    _timed(report, f"dismiss_{share}_by_ids", lambda: dismiss(ids), after=undo)
    _timed(report, f"dismiss_all_{count}", lambda: dismiss(RecommendationFilter()), after=undo)
    _timed(report, f"undo_all_{count}", undo, before=lambda: dismiss(RecommendationFilter()))


def _timed(
    report: Report,
    name: str,
    call: Callable[[], Any],
    *,
    before: Callable[[], Any] = lambda: None,
    after: Callable[[], Any] = lambda: None,
) -> None:
    took_ms = []
    for _ in range(REPEATS):
        before()
        began = time.perf_counter()
        call()
        took_ms.append(1000 * (time.perf_counter() - began))
        after()
    median = statistics.median(took_ms)
    report.add(f"{name}_ms", median, "ms, median", baseline=LIMIT_MS, ratio=median / LIMIT_MS)


def findings(type_id: str, count: int) -> list[Finding]:
    """Returns findings about pairs of scenes, with details of the usual size."""
    scene = {"title": "x" * 60, "path": "/data/" + "y" * 120, "tags": [f"tag {n}" for n in range(30)], "studio": "z"}
    return [
        Finding(
            "scene",
            f"{n}:{n + 1}",
            "f",
            f"{type_id}{n}",
            f"Garden {n * 7919 % 100_003}",
            "The same key frames in the same order over 12 minutes.",
            float(n % 1000) / 10,
            {"scenes": [scene | {"id": str(n)}, scene | {"id": str(n + 1)}], "n": n},
            keywords=(f"/data/garden_{n}.mp4", f"/data/copies/garden_{n + 1}.mp4", "Ada Abel", "Bela Berg"),
        )
        for n in range(1, count + 1)
    ]


def client(settings: Settings) -> TestClient:
    """Returns a client of the app over the store of these settings."""
    layers = SettingLayers(settings, {})
    live = LiveSettings(layers, layers.under({}))
    crops = Crops(digest(KEY), settings.data_dir / "crops")
    services = Services(live, None, None, JobQueue(settings.store_url), digest(KEY), StashSources(live), crops)
    return TestClient(create_api(services), headers={"ApiKey": KEY})
