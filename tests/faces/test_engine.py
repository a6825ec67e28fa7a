"""Engine: canonical values, parity with insightface, nobody where nobody is, threads, packs that cannot be shipped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.errors import InputError, ModelContractMismatch, ModelMissing
from pipelines.faces.alignment import align_face
from pipelines.faces.catalogue import OPEN
from pipelines.faces.detector import FaceDetector, box_iou
from pipelines.faces.embedder import FaceEmbedder
from pipelines.faces.engine import EngineOptions, Face, FaceEngine
from pipelines.faces.packs import ModelPack
from pipelines.faces.types import Frame
from pipelines.media.images import load_image
from tests.fakes.packs import small_buffalo_l, small_stash_sense_2026

PLAIN = dataclasses.replace(OPEN, detector=dataclasses.replace(OPEN.detector, refine=False))
"""The open pack with the landmarks of one pass, whose values do not move when looks around a face are improved."""

NOFACE = (
    "azure_cheese_clipart.png",
    "azure_dog.jpg",
    "azure_handwritten_text.jpg",
    "azure_lion_drawing.png",
    "azure_printed_text.jpg",
    "compreface_017_0.jpg",
    "eagle.jpg",
)

CANONICAL = {
    "barack_obama/01.jpg": (
        [369.0, 91.1, 610.8, 421.2],
        [439.7, 213.7, 555.2, 213.8, 496.0, 267.1, 440.2, 318.2, 546.7, 320.9],
        [0.0188, 0.0125, -0.0135, 0.0342, 0.0836],
    ),
    "compreface_b/01.jpg": (
        [162.8, 218.5, 265.1, 357.4],
        [184.4, 270.6, 234.5, 268.6, 203.6, 298.4, 189.3, 321.5, 231.9, 320.3],
        [-0.1161, 0.0050, 0.1238, 0.1239, 0.1676],
    ),
    "signer_a/01.jpg": (
        [90.7, 80.9, 154.9, 170.9],
        [113.9, 118.2, 142.9, 118.3, 131.9, 136.1, 115.9, 147.3, 140.4, 147.7],
        [-0.0112, -0.0735, 0.0020, -0.0027, -0.1335],
    ),
}
"""Box, landmarks and the first five components of the template of a photo (onnxruntime 1.31, x86-64, 2026-11-22)."""


@pytest.fixture(scope="module")
def engine(open_models: Path) -> FaceEngine:
    return FaceEngine(OPEN, open_models, EngineOptions(threads=2))


@pytest.fixture(scope="module")
def plain(open_models: Path) -> FaceEngine:
    return FaceEngine(PLAIN, open_models, EngineOptions(threads=2))


@pytest.fixture(scope="module")
def portrait(data: Path) -> Frame:
    return load_image(data / "faces/people/barack_obama/01.jpg")


def frames_of(path: Path, step: int) -> list[Frame]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if i % step == 0]


@pytest.mark.parametrize("name", CANONICAL)
def test_canonical_values(plain: FaceEngine, data: Path, name: str):
    box, landmarks, template = CANONICAL[name]
    (face,) = plain.analyze([load_image(data / "faces/people" / name)])[0]
    np.testing.assert_allclose(face.box, box, atol=0.2)
    np.testing.assert_allclose(face.landmarks.ravel(), landmarks, atol=0.2)
    np.testing.assert_allclose(face.template[:5], template, atol=1e-3)


def test_faces_are_complete_and_largest_first(engine: FaceEngine, data: Path):
    picture = load_image(data / "faces/groups/azure_restaurant.jpg")
    faces = engine.analyze([picture])[0]
    assert len(faces) == 3
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in faces]
    assert areas == sorted(areas, reverse=True)
    for face in faces:
        assert face.template.shape == (OPEN.template_dim,)
        assert face.template.dtype == np.float32
        parts = np.split(face.template, np.cumsum([e.dimension for e in OPEN.embedders])[:-1])
        np.testing.assert_allclose([np.linalg.norm(p) for p in parts], 1, atol=1e-5)
        assert face.crop.shape == (112, 112, 3)
        np.testing.assert_array_equal(face.crop, align_face(picture, face.landmarks, "arcface", 112))
        assert 0 < face.quality <= 1
        assert OPEN.detector.min_score <= face.detection_score <= 1


def test_boxes_are_cut_at_the_edges(open_models: Path, portrait: Frame):
    part = np.ascontiguousarray(portrait[:, 480:])  # through the middle of the face
    detector = FaceDetector(OPEN.detector, open_models / "det_yunet.onnx", threads=2)
    engine = FaceEngine(OPEN, open_models, EngineOptions(threads=2, min_detection_score=0.3, min_quality=0))
    beyond = detector.detect([part], 0.3)[0].boxes[0]
    (box,) = engine.detect([part], retry=False)[0].boxes
    assert beyond[0] < 0
    np.testing.assert_allclose(box, np.maximum(beyond, 0), atol=0.1)


def test_a_batch_gives_what_single_pictures_give(engine: FaceEngine, data: Path):
    names = [
        "groups/azure_restaurant.jpg",
        "noface/eagle.jpg",
        "people/barack_obama/02.jpg",
        "groups/obama_biden_1.jpg",
    ]
    pictures = [load_image(data / "faces" / name) for name in names]
    batch = engine.analyze(pictures)
    assert [len(faces) for faces in batch] == [3, 0, 1, 2]
    for picture, faces in zip(pictures, batch, strict=True):
        for face, alone in zip(faces, engine.analyze([picture])[0], strict=True):
            np.testing.assert_allclose(face.box, alone.box, atol=0.05)
            np.testing.assert_allclose(face.template, alone.template, atol=2e-3)


def test_several_threads_get_the_answers_of_one(engine: FaceEngine, data: Path):
    pictures = [load_image(p) for p in sorted((data / "faces/people").glob("*/01.*"))]
    expected = [engine.analyze([p])[0] for p in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda p: engine.analyze([p])[0], pictures))
    for faces, others in zip(found, expected, strict=True):
        assert len(faces) == len(others)
        for face, other in zip(faces, others, strict=True):
            np.testing.assert_allclose(face.template, other.template, atol=1e-4)


@pytest.mark.parametrize("name", NOFACE)
def test_nobody_in_pictures_without_people(engine: FaceEngine, data: Path, name: str):
    assert engine.analyze([load_image(data / "faces/noface" / name)]) == [[]]


@pytest.mark.parametrize("name", ["noface_bottles.mp4", "noface_nasa_dark.mp4"])
def test_nobody_in_clips_without_people(engine: FaceEngine, data: Path, name: str):
    frames = frames_of(data / "video/real" / name, 25)
    assert len(frames) > 10
    assert [len(faces) for faces in engine.analyze(frames, retry=False)] == [0] * len(frames)


def test_false_boxes_are_dropped_for_their_quality(open_models: Path, engine: FaceEngine, data: Path):
    picture = load_image(data / "faces/people/joe_biden/02.jpg")  # the painted background scores 0.70
    everything = FaceEngine(OPEN, open_models, EngineOptions(threads=2, min_quality=0)).analyze([picture])[0]
    assert len(everything) == 2
    assert min(face.quality for face in everything) == 0
    assert len(engine.analyze([picture])[0]) == 1


def test_photos_of_one_person_are_alike_and_of_two_are_not(engine: FaceEngine, data: Path):
    people = data / "faces/people"
    names = ["barack_obama/01.jpg", "barack_obama/03.jpg", "joe_biden/01.jpg"]
    first, again, other = (engine.analyze([load_image(people / n)])[0][0].template for n in names)
    assert first @ again > 0.6
    assert first @ other < 0.3


@pytest.mark.parametrize("name", ["obama_gray.jpg", "obama_q10.jpg", "obama_exif_orientation6.jpg"])
def test_the_same_photo_in_another_format_is_the_same_person(
    engine: FaceEngine, data: Path, portrait: Frame, name: str
):
    (face,) = engine.analyze([load_image(data / "faces/formats" / name)])[0]
    assert face.template @ engine.analyze([portrait])[0][0].template > 0.8


def test_a_photo_on_its_side_gives_the_same_template(engine: FaceEngine, portrait: Frame):
    side = np.ascontiguousarray(np.rot90(portrait))
    assert engine.analyze([side], retry=False) == [[]]
    (face,) = engine.analyze([side])[0]
    assert face.roll_deg == pytest.approx(-90, abs=5)
    assert abs(face.yaw_deg) < 10
    assert face.template @ engine.analyze([portrait])[0][0].template > 0.9


@pytest.mark.parametrize("shape", [(64, 51), (1, 700), (700, 1), (1, 1)])
def test_odd_shapes_are_no_error(engine: FaceEngine, shape: tuple[int, int]):
    assert engine.analyze([np.full((*shape, 3), 90, np.uint8)]) == [[]]


def test_no_pictures_no_answers(engine: FaceEngine):
    assert engine.analyze([]) == []
    assert engine.detect([]) == []


def test_what_is_no_picture_is_refused(engine: FaceEngine):
    with pytest.raises(InputError, match="float32"):
        engine.analyze([np.zeros((9, 9, 3), np.float32)])  # type: ignore[list-item]


def test_boxes_and_embeddings_are_those_of_insightface(open_models: Path, data: Path, tmp_path: Path):
    from insightface.app import FaceAnalysis

    for name in ("det_yunet.onnx", "rec_sface.onnx"):
        (tmp_path / name).symlink_to(open_models / name)
    theirs = FaceAnalysis(name=str(tmp_path), providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=-1, det_thresh=OPEN.detector.min_score, det_size=(640, 640))
    detector = FaceDetector(OPEN.detector, open_models / "det_yunet.onnx", threads=2, square=True)
    spec = OPEN.embedders[0]
    embedder = FaceEmbedder(spec, open_models / "rec_sface.onnx", threads=2)
    compared = 0
    for name in ("groups/azure_restaurant.jpg", "groups/obama_biden_1.jpg", "people/signer_b/01.jpg"):
        picture = load_image(data / "faces" / name)
        expected = theirs.get(picture[:, :, ::-1])
        found = detector.detect([picture])[0]
        crops = [align_face(picture, marks, spec.alignment, spec.input_px) for marks in found.landmarks]
        embeddings = embedder.embed(np.stack(crops))
        assert len(expected) == len(found)
        for face in expected:
            row = int(box_iou(face.bbox, found.boxes).argmax())
            assert np.abs(found.boxes[row] - face.bbox).max() < 1
            assert np.abs(found.landmarks[row] - face.kps).max() < 1
            assert embeddings[row] @ face.normed_embedding > 0.999
            compared += 1
    assert compared == 6


@pytest.mark.parametrize("make", [small_buffalo_l, small_stash_sense_2026], ids=["buffalo_l", "stash-sense-2026"])
def test_packs_that_cannot_be_shipped_run_through_the_same_engine(
    make: Callable[[Path], ModelPack], tmp_path: Path, portrait: Frame
):
    pack = make(tmp_path)
    pack = dataclasses.replace(pack, detector=dataclasses.replace(pack.detector, input_px=128))
    small = np.ascontiguousarray(portrait[::4, ::4])
    detector = FaceDetector(pack.detector, tmp_path / pack.detector.file.name, threads=1)
    score = float(detector.detect([small], 0.01)[0].scores[4])  # weights are random: take the five best
    engine = FaceEngine(pack, tmp_path, EngineOptions(min_face_px=1, min_detection_score=score, min_quality=0))
    faces = engine.analyze([small, small], retry=False)
    assert 1 <= len(faces[0]) <= 5
    for face, again in zip(*faces, strict=True):
        assert isinstance(face, Face)
        assert face.template.shape == (pack.template_dim,)
        np.testing.assert_allclose(face.template, again.template, atol=1e-5)
        for part in np.split(face.template, len(pack.embedders)):
            assert np.linalg.norm(part) == pytest.approx(1, abs=1e-4)
    spec = pack.embedders[-1]
    embedder = FaceEmbedder(spec, tmp_path / spec.file.name, threads=1)
    crop = align_face(small, faces[0][0].landmarks, spec.alignment, spec.input_px)
    np.testing.assert_allclose(faces[0][0].template[-spec.dimension :], embedder.embed(crop[None])[0], atol=1e-4)


def test_a_pack_whose_file_is_another_graph_is_refused(open_models: Path, tmp_path: Path):
    for file in OPEN.files:
        (tmp_path / file.name).symlink_to(open_models / file.name)
    wide = dataclasses.replace(OPEN.embedders[0], dimension=512)
    with pytest.raises(ModelContractMismatch, match=r"rec_sface\.onnx: expected output \(n, 512\), found \(1, 128\)"):
        FaceEngine(dataclasses.replace(OPEN, embedders=(wide,)), tmp_path)
    (tmp_path / "det_yunet.onnx").unlink()
    with pytest.raises(ModelMissing, match="det_yunet"):
        FaceEngine(OPEN, tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"threads": 0}, {"batch_size": 0}, {"min_face_px": 0}, {"min_detection_score": 1.5}, {"min_quality": -0.1}],
)
def test_options_are_checked(options: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(options))):
        EngineOptions(**options)  # type: ignore[arg-type]
