"""Canonical vectors: what the converted graphs answer to a fixed input, pinned and compared after each conversion.

A digest says that a graph is the one that was tested; the vectors say that this machine's runtime computes with it
what was computed then. CPU only: reduced-precision modes of accelerators are a matter of the engine's own tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from pipelines.errors import ModelContractMismatch, ModelMissing

TOLERANCE = 1e-3
COMPONENTS = 5

F32 = npt.NDArray[np.float32]

SHAPES: dict[str, tuple[int, ...]] = {
    "det_yunet.onnx": (1, 3, 64, 96),
    "rec_sface.onnx": (1, 3, 112, 112),
    "dlib_resnet.onnx": (1, 3, 150, 150),
}
CANONICAL: dict[str, dict[str, tuple[float, ...]]] = {
    "det_yunet.onnx": {
        "score_8": (0.00039, 0.0, 0.00044, 0.0, 0.00056),
        "score_16": (0.00636, 0.0, 0.00319, 0.0, 0.00338),
        "score_32": (0.01571, 0.0, 0.02727, 0.0, 0.01386),
        "box_8": (1.02179, 1.30258, 1.61284, 1.92898, 1.02179),
        "box_16": (0.07101, 0.18044, 1.02351, 1.07118, 0.07101),
        "box_32": (0.37529, 0.38986, 2.47858, 2.25319, 0.37529),
        "landmarks_8": (-0.12859, -0.29311, -0.02451, -0.62444, -0.32298),
        "landmarks_16": (0.22608, 0.01155, 0.34266, 0.00996, 0.22095),
        "landmarks_32": (0.4038, 0.13975, 1.48293, -0.05325, 1.24532),
    },
    "rec_sface.onnx": {"fc1": (-0.72997, -0.17475, 0.03955, -0.44194, -0.10271)},
    "dlib_resnet.onnx": {"embedding": (-0.10591, 0.07668, 0.01736, -0.06264, -0.10528)},
}
"""Computed 2026-11-22 with onnxruntime 1.31 on x86-64; the unconverted graphs give the same (tests/models)."""


def canonical_input(name: str) -> F32:
    """Returns the fixed input of a graph: a pattern of integers 0..255, normalised as the graph wants it.

    Smooth waves and a fine grain of whole numbers, so that the pixels are the same on every machine.
    """
    _, channels, height, width = SHAPES[name]
    c, y, x = np.indices((channels, height, width))
    waves = (x * (width - x) * 255) // (width * width // 4 + 1) + (y * (height - y) * 255) // (height * height // 4 + 1)
    pixels: F32 = ((waves // 2 + 40 * c + (x * 7 + y * 13 + x * y) % 16) % 256).astype(np.float32)
    if name == "det_yunet.onnx":
        pixels = ((pixels - 127.5) / 128).astype(np.float32)
    return pixels[None]


def leading_components(path: Path) -> dict[str, tuple[float, ...]]:
    """Returns the first components of each output for the canonical input, flattened."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(None, {session.get_inputs()[0].name: canonical_input(path.name)})
    return {n: tuple(float(x) for x in v.reshape(-1)[:COMPONENTS]) for n, v in zip(names, values, strict=True)}


def self_check(folder: Path, names: Iterable[str]) -> None:
    """Runs converted graphs of a folder and compares with the pinned vectors.

    Raises ModelMissing for an absent file, ModelContractMismatch when an output is another one.
    """
    for name in names:
        path, expected = folder / name, CANONICAL[name]
        if not path.is_file():
            raise ModelMissing(f"{path} is not there.", "Run `stash-sense models fetch open`.")
        actual = leading_components(path)
        for output, values in expected.items():
            found = actual.get(output, ())
            if len(found) != len(values) or not np.allclose(found, values, rtol=TOLERANCE, atol=TOLERANCE):
                raise ModelContractMismatch(
                    f"{name} computes {_shown(found)} as {output} of the canonical input, expected {_shown(values)}.",
                    "The model file is right, so the installed onnxruntime computes something else: reinstall it.",
                )


def _shown(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{v:.4f}" for v in values) + ")"
