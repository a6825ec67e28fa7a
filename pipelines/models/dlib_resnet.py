"""dlib's face recognition ResNet v1: reading its weights out of dlib's own format and drawing the graph in ONNX.

The network is `anet_type` of dlib's example dnn_face_recognition_ex.cpp: a 7 x 7 convolution, then 14 residual blocks
in five levels, average pooling and a fully connected layer without bias. The affine layers are folded into the
convolutions before them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from pipelines.errors import ModelContractMismatch
from pipelines.models.graph import GraphBuilder, float_tensor

INPUT_PX = 150
DIMENSION = 128
MEAN_RGB = (122.782, 117.001, 104.298)
"""Subtracted by dlib's input_rgb_image_sized<150>, which then divides by 256."""
LEVELS = ((32, 3, False), (64, 3, True), (128, 2, True), (256, 2, True), (256, 0, True))
"""Channels, plain residual blocks, and whether a halving block comes first; from the input to the output."""

_TAG = re.compile(rb"con_\d|affine_|fc_\d")
_TENSOR_VERSION = 2
_SIGN, _LENGTH = 0x80, 0x0F

F32 = npt.NDArray[np.float32]


class Layer(NamedTuple):
    """Weights of one layer as dlib stores them: one flat float32 array."""

    kind: str
    values: F32


def read_int(data: bytes, offset: int) -> tuple[int, int]:
    """Returns the integer at `offset` and the offset after it.

    dlib (serialize.h) writes one byte, whose low four bits count the bytes that follow and whose highest bit is the
    sign, then the magnitude, low byte first. Raises ModelContractMismatch past the end of the data.
    """
    if offset >= len(data):
        raise ModelContractMismatch(f"dlib weights end at byte {len(data)}, where an integer should be.")
    end = offset + 1 + (data[offset] & _LENGTH)
    if end > len(data):
        raise ModelContractMismatch(f"dlib weights end at byte {len(data)}, inside an integer.")
    magnitude = int.from_bytes(data[offset + 1 : end], "little")
    return (-magnitude if data[offset] & _SIGN else magnitude), end


def read_tensor(data: bytes, offset: int) -> tuple[F32, int]:
    """Returns the tensor at `offset`, flat, and the offset after it: version, four sizes, float32 little-endian."""
    version, offset = read_int(data, offset)
    if version != _TENSOR_VERSION:
        raise ModelContractMismatch(f"dlib tensor of version {version} at byte {offset}, expected {_TENSOR_VERSION}.")
    sizes = []
    for _ in range(4):
        size, offset = read_int(data, offset)
        sizes.append(size)
    count = math.prod(sizes)
    end = offset + 4 * count
    if min(sizes) < 0 or end > len(data):
        raise ModelContractMismatch(f"dlib tensor of shape {sizes} at byte {offset} does not fit into {len(data)}.")
    return np.frombuffer(data, "<f4", count, offset).astype(np.float32), end


def read_layers(data: bytes) -> Iterator[Layer]:
    """Yields the layers with weights, from the input to the output; kinds are "con", "affine" and "fc"."""
    offset = 0
    while match := _TAG.search(data, offset):
        kind = match.group().split(b"_")[0].decode()
        offset = match.end()
        if kind == "fc":  # number of outputs and of inputs come before the weights
            for _ in range(2):
                _, offset = read_int(data, offset)
        values, offset = read_tensor(data, offset)
        yield Layer(kind, values)


def convert_dlib_resnet(data: bytes) -> onnx.ModelProto:
    """Returns the embedder made of `dlib_face_recognition_resnet_model_v1.dat`.

    Input `input` (N, 3, 150, 150) float32, RGB, 0..255; output `embedding` (N, 128) float32 of length 1.3 to 1.7.
    Raises ModelContractMismatch if the layers are not those of this network.
    """
    layers = list(read_layers(data))
    convolutions = [layer.values for layer in layers if layer.kind == "con"]
    affines = [layer.values for layer in layers if layer.kind == "affine"]
    full = [layer.values for layer in layers if layer.kind == "fc"]
    if (len(convolutions), len(affines), len(full)) != (29, 29, 1):
        raise ModelContractMismatch(
            f"The dlib weights have {len(convolutions)} convolutions, {len(affines)} affine and {len(full)} fully "
            "connected layers; the face ResNet v1 has 29, 29 and 1."
        )
    builder = _ResNetBuilder(convolutions, affines)
    builder.draw(full[0])
    return builder.graph.model(
        "dlib_resnet_v1",
        [float_tensor("input", ["N", 3, INPUT_PX, INPUT_PX])],
        [float_tensor("embedding", ["N", DIMENSION])],
    )


