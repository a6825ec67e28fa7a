"""Which performers of Stash are one person: by a link, by the performer database, by face and name together.

Lives here: the pairs with what speaks for them, and which of two is kept. Faces are searched exactly, names are only
compared for pairs that a face or an id brought together: a name alone never makes a pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipelines.analyzers.household import Household, called, own_ids, worth
from pipelines.analyzers.names import NameAgreement, agreement
from pipelines.faces.gallery import Gallery
from pipelines.faces.index import FaceIndex
from pipelines.faces.types import F32
from pipelines.stash.records import Performer, StashId

NEAREST = 8
"""Performers that are looked at for each: a person who is in Stash more often is found through the others."""
SAME_LINK, SAME_PERSON, SAME_FACE = 99.0, 95.0, 97.0
"""Confidence of a link to one entry, of two entries that the performer database holds for one person, and the most
that face and name together give."""
NAME_FACTOR = {"name": 1.0, "alias": 0.97, "similar": 0.9}
TOLD_APART = 0.6
"""Factor for namesakes whom somebody gave different disambiguations."""
OTHER_FACE, OTHER_FACE_MOST = 0.1, 80.0
"""Faces below this score (strangers of the test data reach 0.37) speak against a link, which is then worth no more."""


@dataclass(frozen=True, slots=True)
class PerformerPair:
    """Two performers of Stash who may be one person; `keeper` is one of the two.

    Attributes:
        same_link: the entry of a stash-box that both are linked to.
        same_person: the database's person who has ids of both, by universal id.
        face_similarity: score of their faces, None where one has none.
        name: how their names agree, None when they do not.
    """

    keeper: Performer
    other: Performer
    same_link: StashId | None
    same_person: str | None
    face_similarity: float | None
    face_confidence: float
    name: NameAgreement | None

    @property
    def confidence(self) -> float:
        """0..100."""
        if self.same_link is not None or self.same_person is not None:
            sure = SAME_LINK if self.same_link is not None else SAME_PERSON
            against = self.face_similarity is not None and self.face_similarity < OTHER_FACE
            return min(sure, OTHER_FACE_MOST) if against else sure
        if self.name is None:
            return 0.0
        factor = NAME_FACTOR[self.name.how] * (TOLD_APART if self.name.told_apart else 1.0)
        return round(SAME_FACE * self.face_confidence * factor, 1)

    def reasons(self) -> list[str]:
        """Returns sentences, the strongest first."""
        said = []
        if self.same_link is not None:
            said.append(f"Both are linked to {self.same_link.domain} {self.same_link.stash_id}.")
        if self.same_person is not None:
            said.append(f"The performer database holds the links of both for one person ({self.same_person}).")
        if self.face_similarity is not None:
            alike = "look alike" if self.face_similarity >= OTHER_FACE else "do not look alike"
            said.append(f"Their faces {alike} (similarity {self.face_similarity:.2f}).")
        if self.name is not None:
            how = {"name": "are the same", "alias": "share an alias", "similar": "are spelled alike"}[self.name.how]
            said.append(f"Their names {how}.")
            if self.name.told_apart:
                said.append("Their disambiguations differ: somebody may have kept them apart on purpose.")
        return said


def performer_pairs(household: Household, gallery: Gallery | None) -> list[PerformerPair]:
    """Returns all pairs with anything but a name for them; `gallery` is of the household's people, None without any."""
    links = _linked(household)
    people = _same_people(household)
    faces = LocalFaces(household, gallery)
    keys = {*links, *people, *(key for key in faces.pairs() if _agree(household, key) is not None)}
    found = []
    for key in sorted(keys, key=lambda pair: (int(pair[0]), int(pair[1]))):
        first, second = (household.performers[one] for one in key)
        keeper, other = sorted((first, second), key=lambda p: (worth(p), -int(p.id)), reverse=True)
        score = faces.score(*key)
        found.append(
            PerformerPair(
                keeper, other, links.get(key), people.get(key), score, faces.confidence(score), _agree(household, key)
            )
        )
    return found


