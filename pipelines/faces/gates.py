"""Which face of which photo is enrolled for a person.

Lives here: `Gates` and `choose_faces`, which decides for all photos of one person at once, because the other photos
tell whose face an ambiguous photo means and which photo is of somebody else. Photos are read in `enroll.folder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.faces.engine import Face
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import TemplateSpace, unit
from pipelines.faces.types import F32

REASONS = {
    "not_an_image": "not a picture",
    "unreadable": "cannot be decoded",
    "missing": "the picture is not there",
    "too_large": "the file is too large",
    "unreachable": "its server does not answer",
    "refused": "its address is not one to fetch from",
    "crashed": "a process ended while it was looked at",
    "small_image": "the picture is too small",
    "duplicate": "the same picture as another one of the performer",
    "excluded": "the performer is on the exclusion list",
    "other_performer": "the same file belongs to another performer",
    "no_face": "no face was found",
    "small_face": "the face is too small",
    "low_score": "the detector is not sure enough that it is a face",
    "ambiguous": "several faces of similar size",
    "turned_away": "the face is turned too far",
    "outlier": "not the person of the other photos",
    "surplus": "the performer has enough better photos",
    "low_quality": "no face is clear enough",
    "several_people": "more than one person is seen",
    "too_few_frames": "the person is seen too rarely",
    "other_person": "it is another known person",
    "undecided": "two places show different people and nothing else decides",
}


@dataclass(frozen=True, slots=True)
class Gates:
    """What a photo must be like.

    Attributes:
        min_face_px: shorter side of the face box.
        min_detection_score: None for the pack's.
        max_yaw_deg: faces turned further are left out, unless the person has no better photo.
        rival_share: a second face with at least this share of the largest one's area makes the photo ambiguous; it is
            then used only when the person's other photos tell which face is meant.
        outlier_share: a photo whose score against the mean of the person's other photos is below this share of the
            pack's accept score is of somebody else. On 90 photos of 27 people right photos scored at least 0.52 and
            wrong ones at most 0.28, their 99th percentile 0.18 (pack `open`, 2026-11-22); 0.75 x 0.385 lies between.
        min_image_side_px: shorter side of the picture; 0 takes any.
        max_faces: faces of one person, one a photo, the best ones; 0 takes all.
    """

    min_face_px: int = 40
    min_detection_score: float | None = None
    max_yaw_deg: float = 45.0
    rival_share: float = 0.5
    outlier_share: float = 0.75
    min_image_side_px: int = 0
    max_faces: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The face of one photo, or the reason (a key of REASONS) why there is none.

    Attributes:
        rivals: the faces between which an ambiguous photo does not decide.
    """

    face: Face | None
    reason: str = ""
    detail: str = ""
    rivals: tuple[Face, ...] = ()


def choose_faces(
    photos: Sequence[Sequence[Face]],
    enrolled: F32,
    pack: ModelPack,
    gates: Gates = Gates(),
    sides_px: Sequence[int] | None = None,
) -> tuple[list[Choice], str]:
    """Returns one choice per photo of one person, and a warning ("" for none).

    Args:
        photos: the faces found in each photo.
        enrolled: (n, template_dim) raw templates of the person that are enrolled already; n may be 0.
        sides_px: shorter side of each photo; without it `gates.min_image_side_px` does not count.
    """
    space = TemplateSpace.for_gallery(pack, np.zeros((0, pack.template_dim), dtype=np.float32))
    accept = pack.calibration.accept_score
    choices = [_main_face(faces, pack, gates) for faces in photos]
    for i, side in enumerate(sides_px or ()):
        if side < gates.min_image_side_px:
            choices[i] = Choice(None, "small_image", f"{side} px, at least {gates.min_image_side_px} are needed")
    choices = _without_turned(choices, bool(len(enrolled)), gates)
    choices = _with_rivals_resolved(choices, enrolled, space, accept)
    choices, warning = _without_outliers(choices, enrolled, space, gates.outlier_share * accept)
    return _without_surplus(choices, len(enrolled), gates.max_faces), warning


