"""An invented library to match: enrolled performers and scanned scenes of the `open` pack, without any picture.

Vectors are like those of faces, see `search`: the spread of the scores of strangers and the likeness of two photos are
those measured. A scene has one to four people; what somebody looks like in it is as far from their enrolled photos as
another photo is, and the faces of a track vary around that look. Every fifth person is a stranger.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import PERFORMER_SCHEMA
from pipelines.store.performers import PerformerDatabase, SourceInfo
from pipelines.store.scan_files import DatasetFiles, DatasetList
from pipelines.store.scan_parts import PartWriter, with_repeated
from pipelines.store.scan_schema import CONTENT_SCHEMA, single_table
from pipelines.store.tables import face_table
from pipelines.store.templates import ContentScan, FrameHashes, ScanKey, ScannedFaces, ScanRecipe
from tests.bench.search import PHOTO_NOISE, SPREADS

FRAMES = 60
FACES = 60
STRANGERS = 0.2
TRACK_NOISE = 0.55
"""Two faces of a track then have a score of about 1 / (1 + 0.55^2) = 0.77, as in the videos of the tests."""
RECIPE = ScanRecipe(OPEN.template_id, "bench", "bench")
SCANNED_AT = datetime(2026, 1, 1, tzinfo=UTC)
CONTENTS_A_PART = 5000


class Faces:
    """Draws vectors of people."""

    def __init__(self, people: int, seed: int = 7) -> None:
        dimension, spread = OPEN.template_dim, SPREADS[OPEN.template_dim]
        self.random = np.random.default_rng(seed)
        self.scale = np.maximum(np.exp(-np.arange(dimension) * spread**2), 0.02).astype(np.float32)
        self.turn = np.linalg.qr(self.random.standard_normal((dimension, dimension)))[0].astype(np.float32)
        self.people = self.draw(people)

    def draw(self, rows: int) -> np.ndarray:
        values = self.random.standard_normal((rows, len(self.scale)), dtype=np.float32) * self.scale
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    def near(self, vectors: np.ndarray, noise: float) -> np.ndarray:
        values = vectors + noise * self.draw(len(vectors))
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    def templates(self, vectors: np.ndarray) -> np.ndarray:
        """Returns the vectors as raw templates: turned, so that no axis is special."""
        return vectors @ self.turn


def write_library(folder: Path, *, scenes: int, performers: int, faces: int) -> None:
    """Writes performer-db and scans below a data folder, at once; does nothing when they are there."""
    if (folder / "complete").exists():
        return
    drawn = Faces(performers)
    enrol(folder / "performer-db", drawn, performers, faces)
    write_scans(folder / "scans", drawn, scenes, performers)
    (folder / "complete").touch()


def enrol(root: Path, drawn: Faces, performers: int, faces: int) -> str:
    """Writes a version with the first `performers` people and about `faces` photos of them, at least one each."""
    owner = np.sort(np.concatenate([np.arange(performers), drawn.random.integers(0, performers, faces - performers)]))
    templates = np.concatenate(
        [
            drawn.templates(drawn.near(drawn.people[owner[start : start + 50_000]], PHOTO_NOISE)).astype(np.float16)
            for start in range(0, faces, 50_000)
        ]
    )
    ids = [f"bench:{number}" for number in range(performers)]
    known = {"universal_id": ids, "name": [f"Performer {n}" for n in range(performers)], "aliases": [[]] * performers}
    known["ids"] = [[universal_id] for universal_id in ids]
    rest: dict[str, list[None]] = {name: [None] * performers for name in PERFORMER_SCHEMA.names if name not in known}
    columns = {
        "universal_id": [ids[number] for number in owner],
        "source": [f"photo {number}" for number in range(faces)],
        **{name: [None] * faces for name in ("source_sha256", "quality", "yaw_deg", "detection_score")},
    }
    table = pa.table(known | rest, schema=PERFORMER_SCHEMA)
    source = SourceInfo(id="bench", kind="folder", updated=datetime.now(UTC))
    return PerformerDatabase(root).put(OPEN, source, table, face_table(columns, templates))


def scene_scan(drawn: Faces, number: int, performers: int) -> ContentScan:
    """Returns the scan of one invented scene with FACES faces."""
    random = drawn.random
    cast = drawn.people[random.integers(0, performers, random.integers(1, 5))].copy()
    strange = random.random(len(cast)) < STRANGERS
    cast[strange] = drawn.draw(int(strange.sum()))
    looks = drawn.near(cast, PHOTO_NOISE)
    # Everybody is in a stretch of the scene; a person is in a frame once.
    present = np.stack([np.roll(np.arange(FRAMES), int(random.integers(0, FRAMES))) for _ in cast])
    each = FACES // len(cast)
    who = np.concatenate([np.full(each, p) for p in range(len(cast))])
    frame = np.concatenate([present[p][:each] for p in range(len(cast))])
    order = np.lexsort((who, frame))
    who, frame = who[order], frame[order].astype(np.int32)
    n = len(who)
    left = 100 + 400.0 * who + random.normal(0, 15, n)
    box = np.stack([left, np.full(n, 200.0), left + 180, np.full(n, 420.0)], axis=1).astype(np.float32)
    times = np.linspace(30, 570, FRAMES, dtype=np.float32)
    part = random.random((4, n), dtype=np.float32)
    return ContentScan(
        ScanKey("scene", str(number), f"oshash:{number:016x}", RECIPE),
        "ok",
        scanned_at=SCANNED_AT,
        duration_s=600.0,
        width=1920,
        height=1080,
        faces=ScannedFaces(
            frame,
            times[frame],
            box,
            np.zeros((n, 5, 2), np.float32),
            0.7 + 0.3 * part[0],
            90 * part[1] - 45,
            10 * part[2],
            0.1 + 0.8 * part[3],
            drawn.templates(drawn.near(looks[who], TRACK_NOISE)).astype(np.float16),
        ),
        frames=FrameHashes(
            times, np.zeros(FRAMES, np.uint64), np.zeros((FRAMES, 32), np.uint8), np.zeros(FRAMES, np.uint8)
        ),
    )


def write_scans(root: Path, drawn: Faces, scenes: int, performers: int) -> None:
    """Writes the scans as compacted parts: a file each would take minutes and measure the file system."""
    files = DatasetFiles(root)
    files.prepare()
    numbers = sorted(range(scenes), key=str)
    parts = []
    for start in range(0, scenes, CONTENTS_A_PART):
        with PartWriter(files, OPEN.template_id) as writer:
            for number in numbers[start : start + CONTENTS_A_PART]:
                table = single_table(scene_scan(drawn, number, performers))
                content = table.select(CONTENT_SCHEMA.names)
                rows = [with_repeated(content, table[what].combine_chunks().flatten()) for what in ("faces", "frames")]
                writer.add(content, *rows)
            parts.append(writer.finish())
    files.write_list(DatasetList(parts=tuple(parts)))
