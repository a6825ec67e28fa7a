"""From raw templates to projected ones: centred, weighted, unit length.

Lives here: `TemplateSpace`, which makes the inner product of two templates the weighted cosine of the pack's
embedders, and the prior mean of a pack (package data). Searching projected templates is `index`.

For each embedder e with weight w_e, unit embedding t_e and centre c_e, the projected part is
sqrt(w_e) * (t_e - c_e) / |t_e - c_e|; the parts lie side by side, so the inner product of two projected templates is
sum_e w_e * cos_e. Embedders of weight 0 are left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Self

import numpy as np

from pipelines.errors import DatabaseCorrupt, InputError
from pipelines.faces.packs import ModelPack
from pipelines.faces.types import F32

PRIOR_STRENGTH = 10.0
"""How many enrolled people the prior mean counts for: with n people the centre is (n * mean + 10 * prior) / (n + 10).

The mean of one person's template is that person, and centring on it erases the very person that is looked for; from
about a hundred people on the prior hardly matters. With 10, galleries of 1, 2, 3, 5 and 10 people out of 27 (prior
from 13 others, 200 draws each, pack `open`) have nearly the same scores: genuine 2nd percentile 0.51 to 0.53, 99th
percentile of the best impostor 0.20 to 0.28. Without a prior they range from -0.40 to 0.52 and from 0.70 down to 0.21
(own measurement, 2026-11-22). A pack without a measured prior has the prior 0: a small gallery is centred little.
"""

MEAN_FORMAT = 1
_TINY = 1e-12
_ROWS_AT_ONCE = 8192
"""Templates that are scaled at once: those of a whole gallery would be held three times otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class PackMean:
    """Mean over people of their mean templates: one vector that belongs to no one.

    Attributes:
        mean: (template_dim,) float32, not unit length.
        people: how many people were averaged.
        provenance: whose pictures, which protocol, when.
    """

    template_id: str
    mean: F32
    people: int
    provenance: str

    def to_json(self) -> str:
        """Returns the text of `data/<pack>-mean.json`."""
        record = {
            "format": MEAN_FORMAT,
            "template_id": self.template_id,
            "people": self.people,
            "provenance": self.provenance,
            "mean": [round(float(x), 6) for x in self.mean],
        }
        return json.dumps(record, indent=1) + "\n"


def measure_pack_mean(pack: ModelPack, means: F32, provenance: str) -> PackMean:
    """Returns the prior mean of a pack from (p, template_dim) mean templates of p people."""
    mean = _unit_parts(pack, means).mean(axis=0, dtype=np.float64).astype(np.float32)
    return PackMean(pack.template_id, mean, len(means), provenance)


@cache
def load_pack_mean(pack: ModelPack) -> PackMean | None:
    """Returns the measured prior mean of the pack, or None when there is none for this template format."""
    file = resources.files("pipelines.faces") / "data" / f"{pack.id}-mean.json"
    if not file.is_file():
        return None
    record = json.loads(file.read_text())
    mean = np.asarray(record["mean"], dtype=np.float32)
    if record["format"] != MEAN_FORMAT or record["template_id"] != pack.template_id or len(mean) != pack.template_dim:
        return None
    return PackMean(record["template_id"], mean, int(record["people"]), record["provenance"])


