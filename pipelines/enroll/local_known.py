"""Everybody whose face is known from something better than a tagged scene: other sources, and performers' pictures.

Lives here: `KnownPeople`, against which faces of scenes are held before they are enrolled. What was enrolled from
scenes before does not count: one wrongly tagged scene must not decide about the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.enroll.local_people import DOMAIN, LocalPerformer
from pipelines.faces.gallery import Gallery
from pipelines.faces.index import FaceIndex
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import TemplateSpace, unit
from pipelines.faces.types import F32
from pipelines.store.performers import PerformerDatabase
from pipelines.store.shards import SHARD_FILES, face_batches, shard_folder
from pipelines.store.tables import batch_templates

NEAREST = 8
"""Hits that are looked through for another person: a performer may be in the list several times, unlinked."""
_QUERIES = 4096


@dataclass(frozen=True, slots=True)
class Other:
    """The known person, other than the tagged one, that a face looks most like.

    Attributes:
        score: -1 where nobody is known.
        own_score: of the tagged performer's own known faces, in the same space; -1 where there are none.
        named: whether `score` is enough to be named.
    """

    score: float = -1.0
    own_score: float = -1.0
    named: bool = False
    name: str = ""

    @property
    def refuses(self) -> bool:
        return self.named and self.score > self.own_score


@dataclass(frozen=True, slots=True, eq=False)
class _Enrolled:
    """The current version: its gallery, which rows have faces of other sources, and whose the rows are."""

    gallery: Gallery
    trusted: npt.NDArray[np.bool_]
    rows: Mapping[str, frozenset[int]]


@dataclass(slots=True, eq=False)
class KnownPeople:
    """What is known of people besides their scenes.

    Attributes:
        own: (template_dim,) float32 mean of what other sources have of a performer, by performer id.
        pictures: (template_dim,) raw template of the performer's own picture, by performer id.
    """

    pack: ModelPack
    own: dict[str, F32] = field(default_factory=dict)
    pictures: dict[str, F32] = field(default_factory=dict)
    _enrolled: _Enrolled | None = None

    @classmethod
    def of(cls, database: PerformerDatabase, pack: ModelPack, performers: Mapping[str, LocalPerformer]) -> KnownPeople:
        """Returns what the current version knows. Raises DatabaseMissing, PackMismatch, DatabaseCorrupt."""
        gallery = database.load(pack=pack)
        version = gallery.version
        others = [source for source in database.manifest(version).sources if source != DOMAIN]
        column = gallery.table["ids"].combine_chunks()
        parents, values = pc.list_parent_indices(column).to_numpy(), column.flatten()
        trusted = np.zeros(len(gallery.table), dtype=bool)
        for source in others:
            table = database.source_performers(source, version)
            if table is not None:
                ids = table["universal_id"].combine_chunks()
                trusted[parents[pc.is_in(values, value_set=ids).to_numpy(zero_copy_only=False)]] = True
        rows = _own_rows(parents, values, performers)
        known = cls(pack, _enrolled=_Enrolled(gallery, trusted, rows))
        known.own = _own_means(database, version, others, column, rows)
        return known

    def anchors(self, performer_id: str) -> F32:
        """Returns (n, template_dim) float32: all that is known of a performer's face; n may be 0."""
        found = [known[performer_id] for known in (self.own, self.pictures) if performer_id in known]
        return np.stack(found) if found else np.zeros((0, self.pack.template_dim), np.float32)

    def others(self, templates: F32, owners: Sequence[str], performers: Mapping[str, LocalPerformer]) -> list[Other]:
        """Returns the likeliest other person of each of (n, template_dim) raw templates.

        Args:
            owners: ids of the performers that are tagged.
        """
        found = [Other()] * len(owners)
        for likely in (self._among_enrolled(templates, owners), self._among_pictures(templates, owners, performers)):
            found = [max(a, b, key=lambda o: (o.refuses, o.score)) for a, b in zip(found, likely, strict=True)]
        return found

    def _among_enrolled(self, templates: F32, owners: Sequence[str]) -> list[Other]:
        enrolled = self._enrolled
        if enrolled is None or not enrolled.trusted.any():
            return [Other()] * len(owners)
        gallery, accept = enrolled.gallery, self.pack.calibration.accept_score_at(enrolled.gallery.size)
        best = _best_other(
            gallery.index,
            gallery.space.project(templates),
            lambda query, row: enrolled.trusted[row] and row not in enrolled.rows.get(owners[query], ()),
        )
        rows = np.unique(np.array([row for row, _ in best if row >= 0], dtype=np.int64))
        names = gallery.names(rows)
        own = self._own_scores(gallery.space, templates, owners)
        return [
            Other(score, own_score, score >= accept, " ".join(names[row])) if row >= 0 else Other()
            for (row, score), own_score in zip(best, own, strict=True)
        ]

    def _among_pictures(
        self, templates: F32, owners: Sequence[str], performers: Mapping[str, LocalPerformer]
    ) -> list[Other]:
        if not self.pictures:
            return [Other()] * len(owners)
        ids = list(self.pictures)
        space = self.space
        index = FaceIndex.build(space.project(np.stack([self.pictures[i] for i in ids])), template_id=space.template_id)
        accept = self.pack.calibration.accept_score_at(len(ids))
        all_ids = {i: frozenset(performers[i].ids) for i in {*ids, *owners}}
        rows = self._enrolled.rows if self._enrolled else {}

        def another(query: int, row: int) -> bool:
            owner, other = owners[query], ids[row]
            same_row = not rows.get(owner, frozenset()).isdisjoint(rows.get(other, frozenset()))
            return not same_row and all_ids[owner].isdisjoint(all_ids[other])

        best = _best_other(index, space.project(templates), another)
        own = self._own_scores(space, templates, owners)
        return [
            Other(score, mine, score >= accept, f"{performers[ids[row]].universal_id} {performers[ids[row]].name}")
            if row >= 0
            else Other()
            for (row, score), mine in zip(best, own, strict=True)
        ]

    @property
    def space(self) -> TemplateSpace:
        """The space in which agreement is measured: that of nobody enrolled, so it does not depend on who is."""
        return TemplateSpace.for_gallery(self.pack, np.zeros((0, self.pack.template_dim), np.float32))

    def _own_scores(self, space: TemplateSpace, templates: F32, owners: Sequence[str]) -> list[float]:
        vectors = space.project(templates)
        means = {}
        for owner in set(owners):
            anchors = self.anchors(owner)
            if len(anchors):
                means[owner] = unit(space.project(anchors).mean(axis=0, keepdims=True))[0]
        return [
            float(vector @ means[owner]) if owner in means else -1.0
            for vector, owner in zip(vectors, owners, strict=True)
        ]


