"""Small releases as bytes for the server of releases: bundles of both programs, and a delta."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np

from tests.releases.bundles import (
    DELTA,
    face_url,
    people,
    sha256,
    uuid,
    vectors,
    write_stash_sense,
    write_stash_sense2,
    zip_folder,
)

FIRST_PACK = "stash-sense-2026"
SUCCESSOR_PACK = "buffalo_l"


def first_folder(folder: Path, version: str, count: int) -> Path:
    """A bundle of the first Stash Sense with `count` performers, one face each; person N is stashdb.org:uuid(N)."""
    facenet, arcface = vectors(count, seed=1), vectors(count, seed=2)
    return write_stash_sense(folder, people(count), range(count), facenet, arcface, version=version)


def first_zip(folder: Path, version: str, count: int) -> bytes:
    inside = first_folder(folder / f"first-{version}", version, count)
    return zip_folder(inside, folder / f"first-{version}.zip").read_bytes()


def successor_zip(folder: Path, version: str, count: int) -> bytes:
    """A full bundle of the successor with `count` performers, one face each."""
    values = vectors(count, seed=3)
    embeddings = {i: values[i] for i in range(count)}
    inside = write_stash_sense2(
        folder / f"full-{version}", people(count), {i: i for i in range(count)}, embeddings, version=version
    )
    return zip_folder(inside, folder / f"full-{version}.zip").read_bytes()


def successor_delta(folder: Path, start: str, end: str, number: int) -> bytes:
    """A delta that adds the performer of that number with one face."""
    inside = folder / f"delta-{start}-{end}"
    inside.mkdir()
    connection = sqlite3.connect(inside / "delta.db")
    connection.executescript(DELTA)
    connection.execute(
        "INSERT INTO performers (id, endpoint, stashbox_id, action, name) VALUES (?, 'stashdb', ?, 'upsert', ?)",
        (number, uuid(number), f"Person {number}"),
    )
    template = vectors(1, seed=number)[0].astype(np.float32).tobytes()
    connection.execute(
        "INSERT INTO faces (embedding_index, endpoint, stashbox_id, image_url, embedding) "
        "VALUES (?, 'stashdb', ?, ?, ?)",
        (number - 1, uuid(number), face_url(number), template),
    )
    connection.commit()
    connection.close()
    manifest = {"from_version": start, "to_version": end, "checksums": {"delta.db": sha256(inside / "delta.db")}}
    (inside / "manifest.json").write_text(json.dumps(manifest))
    return zip_folder(inside, folder / f"delta-{start}-{end}.zip").read_bytes()
