"""Aligned crops to unit-length embeddings: batches, colour order, layout and flip averaging as the pack says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.errors import InputError
from pipelines.faces.packs import EmbedderSpec
from pipelines.faces.sessions import CPU, GraphSession
from pipelines.faces.types import F32, U8

MIN_NORM = 1e-6
"""An embedding shorter than this has no direction; it becomes all zeros, whose cosine with anything is 0."""


def unit_length(embeddings: F32) -> F32:
    """Returns (n, d) float32 rows of unit length, or of zeros where a row has no direction."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.where(norms > MIN_NORM, embeddings / np.maximum(norms, MIN_NORM), np.float32(0))


class FaceEmbedder:
    """Runs one embedder of a pack. `embed` may be called from several threads at once.

    Args:
        spec: preprocessing and dimension.
        model_path: the graph.
        threads, providers: see GraphSession.
        batch_size: crops in one model call (mirrored crops count).

    Raises:
        ModelMissing, ModelContractMismatch, ProviderUnavailable.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        model_path: Path,
        *,
        threads: int,
        providers: Sequence[str] = (CPU,),
        batch_size: int = 16,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, must be at least 1")
        self.spec = spec
        self._session = GraphSession(model_path, threads=threads, providers=providers)
        self._batch_size = self._session.input_shape[0] or batch_size
        self._check_contract()

    def embed(self, crops: U8) -> F32:
        """Returns (n, dimension) float32 of unit length, in the order of the crops; (0, dimension) for no crops.

        Args:
            crops: (n, input_px, input_px, 3) uint8 RGB, aligned as `spec.alignment` says.

        Raises:
            InputError: crops of another shape or type.
        """
        return unit_length(self.embed_raw(crops))

    def embed_raw(self, crops: U8) -> F32:
        """Returns (n, dimension) float32 as the graph gives them (mean of crop and mirror where the pack flips)."""
        side = self.spec.input_px
        if crops.dtype != np.uint8 or crops.shape[1:] != (side, side, 3):
            raise InputError(f"crops are {crops.dtype} {crops.shape}", f"Expected uint8 (n, {side}, {side}, 3).")
        count = len(crops)
        if not count:
            return np.zeros((0, self.spec.dimension), np.float32)
        images = np.concatenate([crops, crops[:, :, ::-1]]) if self.spec.flip else crops
        outputs = [
            self._run(images[start : start + self._batch_size]) for start in range(0, len(images), self._batch_size)
        ]
        embeddings = np.concatenate(outputs)
        if self.spec.flip:
            embeddings = (embeddings[:count] + embeddings[count:]) / np.float32(2)
        return embeddings

    def _run(self, images: U8) -> F32:
        if self.spec.colour_order == "bgr":
            images = images[..., ::-1]
        if self.spec.layout == "nchw":
            images = images.transpose(0, 3, 1, 2)
        blob = np.ascontiguousarray(images, np.float32)
        if self.spec.mean:
            blob -= np.float32(self.spec.mean)
        if self.spec.std != 1:
            blob *= np.float32(1 / self.spec.std)
        return self._session.run(blob)[0]

    def _check_contract(self) -> None:
        """Raises ModelContractMismatch unless shapes, output count and dimension are those of the spec."""
        spec, session = self.spec, self._session
        sides = (spec.input_px, spec.input_px)
        expected = (3, *sides) if spec.layout == "nchw" else (*sides, 3)
        found = session.input_shape[1:]
        if any(f not in {None, e} for f, e in zip(found, expected, strict=True)):
            raise session.mismatch(f"input (n, {', '.join(map(str, expected))})", f"{session.input_shape}")
        if session.input_shape[0] not in {None, 1}:
            raise session.mismatch("a batch axis that is free or 1", f"{session.input_shape}")
        if session.output_count != 1:
            raise session.mismatch("one output", f"{session.output_count}")
        shape = self._run(np.zeros((1, *sides, 3), np.uint8)).shape
        if shape != (1, spec.dimension):
            raise session.mismatch(f"output (n, {spec.dimension})", f"{shape} for one crop")
