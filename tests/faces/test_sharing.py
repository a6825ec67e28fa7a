"""Which faces of a video share a template."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.sharing import shared_rows
from pipelines.media.frames import FrameSampler, SamplingPlan
from pipelines.media.images import load_image


@pytest.fixture(scope="module")
def engine(open_models: Path) -> FaceEngine:
    return FaceEngine(OPEN, open_models, EngineOptions(threads=2))


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(28), st.just(28), st.just(3))), st.randoms())
def test_every_face_takes_the_template_of_one_that_keeps_its_own(crops, random):
    qualities = [random.random() for _ in crops]
    rows = shared_rows(crops, qualities)
    assert rows.shape == (len(crops),)
    assert (rows[rows] == rows).all()
    assert all(qualities[row] >= quality for row, quality in zip(rows, qualities, strict=True))


def test_a_brighter_copy_shares_the_template_and_another_person_does_not(engine: FaceEngine, data: Path):
    people = data / "faces/people"
    crops = [engine.analyze([load_image(people / n / "01.jpg")])[0][0].crop for n in ("barack_obama", "joe_biden")]
    brighter = np.clip(crops[0].astype(np.int16) + 20, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(shared_rows(np.stack([crops[0], crops[1], brighter]), [0.5, 0.9, 0.8]), [2, 1, 2])


def test_flat_crops_share_nothing():
    np.testing.assert_array_equal(shared_rows(np.full((3, 28, 28, 3), 90, np.uint8), [1, 1, 1]), [0, 1, 2])


@pytest.mark.parametrize("name", ["head_pose_female_and_male.mp4", "short_hamilton_clip.mp4"])
def test_frames_of_a_clip_get_templates_close_to_their_own_with_fewer_embedded(
    engine: FaceEngine, data: Path, name: str
):
    with FrameSampler(data / "video/real" / name, SamplingPlan()) as sampler:
        blocks = [[frame.image for frame in block] for block in sampler.blocks()][:4]
    shared = [found for block in blocks for found in engine.analyze(block, retry=False)]
    frames = [frame for block in blocks for frame in block]
    own = [engine.analyze([frame], retry=False)[0] for frame in frames]
    assert sum(map(len, own)) > 10
    embedded = {face.template.tobytes() for found in shared for face in found}
    assert len(embedded) < 0.8 * sum(map(len, shared))
    for found, alone in zip(shared, own, strict=True):
        for face in alone:  # a blurred face may stay because of a sharper one that looks the same
            (same,) = [other for other in found if np.allclose(other.box, face.box, atol=0.05)]
            assert float(same.template @ face.template) > 0.7 * float(face.template @ face.template)
