"""Which stash-box entries the performers of Stash lack, although the performer database knows whose they are.

Lives here: the evidence for "this performer is that person": an id that both have, the face of the performer's own
enrolment, and scenes in which the performer is tagged and the person is seen; and what it adds up to. Names raise and
never carry it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.analyzers.household import LOCAL, Household, called, own_ids
from pipelines.analyzers.names import NameAgreement, agreement
from pipelines.analyzers.seen_people import CLEAR_CONFIDENCE, CLEAR_FRAMES
from pipelines.faces.gallery import Gallery
from pipelines.stash.records import Performer
from pipelines.store.domains import domain_of

NEAREST = 4
SURE_FACE = 0.9
"""Least calibrated probability of the face alone."""
SEVERAL_SCENES = 3
SCENE_SHARE = 0.5
"""The person must be seen in this share of the performer's scenes in which anybody is named: a partner who is often
there too is seen in more scenes without the performer, and is tagged there."""
SHARED_ID, SCENES, FACE = 97.0, 85.0, 85.0
FACE_AND_SCENES, WITH_NAME = 94.0, 10.0
HIGHEST = 98.0
OTHER_ENTRY = 0.6
"""Factor where the performer has another entry of the same box: several are legitimate, yet one may be wrong."""


@dataclass(frozen=True, slots=True)
class MissingLink:
    """An entry that a performer lacks.

    Attributes:
        row: of the person in the household's people.
        shared_id: the id that performer and person have in common, "" where only face or scenes say so.
        face_confidence: of the performer's own enrolment, 0..1; 0 where it does not reach SURE_FACE.
        scene_ids: in which the performer is tagged and the person seen; `scene_share` of those of the performer.
        others: ids that the performer has at the same box.
    """

    performer: Performer
    row: int
    universal_id: str
    endpoint: str
    stash_id: str
    shared_id: str
    face_confidence: float
    face_score: float
    scene_ids: tuple[str, ...]
    scene_share: float
    name: NameAgreement | None
    others: tuple[str, ...]

    @property
    def confidence(self) -> float:
        """0..100."""
        if self.shared_id:
            sure = SHARED_ID
        else:
            face, scenes = bool(self.face_confidence), bool(self.scene_ids)
            sure = FACE_AND_SCENES if face and scenes else FACE * self.face_confidence if face else SCENES
            if self.name is not None and not self.name.told_apart:
                sure += WITH_NAME
        return round(min(HIGHEST, sure) * (OTHER_ENTRY if self.others else 1.0), 1)

    def reasons(self) -> list[str]:
        """Returns sentences, the strongest first."""
        said = []
        if self.shared_id:
            said.append(f"The performer database holds {self.shared_id} and {self.universal_id} for one person.")
        if self.face_confidence:
            said.append(f"Their faces match ({self.face_confidence:.0%}).")
        if self.scene_ids:
            said.append(
                f"Seen in {len(self.scene_ids)} scenes of the performer ({self.scene_share:.0%} of those matched)."
            )
        if self.name is not None:
            how = {"name": "are the same", "alias": "share an alias", "similar": "are spelled alike"}[self.name.how]
            said.append(f"Their names {how}.")
        if self.others:
            said.append(
                f"The performer has another entry there already ({', '.join(self.others)}): "
                "several of one box are possible, but one may be wrong."
            )
        return said


@dataclass(frozen=True, slots=True)
class SeenTogether:
    """In which scenes of a performer somebody is clearly named, and by which person of the database (row)."""

    scenes: Mapping[str, Sequence[tuple[str, tuple[int, ...]]]]

    @classmethod
    def of(
        cls,
        named: Iterable[tuple[str, str, float, int]],
        tagged: Mapping[str, Sequence[str]],
        household: Household,
    ) -> SeenTogether:
        """
        Args:
            named: content id, universal id, confidence and frames, see `MatchStore.named`.
            tagged: ids of the performers tagged on each scene.
        """
        rows_in: dict[str, set[int]] = {}
        for scene_id, universal_id, confidence, frames in named:
            if confidence >= CLEAR_CONFIDENCE and frames >= CLEAR_FRAMES and scene_id in tagged:
                row = household.row([universal_id])
                if row is not None:
                    rows_in.setdefault(scene_id, set()).add(row)
        found: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
        for scene_id, rows in rows_in.items():
            for performer_id in tagged[scene_id]:
                found.setdefault(performer_id, []).append((scene_id, tuple(sorted(rows))))
        return cls(found)

    def people(self, performer_id: str, own: Iterable[int]) -> dict[int, tuple[tuple[str, ...], float]]:
        """Returns rows that are seen in several of a performer's scenes, in place of the performer: scenes and share.

        Scenes in which the performer is seen by one of `own` rows are no evidence for somebody else.
        """
        mine = set(own)
        scenes = [(s, rows) for s, rows in self.scenes.get(performer_id, ()) if mine.isdisjoint(rows)]
        total = len(self.scenes.get(performer_id, ()))
        counts = Counter(row for _, rows in scenes for row in rows)
        return {
            row: (tuple(s for s, rows in scenes if row in rows), count / total)
            for row, count in counts.items()
            if count >= SEVERAL_SCENES and count / total >= SCENE_SHARE
        }


def missing_links(
    household: Household, endpoints: Mapping[str, str], gallery: Gallery | None, together: SeenTogether
) -> Iterator[MissingLink]:
    """Yields the entries that performers lack, by performer.

    A person of whom another performer of Stash has an id is left out: these two are duplicates.

    Args:
        endpoints: of the stash-boxes that Stash knows, by domain.
    """
    for performer in sorted(household.performers.values(), key=lambda p: int(p.id)):
        own = household.rows(own_ids(performer))
        linked = set(household.rows(performer.universal_ids))
        faces = _by_face(household, gallery, own)
        scenes = together.people(performer.id, own)
        for row in dict.fromkeys([*sorted(linked), *faces, *scenes]):
            yield from _entries(household, endpoints, performer, row, faces.get(row), scenes.get(row))


def _entries(
    household: Household,
    endpoints: Mapping[str, str],
    performer: Performer,
    row: int,
    face: tuple[float, float] | None,
    scenes: tuple[tuple[str, ...], float] | None,
) -> Iterator[MissingLink]:
    ids = household.ids_at(row)
    somebody_else = any(one.id != performer.id for one in household.holders(ids))
    if somebody_else or not household.excluded.isdisjoint(ids):
        return
    mine = set(own_ids(performer))
    shared = next((one for one in performer.universal_ids if one in ids), "")
    name = agreement(called(performer), household.called_at(row))
    score, confidence = face or (0.0, 0.0)
    seen, share = scenes or ((), 0.0)
    for universal_id in ids:
        domain = domain_of(universal_id)
        if universal_id in mine or domain == LOCAL or domain not in endpoints:
            continue
        others = tuple(s.stash_id for s in performer.stash_ids if s.domain == domain)
        yield MissingLink(
            performer,
            row,
            universal_id,
            endpoints[domain],
            universal_id.partition(":")[2],
            shared,
            confidence,
            score,
            seen,
            share,
            name,
            others,
        )


def _by_face(household: Household, gallery: Gallery | None, own: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Returns score and confidence of the person that a performer's own face is nearest to, if near enough."""
    if gallery is None:
        return {}
    # A face that is merged with that of an entry says nothing about the entry that it is not merged with.
    vectors = [gallery.index.vectors_of(row) for row in own if row not in gallery.hidden]
    vectors = [vector for vector in vectors if len(vector)]
    if not vectors:
        return {}
    hits = gallery.index.search(np.concatenate(vectors), NEAREST)
    best: dict[int, float] = {}
    for rows, scores in zip(hits.performers.tolist(), hits.scores.tolist(), strict=True):
        other = next(
            ((r, s) for r, s in zip(rows, scores, strict=True) if r >= 0 and _another(household, r, own)), None
        )
        if other is not None:
            best[other[0]] = max(other[1], best.get(other[0], -1.0))
    confidence = gallery.pack.calibration.confidence
    return {row: (score, sure) for row, score in best.items() if (sure := confidence(score, gallery.size)) >= SURE_FACE}


def _another(household: Household, row: int, own: Sequence[int]) -> bool:
    """Returns whether a row is somebody else's who has an entry of a catalogue."""
    return row not in own and any(domain_of(one) != LOCAL for one in household.ids_at(row))
