"""Embedder: canonical values, batches, flips, layouts, colour orders, normalisation, and wrong graphs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from pipelines.errors import InputError, ModelContractMismatch
from pipelines.faces.alignment import align_face
from pipelines.faces.catalogue import OPEN
from pipelines.faces.embedder import FaceEmbedder, unit_length
from pipelines.faces.packs import EmbedderSpec
from pipelines.faces.types import F32, U8
from pipelines.media.images import load_image
from tests.fakes.graphs import write_embedder

LANDMARKS = np.array([[439.9, 213.7], [555.5, 213.8], [496.3, 267.1], [440.4, 318.2], [547.0, 320.9]], np.float32)
"""Of people/barack_obama/01.jpg."""

CANONICAL = {
    "sface": [0.0290, 0.0125, -0.0096, 0.0356, 0.0853],
}
"""First five components of his embeddings (onnxruntime 1.31 on x86-64)."""


@pytest.fixture(params=OPEN.embedders, ids=lambda spec: spec.name)
def embedder(request: pytest.FixtureRequest, open_models: Path) -> FaceEmbedder:
    spec: EmbedderSpec = request.param
    return FaceEmbedder(spec, open_models / spec.file.name, threads=2)


def crops_of(data: Path, spec: EmbedderSpec, count: int = 1) -> U8:
    """The face, moved by a few px from crop to crop."""
    photo = load_image(data / "faces/people/barack_obama/01.jpg")
    shifts = [LANDMARKS + np.float32(3 * i) for i in range(count)]
    return np.stack([align_face(photo, marks, spec.alignment, spec.input_px) for marks in shifts])


def fake(tmp_path: Path, **changes: object) -> FaceEmbedder:
    spec = dataclasses.replace(OPEN.embedders[0], input_px=32, dimension=16, **changes)
    path = write_embedder(tmp_path / f"{spec.layout}.onnx", spec.layout, 32, 16)
    return FaceEmbedder(spec, path, threads=1)


def noise(count: int, side: int = 32) -> U8:
    return np.random.default_rng(0).integers(0, 255, (count, side, side, 3), np.uint8)


def run(embedder: FaceEmbedder, blob: F32) -> F32:
    """What the graph itself gives, without the code under test."""
    session = ort.InferenceSession(str(embedder._session.path), providers=["CPUExecutionProvider"])
    output: F32 = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(blob, np.float32)})[0]
    return output


def test_canonical_values(embedder: FaceEmbedder, data: Path):
    embedding = embedder.embed(crops_of(data, embedder.spec))[0]
    np.testing.assert_allclose(embedding[:5], CANONICAL[embedder.spec.name], atol=1e-3)


def test_a_batch_gives_what_single_crops_give(embedder: FaceEmbedder, data: Path):
    crops = crops_of(data, embedder.spec, 5)
    batch = embedder.embed(crops)
    single = np.concatenate([embedder.embed(crops[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(batch, single, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-5)
    assert batch.dtype == np.float32


def test_no_crops_no_embeddings(embedder: FaceEmbedder):
    side = embedder.spec.input_px
    assert embedder.embed(np.zeros((0, side, side, 3), np.uint8)).shape == (0, embedder.spec.dimension)


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_batches_smaller_than_the_crops_change_nothing(tmp_path: Path, count: int):
    spec = dataclasses.replace(OPEN.embedders[0], input_px=32, dimension=16, flip=True)
    path = write_embedder(tmp_path / "e.onnx", "nchw", 32, 16)
    small = FaceEmbedder(spec, path, threads=1, batch_size=3)
    large = FaceEmbedder(spec, path, threads=1, batch_size=64)
    np.testing.assert_allclose(small.embed(noise(count)), large.embed(noise(count)), atol=1e-5)


def test_a_graph_of_batch_one_is_run_crop_by_crop(tmp_path: Path):
    free = write_embedder(tmp_path / "free.onnx", "nchw", 32, 16)
    model = onnx.load(free)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "one.onnx")
    spec = dataclasses.replace(OPEN.embedders[0], input_px=32, dimension=16)
    one = FaceEmbedder(spec, tmp_path / "one.onnx", threads=1)
    np.testing.assert_allclose(one.embed(noise(4)), FaceEmbedder(spec, free, threads=1).embed(noise(4)), atol=1e-5)


def test_flipping_averages_outputs_before_their_length_is_taken(tmp_path: Path):
    embedder = fake(tmp_path, flip=True)
    crops = noise(3)
    plain, mirrored = (run(embedder, c.astype(np.float32).transpose(0, 3, 1, 2)) for c in (crops, crops[:, :, ::-1]))
    mean = (plain + mirrored) / 2
    np.testing.assert_allclose(embedder.embed_raw(crops), mean, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(embedder.embed(crops), mean / np.linalg.norm(mean, axis=1)[:, None], atol=1e-5)
    np.testing.assert_allclose(embedder.embed(crops), embedder.embed(crops[:, :, ::-1]), atol=1e-5)


def test_mean_std_and_colour_order_are_applied(tmp_path: Path):
    embedder = fake(tmp_path, mean=127.5, std=128.0, colour_order="bgr")
    blob = ((noise(2).astype(np.float32) - 127.5) / 128)[..., ::-1].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(embedder.embed_raw(noise(2)), run(embedder, blob), rtol=1e-4, atol=1e-5)


def test_both_layouts_of_one_graph_agree(tmp_path: Path):
    nchw, nhwc = fake(tmp_path, layout="nchw"), fake(tmp_path, layout="nhwc")
    np.testing.assert_allclose(nchw.embed(noise(3)), nhwc.embed(noise(3)), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimension": 512}, r"expected output \(n, 512\), found \(1, 16\)"),
        ({"input_px": 160}, r"expected input \(n, 3, 160, 160\), found \(None, 3, 32, 32\)"),
        ({"layout": "nhwc"}, r"expected input \(n, 32, 32, 3\), found \(None, 3, 32, 32\)"),
    ],
)
def test_another_graph_is_refused_with_what_it_has(tmp_path: Path, changes: dict[str, object], message: str):
    spec = dataclasses.replace(OPEN.embedders[0], **{"input_px": 32, "dimension": 16, **changes})
    path = write_embedder(tmp_path / "e.onnx", "nchw", 32, 16)
    with pytest.raises(ModelContractMismatch, match=message):
        FaceEmbedder(spec, path, threads=1)


@pytest.mark.parametrize(
    "crops", [np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 31, 32, 3), np.uint8), noise(1)[0]]
)
def test_crops_of_another_shape_or_type_are_refused(tmp_path: Path, crops: np.ndarray):
    with pytest.raises(InputError, match=r"Expected uint8 \(n, 32, 32, 3\)"):
        fake(tmp_path).embed(crops)


def test_what_has_no_direction_becomes_zeros():
    rows = unit_length(np.array([[3, 4], [0, 0]], np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])