class LocalFaces:
    """The faces of the performers of Stash, one vector each: that of their own enrolment, or of the linked person."""

    def __init__(self, household: Household, gallery: Gallery | None) -> None:
        self.ids: list[str] = []
        self._gallery = gallery
        vectors: list[F32] = []
        for performer in household.performers.values() if gallery is not None else ():
            own = _vector(household, gallery, performer) if gallery is not None else None
            if own is not None:
                self.ids.append(performer.id)
                vectors.append(own)
        self.vectors = np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)
        self._places = {performer_id: place for place, performer_id in enumerate(self.ids)}

    def pairs(self) -> set[tuple[str, str]]:
        """Returns the pairs whose faces reach the accepting score for that many performers."""
        if len(self.ids) < 2 or self._gallery is None:
            return set()
        least = self._gallery.pack.calibration.accept_score_at(len(self.ids))
        index = FaceIndex.build(self.vectors, template_id=self._gallery.pack.template_id, dtype="float32")
        hits = index.search(self.vectors, min(NEAREST, len(self.ids)))
        rows, columns = np.nonzero((hits.scores >= least) & (hits.performers >= 0))
        others = hits.performers[rows, columns]
        return {
            _key(self.ids[row], self.ids[other])
            for row, other in zip(rows.tolist(), others.tolist(), strict=True)
            if row != other
        }

    def score(self, first: str, second: str) -> float | None:
        """Returns the score of two performers, None where one has no face."""
        if first not in self._places or second not in self._places:
            return None
        return float(self.vectors[self._places[first]] @ self.vectors[self._places[second]])

    def confidence(self, score: float | None) -> float:
        """Returns the calibrated probability that a best match with this score is the same person, 0..1."""
        if score is None or self._gallery is None:
            return 0.0
        return self._gallery.pack.calibration.confidence(score, len(self.ids))


def keeper_reasons(keeper: Performer, other: Performer) -> list[str]:
    """Returns what the keeper has more of."""

    def tagged(one: Performer) -> int:
        return one.scene_count + one.image_count + one.gallery_count

    reasons = []
    if tagged(keeper) > tagged(other):
        reasons.append(f"tagged on {tagged(keeper)} scenes, images and galleries instead of {tagged(other)}")
    if len(keeper.stash_ids) > len(other.stash_ids):
        links = len(keeper.stash_ids)
        reasons.append(f"{links} link{'s' * (links > 1)} to stash-boxes instead of {len(other.stash_ids)}")
    if keeper.has_image and not other.has_image:
        reasons.append("has a picture")
    if keeper.favorite and not other.favorite:
        reasons.append("is a favourite")
    return reasons or ["has more facts" if worth(keeper) > worth(other) else "was there first"]


def _key(first: str, second: str) -> tuple[str, str]:
    """Returns two ids of Stash, the smaller number first."""
    return (first, second) if int(first) < int(second) else (second, first)


def _agree(household: Household, key: tuple[str, str]) -> NameAgreement | None:
    return agreement(called(household.performers[key[0]]), called(household.performers[key[1]]))


def _linked(household: Household) -> dict[tuple[str, str], StashId]:
    """Returns neighbours among the performers who are linked to one entry: of many, each with the next."""
    holders: dict[StashId, list[str]] = defaultdict(list)
    for performer in household.performers.values():
        for stash_id in dict.fromkeys(performer.stash_ids):
            holders[stash_id].append(performer.id)
    return {key: stash_id for stash_id, ids in holders.items() for key in _neighbours(ids)}


def _same_people(household: Household) -> dict[tuple[str, str], str]:
    """Returns neighbours among the performers who are one person of the performer database, with its universal id."""
    holders: dict[int, list[str]] = defaultdict(list)
    for performer in household.performers.values():
        for row in household.rows(own_ids(performer)):
            holders[row].append(performer.id)
    return {
        key: str(household.people["universal_id"][row].as_py())
        for row, ids in holders.items()
        for key in _neighbours(ids)
    }


def _neighbours(ids: Iterable[str]) -> list[tuple[str, str]]:
    return [*pairwise(sorted(ids, key=int))]


def _vector(household: Household, gallery: Gallery, performer: Performer) -> F32 | None:
    for row in _rows(household.rows(own_ids(performer)), gallery):
        own = gallery.index.vectors_of(row)
        if len(own):
            return np.asarray(own[0], dtype=np.float32)
    return None


def _rows(rows: Sequence[int], gallery: Gallery) -> list[int]:
    return [row for row in rows if row not in gallery.hidden]
