"""Released bundles in the formats of Stash Sense and of its successor, by the real Voyager and usearch libraries.

People and vectors are the caller's; what is written around them (ids, URLs, quality, yaw) follows from the number of a
face, so a test can say what must come back.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

VERSION = "2026.02.18"
DOMAINS = {
    "stashdb": "stashdb.org",
    "theporndb": "theporndb.net",
    "fansdb": "fansdb.cc",
    "pmvstash": "pmvstash.org",
    "javstash": "javstash.org",
}
"""Short endpoint names of the bundles, in their order of priority."""

PERFORMERS = """
CREATE TABLE performers (id INTEGER PRIMARY KEY, canonical_name TEXT, disambiguation TEXT, gender TEXT, country TEXT,
    ethnicity TEXT, birth_date TEXT, death_date TEXT, height_cm INTEGER, eye_color TEXT, hair_color TEXT,
    career_start_year INTEGER, career_end_year INTEGER, scene_count INTEGER, stashdb_updated_at TEXT,
    face_count INTEGER DEFAULT 0, image_url TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE stashbox_ids (performer_id INTEGER, endpoint TEXT, stashbox_performer_id TEXT, created_at TEXT,
    PRIMARY KEY (endpoint, stashbox_performer_id));
CREATE TABLE aliases (id INTEGER PRIMARY KEY, performer_id INTEGER, alias TEXT, source_endpoint TEXT, created_at TEXT,
    UNIQUE (performer_id, alias));
CREATE TABLE merged_ids (performer_id INTEGER, merged_stashbox_id TEXT, endpoint TEXT, merged_at TEXT);
CREATE TABLE schema_version (version INTEGER);
INSERT INTO schema_version VALUES (9);
"""
TWO_INDICES = """
CREATE TABLE faces (id INTEGER PRIMARY KEY, performer_id INTEGER, facenet_index INTEGER UNIQUE,
    arcface_index INTEGER UNIQUE, image_url TEXT, source_endpoint TEXT, quality_score REAL, created_at TEXT,
    pruned INTEGER, yaw REAL);
"""
ONE_INDEX = """
CREATE TABLE faces (id INTEGER PRIMARY KEY, performer_id INTEGER, embedding_index INTEGER UNIQUE, image_url TEXT,
    source_endpoint TEXT, quality_score REAL, created_at TEXT, yaw REAL, gender TEXT, gender_confidence REAL,
    estimated_age INTEGER, image_sha256 TEXT);
CREATE TABLE performer_urls (id INTEGER PRIMARY KEY, performer_id INTEGER, url TEXT, url_type TEXT,
    source_endpoint TEXT);
ALTER TABLE performers ADD COLUMN inferred_gender TEXT;
ALTER TABLE performers ADD COLUMN inferred_gender_confidence REAL;
"""
DELTA = """
CREATE TABLE performers (id INTEGER, endpoint TEXT, stashbox_id TEXT, action TEXT, name TEXT, disambiguation TEXT,
    gender TEXT, birth_date TEXT, death_date TEXT, ethnicity TEXT, country TEXT, eye_color TEXT, hair_color TEXT,
    height INTEGER, career_start_year INTEGER, career_end_year INTEGER, aliases_json TEXT, images_json TEXT,
    updated TEXT, merged_into_id TEXT, inferred_gender TEXT, inferred_gender_confidence REAL);
CREATE TABLE faces (embedding_index INTEGER PRIMARY KEY, endpoint TEXT, stashbox_id TEXT, image_url TEXT,
    quality_score REAL, yaw REAL, gender TEXT, gender_confidence REAL, estimated_age INTEGER, image_sha256 TEXT,
    embedding BLOB);
CREATE TABLE removed_faces (embedding_index INTEGER PRIMARY KEY, reason TEXT);
"""
CATALOGUE = """
CREATE TABLE catalogue_performers (id INTEGER PRIMARY KEY, canonical_name TEXT, gender TEXT, country TEXT,
    image_url TEXT, inferred_gender TEXT, inferred_gender_confidence REAL);
CREATE TABLE catalogue_performer_urls (performer_id INTEGER, url TEXT, url_type TEXT, source_endpoint TEXT);
CREATE TABLE catalogue_faces (embedding_index INTEGER PRIMARY KEY, performer_id INTEGER, image_url TEXT,
    source_endpoint TEXT, quality_score REAL, yaw REAL, gender TEXT, gender_confidence REAL, estimated_age INTEGER,
    image_sha256 TEXT, embedding BLOB);
CREATE TABLE catalogue_removed_performers (id INTEGER PRIMARY KEY);
CREATE TABLE face_owner_repair (embedding_index INTEGER PRIMARY KEY, performer_id INTEGER);
"""


@dataclass(frozen=True)
class Person:
    """One performer of a bundle.

    Attributes:
        number: performers.id.
        stashboxes: id by short endpoint name; empty for somebody of a catalogue.
        catalogue: name of the catalogue, for those.
        merged: (endpoint, id) pairs that were merged into this performer.
    """

    number: int
    name: str
    stashboxes: Mapping[str, str] = field(default_factory=dict)
    catalogue: str = ""
    aliases: tuple[str, ...] = ()
    merged: tuple[tuple[str, str], ...] = ()
    country: str | None = None
    gender: str | None = None
    birth_date: str | None = None
    disambiguation: str | None = None
    career: tuple[int | None, int | None] = (None, None)

    @property
    def universal_id(self) -> str:
        best = next((f"{DOMAINS[e]}:{self.stashboxes[e]}" for e in DOMAINS if e in self.stashboxes), None)
        return best or f"{self.catalogue}:{self.number}"

    @property
    def image_url(self) -> str:
        return f"https://cdn.invalid/person/{self.number}.jpg"


def people(count: int, start: int = 1) -> list[Person]:
    """Returns that many invented performers of stashdb.org."""
    return [Person(n, f"Person {n}", {"stashdb": uuid(n)}) for n in range(start, start + count)]


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def vectors(count: int, dimension: int = 512, seed: int = 0) -> np.ndarray:
    """Returns (count, dimension) float32 of unit length, in all directions."""
    values = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def face_url(index: int) -> str:
    return f"https://cdn.invalid/face/{index}.jpg"


def quality(index: int) -> float:
    return (index % 100) / 100


def yaw(index: int) -> float:
    return float(index % 91 - 45)


def write_stash_sense(
    folder: Path,
    persons: Sequence[Person],
    owners: Sequence[int | None],
    facenet: np.ndarray,
    arcface: np.ndarray,
    *,
    version: str = VERSION,
    ef_construction: int = 200,
    threads: int = 1,
) -> Path:
    """Writes a bundle of the first Stash Sense and returns its folder.

    Args:
        owners: number in `persons` of each face; None for a null in faces.json.
        facenet, arcface: (n, 512), raw; Voyager scales them to unit length.
    """
    import voyager

    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (("face_facenet.voy", facenet), ("face_arcface.voy", arcface)):
        index = voyager.Index(
            voyager.Space.Cosine, values.shape[1], ef_construction=ef_construction, max_elements=max(1, len(values))
        )
        # Voyager reads a view as if its rows lay side by side.
        index.add_items(np.ascontiguousarray(values), ids=list(range(len(values))), num_threads=threads)
        index.save(str(folder / name))
        del index
    rows = (
        (i, persons[o].number, i, i, face_url(i), "stashdb", quality(i), None, 0, yaw(i))
        for i, o in enumerate(owners)
        if o is not None
    )
    write_performers_db(folder / "performers.db", PERFORMERS + TWO_INDICES, persons, rows)
    write_json(folder, persons, owners)
    write_manifest(
        folder,
        version,
        len(persons),
        len(owners),
        models={
            "detector": "retinaface_buffalo_sc",
            "alignment": "insightface_norm_crop_5point",
            "facenet_dim": 512,
            "arcface_dim": 512,
            "flip_averaging": True,
        },
    )
    return folder


def write_stash_sense2(
    folder: Path,
    persons: Sequence[Person],
    owners: Mapping[int, int | None],
    embeddings: Mapping[int, np.ndarray] | tuple[np.ndarray, np.ndarray],
    *,
    version: str = "2026.09.01",
    threads: int = 1,
) -> Path:
    """Writes a full bundle of the successor and returns its folder.

    Args:
        owners: number in `persons` by embedding index; the indices in between are holes.
        embeddings: vectors by embedding index, or (keys, vectors) as arrays.
    """
    from usearch.index import Index

    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(embeddings, tuple):
        keys, values = embeddings
    else:
        keys, values = np.array(list(embeddings)), np.stack(list(embeddings.values()))
    index = Index(ndim=values.shape[1], metric="cos", dtype="f16", expansion_add=16)
    index.add(keys.astype(np.uint64), values, threads=threads)
    index.save(str(folder / "face_embeddings.usearch"))
    rows = (
        (i, persons[o].number, i, face_url(i), "stashdb", quality(i), None, yaw(i), None, None, None, picture_sha256(i))
        for i, o in owners.items()
        if o is not None
    )
    write_performers_db(folder / "performers.db", PERFORMERS + ONE_INDEX, persons, rows)
    slots: list[int | None] = [None] * (max(owners, default=-1) + 1)
    for i, owner in owners.items():
        slots[i] = owner
    write_json(folder, persons, slots)
    write_manifest(folder, version, len(persons), sum(o is not None for o in owners.values()))
    return folder


def write_delta(
    folder: Path,
    start: str,
    end: str,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    schema: str = DELTA + CATALOGUE,
    zipped: bool = True,
) -> Path:
    """Writes a delta as a release has it and returns the zip, or its folder."""
    inner = folder / f"stash-sense2-delta-{start}-to-{end}"
    inner.mkdir(parents=True)
    connection = sqlite3.connect(inner / "delta.db")
    connection.executescript(schema)
    for table, rows in tables.items():
        for row in rows:
            marks = ", ".join("?" * len(row))
            query = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608 - names of this file
            connection.execute(query, list(row.values()))
    connection.commit()
    connection.close()
    stated = {
        "from_version": start,
        "to_version": end,
        "checksums": {"delta.db": f"sha256:{sha256(inner / 'delta.db')}"},
    }
    (inner / "delta_manifest.json").write_text(json.dumps(stated))
    return zip_folder(inner, folder / f"{inner.name}.zip") if zipped else inner


def picture_sha256(index: int) -> str:
    return hashlib.sha256(f"picture {index}".encode()).hexdigest()


def write_performers_db(path: Path, schema: str, persons: Sequence[Person], faces: Iterable[tuple[Any, ...]]) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(schema)
    connection.executemany(
        "INSERT INTO performers (id, canonical_name, disambiguation, gender, country, birth_date, career_start_year, "
        "career_end_year, image_url) VALUES (?,?,?,?,?,?,?,?,?)",
        (
            (p.number, p.name, p.disambiguation, p.gender, p.country, p.birth_date, *p.career, p.image_url)
            for p in persons
        ),
    )
    connection.executemany(
        "INSERT INTO stashbox_ids VALUES (?,?,?,NULL)",
        ((p.number, endpoint, value) for p in persons for endpoint, value in p.stashboxes.items()),
    )
    connection.executemany(
        "INSERT INTO aliases (performer_id, alias) VALUES (?,?)", ((p.number, a) for p in persons for a in p.aliases)
    )
    connection.executemany(
        "INSERT INTO merged_ids VALUES (?,?,?,NULL)", ((p.number, i, e) for p in persons for e, i in p.merged)
    )
    if "performer_urls" in schema:
        connection.executemany(
            "INSERT INTO performer_urls (performer_id, url, url_type, source_endpoint) VALUES (?,?,'catalogue',?)",
            ((p.number, f"https://{p.catalogue}.invalid/{p.number}", p.catalogue) for p in persons if p.catalogue),
        )
    width = len(connection.execute("SELECT * FROM faces").description)
    connection.executemany(f"INSERT INTO faces VALUES ({','.join('?' * width)})", faces)  # noqa: S608 - a number
    connection.commit()
    connection.close()


def write_json(folder: Path, persons: Sequence[Person], owners: Sequence[int | None]) -> None:
    """Writes faces.json and performers.json."""
    ids = [p.universal_id for p in persons]
    faces = [None if o is None else ids[o] for o in owners]
    (folder / "faces.json").write_text(json.dumps(faces))
    counts = np.bincount([o for o in owners if o is not None], minlength=len(persons)).tolist()
    known = {
        p.universal_id: {"name": p.name, "country": p.country, "image_url": p.image_url, "face_count": n}
        for p, n in zip(persons, counts, strict=True)
    }
    (folder / "performers.json").write_text(json.dumps(known))


def write_manifest(
    folder: Path, version: str, performers: int, faces: int, *, models: Mapping[str, Any] | None = None
) -> None:
    """Writes manifest.json with the checksums of what a release states them for."""
    stated = [p for p in sorted(folder.iterdir()) if p.suffix in {".db", ".voy", ".usearch"}]
    manifest = {
        "version": version,
        "created_at": "2026-02-18T00:00:00Z",
        "performer_count": performers,
        "face_count": faces,
        "sources": list(DOMAINS),
        "models": dict(models or {}),
        "checksums": {p.name: f"sha256:{sha256(p)}" for p in stated},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_manifest(folder: Path, **changes: Any) -> None:
    """Replaces entries of manifest.json, and brings the checksums up to date."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["checksums"] = {name: f"sha256:{sha256(folder / name)}" for name in manifest["checksums"]}
    path.write_text(json.dumps({**manifest, **changes}))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def zip_folder(folder: Path, path: Path, *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Writes the files of a folder as a zip and returns its path."""
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path
