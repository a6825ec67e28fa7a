"""SFace 2021dec with float32 weights and a free batch; normalisation stays inside the graph."""

from __future__ import annotations

import onnx

from pipelines.models.graph import float_tensor, fold, parse


def convert_sface(data: bytes) -> onnx.ModelProto:
    """Returns the embedder made of `face_recognition_sface_2021dec_int8bq.onnx`.

    Input `data` (N, 3, 112, 112) float32, RGB, 0..255; output `fc1` (N, 128) float32, not of unit length. The nodes
    that normalise keep their names: InsightFace's model zoo recognises by them that a graph normalises itself.
    """
    source = parse(data, "SFace")
    inputs = [float_tensor(source.graph.input[0].name, ["N", 3, 112, 112])]
    outputs = [float_tensor(source.graph.output[0].name, ["N", 128])]
    return fold(source).model("sface", inputs, outputs)
