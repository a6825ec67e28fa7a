"""Which faces of which places are enrolled for whom: agreement, other people, enough.

Lives here: `choose`. The order of trust: what other sources have of a person and the person's own picture in Stash
decide about scenes, images and galleries; these decide among themselves only where most of them agree. Every place
counts once, however many frames of it there are: a wrongly tagged scene must not outvote a picture.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.enroll.local_known import KnownPeople
from pipelines.enroll.local_people import LocalPerformer, enrolled_performer
from pipelines.enroll.local_pictures import Picture
from pipelines.enroll.local_places import Judged, Place
from pipelines.enroll.report import ENROLLED, GateReport
from pipelines.faces.gallery import Performer
from pipelines.faces.gates import Choice, Gates, choose_faces
from pipelines.faces.index import FaceIndex
from pipelines.faces.templates import TemplateSpace, unit
from pipelines.faces.tracks import group_faces
from pipelines.faces.types import F32
from pipelines.store.tables import face_table

MOST_FACES = 20
"""Of one performer."""
GATES = Gates(outlier_share=1.0)
"""Here pictures and scenes of one person must score what a name takes (0.385). The means of five clips scored at least
0.80 with photos of the same person and up to 0.39 with those of another one in the same studio, the hardest pair of the
test data (pack `open`, 2026-11-23); 0.75 of it, enough among photos that somebody chose, would let many such pass."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A place that may be enrolled, with the mean of its faces."""

    place: Place
    judged: Judged
    mean: F32

    @property
    def text(self) -> str:
        return f"{self.place.kind} {self.place.content_id}"


@dataclass(slots=True, eq=False)
class Chosen:
    """What is enrolled.

    Attributes:
        performers: those with a face, in order of id.
        faces: `face_schema`, by performer, the picture first.
        by_kind: number of faces by "picture", "scene", "image", "gallery".
    """

    performers: list[Performer] = field(default_factory=list)
    faces: pa.Table = None
    by_kind: Counter[str] = field(default_factory=Counter)


def choose(
    performers: Mapping[str, LocalPerformer],
    pictures: Mapping[str, Picture],
    places: Sequence[tuple[Place, Judged]],
    known: KnownPeople,
    gates: Gates,
    report: GateReport,
    crops: Mapping[str, bytes],
) -> Chosen:
    """Returns the faces that are enrolled; every picture and place that is not is counted in the report.

    Args:
        performers: who may be enrolled, by id.
        pictures: what was found in their pictures, by id.
        places: where one of them alone is tagged; those that show one person.
        known: is given the pictures that are good.
        crops: small JPEGs of pictures, by id.
    """
    least = gates.outlier_share * known.pack.calibration.accept_score
    taken: dict[str, Picture] = {}
    for performer_id, picture in pictures.items():
        name = f"{performers[performer_id].universal_id} {performers[performer_id].name}"
        choice = _picture_face(picture, known.own.get(performer_id), known, gates)
        if choice.face is None:
            report.add(choice.reason, f"{name}: {choice.detail}".rstrip(": "), crops.get(performer_id))
            continue
        known.pictures[performer_id] = choice.face.template
        taken[performer_id] = Picture(picture.sha256, "", "", picture.side_px, (choice.face,))
    candidates = _without_others(_candidates(places, performers), known, performers, report)
    by_performer: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_performer[candidate.place.performer_id].append(candidate)
    kept = {i: _agreeing(own, known.anchors(i), known.space, least, report) for i, own in by_performer.items()}
    alone = {i: own for i, own in kept.items() if own and not len(known.anchors(i))}
    for performer_id in _same_face(alone, known, performers):
        for candidate in kept[performer_id]:
            report.add("undecided", f"{candidate.text}: the same face is tagged as another performer")
        kept[performer_id] = []
    return _table(performers, taken, kept, report)


def _picture_face(picture: Picture, own: F32 | None, known: KnownPeople, gates: Gates) -> Choice:
    """Returns the face of a performer's own picture; it must agree with what other sources have of the person."""
    if picture.reason:
        return Choice(None, picture.reason, picture.detail)
    enrolled = np.zeros((0, known.pack.template_dim), np.float32) if own is None else own[None]
    (choice,), warning = choose_faces([picture.faces], enrolled, known.pack, gates, [picture.side_px])
    return Choice(None, "outlier", warning) if warning else choice


def _candidates(places: Sequence[tuple[Place, Judged]], performers: Mapping[str, LocalPerformer]) -> list[Candidate]:
    return [
        Candidate(place, judged, judged.template.astype(np.float32).mean(axis=0))
        for place, judged in places
        if place.performer_id in performers
    ]


def _without_others(
    candidates: Sequence[Candidate],
    known: KnownPeople,
    performers: Mapping[str, LocalPerformer],
    report: GateReport,
) -> list[Candidate]:
    """Returns the candidates that do not show another known person."""
    if not candidates:
        return []
    means = np.stack([c.mean for c in candidates])
    others = known.others(means, [c.place.performer_id for c in candidates], performers)
    kept = []
    for candidate, other in zip(candidates, others, strict=True):
        if other.refuses:
            tagged = performers[candidate.place.performer_id].name
            report.add("other_person", f"{candidate.text}, tagged {tagged}: {other.name}, score {other.score:.2f}")
        else:
            kept.append(candidate)
    return kept


