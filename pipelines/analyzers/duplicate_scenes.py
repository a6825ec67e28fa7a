"""Scenes that show the same footage: candidates from what is stored, proof from the pictures, a score with its reasons.

Everything is looked at at once, since what a scene duplicates may be any other. That costs little: the candidates are
found without decoding, and what was proven about two files is kept as long as neither changes, so that a run decodes
only pairs with a new side. A run proves the likeliest pairs first and at most `MOST_PROOFS`; the next one goes on.

Lives here: the analyzer and what it says. The pairs and their proofs are `duplicate_pairs`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.scene_details import Details, SceneSummary, scene_summary, scene_title
from pipelines.analyzers.scene_keeper import Keeper, choose_keeper
from pipelines.analyzers.sources import MatchChanges, StashChanges
from pipelines.stash.records import Scene, content_fingerprint
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.duplicate_pairs import Pair
    from pipelines.analyzers.tools import Tools
    from pipelines.duplicates.score import Score
    from pipelines.duplicates.types import Proof

MOST_PROOFS = 2000
"""Pairs that one run decodes at most: some hours on two cores."""


class AlignmentDetails(Details):
    """How the scenes lie on each other, see `pipelines.duplicates.types.Alignment`."""

    offset_s: float
    speed: float
    mirrored: bool
    a: tuple[float, float]
    b: tuple[float, float]


class SignalDetails(Details):
    """What was measured; None where it was not."""

    stash_id: bool
    phash_distance: int | None
    frame_votes: int
    pdq_distance: float | None
    motion: float | None
    faces_jaccard: float | None
    metadata: tuple[str, ...]


class KeeperDetails(Details):
    """The scene to keep, and why."""

    id: str
    reasons: tuple[str, ...]


class DuplicateScenesDetails(Details):
    """What the page shows of two duplicates; `group` is the smallest id of all scenes that are the same."""

    scenes: tuple[SceneSummary, SceneSummary]
    relation: str
    keeper: KeeperDetails
    reasons: tuple[str, ...]
    signals: SignalDetails
    alignment: AlignmentDetails | None
    group: str
    actions: dict[str, dict[str, Any]]


class DuplicateScenes(BaseAnalyzer["Pair", "Score"]):
    """Pairs of scenes that show the same footage."""

    id = "duplicate_scenes"
    title = "Duplicate scenes"
    description = "Scenes that show the same footage: copies, trims, clips, other intros; proven by their pictures."
    target_type = "scene"
    reads = (StashChanges("scene"), MatchChanges("scene"))
    details = DuplicateScenesDetails
    actions = (
        OfferedAction("merge_scenes", "Merge into the better scene"),
        OfferedAction("delete_scene", "Delete the other scene", destructive=True),
    )
    whole = True
    closing = "The scenes are no longer found to be duplicates: one has changed or is gone."
    resources: ClassVar[Mapping[str, float]] = {}
    workers: ClassVar[Mapping[str, float]] = {"CPU": 1}
    """As of a re-match: with a core for the job itself too, it would never begin on two cores beside a server."""
    most_proofs: ClassVar[int] = MOST_PROOFS

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[Pair | Failed]]:  # noqa: ARG002 - everything
        from pipelines.analyzers.duplicate_pairs import find_pairs

        async for pairs in find_pairs(tools, self.most_proofs):
            yield pairs

    def score(self, tools: Tools, candidates: Sequence[Pair]) -> Sequence[Score | Failed | None]:  # noqa: ARG002 - nothing is read
        from pipelines.analyzers.duplicate_pairs import score

        return [score(pair.signals, pair.proof) for pair in candidates]

    def explain(self, candidate: Pair, score: Score) -> Finding:
        pair, keeper = candidate, choose_keeper(candidate.group)
        if keeper.scene_id not in (pair.a.id, pair.b.id):
            keeper = choose_keeper((pair.a, pair.b))
        other = pair.b if keeper.scene_id == pair.a.id else pair.a
        details = DuplicateScenesDetails(
            scenes=(scene_summary(pair.a), scene_summary(pair.b)),
            relation=score.relation,
            keeper=KeeperDetails(id=keeper.scene_id, reasons=keeper.reasons),
            reasons=score.reasons,
            signals=_signals(pair),
            alignment=_alignment(pair.proof),
            group=min((one.id for one in pair.group), key=int),
            actions=_actions(score.relation, keeper, other),
        )
        return Finding(
            target_type="scene",
            target_id=f"{pair.a.id}:{pair.b.id}",
            finding=digest("same footage"),
            evidence=digest(_files(pair.a), _files(pair.b), score.relation),
            title=f"{scene_title(pair.a)} / {scene_title(pair.b)}",
            summary=" ".join(score.reasons),
            confidence=score.confidence,
            details=details.model_dump(mode="json"),
            keywords=tuple(_keywords(pair.a, pair.b)),
        )


def _signals(pair: Pair) -> SignalDetails:
    signals, proof = pair.signals, pair.proof
    rules = (("studio and date", signals.studio_date), ("cast and duration", signals.cast_duration))
    return SignalDetails(
        stash_id=signals.stash_id,
        phash_distance=signals.phash_distance,
        frame_votes=signals.frame_votes,
        pdq_distance=None if proof is None else proof.d,
        motion=None if proof is None else proof.r,
        faces_jaccard=signals.faces_jaccard,
        metadata=tuple(name for name, holds in rules if holds),
    )


def _alignment(proof: Proof | None) -> AlignmentDetails | None:
    if proof is None or proof.alignment is None or not proof.duplicate:
        return None
    where = proof.alignment
    return AlignmentDetails(offset_s=where.offset_s, speed=where.speed, mirrored=where.mirrored, a=where.a, b=where.b)


def _actions(relation: str, keeper: Keeper, other: Scene) -> dict[str, dict[str, Any]]:
    """Returns what can be done; a clip is not merged, as it would become a file of a scene that it is a part of."""
    offered: dict[str, dict[str, Any]] = {}
    if relation != "clip":
        offered["merge_scenes"] = {"destination_id": keeper.scene_id, "source_ids": [other.id]}
    offered["delete_scene"] = {"scene_id": other.id, "delete_file": False, "file_ids": [f.id for f in other.files]}
    return offered


def _files(scene: Scene) -> list[str]:
    return sorted(content_fingerprint(file) for file in scene.files)


def _keywords(*scenes: Scene) -> Iterator[str]:
    for scene in scenes:
        yield from (file.path for file in scene.files)
        yield from (performer.name for performer in scene.performers)
        if scene.studio is not None:
            yield scene.studio.name