def _best_other(index: FaceIndex, vectors: F32, another: Callable[[int, int], bool]) -> list[tuple[int, float]]:
    """Returns row and score of the first hit of each vector that is somebody else; row -1 where there is none."""
    found = []
    for start in range(0, len(vectors), _QUERIES):
        hits = index.search(vectors[start : start + _QUERIES], NEAREST)
        for number, (rows, scores) in enumerate(zip(hits.performers.tolist(), hits.scores.tolist(), strict=True)):
            query = start + number
            pairs = zip(rows, scores, strict=True)
            found.append(next(((r, s) for r, s in pairs if r >= 0 and another(query, r)), (-1, -1.0)))
    return found


def _own_rows(
    parents: npt.NDArray[np.integer], values: pa.Array, performers: Mapping[str, LocalPerformer]
) -> dict[str, frozenset[int]]:
    """Returns the rows of people that each performer is, by performer id."""
    wanted = pa.array({i for p in performers.values() for i in p.ids}, pa.string())
    mask = pc.is_in(values, value_set=wanted)
    row_of = dict(
        zip(values.filter(mask).to_pylist(), parents[mask.to_numpy(zero_copy_only=False)].tolist(), strict=True)
    )
    rows = {i: frozenset(row_of[u] for u in p.ids if u in row_of) for i, p in performers.items()}
    return {i: own for i, own in rows.items() if own}


def _own_means(
    database: PerformerDatabase,
    version: str,
    sources: Collection[str],
    ids: pa.ListArray,
    rows: Mapping[str, frozenset[int]],
) -> dict[str, F32]:
    """Returns the mean of the raw templates that other sources have of each performer; memory is that of the means."""
    owners: dict[str, list[str]] = defaultdict(list)
    for performer_id, own in rows.items():
        for row in own:
            for universal_id in ids[row].as_py():
                owners[universal_id].append(performer_id)
    wanted = pa.array(list(owners), pa.string())
    sums: dict[str, F32] = {}
    for source in sources:
        path = shard_folder(database.root / version, source) / SHARD_FILES[1]
        for batch in face_batches(path, ["universal_id", "template"]):
            numbers = pc.index_in(batch.column("universal_id"), value_set=wanted)
            known = numbers.is_valid().to_numpy(zero_copy_only=False)
            if not known.any():
                continue
            templates = unit(batch_templates(batch)[known].astype(np.float32))
            for number, template in zip(numbers.to_numpy(zero_copy_only=False)[known], templates, strict=True):
                for performer_id in owners[wanted[int(number)].as_py()]:
                    sums[performer_id] = sums[performer_id] + template if performer_id in sums else template
    return {performer_id: unit(total[None])[0] for performer_id, total in sums.items()}