def _agreeing(
    candidates: list[Candidate], anchors: F32, space: TemplateSpace, least: float, report: GateReport
) -> list[Candidate]:
    """Returns the candidates that agree with what is known of the performer, or else among themselves."""
    vectors = space.project(np.stack([c.mean for c in candidates]))
    if len(anchors):
        scores = vectors @ unit(space.project(anchors).mean(axis=0, keepdims=True))[0]
        for candidate, score in zip(candidates, scores, strict=True):
            if score < least:
                report.add("outlier", f"{candidate.text}: score {score:.2f} with what is known of the performer")
        return [c for c, score in zip(candidates, scores, strict=True) if score >= least]
    groups = _groups(vectors, least)
    if len(groups) > 1 and len(groups[0]) == len(groups[1]):
        for candidate in candidates:
            report.add(
                "undecided", f"{candidate.text}: {len(groups)} people in {len(candidates)} places of one performer"
            )
        return []
    for i in sorted(i for group in groups[1:] for i in group):
        report.add("outlier", f"{candidates[i].text}: not the person of {len(groups[0])} other places")
    return [candidates[i] for i in sorted(groups[0])]


def _groups(vectors: F32, least: float) -> list[list[int]]:
    """Returns the places that show the same person, the largest group first."""
    count = len(vectors)
    labels = group_faces(vectors, np.arange(count), np.zeros((count, 4), np.float32), least)
    groups = [np.flatnonzero(labels == label).tolist() for label in range(int(labels.max()) + 1)]
    return sorted(groups, key=len, reverse=True)


def _same_face(
    alone: Mapping[str, Sequence[Candidate]], known: KnownPeople, performers: Mapping[str, LocalPerformer]
) -> set[str]:
    """Returns the performers of whom only scenes are known and whose face is that of another one like that.

    One of the two is wrongly tagged, and nothing says which.
    """
    ids = sorted(alone)
    if len(ids) < 2:
        return set()
    space, accept = known.space, known.pack.calibration.accept_score_at(len(ids))
    vectors = unit(np.stack([space.project(np.stack([c.mean for c in alone[i]])).mean(axis=0) for i in ids]))
    hits = FaceIndex.build(vectors, template_id=space.template_id).search(vectors, 3)
    same = set()
    for number, (rows, scores) in enumerate(zip(hits.performers.tolist(), hits.scores.tolist(), strict=True)):
        for row, score in zip(rows, scores, strict=True):
            linked = row >= 0 and not set(performers[ids[number]].ids).isdisjoint(performers[ids[row]].ids)
            if row >= 0 and row != number and score >= accept and not linked:
                same |= {ids[number], ids[row]}
    return same


def _table(
    performers: Mapping[str, LocalPerformer],
    pictures: Mapping[str, Picture],
    places: Mapping[str, Sequence[Candidate]],
    report: GateReport,
) -> Chosen:
    chosen = Chosen()
    columns: dict[str, list[Any]] = {
        name: [] for name in ("universal_id", "source", "source_sha256", "quality", "yaw_deg", "detection_score")
    }
    templates: list[F32] = []

    def add(universal_id: str, *values: Any, template: Any) -> None:
        for column, value in zip(columns.values(), (universal_id, *values), strict=True):
            column.append(value)
        templates.append(np.asarray(template, np.float32))

    for performer_id in sorted({*pictures, *(i for i, own in places.items() if own)}, key=int):
        performer = enrolled_performer(performers[performer_id])
        chosen.performers.append(performer)
        room = MOST_FACES
        if performer_id in pictures:
            picture = pictures[performer_id]
            face = picture.faces[0]
            source = f"performer/{performer_id}/image"
            scores = (face.quality, face.yaw_deg, face.detection_score)
            add(performer.universal_id, source, picture.sha256, *scores, template=face.template)
            chosen.by_kind["picture"] += 1
            report.add(ENROLLED)
            room -= 1
        own = places.get(performer_id, ())
        rounds = _in_rounds(own)
        for candidate, i in rounds[:room]:
            judged = candidate.judged
            scores = (float(judged.quality[i]), float(judged.yaw[i]), float(judged.score[i]))
            add(performer.universal_id, judged.sources[i], None, *scores, template=judged.template[i])
            chosen.by_kind[candidate.place.kind] += 1
        left_out = Counter(id(c) for c, _ in rounds) - Counter(id(c) for c, _ in rounds[:room])
        for candidate in own:
            whole = left_out[id(candidate)] == len(candidate.judged.sources)
            report.add("surplus" if whole else ENROLLED)
    chosen.faces = face_table(columns, np.stack(templates)) if templates else None
    return chosen


def _in_rounds(candidates: Sequence[Candidate]) -> list[tuple[Candidate, int]]:
    """Returns every face as candidate and number: the best of each place, then the second best of each, ..."""
    ranked = sorted(candidates, key=lambda c: (-float(c.judged.quality.max()), c.text))
    orders = [np.argsort(-c.judged.quality, kind="stable").tolist() for c in ranked]
    longest = max(map(len, orders), default=0)
    return [(c, own[turn]) for turn in range(longest) for c, own in zip(ranked, orders, strict=True) if turn < len(own)]
