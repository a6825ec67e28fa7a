"""dlib's format and network: reading what is written, and the ONNX graph against a plain NumPy forward pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ModelContractMismatch
from pipelines.models.dlib_resnet import Layer, convert_dlib_resnet, read_int, read_layers, read_tensor

F32 = npt.NDArray[np.float32]


def write_int(value: int) -> bytes:
    """The writing side of dlib's serialize.h: at least one byte of magnitude, sign in the first byte."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def write_tensor(values: F32) -> bytes:
    return b"".join(map(write_int, (2, *values.shape))) + values.astype("<f4").tobytes()


@settings(deadline=None)
@given(st.integers(-(2**63) + 1, 2**63 - 1), st.binary(max_size=9), st.binary(max_size=9))
def test_integers_are_read_as_written_wherever_they_stand(value: int, before: bytes, after: bytes) -> None:
    written = write_int(value)
    assert read_int(before + written + after, len(before)) == (value, len(before) + len(written))


@settings(deadline=None)
@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 8))
def test_a_cut_integer_is_named(value: int, kept: int) -> None:
    written = write_int(value)
    with pytest.raises(ModelContractMismatch, match="end at byte"):
        read_int(written[: min(kept, len(written) - 1)], 0)


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 3)] * 4), st.integers(0, 2**32 - 1))
def test_tensors_are_read_as_written(shape: tuple[int, int, int, int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    written = write_tensor(values)
    read, end = read_tensor(b"xy" + written + b"z", 2)
    np.testing.assert_array_equal(read, values.ravel())
    assert end == 2 + len(written)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (write_int(3) + write_int(1) * 4, "version 3"),
        (write_tensor(np.ones((1, 1, 2, 2), np.float32))[:-1], "does not fit"),
        (b"".join(map(write_int, (2, -1, 1, 1, 1))), "does not fit"),
        (b"".join(map(write_int, (2, 2**40, 2**40, 1, 1))), "does not fit"),
    ],
)
def test_a_broken_tensor_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ModelContractMismatch, match=reason):
        read_tensor(data, 0)


def test_layers_are_found_between_other_data() -> None:
    ones = np.ones((1, 2, 1, 1), np.float32)
    data = b"junk\x01" + b"con_4" + write_tensor(ones) + b"\x02\x03affine_" + write_tensor(2 * ones)
    data += b"fc_2" + write_int(128) + write_int(256) + write_tensor(3 * ones) + b"rest"
    layers = list(read_layers(data))
    assert [layer.kind for layer in layers] == ["con", "affine", "fc"]
    assert [layer.values.tolist() for layer in layers] == [[1, 1], [2, 2], [3, 3]]


def test_another_network_is_named() -> None:
    ones = write_tensor(np.ones((1, 2, 1, 1), np.float32))
    with pytest.raises(ModelContractMismatch, match="1 convolutions, 1 affine and 0 fully"):
        convert_dlib_resnet(b"con_4" + ones + b"affine_" + ones)


def test_a_layer_of_another_size_is_named(sources: dict[str, bytes]) -> None:
    layers = list(read_layers(sources["dlib_resnet.onnx"]))
    data = b"".join(_written(layer, shrink=i == 10) for i, layer in enumerate(layers))
    with pytest.raises(ModelContractMismatch, match="weights and"):
        convert_dlib_resnet(data)


def _written(layer: Layer, *, shrink: bool) -> bytes:
    values = layer.values[:-1] if shrink else layer.values
    tag = {"con": b"con_4", "affine": b"affine_", "fc": b"fc_2" + write_int(128) + write_int(256)}[layer.kind]
    return tag + write_tensor(values.reshape(1, -1, 1, 1))


def test_the_graph_computes_dlibs_network(converted: Path, sources: dict[str, bytes]) -> None:
    y, x = np.mgrid[:150, :150]
    image = np.stack([(x * 3 + y) % 256, (y * 5) % 256, (x * y) % 256]).astype(np.float32)
    session = ort.InferenceSession(converted / "dlib_resnet.onnx", providers=["CPUExecutionProvider"])
    answered = session.run(None, {"input": image[None]})[0][0]
    np.testing.assert_allclose(answered, forward(list(read_layers(sources["dlib_resnet.onnx"])), image), atol=2e-5)


def forward(layers: list[Layer], image: F32) -> F32:
    """Returns the (128,) embedding of a (3, 150, 150) RGB image, computed layer by layer as dlib's example says."""
    weights = iter([layer.values for layer in layers])

    def convolution(t: F32, outputs: int, kernel: int, stride: int) -> F32:
        pad = 0 if stride > 1 else kernel // 2
        t = np.pad(t, ((0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(t, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
        values, affine = next(weights), next(weights)
        filters, bias = values[:-outputs].reshape(outputs, len(t), kernel, kernel), values[-outputs:]
        summed = np.tensordot(filters, windows, ((1, 2, 3), (0, 3, 4))) + bias[:, None, None]
        return affine[:outputs, None, None] * summed + affine[outputs:, None, None]

    def added(a: F32, b: F32) -> F32:
        shape = np.maximum(a.shape, b.shape)
        a, b = (np.pad(t, [(0, n - m) for n, m in zip(shape, t.shape, strict=True)]) for t in (a, b))
        return np.maximum(a + b, 0)

    def pooled(t: F32, side: int, stride: int) -> F32:
        return np.lib.stride_tricks.sliding_window_view(t, (side, side), (1, 2))[:, ::stride, ::stride]

    mean = np.array([122.782, 117.001, 104.298], np.float32)[:, None, None]
    t = np.maximum(convolution((image - mean) / 256, 32, 7, 2), 0)
    t = pooled(t, 3, 2).max((3, 4))
    for channels, blocks, halved in ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True)):
        for i in range(blocks):
            first = halved and i == 0
            inner = convolution(np.maximum(convolution(t, channels, 3, 2 if first else 1), 0), channels, 3, 1)
            t = added(inner, pooled(t, 2, 2).mean((3, 4)) if first else t)
    return t.mean((1, 2)) @ next(weights).reshape(256, 128)
