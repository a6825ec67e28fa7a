"""Identifying pictures over HTTP against the same work in this process: latency, throughput, pictures beside a video.

Both sides decode, detect, embed and search the same JPEGs of 100 to 500 kB with the same number of engine threads, in
alternating rounds; a ratio is the median over the rounds. The client runs on the same machine and its work counts
against the server. The server runs once with HAProxy and once with Ray Serve's own proxy.
"""

from __future__ import annotations

import http.client
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread, local

from pipelines.enroll.folder import enroll_folder
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import FaceEngine
from pipelines.faces.identify import Identifier
from pipelines.media.images import load_image
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase
from serve_app.deployments.lanes import EnginePlan
from serve_app.ray_env import free_port
from tests.bench.report import Options, Report
from tests.serve_app.conftest import launch, server_environment

DATA = Path(__file__).parents[1] / "data"
SIZES = range(100_000, 600_000)
IN_FLIGHT = 8
START_TIMEOUT_S = 240


def run(report: Report, options: Options) -> None:
    rounds, requests = (2, 8) if options.quick else (7, 40)
    photos = [p.read_bytes() for p in sorted((DATA / "faces/people").rglob("*.jpg")) if p.stat().st_size in SIZES]
    with tempfile.TemporaryDirectory(prefix="bh-") as folder:
        data_dir = Path(folder)
        settings = Settings(data_dir=data_dir, models_dir=options.models.parent)
        here = in_process(settings, options.models)
        for proxy, suffix in (("haproxy", ""), ("default", "_default_proxy")):
            with serving(settings, proxy) as (ask, startup_s):
                latency, throughput = compare(ask, here, photos, rounds, requests)
                report.add(f"startup{suffix}_s", startup_s, "s")
                report_pairs(report, suffix, latency, throughput)
                if proxy == "haproxy":
                    beside_video(report, ask, photos, requests)


def report_pairs(
    report: Report, suffix: str, latency: list[tuple[float, float]], throughput: list[tuple[float, float]]
) -> None:
    """Adds what one more ms and what share of the pictures per second HTTP costs."""
    over_http, in_here = (statistics.median(side) for side in zip(*latency, strict=True))
    overhead = statistics.median(a - b for a, b in latency)
    report.add(f"overhead_p50{suffix}_ms", overhead, "ms", baseline=in_here, ratio=over_http / in_here)
    over_http, in_here = (statistics.median(side) for side in zip(*throughput, strict=True))
    ratio = statistics.median(a / b for a, b in throughput)
    report.add(f"throughput_8{suffix}", over_http, "images/s", baseline=in_here, ratio=ratio)


def in_process(settings: Settings, models: Path) -> Callable[[bytes], object]:
    """Enrols the people of the test data and returns what identifies one picture in this process."""
    plan = EnginePlan.of(settings)
    engine = FaceEngine(OPEN, models, plan.engine_options(settings))
    database = PerformerDatabase(settings.database_path)
    enroll_folder(DATA / "faces/people", engine, database)
    identifier = Identifier(database.load())
    return lambda photo: identifier.image(engine.analyze([load_image(photo)])[0])


@contextmanager
def serving(settings: Settings, proxy: str) -> Iterator[tuple[Callable[..., int], float]]:
    """A server in a process of its own; yields what asks it for one picture, and how long it took to start."""
    began = time.perf_counter()
    with running_server(settings, PROXY=proxy, ALLOWED_ROOTS=f'["{DATA}"]') as (port, key):
        yield client(port, key), time.perf_counter() - began


@contextmanager
def running_server(settings: Settings, **variables: str) -> Iterator[tuple[int, str]]:
    """A server in a process of its own with these settings on top; yields its port and its key."""
    port, log = free_port(), settings.data_dir / "server.log"
    process = launch(server_environment(settings.data_dir, port, settings.models_path, **variables), log)
    began = time.perf_counter()
    try:
        while "Serving on" not in log.read_text():
            if process.poll() is not None or time.perf_counter() - began > START_TIMEOUT_S:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        yield port, (settings.data_dir / "api-key").read_text().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        shutil.rmtree(settings.data_dir / "logs", ignore_errors=True)


def client(port: int, key: str) -> Callable[..., int]:
    """Returns a function that posts a body on a connection kept by its thread, and returns the answer's size."""
    kept = local()

    def ask(body: bytes, route: str = "/identify/image", kind: str = "image/jpeg") -> int:
        if not hasattr(kept, "connection"):
            kept.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        kept.connection.request("POST", route, body, {"ApiKey": key, "Content-Type": kind})
        response = kept.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {answer[:200]!r}")
        return len(answer)

    return ask


def compare(
    ask: Callable[[bytes], object],
    here: Callable[[bytes], object],
    photos: Sequence[bytes],
    rounds: int,
    requests: int,
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Returns (HTTP, in process) pairs of p50 in ms with one request at a time, and of pictures/s with 8 in flight."""
    threads = EnginePlan.of(Settings()).threads
    work = [photos[i % len(photos)] for i in range(requests)]
    for side in (ask, here):
        p50_ms(side, work)
    latency, throughput = [], []
    for number in range(rounds):
        sides: list[tuple[Callable[[bytes], object], int]] = [(ask, IN_FLIGHT), (here, threads)]
        order = sides if number % 2 == 0 else sides[::-1]
        one = {side: p50_ms(side, work) for side, _ in order}
        many = {side: per_second(side, work * 2, workers) for side, workers in order}
        latency.append((one[ask], one[here]))
        throughput.append((many[ask], many[here]))
    return latency, throughput


def p50_ms(side: Callable[[bytes], object], work: Sequence[bytes]) -> float:
    """Returns the median time of one picture, one after another."""
    times = []
    for photo in work:
        began = time.perf_counter()
        side(photo)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def per_second(side: Callable[[bytes], object], work: Sequence[bytes], workers: int) -> float:
    """Returns pictures per second with that many at once."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(side, work[:workers]))
        began = time.perf_counter()
        list(pool.map(side, work))
        return len(work) / (time.perf_counter() - began)


def beside_video(report: Report, ask: Callable[..., int], photos: Sequence[bytes], requests: int) -> None:
    """Adds the p50 of a picture while videos are being identified without a pause; alone is the baseline."""
    video = str(DATA / "video/derived/signers_mix2.mp4")
    body = f'{{"path": "{video}"}}'.encode()
    stop = Event()

    def watch() -> None:
        while not stop.is_set():
            ask(body, "/identify/scene", "application/json")

    work = [photos[i % len(photos)] for i in range(requests)]
    alone = p50_ms(ask, work)
    thread = Thread(target=watch)
    thread.start()
    try:
        time.sleep(1)
        beside = p50_ms(ask, work)
    finally:
        stop.set()
        thread.join()
    report.add("image_beside_video_p50_ms", beside, "ms", baseline=alone, ratio=beside / alone)