@dataclass(frozen=True, slots=True, eq=False)
class TemplateSpace:
    """Centre and weights of one gallery; the same for what is enrolled and for what is looked for.

    Attributes:
        template_id: format of the raw templates (`ModelPack.template_id`).
        dimensions: length of each embedder's part of a raw template.
        weights: share of each embedder in the score, adding up to 1.
        centre: (sum of dimensions,) float32, subtracted from unit-length parts; zeros for no centring.
        prior_id: which prior mean and which rule the centre was made with.
    """

    template_id: str
    dimensions: tuple[int, ...]
    weights: tuple[float, ...]
    centre: F32
    prior_id: str = ""

    def __post_init__(self) -> None:
        if len(self.dimensions) != len(self.weights) or abs(sum(self.weights) - 1) > 1e-6 or min(self.weights) < 0:
            raise InputError(
                f"Weights {self.weights} do not fit {len(self.dimensions)} embedders or do not add up to 1."
            )
        if self.centre.shape != (self.template_dim,):
            raise InputError(f"The centre has shape {self.centre.shape}, must be ({self.template_dim},).")

    @classmethod
    def for_gallery(cls, pack: ModelPack, performer_means: F32) -> Self:
        """Returns the space of a gallery.

        Args:
            performer_means: (p, template_dim) float32, one mean raw template per enrolled performer; p may be 0.
        """
        return cls(
            template_id=pack.template_id,
            dimensions=tuple(e.dimension for e in pack.embedders),
            weights=tuple(e.weight for e in pack.embedders),
            centre=_centre(pack, performer_means),
            prior_id=_prior_id(pack),
        )

    @property
    def template_dim(self) -> int:
        """Length of a raw template."""
        return sum(self.dimensions)

    @property
    def projected_dim(self) -> int:
        """Length of a projected template."""
        return sum(d for d, w in zip(self.dimensions, self.weights, strict=True) if w > 0)

    def fits(self, pack: ModelPack) -> bool:
        """Returns whether the pack still has the weights and the centring that this space was made with."""
        return (
            self.template_id == pack.template_id
            and self.weights == tuple(e.weight for e in pack.embedders)
            and self.prior_id == _prior_id(pack)
        )

    def project(self, templates: F32) -> F32:
        """Returns (n, projected_dim) float32, unit length, for (n, template_dim) raw templates; n may be 0."""
        if templates.ndim != 2 or templates.shape[1] != self.template_dim:
            raise InputError(f"Templates have shape {templates.shape}, must be (n, {self.template_dim}).")
        projected = np.empty((len(templates), self.projected_dim), dtype=np.float32)
        for first in range(0, len(templates), _ROWS_AT_ONCE):
            block, start, column = templates[first : first + _ROWS_AT_ONCE], 0, 0
            for dimension, weight in zip(self.dimensions, self.weights, strict=True):
                stop = start + dimension
                if weight > 0:
                    centred = unit(unit(block[:, start:stop]) - self.centre[start:stop])
                    np.multiply(
                        centred,
                        np.float32(np.sqrt(weight)),
                        out=projected[first : first + len(block), column : column + dimension],
                    )
                    column += dimension
                start = stop
        return projected

    def to_dict(self) -> dict[str, Any]:
        """Returns the space as JSON-ready values; floats survive exactly."""
        return {
            "template_id": self.template_id,
            "dimensions": list(self.dimensions),
            "weights": list(self.weights),
            "centre": [float(x) for x in self.centre],
            "prior_id": self.prior_id,
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Returns the space of `to_dict`. Raises DatabaseCorrupt when a field is missing or of the wrong size."""
        try:
            return cls(
                template_id=str(record["template_id"]),
                dimensions=tuple(int(d) for d in record["dimensions"]),
                weights=tuple(float(w) for w in record["weights"]),
                centre=np.asarray(record["centre"], dtype=np.float32),
                prior_id=str(record["prior_id"]),
            )
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise DatabaseCorrupt(
                f"The template space cannot be read: {error}.", "Enrol again or restore a backup."
            ) from error


def unit(vectors: F32) -> F32:
    """Returns the rows scaled to unit length, float32; rows of zeros stay zeros."""
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    scaled: F32 = vectors / np.maximum(norms, np.float32(_TINY))
    return scaled


def performer_means(templates: F32, performers: np.ndarray, count: int) -> F32:
    """Returns (count, template_dim) float32: the plain mean of each performer's raw templates; zeros for no template.

    Args:
        templates: (n, template_dim).
        performers: (n,) performer row of each template, in ascending order.
    """
    means = np.zeros((count, templates.shape[1]), dtype=np.float32)
    if not len(templates):
        return means
    rows, starts, sizes = np.unique(performers, return_index=True, return_counts=True)
    means[rows] = np.add.reduceat(templates, starts, axis=0, dtype=np.float32) / sizes[:, None].astype(np.float32)
    return means


def _centre(pack: ModelPack, means: F32) -> F32:
    zeros = np.zeros(pack.template_dim, dtype=np.float32)
    if not pack.centre:
        return zeros
    prior = load_pack_mean(pack)
    weighted = (prior.mean if prior else zeros) * PRIOR_STRENGTH
    total = weighted.astype(np.float64)
    for first in range(0, len(means), _ROWS_AT_ONCE):
        total += _unit_parts(pack, means[first : first + _ROWS_AT_ONCE]).sum(axis=0, dtype=np.float64)
    centre: F32 = (total / (len(means) + PRIOR_STRENGTH)).astype(np.float32)
    return centre


def _prior_id(pack: ModelPack) -> str:
    if not pack.centre:
        return "not centred"
    prior = load_pack_mean(pack)
    measured = hashlib.sha256(prior.mean.tobytes()).hexdigest()[:8] if prior else "none"
    return f"{measured} x {PRIOR_STRENGTH:g}"


def _unit_parts(pack: ModelPack, templates: F32) -> F32:
    edges = np.cumsum([e.dimension for e in pack.embedders])[:-1]
    return np.concatenate([unit(part) for part in np.split(templates, edges, axis=1)], axis=1)
