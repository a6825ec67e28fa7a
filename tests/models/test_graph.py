"""Folding constants and digesting graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pipelines.errors import ModelContractMismatch
from pipelines.models.graph import GraphBuilder, dequantise, float_tensor, fold, graph_sha256, parse, serialise


def _small() -> GraphBuilder:
    builder = GraphBuilder()
    weight = builder.weight(np.arange(6, dtype=np.float32).reshape(2, 3))
    builder.add("Gemm", [builder.add("Relu", ["x"]), weight], "y", alpha=0.5)
    return builder


def _model(builder: GraphBuilder) -> onnx.ModelProto:
    return builder.model("small", [float_tensor("x", ["N", 2])], [float_tensor("y", ["N", 3])])


def test_equal_calls_make_equal_bytes() -> None:
    assert serialise(_model(_small())) == serialise(_model(_small()))


def test_a_weight_name_is_used_once() -> None:
    builder = _small()
    with pytest.raises(ValueError, match="weight_0"):
        builder.weight(np.zeros(1), "weight_0")


def test_a_graph_that_does_not_fit_together_is_refused() -> None:
    builder = _small()
    builder.add("Relu", ["nowhere"], "z")
    with pytest.raises(ModelContractMismatch, match="nowhere"):
        _model(builder)


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\xff", b"<html>not found</html>"])
def test_other_bytes_are_no_model(data: bytes) -> None:
    with pytest.raises(ModelContractMismatch, match="not an ONNX model"):
        parse(data, "graph.onnx")


# --- digest


def _rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph as another tool writes it: producer, comments, tensor storage and order differ."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.producer_name, copy.doc_string, copy.graph.doc_string, copy.graph.name = "other", "a", "b", "c"
    tensors = [
        helper.make_tensor(t.name, t.data_type, t.dims, numpy_helper.to_array(t).ravel().tolist())
        for t in reversed(copy.graph.initializer)
    ]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(tensors)
    for node in copy.graph.node:
        node.doc_string, attributes = "comment", list(reversed(node.attribute))
        del node.attribute[:]
        node.attribute.extend(attributes)
    return copy


def test_the_way_of_writing_does_not_change_the_digest() -> None:
    model = _model(_small())
    other = _rewritten(model)
    assert serialise(other) != serialise(model)
    assert graph_sha256(other) == graph_sha256(model)


def _weight_up(model: onnx.ModelProto) -> None:
    values = numpy_helper.to_array(model.graph.initializer[0]).copy()
    values[1, 2] = np.nextafter(values[1, 2], 9)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, model.graph.initializer[0].name))


def _reshape_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [3, 2]


def _attribute(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute[0].f = 0.25


def _operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Abs"


def _wiring(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "x"


def _opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 14


def _fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


@pytest.mark.parametrize(
    "change",
    [_weight_up, _reshape_weight, _attribute, _operator, _wiring, _opset, _fixed_batch],
    ids=lambda c: c.__name__,
)
def test_whatever_changes_the_result_changes_the_digest(change: Callable[[onnx.ModelProto], None]) -> None:
    model = _model(_small())
    before = graph_sha256(model)
    change(model)
    assert graph_sha256(model) != before


def _function(model: onnx.ModelProto) -> None:
    body = [helper.make_node("Neg", ["a"], ["b"])]
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], body, [helper.make_opsetid("", 13)]))


def _external_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "elsewhere.bin"


def _sparse_weight(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def _subgraph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", model.graph))


def _cut_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"123"


def _unknown_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 77


@pytest.mark.parametrize(
    "change",
    [_function, _external_weight, _sparse_weight, _subgraph, _cut_weight, _unknown_type],
    ids=lambda c: c.__name__,
)
def test_what_the_digest_cannot_vouch_for_is_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    model = _model(_small())
    change(model)
    with pytest.raises(ModelContractMismatch):
        graph_sha256(model)


# --- folding


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.integers(0, 1),
)
def test_dequantising_agrees_with_onnx(rows: int, columns: int, block: int, signed: bool, seed: int, axis: int) -> None:
    random = np.random.default_rng(seed)
    dtype = np.int8 if signed else np.uint8
    shape = [rows, columns]
    x = random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    if block:
        parameters = list(shape)
        parameters[axis] = -(-shape[axis] // block)
    else:
        parameters = [shape[axis]]
    scale = random.uniform(0.01, 2, parameters).astype(np.float32)
    zero = random.integers(-5 if signed else 0, 5, parameters).astype(dtype)
    node = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], axis=axis, block_size=block)
    expected = ReferenceEvaluator(node).run(None, {"x": x, "s": scale, "z": zero})[0]
    result = dequantise([x, scale, zero], axis, block)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_a_scalar_scale_without_zero_point_is_enough() -> None:
    values = np.array([[1, -2]], np.int8)
    np.testing.assert_array_equal(dequantise([values, np.array(0.5, np.float32)], 1, 0), [[0.5, -1.0]])


def test_folding_keeps_what_the_graph_computes() -> None:
    random = np.random.default_rng(0)
    tensors = {
        "q": random.integers(-128, 127, (3, 4), np.int8),
        "s": random.uniform(0.1, 1, (3, 2)).astype(np.float32),
        "z": np.zeros((3, 2), np.int8),
        "shape": np.array([4, 3], np.int64),
        "unused": np.ones(5, np.float32),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=1, block_size=2),
        helper.make_node("Reshape", ["d", "shape"], ["w"]),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.float32([2]))),
        helper.make_node("Dropout", ["x"], ["same"]),
        helper.make_node("MatMul", ["same", "w"], ["product"]),
        helper.make_node("Mul", ["product", "c"], ["y"]),
    ]
    outputs = [float_tensor("y", ["N", 3])]
    inputs = [float_tensor("x", ["N", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in tensors.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    folded = fold(model)
    assert [n.op_type for n in folded.nodes] == ["MatMul", "Mul"]
    assert set(folded.weights) == {"w", "c"}
    x = {"x": random.normal(size=(2, 4)).astype(np.float32)}
    expected = ReferenceEvaluator(model).run(None, x)[0]
    result = ReferenceEvaluator(folded.model("g", inputs, outputs)).run(None, x)[0]
    np.testing.assert_allclose(result, expected, rtol=1e-6)
