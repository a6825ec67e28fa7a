"""Two embedders on real photos: the pack `open-dlib`, its fused score and what dlib's part of a template is like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.enroll.folder import enroll_folder
from pipelines.errors import PackMismatch
from pipelines.faces.catalogue import OPEN, OPEN_DLIB
from pipelines.faces.engine import EngineOptions, Face, FaceEngine
from pipelines.faces.identify import Identifier
from pipelines.faces.templates import TemplateSpace, load_pack_mean, unit
from pipelines.media.images import load_image
from pipelines.store.performers import PerformerDatabase

SFACE, DLIB = slice(0, 128), slice(128, 256)


@pytest.fixture(scope="module")
def engine(converted: Path) -> FaceEngine:
    return FaceEngine(OPEN_DLIB, converted, EngineOptions(threads=2))


@pytest.fixture(scope="module")
def faces(engine: FaceEngine, data: Path) -> dict[str, Face]:
    names = ("barack_obama/01.jpg", "barack_obama/02.jpg", "joe_biden/01.jpg", "azure_family1_dad/01.jpg")
    people = data / "faces" / "people"
    return {n: engine.analyze([load_image(people / n)])[0][0] for n in names}


def test_a_template_holds_both_embeddings_at_unit_length(faces: dict[str, Face]):
    for face in faces.values():
        assert face.template.shape == (256,)
        np.testing.assert_allclose(np.linalg.norm(face.template[SFACE]), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(face.template[DLIB]), 1, atol=1e-5)


def test_dlib_tells_people_apart_on_its_own_scale(faces: dict[str, Face]):
    obama, again, biden, dad = (f.template[DLIB] for f in faces.values())
    assert obama @ again > 0.925, "the threshold that dlib's raw cosine is used with"
    assert max(obama @ biden, obama @ dad, biden @ dad) < 0.925


def test_the_first_embedding_is_that_of_open(faces: dict[str, Face], converted: Path, data: Path):
    photo = load_image(data / "faces/people/joe_biden/01.jpg")
    alone = FaceEngine(OPEN, converted, EngineOptions(threads=2)).analyze([photo])[0][0]
    np.testing.assert_allclose(faces["joe_biden/01.jpg"].template[SFACE], alone.template, atol=1e-5)


def test_the_fused_score_is_the_weighted_sum_of_centred_cosines(faces: dict[str, Face]):
    space = TemplateSpace.for_gallery(OPEN_DLIB, np.zeros((0, 256), np.float32))
    prior = load_pack_mean(OPEN_DLIB)
    assert prior is not None
    one, two = (faces[n].template for n in ("barack_obama/01.jpg", "barack_obama/02.jpg"))
    fused = float((space.project(one[None]) @ space.project(two[None]).T)[0, 0])
    parts = [unit((t - prior.mean)[None, part]) for t in (one, two) for part in (SFACE, DLIB)]
    expected = 0.8 * float((parts[0] @ parts[2].T)[0, 0]) + 0.2 * float((parts[1] @ parts[3].T)[0, 0])
    assert fused == pytest.approx(expected, abs=1e-5)


def test_people_are_named_and_a_database_of_another_pack_is_refused(
    engine: FaceEngine, data: Path, tmp_path: Path, converted: Path
):
    database = PerformerDatabase(tmp_path / "db")
    enroll_folder(data / "faces" / "people", engine, database)
    identifier = Identifier(database.load(pack=OPEN_DLIB))
    people = identifier.image(engine.analyze([load_image(data / "faces/groups/obama_biden_1.jpg")])[0])
    assert {p.match.name for p in people if p.match} == {"barack_obama", "joe_biden"}
    strangers = identifier.image(engine.analyze([load_image(data / "faces/groups/solvay1927.jpg")])[0])
    assert len(strangers) > 20
    assert not any(p.match for p in strangers)
    with pytest.raises(PackMismatch, match="open-dlib"):
        database.load(pack=OPEN)
