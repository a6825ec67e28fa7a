"""Swapping the performer database under load: 20 pictures a second while two versions take turns, ten times.

The versions hold the same faces under different ids, beside invented people who fill them up to the size of a released
database, so an answer that mixes them shows. The load comes from a process of its own and leaves on time; a latency
counts from when the request was due. "During" is from the request to swap until a second after its answer. Memory is
the proportional set size of the index's process.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import psutil
import pyarrow as pa

from pipelines.enroll.folder import enroll_folder
from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import FaceEngine
from pipelines.faces.gallery import Performer, performer_table
from pipelines.faces.templates import unit
from pipelines.settings import Settings
from pipelines.store.performers import PerformerDatabase, SourceInfo
from pipelines.store.tables import face_table
from tests.bench.http import running_server
from tests.bench.process_memory import _pss_bytes
from tests.bench.report import Options, Report
from tests.bench.swap_load import Answer, load, mixed

PEOPLE = Path(__file__).parents[1] / "data/faces/people"
FILLING = 108_001
"""Performers of the released database of February 2026."""
RATE_PER_S = 20.0
REST_S = 30.0
BETWEEN_S = 3.0
AFTER_S = 1.0
DOMAINS = ("one", "two")


def run(report: Report, options: Options) -> None:
    filling, swaps, rest_s, rate = (2_000, 2, 4.0, 5.0) if options.quick else (FILLING, 10, REST_S, RATE_PER_S)
    photos = smallest_photos(8)
    with tempfile.TemporaryDirectory(prefix="bs-") as folder:
        settings = Settings(data_dir=Path(folder), models_dir=options.models.parent)
        versions = two_versions(settings, options.models, filling)
        with running_server(settings) as (port, key):
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, headers={"ApiKey": key}, timeout=120) as client:
                use(client, versions[1])
                for _ in range(2):  # both have been served once, and every code path has run
                    use(client, versions[0])
                    use(client, versions[1])
                with load(url, key, photos, rate, 5.0):
                    pass
                before_mb = index_mb()
                with load(url, key, photos, rate, rest_s) as rest:
                    pass
                windows = []
                with load(url, key, photos, rate, swaps * (BETWEEN_S + 2.0)) as busy:
                    time.sleep(1.0)
                    for number in range(swaps):
                        began = time.monotonic()
                        use(client, versions[number % 2])
                        windows.append((began, time.monotonic()))
                        time.sleep(BETWEEN_S)
                time.sleep(5)
                after_mb = index_mb()
    tell(report, rest.answers, busy.answers, windows, dict(zip(DOMAINS, versions, strict=True)))
    report.add("index_process_after_mb", after_mb, "MB", baseline=before_mb, ratio=after_mb / before_mb)


def tell(
    report: Report,
    rest: list[Answer],
    busy: list[Answer],
    windows: list[tuple[float, float]],
    version_of: dict[str, str],
) -> None:
    """Adds what went wrong, which must be nothing, and how long answers took at rest and during swaps."""
    during = [a for a in busy if any(began <= a.due_s <= ended + AFTER_S for began, ended in windows)]
    everything = rest + busy
    report.add("requests", len(everything), "requests")
    report.add("answers_5xx_or_none", sum(a.status >= 500 or not a.status for a in everything), "requests")
    report.add("answers_not_200", sum(a.status != 200 for a in everything), "requests")
    report.add("answers_that_mix", len(mixed(everything, version_of)), "requests")
    served = {a.version for a in busy if a.status == 200}
    report.add("versions_answered", len(served), "versions")
    report.add("swaps", len(windows), "swaps")
    report.add("swap_p50_s", statistics.median(ended - began for began, ended in windows), "s")
    report.add("swap_longest_s", max(ended - began for began, ended in windows), "s")
    for name, share in (("p50", 50), ("p99", 99)):
        at_rest, swapping = (1000 * float(np.percentile([a.latency_s for a in s], share)) for s in (rest, during))
        report.add(f"{name}_during_swaps_ms", swapping, "ms", baseline=at_rest, ratio=swapping / at_rest)
    report.add("requests_during_swaps", len(during), "requests")


def use(client: httpx.Client, version: str) -> None:
    """Has the server serve a version."""
    answer = client.post("/database/use", json={"version": version})
    if answer.status_code != 200 or answer.json()["version"] != version:
        raise RuntimeError(answer.text)


def index_mb() -> float:
    """Returns the proportional set size of the process that holds the index."""
    found = [p for p in psutil.process_iter(["cmdline"]) if "FaceIndex" in " ".join(p.info["cmdline"] or ())]
    return max(_pss_bytes(process) for process in found) / 1e6


def smallest_photos(count: int) -> list[Path]:
    """Returns photos that are quick to send and decode."""
    return sorted(PEOPLE.rglob("*.jpg"), key=lambda path: path.stat().st_size)[:count]


def two_versions(settings: Settings, models: Path, filling: int) -> list[str]:
    """Writes two versions with the people of the test data and as many invented ones; returns their ids."""
    database = PerformerDatabase(settings.database_path, keep=10)
    enroll_folder(PEOPLE, FaceEngine(OPEN, models), database)
    performers, faces = database.performers(), database.faces().drop_columns(["origin"])
    return [put_as(database, domain, performers, faces, filling) for domain in DOMAINS]


def put_as(database: PerformerDatabase, domain: str, performers: pa.Table, faces: pa.Table, filling: int) -> str:
    """Writes a version of these people under another domain, and invented ones; returns its id."""
    names = dict(zip(performers["universal_id"].to_pylist(), performers["name"].to_pylist(), strict=True))
    known = [Performer(renamed(i, domain), f"{name} {domain}") for i, name in names.items()]
    invented = [Performer(f"{domain}:invented-{n}", f"Nobody {n}") for n in range(filling)]
    ids = [renamed(i, domain) for i in faces["universal_id"].to_pylist()]
    own = faces.set_column(0, faces.schema.field("universal_id"), pa.array(ids, faces.schema.field(0).type))
    random = np.random.default_rng(7)
    templates = unit(random.standard_normal((filling, OPEN.template_dim), dtype=np.float32))
    columns = {
        "universal_id": [p.universal_id for p in invented],
        "source": [f"{n}.jpg" for n in range(filling)],
        "source_sha256": [f"{n}" for n in range(filling)],
        "quality": [0.5] * filling,
        "yaw_deg": [0.0] * filling,
        "detection_score": [0.9] * filling,
    }
    table = pa.concat_tables([own, face_table(columns, templates)])
    source = SourceInfo(id="folder", kind="folder", updated=datetime.now(UTC))
    return database.put(OPEN, source, performer_table([*known, *invented]), table)


def renamed(universal_id: str, domain: str) -> str:
    return f"{domain}:{universal_id.partition(':')[2]}"
