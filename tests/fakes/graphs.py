"""Small random-weight ONNX graphs with the inputs, outputs and shapes of the graphs that cannot be shipped.

They stand in for SCRFD detectors and for NCHW or NHWC embedders wherever only the contract matters. The weights come
from a seed, so a file is the same on every machine; no output means anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
ANCHORS = 2
SCRFD_OUTPUTS = (("score", 1), ("box", 4), ("landmarks", 10))
SCRFD_NAMES = ("443", "468", "493", "446", "471", "496", "449", "474", "499")
"""Output names of InsightFace's det_500m.onnx: numbers, scores first, then boxes, then landmarks."""

_OPSET = 13
_IR_VERSION = 8


def write_scrfd(path: Path, batch_axis: bool, *, seed: int = 0) -> Path:
    """Writes a detector of the SCRFD contract and returns its path.

    Input `input.1` (1, 3, H, W), H and W free multiples of 32. Nine outputs named by numbers: scores (0..1), boxes
    (distances in strides) and landmarks (offsets in strides) at strides 8, 16, 32, two anchors a cell.

    Args:
        batch_axis: True gives outputs of rank 3, (N, cells * 2, k), and a free N; False gives what InsightFace
            exports: outputs of rank 2, (cells * 2, k), and N fixed at 1.
    """
    random = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    initialisers: list[onnx.TensorProto] = []
    outputs: list[onnx.ValueInfoProto] = []
    names = iter(SCRFD_NAMES)
    for kind, values in SCRFD_OUTPUTS:
        for stride in STRIDES:
            name = next(names)
            _add_head(nodes, initialisers, random, kind, stride, values, batch_axis, name)
            dims: list[str | int | None] = [None, values]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *dims] if batch_axis else dims))
    shape = ["N" if batch_axis else 1, 3, "?", "?"]
    inputs = [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)]
    return _save(path, "scrfd", nodes, inputs, outputs, initialisers)


def write_embedder(path: Path, layout: Literal["nchw", "nhwc"], size: int, dim: int, *, seed: int = 0) -> Path:
    """Writes an embedder and returns its path: square crops of side `size` in, (N, dim) float32 out, N free.

    The embedding depends on colour order, position and mirroring, so that tests notice a swapped channel or a
    missing flip.
    """
    random = np.random.default_rng(seed)
    patch = 16
    cells = (size // patch) ** 2
    weights = {
        "patches": random.normal(0, 0.1, (4, 3, patch, patch)),
        "projection": random.normal(0, 0.1, (4 * cells, dim)),
        "bias": random.normal(0, 0.1, dim),
    }
    nodes = [helper.make_node("Transpose", ["input"], ["nchw"], perm=[0, 3, 1, 2])] if layout == "nhwc" else []
    nodes += [
        helper.make_node(
            "Conv", ["nchw" if layout == "nhwc" else "input", "patches"], ["cells"], strides=[patch, patch]
        ),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("Gemm", ["flat", "projection", "bias"], ["embedding"]),
    ]
    shape = ["N", 3, size, size] if layout == "nchw" else ["N", size, size, 3]
    return _save(
        path,
        "embedder",
        nodes,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", dim])],
        [_tensor(name, values) for name, values in weights.items()],
    )


def _add_head(
    nodes: list[onnx.NodeProto],
    initialisers: list[onnx.TensorProto],
    random: np.random.Generator,
    kind: str,
    stride: int,
    values: int,
    batch_axis: bool,
    output: str,
) -> None:
    prefix = f"{kind}_{stride}"
    channels = ANCHORS * values
    initialisers += [
        _tensor(f"{prefix}_w", random.normal(0, 2.0 / stride, (channels, 3, stride, stride))),
        _tensor(f"{prefix}_b", np.full(channels, -1.0 if kind == "score" else 2.0)),
        numpy_helper.from_array(np.array([0, -1, values] if batch_axis else [-1, values], np.int64), f"{prefix}_shape"),
    ]
    nodes += [
        helper.make_node(
            "Conv", ["input.1", f"{prefix}_w", f"{prefix}_b"], [f"{prefix}_raw"], strides=[stride, stride]
        ),
        helper.make_node("Sigmoid" if kind == "score" else "Relu", [f"{prefix}_raw"], [f"{prefix}_act"]),
        helper.make_node("Transpose", [f"{prefix}_act"], [f"{prefix}_cells"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [f"{prefix}_cells", f"{prefix}_shape"], [output]),
    ]


def _tensor(name: str, values: npt.NDArray[np.float64]) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def _save(
    path: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initialisers: list[onnx.TensorProto],
) -> Path:
    graph = helper.make_graph(nodes, name, inputs, outputs, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
