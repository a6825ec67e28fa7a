"""Sessions: what opens, what is refused, and that the error says what was expected and what was found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from pipelines.errors import ModelContractMismatch, ModelMissing, ProviderUnavailable
from pipelines.faces.sessions import CPU, GraphSession
from tests.fakes.graphs import write_embedder


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ModelMissing, match=r"nothing\.onnx"):
        GraphSession(tmp_path / "nothing.onnx", threads=1)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path):
    path = tmp_path / "text.onnx"
    path.write_text("not a graph")
    with pytest.raises(ModelContractMismatch, match=r"text\.onnx"):
        GraphSession(path, threads=1)


def test_a_graph_with_two_inputs_is_refused(tmp_path: Path):
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("a", "b")]
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "two", inputs, [output])
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    with pytest.raises(ModelContractMismatch, match=r"one float32 input of rank 4.*found a .* b "):
        GraphSession(path, threads=1)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this machine has CUDA")
def test_cuda_that_is_not_there_is_an_error_and_no_silent_fallback(tmp_path: Path):
    path = write_embedder(tmp_path / "e.onnx", "nchw", 32, 8)
    with pytest.raises(ProviderUnavailable, match="CUDAExecutionProvider") as error:
        GraphSession(path, threads=1, providers=("CUDAExecutionProvider", CPU))
    assert CPU in error.value.hint


@pytest.mark.parametrize("providers", [(), ("NoSuchProvider",)])
def test_providers_must_exist(tmp_path: Path, providers: tuple[str, ...]):
    path = write_embedder(tmp_path / "e.onnx", "nchw", 32, 8)
    with pytest.raises(ProviderUnavailable):
        GraphSession(path, threads=1, providers=providers)


def test_threads_must_be_positive(tmp_path: Path):
    with pytest.raises(ValueError, match="threads is 0"):
        GraphSession(tmp_path / "e.onnx", threads=0)


def test_one_session_serves_several_threads(tmp_path: Path):
    session = GraphSession(write_embedder(tmp_path / "e.onnx", "nchw", 32, 8), threads=1)
    blobs = [np.full((1, 3, 32, 32), i, np.float32) for i in range(16)]
    expected = [session.run(blob)[0] for blob in blobs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda blob: session.run(blob)[0], blobs))
    np.testing.assert_array_equal(np.stack(found), np.stack(expected))
    assert session.input_shape == (None, 3, 32, 32)
    assert session.providers == (CPU,)
