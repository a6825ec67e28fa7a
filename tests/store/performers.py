"""Performers, faces and sources for the tests of the performer database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.faces.templates import unit
from pipelines.store.performers import PerformerDatabase, SourceInfo
from pipelines.store.tables import face_table

DIM = OPEN.template_dim


def raw(count: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32))


def people(*numbers: int) -> list[Performer]:
    return [Performer(f"stashdb.org:{n:04}", f"Name {n}", (f"Alias {n}",), country="NL") for n in numbers]


def faces(owners: Sequence[int | str], seed: int = 0, files: list[str | None] | None = None) -> pa.Table:
    """Returns a random face for each owner, given by universal id or by the number that `people` gives one."""
    count = len(owners)
    columns = {
        "universal_id": [n if isinstance(n, str) else f"stashdb.org:{n:04}" for n in owners],
        "source": [f"{n}.jpg" for n in range(count)],
        "source_sha256": files if files is not None else [f"{seed}-{n}" for n in range(count)],
        "quality": [0.5] * count,
        "yaw_deg": [1.0] * count,
        "detection_score": [0.9] * count,
    }
    return face_table(columns, raw(count, seed))


def source(name: str = "folder") -> SourceInfo:
    return SourceInfo(id=name, kind="folder", updated=datetime(2026, 1, 1, tzinfo=UTC))


def put(database: PerformerDatabase, name: str, *performers: Performer, seed: int = 0, each: int = 2) -> str:
    """Writes what a source gives: these performers with `each` random faces."""
    owners = [p.universal_id for p in performers for _ in range(each)]
    return database.put(OPEN, source(name), performers, faces(owners, seed))


def found(database: PerformerDatabase, version: str | None = None) -> list[str]:
    """Returns the universal ids of who can be found in a version, by searching with everybody's templates."""
    gallery = database.load(version)
    hits = gallery.search(gallery.raw.templates.astype(np.float32), gallery.size + 3).performers
    rows = np.unique(hits[hits >= 0])
    return [universal_id for universal_id, _ in gallery.names(rows).values()]
