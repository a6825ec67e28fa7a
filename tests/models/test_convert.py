"""The converted graphs against the graphs they were made from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from pipelines.errors import ModelChecksumMismatch, ModelContractMismatch
from pipelines.faces.catalogue import OPEN
from pipelines.faces.packs import ModelFile
from pipelines.models.convert import CONVERSIONS, convert_file
from pipelines.models.graph import serialise
from pipelines.models.wheels import YUNET
from tests.models.conftest import CONVERTED

F32 = npt.NDArray[np.float32]


def _session(model: Path | bytes) -> ort.InferenceSession:
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, images: F32) -> list[F32]:
    return session.run(None, {session.get_inputs()[0].name: images})


def _photo(data: Path, name: str, height: int, width: int) -> F32:
    bgr = cv2.resize(cv2.imread(str(data / "faces" / "groups" / name)), (width, height), interpolation=cv2.INTER_AREA)
    return bgr.astype(np.float32)


def _as_input(bgr: F32) -> F32:
    return ((bgr[..., ::-1] - 127.5) / 128).transpose(2, 0, 1)[None].astype(np.float32)


def test_the_files_are_those_that_are_pinned(converted: Path) -> None:
    assert set(CONVERTED) == set(CONVERSIONS)
    for file in CONVERTED.values():
        content = (converted / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size_bytes, file.sha256)


def test_conversion_gives_the_same_bytes_each_time(sources: dict[str, bytes]) -> None:
    for name, conversion in CONVERSIONS.items():
        first, second = (serialise(conversion.convert(sources[name])) for _ in range(2))
        assert first == second


def test_no_weight_is_quantised_or_an_input_any_more(converted: Path) -> None:
    for file in CONVERTED.values():
        model = onnx.load(converted / file.name)
        assert len(model.graph.input) == 1
        assert {n.op_type for n in model.graph.node} & {"DequantizeLinear", "QuantizeLinear", "Constant"} == set()
        assert {t.data_type for t in model.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_another_graph_than_the_pinned_one_is_not_written(sources: dict[str, bytes], tmp_path: Path) -> None:
    other = ModelFile("det_yunet.onnx", 233_886, "0" * 64, graph_sha256="1" * 64)
    with pytest.raises(ModelChecksumMismatch) as raised:
        convert_file(other, sources["det_yunet.onnx"], tmp_path)
    assert "locked versions" in raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_same_graph_in_other_bytes_is_accepted(sources: dict[str, bytes], tmp_path: Path) -> None:
    genuine = OPEN.detector.file
    other_bytes = ModelFile(genuine.name, genuine.size_bytes + 1, "0" * 64, graph_sha256=genuine.graph_sha256)
    assert convert_file(other_bytes, sources["det_yunet.onnx"], tmp_path).is_file()


@pytest.mark.parametrize("name", sorted(CONVERSIONS))
@pytest.mark.parametrize("data", [b"", b"not a model", bytes(100_000)])
def test_an_input_of_another_kind_is_named(name: str, data: bytes) -> None:
    with pytest.raises(ModelContractMismatch):
        CONVERSIONS[name].convert(data)


# --- detector


@pytest.fixture(scope="module")
def detector(converted: Path) -> ort.InferenceSession:
    return _session(converted / "det_yunet.onnx")


def test_the_detector_keeps_the_scrfd_contract(detector: ort.InferenceSession) -> None:
    assert [i.shape for i in detector.get_inputs()] == [["N", 3, "H", "W"]]
    assert len(detector.get_outputs()) == 9
    for height, width in ((320, 640), (96, 32), (640, 640)):
        outputs = _run(detector, np.zeros((1, 3, height, width), np.float32))
        anchors = [height // s * (width // s) * 2 for s in (8, 16, 32)]
        assert [o.shape for o in outputs] == [(1, n, k) for k in (1, 4, 10) for n in anchors]


def test_a_batch_of_images_gives_what_each_gives_alone(detector: ort.InferenceSession, data: Path) -> None:
    images = np.concatenate(
        [_as_input(_photo(data, n, 320, 416)) for n in ("compreface_016_8.jpg", "compreface_014_5.jpg")]
    )
    together = _run(detector, images)
    for i, image in enumerate(images):
        for joined, alone in zip(together, _run(detector, image[None]), strict=True):
            np.testing.assert_allclose(joined[i], alone[0], atol=1e-5)


def test_second_anchors_never_score(detector: ort.InferenceSession, data: Path) -> None:
    for scores in _run(detector, _as_input(_photo(data, "compreface_016_8.jpg", 320, 320)))[:3]:
        assert np.all(scores[0, 1::2] == 0)
        assert np.all((scores >= 0) & (scores <= 1))


@pytest.mark.parametrize(
    ("name", "faces"), [("compreface_016_8.jpg", 8), ("compreface_014_5.jpg", 5), ("solvay1927.jpg", 29)]
)
def test_boxes_and_landmarks_are_those_of_opencv(
    detector: ort.InferenceSession, sources: dict[str, bytes], data: Path, tmp_path: Path, name: str, faces: int
) -> None:
    bgr = _photo(data, name, 640, 960)
    original = tmp_path / YUNET.file.name
    original.write_bytes(sources["det_yunet.onnx"])
    reference = cv2.FaceDetectorYN.create(str(original), "", (960, 640), 0.7, 0.4, 5000)
    expected = reference.detect(bgr.astype(np.uint8))[1]
    found = _decode(_run(detector, _as_input(bgr)), 640, 960, 0.7)
    assert len(expected) == faces
    for row in expected:
        nearest = found[np.abs(found[:, :2] - row[:2]).sum(1).argmin()]
        box = nearest[:4] - np.array([0, 0, nearest[0], nearest[1]], np.float32)
        np.testing.assert_allclose(box, row[:4], atol=0.1)
        np.testing.assert_allclose(nearest[4:14], row[4:14], atol=0.1)
        assert nearest[14] == pytest.approx(row[14], abs=1e-3)


def _decode(outputs: list[F32], height: int, width: int, threshold: float) -> F32:
    """Returns (n, 15): box corners, landmarks, score; the SCRFD decoding written out once more, without NMS."""
    rows = []
    for i, stride in enumerate((8, 16, 32)):
        scores, boxes, landmarks = (outputs[i + 3 * k][0] for k in range(3))
        y, x = np.mgrid[: height // stride, : width // stride]
        centres = np.repeat(np.stack([x, y], -1).reshape(-1, 2), 2, axis=0) * stride
        for at in np.flatnonzero(scores[:, 0] >= threshold):
            cx, cy = centres[at]
            left, top, right, bottom = boxes[at] * stride
            points = (landmarks[at].reshape(5, 2) * stride + centres[at]).ravel()
            rows.append([cx - left, cy - top, cx + right, cy + bottom, *points, scores[at, 0]])
    return np.array(rows, np.float32)


# --- embedders


def _without_weight_inputs(data: bytes) -> bytes:
    """Returns the original graph in a form that the runtime loads: its weights are no inputs any more."""
    model = onnx.load_from_string(data)
    del model.graph.input[1:]
    return model.SerializeToString()


def test_sface_answers_as_the_quantised_original(converted: Path, sources: dict[str, bytes]) -> None:
    crops = np.random.default_rng(0).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    original = _session(_without_weight_inputs(sources["rec_sface.onnx"]))
    expected = np.concatenate([_run(original, crop[None])[0] for crop in crops])
    np.testing.assert_allclose(_run(_session(converted / "rec_sface.onnx"), crops)[0], expected, atol=1e-4)


@pytest.mark.parametrize(("name", "side"), [("rec_sface.onnx", 112), ("dlib_resnet.onnx", 150)])
def test_a_batch_of_crops_gives_what_each_gives_alone(converted: Path, name: str, side: int) -> None:
    session = _session(converted / name)
    crops = np.random.default_rng(0).uniform(0, 255, (5, 3, side, side)).astype(np.float32)
    alone = np.concatenate([_run(session, crop[None])[0] for crop in crops])
    together = _run(session, crops)[0]
    assert together.shape == (5, 128)
    np.testing.assert_allclose(together, alone, atol=1e-5)
