"""Model packs: which graphs, files, preprocessing, weights and thresholds belong together.

A pack is a frozen, validated record; nothing here opens a file. Fetching and verifying the files is `pipelines.models`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Literal

ColourOrder = Literal["rgb", "bgr"]
Layout = Literal["nchw", "nhwc"]
Alignment = Literal["arcface", "dlib", "arcface112_padded"]
"""How a crop is cut from the five landmarks.

- arcface: the 112 px ArcFace template, scaled to the input size.
- dlib: the 150 px dlib chip, derived from the same five points.
- arcface112_padded: the 112 px ArcFace crop, resized with INTER_AREA keeping the aspect and padded black in the centre.
"""


_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Names of packs and files: they become parts of paths and URLs, so nothing that could leave a folder."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _check_name(name: str) -> None:
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a plain name: letters, digits, dot, dash and underscore, no dot in front")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a pack: name inside the pack's folder, exact size and sha256 (lower-case hex).

    Attributes:
        graph_sha256: only for graphs that our converter writes: digest over nodes and weights
            (`pipelines.models.graph.graph_sha256`), which holds where another version of onnx writes other bytes.
    """

    name: str
    size_bytes: int
    sha256: str
    graph_sha256: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.size_bytes <= 0:
            raise ValueError(f"{self.name}: size_bytes is {self.size_bytes}, must be positive")
        for digest in (self.sha256, self.graph_sha256):
            if digest is not None and not _SHA256.fullmatch(digest):
                raise ValueError(f"{self.name}: sha256 {digest!r} is not 64 lower-case hex digits")


@dataclass(frozen=True, slots=True)
class Licence:
    """Licence of a pack's files. With `must_accept`, fetching asks for the text to be accepted once."""

    name: str
    text: str
    must_accept: bool = False


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A detector of the SCRFD contract: 9 outputs (scores, boxes, landmarks at strides 8, 16, 32), 2 anchors a cell.

    Attributes:
        input_px: longest side of the letterboxed input; a multiple of 32.
        mean, std: the net is given (pixel - mean) / std.
        min_score: detections below it are dropped.
        nms_iou: boxes overlapping more than this are one face.
        refine: look the landmarks up again around each face (`landmarks.LandmarkRefiner`); for detectors that were
            measured to place them better that way.
    """

    file: ModelFile
    input_px: int = 640
    mean: float = 127.5
    std: float = 128.0
    colour_order: ColourOrder = "rgb"
    min_score: float = 0.5
    nms_iou: float = 0.4
    refine: bool = False

    def __post_init__(self) -> None:
        if self.input_px <= 0 or self.input_px % 32:
            raise ValueError(f"input_px is {self.input_px}, must be a positive multiple of 32")
        if not 0 < self.min_score < 1:
            raise ValueError(f"min_score is {self.min_score}, must be between 0 and 1")
        if not 0 < self.nms_iou < 1:
            raise ValueError(f"nms_iou is {self.nms_iou}, must be between 0 and 1")


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """An embedder: aligned crops in, (n, dimension) float32 out.

    Attributes:
        name: short, unique within the pack.
        input_px: side of the square input.
        mean, std: the net is given (pixel - mean) / std; (0, 1) where the graph normalises itself.
        flip: average the embeddings of the crop and of its mirror image.
        dimension: length of the embedding.
        weight: share of this embedder in the fused score; the weights of a pack add up to 1.
        quality_norms: length of the raw embedding of a useless and of a good crop, where that length was measured to
            follow quality; None where it is not known.
    """

    name: str
    file: ModelFile
    input_px: int
    alignment: Alignment
    mean: float
    std: float
    dimension: int
    weight: float
    layout: Layout = "nchw"
    colour_order: ColourOrder = "rgb"
    flip: bool = False
    quality_norms: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.input_px <= 0 or self.dimension <= 0:
            raise ValueError(f"{self.name}: input_px {self.input_px} and dimension {self.dimension} must be positive")
        if not 0 <= self.weight <= 1:
            raise ValueError(f"{self.name}: weight is {self.weight}, must be between 0 and 1")
        if self.std <= 0:
            raise ValueError(f"{self.name}: std is {self.std}, must be positive")
        if self.quality_norms and not 0 <= self.quality_norms[0] < self.quality_norms[1]:
            raise ValueError(f"{self.name}: quality_norms {self.quality_norms} must rise from 0 or more")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a score of this pack means. All scores are inner products of projected templates.

    Attributes:
        accept_score: a person is named at or above this score, for a gallery of `gallery_size` performers.
        gallery_size: number of enrolled performers that `accept_score` was measured with.
        score_per_decade: added to `accept_score` for each factor of ten in gallery size above `gallery_size`
            (the impostor maximum grows with the logarithm of the gallery).
        same_person_score: two faces of one scene at or above this average score are one person.
        slope, intercept: probability of a right name = 1 / (1 + exp(-(slope * (score - accept) + intercept))).
        provenance: data, protocol and date of the measurement.
    """

    accept_score: float
    gallery_size: int
    score_per_decade: float
    same_person_score: float
    slope: float
    intercept: float
    provenance: str

    def accept_score_at(self, gallery_size: int) -> float:
        """Returns the accepting score for a gallery of that many performers; never below `accept_score`."""
        decades = math.log10(max(gallery_size, self.gallery_size) / self.gallery_size)
        return self.accept_score + self.score_per_decade * decades

    def confidence(self, score: float, gallery_size: int) -> float:
        """Returns the calibrated probability (0..1) that a best match with this score is the right person."""
        x = self.slope * (score - self.accept_score_at(gallery_size)) + self.intercept
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, x))))


@dataclass(frozen=True, slots=True)
class ModelPack:
    """Everything that decides what a template is and what a score means.

    Attributes:
        id: short name used in settings, manifests and file names.
        centre: subtract the mean enrolled template (per embedder) from gallery and probe before comparing.
    """

    id: str
    title: str
    licence: Licence
    detector: DetectorSpec
    embedders: tuple[EmbedderSpec, ...]
    centre: bool
    calibration: Calibration
    notes: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check_name(self.id)
        if not 1 <= len(self.embedders) <= 2:
            raise ValueError(f"{self.id}: a pack has one or two embedders, not {len(self.embedders)}")
        if len({e.name for e in self.embedders}) != len(self.embedders):
            raise ValueError(f"{self.id}: embedder names must differ")
        if len({f.name for f in self.files}) != len(self.files):
            raise ValueError(f"{self.id}: file names must differ")
        total = sum(e.weight for e in self.embedders)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"{self.id}: weights add up to {total}, must be 1")

    @property
    def template_dim(self) -> int:
        """Length of a template: the embedders' dimensions added up."""
        return sum(e.dimension for e in self.embedders)

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The graphs of the pack, detector first."""
        return (self.detector.file, *(e.file for e in self.embedders))

    @property
    def template_id(self) -> str:
        """Id of the template format: pack id and 8 hex digits over all that changes a template.

        Weights, centring, calibration and the detector's thresholds are not in it: they act on stored templates.
        """
        d = self.detector
        parts = [
            f"{d.file.sha256}:{d.input_px}:{d.mean}:{d.std}:{d.colour_order}:{d.refine}",
            *(
                f"{e.name}:{e.file.sha256}:{e.alignment}:{e.input_px}:{e.mean}:{e.std}:{e.layout}:{e.colour_order}:{e.flip}"
                for e in self.embedders
            ),
        ]
        return f"{self.id}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]}"
