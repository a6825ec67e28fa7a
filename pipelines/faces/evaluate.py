"""Accuracy of a model pack on labelled photos: leave-one-out identification of clean and degraded faces.

The protocol. Every identity with two photos or more is enrolled; the others are strangers. Each photo is searched
twice: against the gallery in which its own person is enrolled by the *other*, clean photos (mated), and against the
gallery without that person (non-mated). The probe is the face as the engine finds it in the degraded picture, so that
lost faces and misplaced landmarks count. One threshold serves all conditions: the lowest at which the share of
non-mated searches that name anybody, over all conditions together, is the wanted FPIR. A face that is not found is a
miss.

Templates come from `engine`, means, centring and weighting from `templates`: what is measured is what identifies.
Photos are given, nothing here reads a file; rates and intervals are `accuracy`, thresholds `calibrate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.errors import InputError
from pipelines.faces.degrade import CLEAN, Condition, CutFace, cut_face
from pipelines.faces.engine import Face
from pipelines.faces.landmarks import face_centre
from pipelines.faces.metrics import F64, Bools, Rows
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import TemplateSpace, performer_means
from pipelines.faces.types import F32, Frame

MAX_CENTRE_OFFSET = 0.5
"""A face is the probe when its centre is at most this far from the true one, in eye-to-chin distances."""


class Engine(Protocol):
    """What finds and embeds faces; `engine.FaceEngine` is one."""

    def analyze(self, images: Sequence[Frame]) -> list[list[Face]]: ...


@dataclass(frozen=True, slots=True)
class Photo:
    """One labelled picture. `name` is unique within the identity."""

    identity: str
    name: str
    image: Frame

    @property
    def key(self) -> str:
        return f"{self.identity}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Templates of n photos, clean and under c conditions.

    Attributes:
        people: names of the identities, sorted.
        person: (n,) int64 row of `people` of each photo.
        keys: (n,) `identity/name` of each photo.
        conditions: (c,) what was done to the probes.
        enrolled: (n, d) float32 raw template of the photo as it is.
        probes: (n, c, d) float32 raw templates; zeros where the face was lost.
        found: (n, c) bool.
        strangers: (n, c) int64, faces found that are not the probe.
        unusable: keys of photos without a face; they are in no other field.
    """

    people: tuple[str, ...]
    person: Rows
    keys: tuple[str, ...]
    conditions: tuple[Condition, ...]
    enrolled: F32
    probes: F32
    found: Bools
    strangers: Rows
    unusable: tuple[str, ...]

    @property
    def enrolled_people(self) -> Rows:
        """Rows of the people with two photos or more."""
        return np.flatnonzero(np.bincount(self.person, minlength=len(self.people)) >= 2)


def collect(
    photos: Iterable[Photo],
    engine: Engine,
    probe_engine: Engine,
    conditions: Sequence[Condition] = (CLEAN,),
    progress: Callable[[str], None] = lambda _key: None,
) -> Samples:
    """Returns the templates of all photos; holds one photo at a time.

    Args:
        photos: any order; a photo's person is its largest face.
        engine: makes the enrolled templates, from whole photos.
        probe_engine: makes the probes, from cut and degraded pictures.
        progress: told the key of each photo done.

    Raises:
        InputError: no photo has a face.
    """
    rows: list[tuple[str, str, F32, list[_Probe]]] = []
    unusable = []
    for photo in photos:
        faces = engine.analyze([photo.image])[0]
        if faces:
            probes = _probes(photo, faces[0], probe_engine, conditions)
            rows.append((photo.identity, photo.key, faces[0].template, probes))
        else:
            unusable.append(photo.key)
        progress(photo.key)
    if not rows:
        raise InputError("No photo shows a face.", "Give a folder with one folder of photos per person.")
    people = tuple(sorted({row[0] for row in rows}))
    zeros = np.zeros_like(rows[0][2])
    return Samples(
        people=people,
        person=np.array([people.index(row[0]) for row in rows], np.int64),
        keys=tuple(row[1] for row in rows),
        conditions=tuple(conditions),
        enrolled=np.stack([row[2] for row in rows]),
        probes=np.stack([[zeros if p.template is None else p.template for p in row[3]] for row in rows]),
        found=np.array([[p.template is not None for p in row[3]] for row in rows]),
        strangers=np.array([[p.strangers for p in row[3]] for row in rows], np.int64),
        unusable=tuple(unusable),
    )


