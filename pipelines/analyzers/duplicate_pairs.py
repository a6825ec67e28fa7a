"""The pairs of scenes of a library that may be duplicates, with their proofs, the likeliest first.

Lives here: listing what candidates need, planning what has to be decoded, decoding it batch by batch, and which scenes
are the same as far as is known. It is imported by the run of the analyzer only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np

from pipelines.analyzers.base import Failed, Scope
from pipelines.analyzers.proving import proven
from pipelines.analyzers.tools import Tools
from pipelines.duplicates.calibration import duplicate_probability
from pipelines.duplicates.candidates import Signals, find_candidates
from pipelines.duplicates.frame_table import FrameTable
from pipelines.duplicates.groups import Edge, group_scenes
from pipelines.duplicates.kept_candidates import ScenePairs, digest_of_search, pairs_of, read_pairs, write_pairs
from pipelines.duplicates.proof import PROOF_VERSION
from pipelines.duplicates.proof_store import FilePair, ProofStore
from pipelines.duplicates.scene_table import Links, SceneTable, SceneTableBuilder
from pipelines.duplicates.score import Score, score_pair
from pipelines.duplicates.types import Proof, ProofRequest, Relation, SceneVideo
from pipelines.errors import MediaError
from pipelines.machine import cores
from pipelines.media.access import MediaAccess
from pipelines.parts import media_access
from pipelines.stash.records import Scene, content_fingerprint

PAIRS_A_BATCH = 32
"""Pairs that are decoded before their findings are kept."""
KNOWN_A_BATCH = 200
LISTED_A_PAGE = 1000

T = TypeVar("T")
Row = tuple[int, Proof | None]
"""A row of the candidates, with what was proven; None where no pictures were compared."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two scenes that may be duplicates.

    Attributes:
        a, b: as Stash has them now, a with the smaller number.
        proof: None where no pictures were compared.
        group: all scenes that are the same, these two at least.
    """

    a: Scene
    b: Scene
    signals: Signals
    proof: Proof | None
    group: tuple[Scene, ...]


async def find_pairs(tools: Tools, scope: Scope, most_proofs: int) -> AsyncIterator[Sequence[Pair | Failed]]:
    """Yields all pairs that are worth a score: first those that are known, then those decoded now.

    A pair whose group has grown comes again at the end. Scenes of pairs that have to wait come as Failed.
    """
    pairs = await _candidates(tools, scope)
    plan = await tools.in_thread(lambda: _plan(tools, pairs, most_proofs))
    groups = _Groups(pairs)
    groups.add(plan.known)
    tools.progress(0, len(plan.todo))
    for known in _parts((row for row in plan.known if groups.worth(row)), KNOWN_A_BATCH):
        yield await _pairs(tools, known, groups)
    done = 0
    for rows in _parts(plan.todo, PAIRS_A_BATCH):
        fresh = await _prove(tools, pairs, rows)
        tools.worked += len(fresh)
        await tools.in_thread(lambda: groups.add(fresh))  # noqa: B023 - awaited here
        yield await _pairs(tools, [row for row in fresh if groups.worth(row)], groups)
        done += len(rows)
        tools.progress(done, len(plan.todo))
        if tools.should_stop():
            yield []  # what was not looked at must not count as looked at
            return
    for grown in _parts(groups.grown(), KNOWN_A_BATCH):
        yield await _pairs(tools, grown, groups)
    tools.waiting = plan.never_tried
    if plan.later:
        waiting = {scene for row in plan.later for scene in pairs.scenes(row)}
        yield [Failed(tuple(sorted(waiting, key=int)), f"{len(plan.later)} pairs of scenes wait for the next run.")]


async def pairs_of_relation(tools: Tools, relation: Relation) -> AsyncIterator[Sequence[Pair | Failed]]:
    """Yields the pairs of the last search whose kept proofs say this; without those with an equal stash-box entry."""
    pairs = await tools.in_thread(lambda: read_pairs(tools.settings.candidates_path))
    if pairs is None:
        return
    proofs = await tools.in_thread(lambda: ProofStore(tools.store, PROOF_VERSION).of_relation(relation))
    rows = [
        (row, proofs[files])
        for row, files in enumerate(pairs.files())
        if files in proofs and not pairs.found.stash_id[row]
    ]
    groups = _Groups(pairs)
    for part in _parts(rows, KNOWN_A_BATCH):
        yield await _pairs(tools, part, groups)


def score(signals: Signals, proof: Proof | None) -> Score | None:
    """Returns the score of a pair, None where it is none."""
    return score_pair(signals, proof, None if proof is None else duplicate_probability(proof))


# --- candidates ------------------------------------------------------------------------------------------------------


async def _candidates(tools: Tools, scope: Scope) -> ScenePairs:
    """Returns all pairs: those of the last search where nothing has changed since, else of a new one.

    Where only what no search reads has changed, such as a title, Stash is listed and nothing is searched.
    """
    path = tools.settings.candidates_path
    kept = await tools.in_thread(lambda: read_pairs(path))
    if kept is not None and not scope.changed:
        return kept
    builder = SceneTableBuilder()
    async for scene in tools.library.scenes(detail="pairing", page_size=LISTED_A_PAGE):
        builder.add(scene)
    return await tools.in_thread(lambda: _searched(tools, builder.table(), kept))


def _searched(tools: Tools, table: SceneTable, kept: ScenePairs | None) -> ScenePairs:
    place = {scene: number for number, scene in enumerate(table.ids)}
    person: dict[str, int] = {}
    seen = [
        (place[scene], person.setdefault(universal_id, len(person)))
        for scene, universal_id in sorted(tools.matches.recognised("scene"))
        if scene in place
    ]
    pairs = np.array(seen, np.int64).reshape(-1, 2)
    people = Links(pairs[:, 0], pairs[:, 1])
    searched = digest_of_search(table, people, tools.scans.stamp())
    if kept is not None and kept.searched == searched:
        return kept
    found = find_candidates(table, FrameTable.of(tools.scans, table), people, threads=cores())
    ProofStore(tools.store, PROOF_VERSION).remove_gone(table.fingerprints)
    fresh = pairs_of(table, found, searched)
    write_pairs(tools.settings.candidates_path, fresh)
    return fresh


@dataclass(slots=True)
class _Plan:
    """What is known, or needs no pictures; rows to decode now; rows that have to wait.

    Attributes:
        never_tried: rows that wait and were never tried.
    """

    known: list[Row] = field(default_factory=list)
    todo: list[int] = field(default_factory=list)
    later: list[int] = field(default_factory=list)
    never_tried: int = 0


def _plan(tools: Tools, pairs: ScenePairs, most_proofs: int) -> _Plan:
    """Returns what to do with every pair. What failed before comes last, so that every run gets on."""
    files = pairs.files()
    proofs = ProofStore(tools.store, PROOF_VERSION).get(pair for pair in files if all(pair))
    plan = _Plan()
    fresh: list[int] = []
    tried: list[int] = []
    for row, pair in enumerate(files):
        proof = proofs.get(pair)
        if proof is not None and not (proof.failure and proof.retryable):
            plan.known.append((row, proof))
        elif pairs.found.stash_id[row] or not all(pair):
            plan.known.append((row, None))
        else:
            (fresh if proof is None else tried).append(row)
    rows = fresh + tried
    plan.todo, plan.later = rows[:most_proofs], rows[most_proofs:]
    plan.never_tried = max(0, len(fresh) - most_proofs)
    return plan


# --- proofs ----------------------------------------------------------------------------------------------------------


async def _prove(tools: Tools, pairs: ScenePairs, rows: Sequence[int]) -> list[Row]:
    """Returns proofs of rows, and keeps them; fewer when it is asked to stop, or when scenes are gone."""
    ids = {scene for row in rows for scene in pairs.scenes(row)}
    scenes = {scene.id: scene async for scene in tools.library.scenes(ids=sorted(ids, key=int), detail="scan")}
    access = media_access(tools.settings)
    store = ProofStore(tools.store, PROOF_VERSION)
    results: list[Row] = []
    unreachable: dict[FilePair, Proof] = {}
    requests: dict[tuple[str, str], tuple[int, ProofRequest]] = {}
    for row in rows:
        a, b = (scenes.get(scene) for scene in pairs.scenes(row))
        if a is None or b is None or not a.files or not b.files:
            continue
        try:
            request = ProofRequest(_video(a, access), _video(b, access), pairs.found.signals(row).hints)
        except MediaError as error:
            failed = Proof("undecided", failure=f"{error.code}: {error.message}", retryable=True, version=PROOF_VERSION)
            unreachable[content_fingerprint(a.files[0]), content_fingerprint(b.files[0])] = failed
            results.append((row, failed))
        else:
            requests[a.id, b.id] = row, request

    def prove() -> None:
        store.put(unreachable)
        for some in proven(tools.settings, [request for _, request in requests.values()], tools.should_stop):
            store.put({(request.a.fingerprint, request.b.fingerprint): proof for request, proof in some})
            results.extend((requests[r.a.scene_id, r.b.scene_id][0], proof) for r, proof in some)

    await tools.in_thread(prove)
    return results


def _video(scene: Scene, access: MediaAccess) -> SceneVideo:
    """Returns the primary file. Raises MediaNotFound, MediaUnreachable."""
    file = scene.files[0]
    source = access.video(file.path, scene.paths.stream)
    return SceneVideo(scene.id, content_fingerprint(file), source, file.duration_s)


# --- groups ----------------------------------------------------------------------------------------------------------


class _Groups:
    """Which scenes are the same, as far as is known."""

    def __init__(self, pairs: ScenePairs) -> None:
        self._pairs = pairs
        self._found = pairs.found
        self._proofs: dict[int, Proof | None] = {}
        self._edges: list[Edge] = []
        self._told: dict[int, tuple[str, ...]] = {}
        self._members: dict[str, tuple[str, ...]] = {}

    def add(self, rows: Sequence[Row]) -> None:
        """Takes what was proven of some rows, and groups anew."""
        self._proofs |= dict(rows)
        self._edges += [edge for row, proof in rows if (edge := self._edge(row, proof)) is not None]
        members: dict[str, list[str]] = {}
        groups = group_scenes(self._edges)
        for scene, group in groups.items():
            members.setdefault(group, []).append(scene)
        self._members = {scene: tuple(members[group]) for scene, group in groups.items()}

    def signals(self, row: int) -> Signals:
        return self._found.signals(row)

    def ids(self, row: int) -> tuple[str, str]:
        return self._pairs.scenes(row)

    def worth(self, row: Row) -> bool:
        """Whether a pair is shown at all."""
        return score(self.signals(row[0]), row[1]) is not None

    def of(self, row: int) -> tuple[str, ...]:
        """Returns the ids of the group that both scenes of a row are in, else of these two."""
        a, b = self.ids(row)
        members = self._members.get(a, ())
        group = members if b in members else (a, b)
        self._told[row] = group
        return group

    def grown(self) -> list[Row]:
        """Returns the rows whose group is another one than when they were asked for."""
        before = dict(self._told)
        return [(row, self._proofs[row]) for row, told in before.items() if set(self.of(row)) != set(told)]

    def _edge(self, row: int, proof: Proof | None) -> Edge | None:
        """Returns how sure two scenes belong to one group; None where nothing is known."""
        if self._found.stash_id[row]:
            return Edge(*self.ids(row), 1.0)
        if proof is None or proof.relation in {"undecided", "clip"}:
            return None
        return Edge(*self.ids(row), duplicate_probability(proof) if proof.duplicate else 0.0)


async def _pairs(tools: Tools, rows: Sequence[Row], groups: _Groups) -> list[Pair | Failed]:
    """Returns pairs with their scenes in full; without those that are gone meanwhile."""
    wanted = {scene for row, _ in rows for scene in groups.of(row)}
    scenes = {one.id: one async for one in tools.library.scenes(ids=sorted(wanted, key=int))}
    pairs: list[Pair | Failed] = []
    for row, proof in rows:
        a, b = (scenes.get(one) for one in groups.ids(row))
        if a is not None and b is not None:
            group = tuple(scenes[one] for one in groups.of(row) if one in scenes)
            pairs.append(Pair(a, b, groups.signals(row), proof, group))
    return pairs


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
