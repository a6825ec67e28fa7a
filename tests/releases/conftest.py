"""Bundles and databases for the tests of importing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.faces.catalogue import BUFFALO_L, OPEN, STASH_SENSE_2026
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.packs import ModelPack
from pipelines.media.images import load_image
from pipelines.releases import ImportReport, import_release
from pipelines.store.performers import PerformerDatabase
from tests.releases import bundles
from tests.releases.bundles import Person

Import = Callable[..., ImportReport]
FACES = 60


@dataclass
class SmallRelease:
    """A bundle on disk and what it was made of.

    Attributes:
        owners: number in `persons` by face, None for nobody.
        vectors: (faces, template_dim) float32: what must come back, unit length an embedder.
        keys: number of each face in the release.
    """

    folder: Path
    persons: list[Person]
    owners: list[int | None]
    vectors: np.ndarray
    keys: list[int] = field(default_factory=list)


def stash_sense_release(folder: Path, owners: list[int | None] | None = None, **options: Any) -> SmallRelease:
    """Writes a bundle of 12 performers and 60 faces by default; some performers have two stash-boxes."""
    persons = [
        Person(
            n,
            f"Person {n}",
            {"stashdb": bundles.uuid(n)} | ({"theporndb": bundles.uuid(100 + n)} if n % 3 == 0 else {}),
            aliases=tuple(f"Alias {a} of {n}" for a in range(n % 3)),
            merged=(("stashdb", bundles.uuid(900 + n)),) if n == 4 else (),
            birth_date="1980-02-03",
            career=(2001, None),
        )
        for n in range(1, 13)
    ]
    chosen = [n % len(persons) for n in range(FACES)] if owners is None else owners
    facenet, arcface = (bundles.vectors(len(chosen), seed=s) for s in (1, 2))
    bundles.write_stash_sense(folder, persons, chosen, facenet * 9, arcface * 4, **options)
    return SmallRelease(folder, persons, chosen, np.concatenate([facenet, arcface], axis=1), list(range(len(chosen))))


def stash_sense2_release(folder: Path, **options: Any) -> SmallRelease:
    """Writes a full bundle of 12 performers, the last two of a catalogue, and 60 faces with every third number."""
    persons = [Person(n, f"Person {n}", {"stashdb": bundles.uuid(n)}, aliases=(f"Alias of {n}",)) for n in range(1, 11)]
    persons += [Person(n, f"Model {n}", catalogue="pornbox") for n in (11, 12)]
    keys = [3 * n + 1 for n in range(FACES)]
    owners: list[int | None] = [n % len(persons) for n in range(FACES)]
    values = bundles.vectors(FACES, seed=3)
    bundles.write_stash_sense2(
        folder, persons, dict(zip(keys, owners, strict=True)), (np.array(keys), values), **options
    )
    return SmallRelease(folder, persons, owners, values, keys)


@pytest.fixture
def release(tmp_path: Path) -> SmallRelease:
    """A bundle of the first Stash Sense."""
    return stash_sense_release(tmp_path / "stash-sense")


@pytest.fixture
def release2(tmp_path: Path) -> SmallRelease:
    """A full bundle of the successor."""
    return stash_sense2_release(tmp_path / "stash-sense2", version="2026.09.01")


@pytest.fixture
def database(tmp_path: Path) -> PerformerDatabase:
    return PerformerDatabase(tmp_path / "performer-db")


@pytest.fixture
def import_old(database: PerformerDatabase, tmp_path: Path) -> Import:
    """Imports a bundle of the first Stash Sense into `database`."""

    def run(path: Path, **options: Any) -> ImportReport:
        return import_release(path, database, STASH_SENSE_2026, workdir=tmp_path / "work", **options)

    return run


@pytest.fixture
def import_new(database: PerformerDatabase, tmp_path: Path) -> Import:
    """Imports bundles of the successor into `database`."""

    def run(*paths: Path, **options: Any) -> ImportReport:
        chosen = paths[0] if len(paths) == 1 else paths
        return import_release(chosen, database, BUFFALO_L, workdir=tmp_path / "work", **options)

    return run


def templates_by_url(database: PerformerDatabase, source: str) -> dict[str, tuple[str, np.ndarray]]:
    """Returns (universal id, template) by what the face table says of the picture."""
    faces = database.source_faces(source)
    assert faces is not None
    rows = faces.select(["source", "universal_id", "template"]).to_pylist()
    return {row["source"]: (row["universal_id"], np.array(row["template"], dtype=np.float32)) for row in rows}


def photo_templates(pack: ModelPack, folder: Path, open_models: Path, data: Path) -> tuple[list[str], np.ndarray]:
    """Returns names and templates of the faces in real photos of people, one a photo.

    Faces are found by the `open` pack's detector, because a random-weight one finds none; all after that (alignments,
    colour orders, flips, resizing) is done as the given pack says, by its graphs in `folder`.
    """
    shutil.copy(open_models / OPEN.detector.file.name, folder)
    engine = FaceEngine(replace(pack, detector=OPEN.detector), folder, EngineOptions(threads=1))
    photos = sorted((data / "faces" / "people").rglob("*.jpg"))[::4]
    seen = [(f"{path.parent.name} {path.stem}", engine.analyze([load_image(path)])[0]) for path in photos]
    kept = [(name, faces[0].template) for name, faces in seen if faces]
    assert len(kept) >= 8
    return [name for name, _ in kept], np.stack([template for _, template in kept])


@pytest.fixture
def imported(release2: SmallRelease, import_new: Import) -> SmallRelease:
    """The full bundle of the successor, imported into `database`."""
    import_new(release2.folder)
    return release2