@dataclass(frozen=True, slots=True)
class _Probe:
    template: F32 | None
    strangers: int


def _probes(photo: Photo, face: Face, engine: Engine, conditions: Sequence[Condition]) -> list[_Probe]:
    cut = cut_face(photo.image, face.landmarks)
    pictures = [condition.apply(cut, photo.key) for condition in conditions]
    return [_find(p, f) for p, f in zip(pictures, engine.analyze([p.image for p in pictures]), strict=True)]


def _find(picture: CutFace, faces: list[Face]) -> _Probe:
    """Returns the face nearest to where it is known to be, and how many others were found."""
    if not faces:
        return _Probe(None, 0)
    centres = face_centre(np.stack([f.landmarks for f in faces]))
    offsets = np.linalg.norm(centres - picture.centre, axis=1) / picture.eye_chin_px
    nearest = int(np.argmin(offsets))
    if offsets[nearest] > MAX_CENTRE_OFFSET:
        return _Probe(None, len(faces))
    return _Probe(faces[nearest].template, len(faces) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of n photos under c conditions against p enrolled people; -inf where the face was lost.

    Attributes:
        mated: (n, c) score of the own person, enrolled by the other photos; nan for people who are not enrolled.
        best_wrong: (n, c) best score of another person in the same gallery.
        non_mated: (n, c) best score in the gallery without the own person.
        impostors: (n, c, p) scores of all other people in that gallery; nan for the own person and lost faces.
    """

    mated: F64
    best_wrong: F64
    non_mated: F64
    impostors: F64


def score(samples: Samples, pack: ModelPack) -> Scores:
    """Searches every probe in its two galleries, with the centring and the weights of `pack`.

    Raises:
        InputError: fewer than two people have two photos.
    """
    enrolled = samples.enrolled_people
    if len(enrolled) < 2:
        raise InputError(f"{len(enrolled)} people have two usable photos.", "Accuracy needs at least two such people.")
    shape = samples.found.shape
    result = Scores(
        mated=np.full(shape, np.nan),
        best_wrong=np.full(shape, -np.inf),
        non_mated=np.full(shape, -np.inf),
        impostors=np.full((*shape, len(enrolled)), np.nan),
    )
    for photo, person in enumerate(samples.person):
        found = samples.found[photo]
        own = enrolled == person
        probes = samples.probes[photo]
        if own.any():
            mated = gallery_scores(pack, _means(samples, enrolled, without=photo), probes)
            result.mated[photo] = np.where(found, mated[:, own][:, 0], -np.inf)
            result.best_wrong[photo] = np.where(found, mated[:, ~own].max(axis=1), -np.inf)
        others = gallery_scores(pack, _means(samples, enrolled[~own]), probes)
        result.non_mated[photo] = np.where(found, others.max(axis=1), -np.inf)
        result.impostors[photo][:, ~own] = np.where(found[:, None], others, np.nan)
    return result


def gallery_scores(pack: ModelPack, means: F32, probes: F32) -> F64:
    """Returns (c, p) scores of (c, d) raw templates against a gallery of (p, d) mean raw templates."""
    space = TemplateSpace.for_gallery(pack, means)
    return (space.project(probes) @ space.project(means).T).astype(np.float64)


def _means(samples: Samples, people: Rows, without: int | None = None) -> F32:
    keep = np.isin(samples.person, people)
    if without is not None:
        keep[without] = False
    rows = np.flatnonzero(keep)
    order = rows[np.argsort(samples.person[rows], kind="stable")]
    slots = np.searchsorted(people, samples.person[order])
    return performer_means(samples.enrolled[order], slots, len(people))