class _ResNetBuilder:
    """Draws the network while it takes the weights one by one."""

    def __init__(self, convolutions: list[F32], affines: list[F32]) -> None:
        self.graph = GraphBuilder()
        self._weights = iter(zip(convolutions, affines, strict=True))

    def draw(self, full: F32) -> None:
        add = self.graph.add
        centred = add("Sub", ["input", self.graph.weight(np.array(MEAN_RGB, np.float32).reshape(1, 3, 1, 1))])
        scaled = add("Mul", [centred, self.graph.weight(np.array(1 / 256, np.float32))])
        x = add("Relu", [self._convolution(scaled, 3, 32, kernel=7, stride=2, pad=0)])
        x = add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
        side, channels = ((INPUT_PX - 7) // 2 + 1 - 3) // 2 + 1, 32
        for wanted, blocks, halve in LEVELS:
            if halve:
                x, side = self._halving_block(x, channels, wanted, side)
            for _ in range(blocks):
                x = self._block(x, wanted)
            channels = wanted
        flat = add("Flatten", [add("GlobalAveragePool", [x])])
        add("Gemm", [flat, self.graph.weight(full.reshape(channels, DIMENSION))], "embedding")

    def _convolution(self, x: str, inputs: int, outputs: int, *, kernel: int, stride: int, pad: int) -> str:
        values, affine = next(self._weights)
        expected = outputs * inputs * kernel * kernel + outputs
        if (values.size, affine.size) != (expected, 2 * outputs):
            raise ModelContractMismatch(
                f"A dlib convolution {inputs} -> {outputs} has {values.size} weights and {affine.size} affine values, "
                f"expected {expected} and {2 * outputs}."
            )
        filters, bias = values[:-outputs].reshape(outputs, inputs, kernel, kernel), values[-outputs:]
        gamma, beta = affine[:outputs], affine[outputs:]
        weights = self.graph.weight(filters * gamma[:, None, None, None])
        return self.graph.add(
            "Conv",
            [x, weights, self.graph.weight(bias * gamma + beta)],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def _block(self, x: str, channels: int) -> str:
        inner = self.graph.add("Relu", [self._convolution(x, channels, channels, kernel=3, stride=1, pad=1)])
        outer = self._convolution(inner, channels, channels, kernel=3, stride=1, pad=1)
        return self.graph.add("Relu", [self.graph.add("Add", [outer, x])])

    def _halving_block(self, x: str, inputs: int, outputs: int, side: int) -> tuple[str, int]:
        """Adds tensors of unequal shape as dlib does: the smaller one is padded with zeros at the end of each axis."""
        inner = self.graph.add("Relu", [self._convolution(x, inputs, outputs, kernel=3, stride=2, pad=0)])
        outer = self._convolution(inner, outputs, outputs, kernel=3, stride=1, pad=1)
        pooled = self.graph.add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
        outer_side, pooled_side = (side - 3) // 2 + 1, side // 2
        wanted = max(outer_side, pooled_side)
        outer = self._pad(outer, 0, wanted - outer_side)
        pooled = self._pad(pooled, outputs - inputs, wanted - pooled_side)
        return self.graph.add("Relu", [self.graph.add("Add", [outer, pooled])]), wanted

    def _pad(self, x: str, channels: int, side: int) -> str:
        if not channels and not side:
            return x
        return self.graph.add("Pad", [x, self.graph.weight(np.array([0, 0, 0, 0, 0, channels, side, side], np.int64))])
