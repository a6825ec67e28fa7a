"""Building ONNX graphs: folding constants, adding nodes, writing the same bytes each time, digesting the meaning.

What a graph computes is said twice in the catalogue. The sha256 of the file is exact, but another version of onnx or
protobuf may write the same graph as other bytes. `graph_sha256` is taken over the nodes, attributes, weights, inputs
and outputs in an encoding of our own, so a file that differs only in how it was written still verifies, and a file
that differs in a single weight or attribute does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

from pipelines.errors import ModelContractMismatch

OPSET = 13
"""The oldest opset with all operators used; old runtimes and other engines read it."""
IR_VERSION = 8
"""The format version that belongs to opset 13 to 15."""

Array = npt.NDArray[Any]


class GraphBuilder:
    """Nodes and weights of a graph in the making; names are given in order, so equal calls make equal graphs."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def weight(self, value: Array, name: str = "") -> str:
        """Adds a constant tensor and returns its name."""
        name = name or f"weight_{len(self.weights)}"
        if name in self.weights:
            raise ValueError(f"the graph already has a weight {name!r}")
        self.weights[name] = np.ascontiguousarray(value)
        return name

    def add(self, op_type: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Adds a node with one output and returns the name of that output."""
        output = output or f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def model(
        self, name: str, inputs: Iterable[onnx.ValueInfoProto], outputs: Iterable[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Returns the checked model. Raises ModelContractMismatch where nodes, weights and shapes do not fit."""
        tensors = [numpy_helper.from_array(value, key) for key, value in self.weights.items()]
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise ModelContractMismatch(f"The graph {name} is not valid: {error}.") from error
        return model


def float_tensor(name: str, dims: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    """Returns the description of a float32 input or output; a string or None is a free dimension."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims))


def parse(data: bytes, name: str) -> onnx.ModelProto:
    """Returns the model in `data`. Raises ModelContractMismatch if that is no ONNX model."""
    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise ModelContractMismatch(f"{name} is not an ONNX model.") from error
    if not model.graph.node:
        raise ModelContractMismatch(f"{name} is not an ONNX model: it has no nodes.")
    return model


def serialise(model: onnx.ModelProto) -> bytes:
    """Returns the file content of a model; equal models give equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def fold(model: onnx.ModelProto) -> GraphBuilder:
    """Returns the nodes of a graph with its block-quantised weights computed back to float32.

    Constant, DequantizeLinear and Reshape of constants become weights, Dropout (idle at inference) goes away, and
    only weights in use are kept, in the order of their first use.
    """
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "Dropout":
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        elif (value := _constant_value(node, constants)) is not None:
            constants[node.output[0]] = value
        else:
            kept.append(node)
    builder = GraphBuilder()
    for node in kept:
        inputs = [renamed.get(name, name) for name in node.input]
        for name in inputs:
            if name in constants and name not in builder.weights:
                builder.weight(constants[name], name)
        copy = helper.make_node(node.op_type, inputs, list(node.output), name=node.name, domain=node.domain)
        copy.attribute.extend(node.attribute)
        builder.nodes.append(copy)
    return builder


def _constant_value(node: onnx.NodeProto, constants: dict[str, Array]) -> Array | None:
    """Returns what a node computes from constants alone, or None if it is not one of the folded operators."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Constant":
        return numpy_helper.to_array(attributes["value"])
    if not all(name in constants for name in node.input):
        return None
    inputs = [constants[name] for name in node.input]
    if node.op_type == "DequantizeLinear":
        return dequantise(inputs, attributes.get("axis", 1), attributes.get("block_size", 0))
    if node.op_type == "Reshape":
        return inputs[0].reshape(inputs[1])
    return None


def dequantise(inputs: Sequence[Array], axis: int, block_size: int) -> npt.NDArray[np.float32]:
    """Returns (x - zero_point) * scale as float32; ONNX operator DequantizeLinear, opset 21.

    Args:
        inputs: quantised values, scales, and zero points (optional). Scales and zero points are a scalar, one value
            for each index of `axis`, or one for each block of `block_size` indices of `axis`.
    """
    values = inputs[0].astype(np.float32)
    scale, zero = inputs[1], inputs[2] if len(inputs) > 2 else np.zeros((), np.float32)

    def spread(parameter: Array) -> Array:
        if np.ndim(parameter) == 0:
            return parameter
        if block_size:
            return np.repeat(parameter, block_size, axis=axis).take(range(values.shape[axis]), axis=axis)
        return parameter.reshape([-1 if i == axis % values.ndim else 1 for i in range(values.ndim)])

    result: npt.NDArray[np.float32] = ((values - spread(zero).astype(np.float32)) * spread(scale)).astype(np.float32)
    return result


def graph_sha256(model: onnx.ModelProto) -> str:
    """Returns the sha256 (lower-case hex) of all that decides what a graph computes.

    Versions, inputs, outputs and nodes in order, attributes and weights by name; not the producer, comments, recorded
    intermediate shapes, or how a tensor is stored. Raises ModelContractMismatch for a graph that holds anything else
    (functions, subgraphs, weights in other files) or whose parts are malformed.
    """
    _require_plain(model)
    try:
        return _digest(model)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        raise ModelContractMismatch(f"The graph is malformed: {error}.") from error


def _require_plain(model: onnx.ModelProto) -> None:
    graph = model.graph
    tensors = [*graph.initializer, *(a.t for n in graph.node for a in n.attribute if a.HasField("t"))]
    kinds = {a.type for n in graph.node for a in n.attribute}
    if (
        model.functions
        or model.training_info
        or graph.sparse_initializer
        or graph.quantization_annotation
        or not kinds <= _PLAIN_ATTRIBUTES
        or any(t.data_location != TensorProto.DEFAULT or t.external_data for t in tensors)
    ):
        raise ModelContractMismatch("The graph holds functions, subgraphs, annotations or weights in other files.")


_PLAIN_ATTRIBUTES = frozenset(
    {
        onnx.AttributeProto.FLOAT,
        onnx.AttributeProto.INT,
        onnx.AttributeProto.STRING,
        onnx.AttributeProto.TENSOR,
        onnx.AttributeProto.FLOATS,
        onnx.AttributeProto.INTS,
        onnx.AttributeProto.STRINGS,
    }
)


def _digest(model: onnx.ModelProto) -> str:
    graph = model.graph
    digest = hashlib.sha256()
    description = {
        "ir_version": model.ir_version,
        "opset": sorted((o.domain, o.version) for o in model.opset_import),
        "inputs": [_tensor_type(v) for v in graph.input],
        "outputs": [_tensor_type(v) for v in graph.output],
        "nodes": [
            [n.name, n.domain, n.op_type, list(n.input), list(n.output), sorted(_attribute(a) for a in n.attribute)]
            for n in graph.node
        ],
    }
    digest.update(json.dumps(description, sort_keys=True).encode())
    for tensor in sorted(graph.initializer, key=lambda t: t.name):
        digest.update(_tensor_digest(tensor).encode())
    return digest.hexdigest()


def _tensor_type(value: onnx.ValueInfoProto) -> list[Any]:
    kind = value.type.tensor_type
    return [value.name, kind.elem_type, [d.dim_param or d.dim_value for d in kind.shape.dim]]


def _attribute(attribute: onnx.AttributeProto) -> list[str]:
    value = helper.get_attribute_value(attribute)
    text = _tensor_digest(value) if isinstance(value, onnx.TensorProto) else repr(value)
    return [attribute.name, text]


def _tensor_digest(tensor: onnx.TensorProto) -> str:
    array = numpy_helper.to_array(tensor)
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return f"{tensor.name}:{array.dtype.name}:{array.shape}:{hashlib.sha256(data).hexdigest()}"
