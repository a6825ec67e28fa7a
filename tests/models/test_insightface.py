"""InsightFace's own model zoo loads the graphs of the `open` pack and finds the same faces."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fakes.graphs import write_embedder, write_scrfd

insightface_app = pytest.importorskip("insightface.app", reason="the extra insightface is not installed")


def test_faceanalysis_loads_the_open_pack_and_finds_the_faces(converted: Path, data: Path, tmp_path: Path) -> None:
    for name in ("det_yunet.onnx", "rec_sface.onnx"):
        shutil.copy(converted / name, tmp_path)
    app = insightface_app.FaceAnalysis(name=str(tmp_path), providers=["CPUExecutionProvider"])
    assert {task: type(model).__name__ for task, model in app.models.items()} == {
        "detection": "SCRFD",
        "recognition": "ArcFaceONNX",
    }
    recogniser = app.models["recognition"]
    assert (recogniser.input_mean, recogniser.input_std) == (0.0, 1.0), "the graph normalises itself"
    app.prepare(ctx_id=-1, det_thresh=0.7, det_size=(640, 640))
    bgr = cv2.imread(str(data / "faces" / "groups" / "compreface_014_5.jpg"))
    faces = app.get(bgr)
    assert len(faces) == 5
    embeddings = np.stack([f.normed_embedding for f in faces])
    assert embeddings.shape == (5, 128)
    cosines = embeddings @ embeddings.T
    assert np.all(cosines[~np.eye(5, dtype=bool)] < 0.43), "five different people"


@pytest.mark.parametrize("batch_axis", [False, True])
def test_the_stand_in_graphs_keep_insightfaces_contract(tmp_path: Path, batch_axis: bool) -> None:
    from insightface import model_zoo

    detector = model_zoo.get_model(str(write_scrfd(tmp_path / "det.onnx", batch_axis)))
    assert type(detector).__name__ == "SCRFD"
    assert (detector.use_kps, detector._feat_stride_fpn, detector._num_anchors) == (True, [8, 16, 32], 2)
    recogniser = model_zoo.get_model(str(write_embedder(tmp_path / "rec.onnx", "nchw", 112, 512)))
    assert type(recogniser).__name__ == "ArcFaceONNX"
    assert recogniser.input_size == (112, 112)
