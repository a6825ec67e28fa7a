"""Detector: exact counts, equality with insightface, both output ranks, batches, odd pictures and wrong graphs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from pipelines.errors import InputError, ModelContractMismatch
from pipelines.faces.catalogue import OPEN
from pipelines.faces.detector import Detections, FaceDetector, Letterbox, box_iou, check_frame
from pipelines.faces.packs import DetectorSpec
from pipelines.media.images import load_image
from tests.fakes.graphs import write_embedder, write_scrfd

GROUPS = {
    "compreface_010_2.jpg": 2,
    "compreface_011_3.jpg": 3,
    "azure_four_men_bw.jpg": 4,
    "compreface_000_5.jpg": 5,
    "compreface_014_5.jpg": 5,
    "compreface_015_6.jpg": 6,
    "compreface_016_8.jpg": 8,
    "obama_biden_1.jpg": 2,
    "azure_restaurant.jpg": 3,
    "solvay1927.jpg": 29,
}


@pytest.fixture(scope="module")
def detector(open_models: Path) -> FaceDetector:
    return FaceDetector(OPEN.detector, open_models / OPEN.detector.file.name, threads=2)


def fake_spec(**changes: object) -> DetectorSpec:
    return dataclasses.replace(OPEN.detector, input_px=128, **changes)


@pytest.mark.parametrize(("name", "count"), GROUPS.items())
def test_groups_are_counted_exactly(detector: FaceDetector, data: Path, name: str, count: int):
    assert len(detector.detect([load_image(data / "faces/groups" / name)])[0]) == count


@pytest.mark.parametrize("name", ["azure_four_men_bw.jpg", "compreface_000_5.jpg", "solvay1927.jpg"])
def test_boxes_landmarks_and_scores_are_those_of_insightface(
    detector: FaceDetector, open_models: Path, data: Path, name: str
):
    from insightface.model_zoo import get_model

    picture = load_image(data / "faces/groups" / name)
    theirs = get_model(str(open_models / "det_yunet.onnx"), providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=-1, det_thresh=OPEN.detector.min_score, input_size=(640, 640))
    boxes, landmarks = theirs.detect(picture[:, :, ::-1])
    ours = detector.detect([picture])[0]
    order = [int(np.argmax(box_iou(box, boxes[:, :4]))) for box in ours.boxes]
    assert sorted(order) == list(range(len(boxes)))
    assert np.abs(ours.boxes - boxes[order, :4]).max() < 1
    assert np.abs(ours.landmarks - landmarks[order]).max() < 1
    assert np.abs(ours.scores - boxes[order, 4]).max() < 0.01


@pytest.mark.parametrize("longest_px", [640, 256])
def test_a_mixed_batch_gives_what_single_pictures_give(open_models: Path, data: Path, longest_px: int):
    path = open_models / OPEN.detector.file.name
    pictures = [load_image(data / "faces/groups" / name) for name in sorted(GROUPS)]
    batched = FaceDetector(OPEN.detector, path, threads=2, batch_size=3).detect(pictures, longest_px=longest_px)
    single = FaceDetector(OPEN.detector, path, threads=2, batch_size=1)
    assert sum(map(len, batched)) > 20
    for picture, found in zip(pictures, batched, strict=True):
        expected = single.detect([picture], longest_px=longest_px)[0]
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.05)


@pytest.mark.parametrize("size", [(96, 128), (128, 64), (333, 517)])
def test_both_output_ranks_decode_as_the_contract_says(tmp_path: Path, size: tuple[int, int]):
    picture = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    spec = fake_spec(min_score=0.6, nms_iou=0.99)
    with_batch = FaceDetector(spec, write_scrfd(tmp_path / "r3.onnx", batch_axis=True), threads=1)
    without = FaceDetector(spec, write_scrfd(tmp_path / "r2.onnx", batch_axis=False), threads=1)
    found, again = with_batch.detect([picture, picture])
    flat = without.detect([picture])[0]
    assert len(found) > 0
    for other in (again, flat):
        np.testing.assert_allclose(found.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(found.landmarks, other.landmarks, atol=1e-3)
    boxes, landmarks, scores = decode_slowly(with_batch, picture, 0.6)
    assert len(scores) >= len(found)
    for box, marks, score in zip(found.boxes, found.landmarks, found.scores, strict=True):
        row = int(np.abs(boxes - box).sum(axis=1).argmin())
        np.testing.assert_allclose(boxes[row], box, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(landmarks[row], marks, rtol=1e-4, atol=1e-2)
        assert scores[row] == pytest.approx(score, abs=1e-4)


def decode_slowly(detector: FaceDetector, picture: np.ndarray, least: float) -> tuple[np.ndarray, ...]:
    """The contract in plain loops, over the same graph: one cell and one anchor at a time."""
    box = Letterbox.fit(picture, detector.spec.input_px)
    canvas = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    canvas[: box.height, : box.width] = cv2.resize(picture, (box.width, box.height))
    blob = ((canvas.astype(np.float32) - detector.spec.mean) / detector.spec.std).transpose(2, 0, 1)[None]
    outputs = [o.reshape(-1, o.shape[-1]) for o in detector._session.run(np.ascontiguousarray(blob))]
    scale = picture.shape[0] / box.height
    boxes, landmarks, scores = [], [], []
    for level, stride in enumerate((8, 16, 32)):
        row = 0
        for y in range(box.canvas_height // stride):
            for x in range(box.canvas_width // stride):
                for _ in range(2):
                    score = float(outputs[level][row, 0])
                    left, top, right, bottom = outputs[level + 3][row]
                    if score >= least:
                        scores.append(score)
                        corners = [x - left, y - top, x + right, y + bottom]
                        boxes.append([v * stride * scale for v in corners])
                        points = outputs[level + 6][row].reshape(5, 2)
                        landmarks.append([[(x + dx) * stride * scale, (y + dy) * stride * scale] for dx, dy in points])
                    row += 1
    return np.array(boxes), np.array(landmarks), np.array(scores)


def test_colour_order_matters(detector: FaceDetector, open_models: Path, data: Path):
    spec = dataclasses.replace(OPEN.detector, colour_order="bgr")
    swapped = FaceDetector(spec, open_models / OPEN.detector.file.name, threads=2)
    picture = load_image(data / "faces/groups/compreface_011_3.jpg")
    expected = detector.detect([picture])[0]
    found = swapped.detect([np.ascontiguousarray(picture[:, :, ::-1])])[0]
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert not np.array_equal(swapped.detect([picture])[0].scores, expected.scores)


def test_a_graph_with_a_fixed_input_gets_a_square_canvas(tmp_path: Path):
    path = fixed(write_scrfd(tmp_path / "f.onnx", batch_axis=False), 128)
    picture = np.random.default_rng(1).integers(0, 255, (60, 128, 3), np.uint8)
    found = FaceDetector(fake_spec(), path, threads=1).detect([picture, picture[:, :64]])
    assert len(found) == 2
    with pytest.raises(ModelContractMismatch, match=r"h and w free or 640.*128"):
        FaceDetector(OPEN.detector, path, threads=1)


def fixed(path: Path, side: int) -> Path:
    model = onnx.load(path)
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = side
    onnx.save(model, path)
    return path


def test_another_graph_is_refused_with_what_it_has(tmp_path: Path):
    path = write_embedder(tmp_path / "e.onnx", "nchw", 128, 8)
    with pytest.raises(ModelContractMismatch, match=r"outputs \[.*found \[\(1, 8\)\]"):
        FaceDetector(fake_spec(), path, threads=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (64, 51), (2, 3), (33, 31)])
def test_pictures_of_odd_shapes_have_no_faces(detector: FaceDetector, shape: tuple[int, int]):
    assert len(detector.detect([np.full((*shape, 3), 128, np.uint8)])[0]) == 0


def test_a_huge_picture_gives_the_boxes_of_the_small_one(detector: FaceDetector, data: Path):
    small = load_image(data / "faces/people/barack_obama/01.jpg")
    huge = cv2.resize(small, None, fx=7, fy=7, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(detector.detect([huge])[0].boxes / 7, detector.detect([small])[0].boxes, atol=12)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((10, 10, 3), np.uint16),
        np.zeros((0, 10, 3), np.uint8),
        "picture.jpg",
    ],
)
def test_what_is_no_picture_is_refused(detector: FaceDetector, picture: object):
    with pytest.raises(InputError):
        detector.detect([picture])  # type: ignore[list-item]


def test_no_pictures_no_answers(detector: FaceDetector):
    assert detector.detect([]) == []
    check_frame(np.zeros((1, 1, 3), np.uint8))


def test_overlap_of_boxes():
    box = np.array([0, 0, 10, 10], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(box_iou(box, others), [1, 1 / 3, 0, 0])


def test_records_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="not those of 2 faces"):
        Detections(np.zeros((1, 4), np.float32), np.zeros((2, 5, 2), np.float32), np.zeros(2, np.float32))
