"""Packs whose graphs cannot be shipped, with small random-weight graphs in their place."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from pipelines.faces.catalogue import BUFFALO_L, STASH_SENSE_2026
from pipelines.faces.packs import Licence, ModelFile, ModelPack
from tests.fakes.graphs import write_embedder, write_scrfd

FREE = Licence(name="none", text="random weights")


def small_pack(pack: ModelPack, folder: Path, *, batch_axis: bool = False, licence: Licence | None = None) -> ModelPack:
    """Writes stand-ins for the graphs of a pack into `folder`; returns the pack with their sizes and digests.

    All else stays: preprocessing, dimensions, weights, thresholds. `licence` replaces the pack's own.
    """
    detector = write_scrfd(folder / pack.detector.file.name, batch_axis)
    embedders = [
        dataclasses.replace(
            spec,
            file=_record(write_embedder(folder / spec.file.name, spec.layout, spec.input_px, spec.dimension, seed=i)),
        )
        for i, spec in enumerate(pack.embedders)
    ]
    return dataclasses.replace(
        pack,
        licence=licence or pack.licence,
        detector=dataclasses.replace(pack.detector, file=_record(detector)),
        embedders=tuple(embedders),
    )


def small_buffalo_l(folder: Path) -> ModelPack:
    """One NCHW embedder of 512 values, detector of rank 2; needs no licence to be accepted."""
    return small_pack(BUFFALO_L, folder, licence=FREE)


def small_stash_sense_2026(folder: Path) -> ModelPack:
    """Two NHWC embedders of 512 values, detector of rank 2 with swapped channels; needs no acceptance."""
    return small_pack(STASH_SENSE_2026, folder, licence=FREE)


def _record(path: Path) -> ModelFile:
    content = path.read_bytes()
    return ModelFile(path.name, len(content), hashlib.sha256(content).hexdigest())
