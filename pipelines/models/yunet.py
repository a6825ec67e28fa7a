"""YuNet 2023mar, re-headed to the SCRFD contract: float32, free batch and size, RGB.

YuNet answers per stride with class and object scores, box (offset of the centre, log of the size) and landmark
offsets. The SCRFD contract wants one score, distances to the four sides and landmark offsets for two anchors a cell.
Both put cell (x, y) at (x, y) * stride, so the change is exact; the second anchor repeats the box with score 0.
Decoding of YuNet: OpenCV, modules/objdetect/src/face_detect.cpp.
"""

from __future__ import annotations

import numpy as np
import onnx

from pipelines.models.graph import GraphBuilder, float_tensor, fold, parse

STRIDES = (8, 16, 32)
INPUT = "input.1"
"""Name of the image input; the one that InsightFace's SCRFD exports use."""
OUTPUTS = (("score", 1), ("box", 4), ("landmarks", 10))
MEAN, STD = 127.5, 128.0
"""SCRFD's preprocessing, undone inside the graph because YuNet wants pixels of 0..255."""


def convert_yunet(data: bytes) -> onnx.ModelProto:
    """Returns the detector made of `face_detection_yunet_2023mar_int8bq.onnx`.

    Input `input.1` (N, 3, H, W) float32, RGB, (pixel - 127.5) / 128, H and W multiples of 32. Outputs score_S
    (N, cells * 2, 1), box_S (N, cells * 2, 4) and landmarks_S (N, cells * 2, 10) for S in 8, 16, 32; distances in
    units of the stride.
    """
    source = parse(data, "YuNet")
    builder = fold(source)
    _free_batch(builder)
    body = builder.nodes
    builder.nodes = []
    _undo_preprocessing(builder, source.graph.input[0].name)
    builder.nodes += body
    constants = _HeadConstants(builder)
    for stride in STRIDES:
        _add_scores(builder, constants, stride)
        _add_boxes(builder, constants, stride)
        both = builder.add("Concat", [f"kps_{stride}"] * 2, axis=2)
        builder.add("Reshape", [both, constants.shape[10]], f"landmarks_{stride}")
    outputs = [float_tensor(f"{kind}_{s}", ["N", None, values]) for kind, values in OUTPUTS for s in STRIDES]
    return builder.model("yunet_scrfd", [float_tensor(INPUT, ["N", 3, "H", "W"])], outputs)


class _HeadConstants:
    """Constants shared by the three heads."""

    def __init__(self, builder: GraphBuilder) -> None:
        self.half = builder.weight(np.array(0.5, np.float32), "half")
        self.zero = builder.weight(np.array(0, np.float32), "zero")
        self.axis = builder.weight(np.array([2], np.int64), "value_axis")
        self.at = {i: builder.weight(np.array([i], np.int64), f"at_{i}") for i in (0, 2, 4)}
        self.shape = {k: builder.weight(np.array([0, -1, k], np.int64), f"anchors_of_{k}") for k in (1, 4, 10)}


def _free_batch(builder: GraphBuilder) -> None:
    """Lets the final reshapes keep the batch axis ([0, -1, k]) where the export fixed it at one ([1, -1, k])."""
    for name, value in builder.weights.items():
        if value.dtype == np.int64 and value.shape == (3,) and value[0] == 1 and value[1] == -1:
            builder.weights[name] = np.array([0, -1, value[2]], np.int64)


def _undo_preprocessing(builder: GraphBuilder, body_input: str) -> None:
    scaled = builder.add("Mul", [INPUT, builder.weight(np.array(STD, np.float32), "std")])
    pixels = builder.add("Add", [scaled, builder.weight(np.array(MEAN, np.float32), "mean")])
    builder.add("Gather", [pixels, builder.weight(np.array([2, 1, 0], np.int64), "bgr")], body_input, axis=1)


def _add_scores(builder: GraphBuilder, constants: _HeadConstants, stride: int) -> None:
    """The score is sqrt(class * object) for the first anchor, 0 for the second."""
    product = builder.add("Mul", [f"cls_{stride}", f"obj_{stride}"])
    score = builder.add("Sqrt", [product])
    none = builder.add("Mul", [score, constants.zero])
    both = builder.add("Concat", [score, none], axis=2)
    builder.add("Reshape", [both, constants.shape[1]], f"score_{stride}")


def _add_boxes(builder: GraphBuilder, constants: _HeadConstants, stride: int) -> None:
    """Distances to left, top = exp(size) / 2 - centre and to right, bottom = exp(size) / 2 + centre."""
    box = f"bbox_{stride}"
    centre = builder.add("Slice", [box, constants.at[0], constants.at[2], constants.axis])
    log_size = builder.add("Slice", [box, constants.at[2], constants.at[4], constants.axis])
    half_size = builder.add("Mul", [builder.add("Exp", [log_size]), constants.half])
    near = builder.add("Sub", [half_size, centre])
    far = builder.add("Add", [half_size, centre])
    both = builder.add("Concat", [near, far, near, far], axis=2)
    builder.add("Reshape", [both, constants.shape[4]], f"box_{stride}")
