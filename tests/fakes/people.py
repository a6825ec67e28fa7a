"""Faces of invented people: templates with a known spread around a known person, no pictures."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.faces.catalogue import OPEN
from pipelines.faces.engine import Face
from pipelines.faces.gallery import Gallery, Performer
from pipelines.faces.templates import unit
from pipelines.faces.tracks import SeenFace

PACK = dataclasses.replace(
    OPEN,
    id="invented",
    centre=False,
    embedders=(dataclasses.replace(OPEN.embedders[0], dimension=64, weight=1.0),),
    calibration=dataclasses.replace(
        OPEN.calibration, accept_score=0.4, gallery_size=30, score_per_decade=0.0, same_person_score=0.4
    ),
)


class People:
    """Invented people `0`, `1`, ...: two different ones have a score near 0, faces of one person near `likeness`."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        basis = np.linalg.qr(self.random.standard_normal((64, 64)))[0]
        self.centres = basis[:count].astype(np.float32)

    def template(self, person: int, noise: float = 0.4) -> np.ndarray:
        offset = unit(self.random.standard_normal((1, 64)).astype(np.float32))[0]
        return unit((self.centres[person] + noise * offset)[None])[0]

    def mixed(self, weights: dict[int, float]) -> np.ndarray:
        """A template with the given scores to several people (the squares add up to at most 1)."""
        rest = np.sqrt(1 - sum(w * w for w in weights.values()))
        template = sum(w * self.centres[p] for p, w in weights.items())
        taken = self.centres
        free = self.random.standard_normal(64)
        free -= taken.T @ (taken @ free)
        return (template + rest * free / np.linalg.norm(free)).astype(np.float32)

    def gallery(self, count: int | None = None) -> Gallery:
        """The first `count` people enrolled as local:0, local:1, ... named P0, P1, ..."""
        count = len(self.centres) if count is None else count
        performers = [Performer(f"local:{i}", f"P{i}") for i in range(count)]
        return Gallery.build(PACK, performers, self.centres[:count], np.arange(count), dtype="float32")


def face(
    template: np.ndarray, *, left: float = 0.0, quality: float = 0.8, score: float = 0.9, yaw: float = 0.0
) -> Face:
    """A face of 100 px at x = `left`."""
    return Face(
        box=np.array([left, 0, left + 100, 100], np.float32),
        landmarks=np.zeros((5, 2), np.float32),
        detection_score=score,
        yaw_deg=yaw,
        roll_deg=0.0,
        quality=quality,
        template=template.astype(np.float32),
        crop=np.zeros((112, 112, 3), np.uint8),
    )


def seen(
    people: People, sightings: list[tuple[int, int]], *, step_s: float = 1.0, noise: float = 0.4
) -> list[SeenFace]:
    """One face per (frame, person); people stand side by side, 200 px apart."""
    return [
        SeenFace(face(people.template(person, noise), left=200.0 * person), frame * step_s, frame)
        for frame, person in sightings
    ]
