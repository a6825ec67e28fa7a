"""Rows of deltas of the successor, and what a database holds after them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.store.performers import PerformerDatabase
from tests.releases import bundles
from tests.releases.conftest import templates_by_url

SOURCE = "release:stash-sense2"
FULL = "2026.09.01"


def stashdb(number: int) -> str:
    return f"stashdb.org:{bundles.uuid(number)}"


def face(key: int, number: int, seed: int, endpoint: str = "stashdb", **facts: Any) -> dict[str, Any]:
    """Returns a row of `faces` of a delta."""
    return {
        "embedding_index": key,
        "endpoint": endpoint,
        "stashbox_id": bundles.uuid(number),
        "image_url": bundles.face_url(key),
        "quality_score": 0.5,
        "yaw": 4.0,
        "embedding": bundles.vectors(1, seed=seed)[0].tobytes(),
        **facts,
    }


def performer(number: int, name: str, endpoint: str = "stashdb", **facts: Any) -> dict[str, Any]:
    """Returns a row of `performers` of a delta; the server's number of a performer is the last digits of its id."""
    row = {"id": number, "endpoint": endpoint, "stashbox_id": bundles.uuid(number), "action": "upsert", "name": name}
    return {**row, "aliases_json": "[]", "images_json": "[]", **facts}


def catalogue_face(key: int, number: int, catalogue: str, seed: int) -> dict[str, Any]:
    row = {"embedding_index": key, "performer_id": number, "source_endpoint": catalogue}
    return {**row, "image_url": bundles.face_url(key), "embedding": bundles.vectors(1, seed=seed)[0].tobytes()}


def by_name(database: PerformerDatabase) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in database.source_performers(SOURCE).to_pylist()}


def faces_by_key(database: PerformerDatabase) -> dict[int, tuple[str, np.ndarray]]:
    return {int(k.rpartition("=")[2]): v for k, v in templates_by_url(database, SOURCE).items()}
