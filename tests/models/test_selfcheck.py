"""Canonical vectors of the converted graphs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipelines.errors import ModelContractMismatch, ModelMissing
from pipelines.models.selfcheck import CANONICAL, SHAPES, canonical_input, leading_components, self_check
from tests.models.conftest import CONVERTED


def test_each_converted_graph_has_vectors() -> None:
    assert set(CANONICAL) == set(SHAPES) == set(CONVERTED)


def test_the_canonical_input_is_fixed() -> None:
    pixels = canonical_input("rec_sface.onnx")
    assert pixels.dtype == np.float32
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert pixels.sum(dtype=np.float64) == 5_404_140
    assert canonical_input("det_yunet.onnx").max() <= 1


def test_the_converted_graphs_answer_with_the_pinned_vectors(converted: Path) -> None:
    self_check(converted, CONVERTED)
    for name, outputs in CANONICAL.items():
        actual = leading_components(converted / name)
        assert set(actual) == set(outputs)
        for output, values in outputs.items():
            np.testing.assert_allclose(actual[output], values, atol=1e-3)


def test_a_graph_that_computes_something_else_is_named(converted: Path, tmp_path: Path) -> None:
    shutil.copy(converted / "dlib_resnet.onnx", tmp_path)
    model = onnx.load(tmp_path / "dlib_resnet.onnx")
    weight = model.graph.initializer[-1]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.05), weight.name))
    onnx.save(model, tmp_path / "dlib_resnet.onnx")
    with pytest.raises(ModelContractMismatch, match=r"dlib_resnet\.onnx computes .* expected"):
        self_check(tmp_path, ["dlib_resnet.onnx"])


def test_an_absent_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"det_yunet\.onnx"):
        self_check(tmp_path, ["det_yunet.onnx"])