def _main_face(faces: Sequence[Face], pack: ModelPack, gates: Gates) -> Choice:
    if not faces:
        return Choice(None, "no_face")
    ranked = sorted(faces, key=_area, reverse=True)
    least = gates.min_detection_score or pack.detector.min_score
    largest = ranked[0]
    side = float((largest.box[2:] - largest.box[:2]).min())
    if side < gates.min_face_px:
        return Choice(None, "small_face", f"{side:.0f} px, at least {gates.min_face_px} are needed")
    sure = [face for face in ranked if face.detection_score >= least]
    if not sure:
        return Choice(None, "low_score", f"{largest.detection_score:.2f}, at least {least:.2f} is needed")
    rivals = tuple(face for face in sure if _area(face) >= gates.rival_share * _area(sure[0]))
    if len(rivals) > 1:
        return Choice(None, "ambiguous", f"{len(rivals)} faces", rivals)
    return Choice(sure[0])


def _without_turned(choices: list[Choice], enrolled: bool, gates: Gates) -> list[Choice]:  # noqa: FBT001
    turn = {i: abs(c.face.yaw_deg) for i, c in enumerate(choices) if c.face is not None}
    turned = {i for i, yaw in turn.items() if yaw > gates.max_yaw_deg}
    if turned and len(turned) == len(turn) and not enrolled:
        turned.discard(min(turned, key=lambda i: turn[i]))
    return [
        Choice(None, "turned_away", f"yaw {turn[i]:.0f} degrees") if i in turned else choice
        for i, choice in enumerate(choices)
    ]


def _with_rivals_resolved(choices: list[Choice], enrolled: F32, space: TemplateSpace, accept: float) -> list[Choice]:
    """Returns the choices, with the face of an ambiguous photo that alone looks like the person's other photos."""
    known = _projected(choices, enrolled, space)
    if not len(known):
        return choices
    mean = unit(known.mean(axis=0, keepdims=True))[0]
    resolved = []
    for choice in choices:
        alike = [f for f in choice.rivals if float(space.project(f.template[None])[0] @ mean) >= accept]
        resolved.append(Choice(alike[0]) if len(alike) == 1 else choice)
    return resolved


def _without_outliers(
    choices: list[Choice], enrolled: F32, space: TemplateSpace, least: float
) -> tuple[list[Choice], str]:
    """Returns the choices without those unlike the rest, the least alike first; two photos cannot outvote."""
    choices = list(choices)
    while True:
        known = _projected(choices, enrolled, space)
        if len(known) < 2:
            return choices, ""
        others = unit(known.sum(axis=0, keepdims=True) - known)
        scores = np.einsum("ij,ij->i", known, others)
        if len(known) == 2:
            return choices, f"two photos look like two people (score {scores[0]:.2f})" if scores[0] < least else ""
        numbers = [i for i, choice in enumerate(choices) if choice.face is not None]
        fresh = scores[len(enrolled) :]
        if not len(fresh) or fresh.min() >= least:
            return choices, ""
        worst = int(fresh.argmin())
        choices[numbers[worst]] = replace(
            choices[numbers[worst]], face=None, reason="outlier", detail=f"score {fresh[worst]:.2f}", rivals=()
        )


def _without_surplus(choices: list[Choice], enrolled: int, most: int) -> list[Choice]:
    """Returns the choices with the best faces only, so that at most `most` are enrolled together with those before."""
    taken = [(choice.face.quality, -i) for i, choice in enumerate(choices) if choice.face is not None]
    room = max(0, most - enrolled)
    if not most or len(taken) <= room:
        return choices
    kept = {-i for _, i in sorted(taken, reverse=True)[:room]}
    surplus = Choice(None, "surplus", f"at most {most} are enrolled")
    return [c if c.face is None or i in kept else surplus for i, c in enumerate(choices)]


def _projected(choices: Sequence[Choice], enrolled: F32, space: TemplateSpace) -> F32:
    fresh = [choice.face.template for choice in choices if choice.face is not None]
    return space.project(np.concatenate([enrolled, np.stack(fresh)]) if fresh else enrolled)


def _area(face: Face) -> float:
    return float((face.box[2:] - face.box[:2]).prod())
