"""Enrolling the performers of a stash-box: pictures a second, and whether the box is asked no more than it may be.

A fake stash-box in a process of its own holds performers with three photos each, no two of the same bytes. Every run is
a process of its own with a new data folder and a Ray of its own; timed is the enrolment, without the start of Ray.

Rows:

- images_per_s.1, images_per_s.2: pictures a second with one and two workers, no limit in the way; baseline of the
  second is the first, its ratio what the second worker gains. pictures, faces, performers: enrolled
- steady_per_s.1, steady_per_s.2: the same between the first and the last performer that is done, so without the start
  of the workers, which a short enrolment does not outweigh
- cpu_ms.N: CPU of this machine for each of those pictures, with the box, which runs here too; 2 cores give no more
  pictures a second than 2,000 / cpu_ms
- limited_per_s: requests a second while the box allows LIMIT_PER_MINUTE; baseline is the limiter's rate
- most_in_1_s, most_in_10_s, most_in_60_s: most requests in any such stretch of the box's own log, GraphQL and pictures;
  baseline is what the rate allows in it. The limits of boxes are per minute: that ratio must not exceed 1. Permits are
  spaced evenly, but requests take different times on their way, so one more may arrive within a second
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.report import Options, Report
from tests.fakes.stashbox import StashBoxProcess

PERFORMERS, PHOTOS = 200, 3
LIMITED_PERFORMERS = 90
LIMIT_PER_MINUTE = 240
SHARE = 1.0


@dataclass(frozen=True, slots=True)
class BoxSide:
    """What one run took, and what it enrolled. steady_per_s, cpu_ms: see the module."""

    seconds: float
    steady_per_s: float
    cpu_ms: float
    pictures: int
    faces: int
    performers: int


def run(report: Report, options: Options) -> None:
    """Adds the rows above. `options.quick`: 12 performers, few pictures under the limit."""
    performers = 12 if options.quick else PERFORMERS
    with StashBoxProcess("--performers", str(performers), "--photos", str(PHOTOS)) as box:
        sides = [enrolled(options, box, workers, 600_000) for workers in (1, 2)]
    for workers, side in enumerate(sides, 1):
        rate, first = side.pictures / side.seconds, sides[0].pictures / sides[0].seconds
        more = {"baseline": first, "ratio": rate / first} if workers > 1 else {}
        report.add(f"images_per_s.{workers}", rate, "images/s", **more)
    for workers, side in enumerate(sides, 1):
        first = sides[0].steady_per_s
        more = {"baseline": first, "ratio": side.steady_per_s / first} if workers > 1 else {}
        report.add(f"steady_per_s.{workers}", side.steady_per_s, "images/s", **more)
        report.add(f"cpu_ms.{workers}", side.cpu_ms, "ms")
    report.add("pictures", sides[1].pictures, "count", baseline=performers * PHOTOS)
    report.add("faces", sides[1].faces, "count", baseline=sides[0].faces)
    report.add("performers", sides[1].performers, "count", baseline=performers)
    limited(report, options)


def limited(report: Report, options: Options) -> None:
    """Adds what the box saw while it allowed few requests."""
    performers = 4 if options.quick else LIMITED_PERFORMERS
    with StashBoxProcess("--performers", str(performers), "--photos", str(PHOTOS)) as box:
        enrolled(options, box, 2, LIMIT_PER_MINUTE)
        times = sorted(request["at_s"] for request in box.control("requests"))
    rate = LIMIT_PER_MINUTE * SHARE / 60
    report.add("limited_per_s", (len(times) - 1) / (times[-1] - times[0]), "requests/s", baseline=rate)
    for window_s in (1.0, 10.0, 60.0):
        most, allowed = most_within(times, window_s), rate * window_s
        report.add(f"most_in_{window_s:.0f}_s", most, "requests", baseline=allowed, ratio=most / allowed)


def most_within(times: list[float], window_s: float) -> int:
    """Returns the most of these sorted times that lie in any half-open stretch of that length."""
    most = start = 0
    for end, moment in enumerate(times):
        while times[start] <= moment - window_s:
            start += 1
        most = max(most, end - start + 1)
    return most


def enrolled(options: Options, box: StashBoxProcess, workers: int, per_minute: int) -> BoxSide:
    """Enrols everybody of a box in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="be-") as name:
        bare = {k: v for k, v in os.environ.items() if not k.startswith(("STASH_SENSE_", "RAY_"))}
        own = {
            "DATA_DIR": f"{name}/data",
            "MODELS_DIR": str(options.models.parent),
            "SCAN_NICENESS": "0",
            "SCAN_WORKERS": str(workers),
            "STASHBOX_REQUESTS_SHARE": str(SHARE),
        }
        environment = bare | {f"STASH_SENSE_{key}": value for key, value in own.items()}
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.enroll_stashbox", box.rule, str(per_minute)],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
    side = BoxSide(**json.loads(done.stdout.splitlines()[-1]))
    print(f"  {workers} workers: {side.pictures} pictures in {side.seconds:.1f} s")
    return side


def main() -> None:
    """One run: `python -m tests.bench.enroll_stashbox ENDPOINT=KEY REQUESTS_PER_MINUTE`."""
    from pipelines.enroll.stashbox import EnrollStashboxRequest, EnrolProgress, enroll_stashbox
    from pipelines.settings import load_settings
    from pipelines.stash.records import StashBox
    from serve_app.cli.here import ray_here

    endpoint, _, key = sys.argv[1].partition("=")
    settings = load_settings()
    Path(settings.data_dir).mkdir()
    with ray_here(settings):
        began = time.perf_counter()
        steady: list[tuple[float, float, int]] = []

        def note(now: EnrolProgress) -> None:
            if now.frames:
                steady.append((time.perf_counter(), busy_s(), now.frames))

        box = StashBox(endpoint, key, max_requests_per_minute=int(sys.argv[2]))
        report = enroll_stashbox(settings, box, EnrollStashboxRequest(), on_progress=note)
        seconds = time.perf_counter() - began
    (start, start_cpu, before), (end, end_cpu, after) = steady[0], steady[-1]
    pictures = max(1, after - before)
    facts = {"pictures": sum(report.reasons.values()), "faces": report.faces, "performers": report.performers}
    rates = {"steady_per_s": pictures / (end - start), "cpu_ms": 1000 * (end_cpu - start_cpu) / pictures}
    print(json.dumps({"seconds": seconds, **rates, **facts}))


def busy_s() -> float:
    """Returns the CPU seconds that this machine has spent since it was started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


if __name__ == "__main__":
    main()
