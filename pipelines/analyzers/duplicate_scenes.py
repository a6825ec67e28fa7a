"""Scenes that show the same footage: candidates from what is stored, proof from the pictures, a score with its reasons.

Everything is looked at at once, since what a scene duplicates may be any other. That costs little: the candidates are
found without decoding, and what was proven about two files is kept as long as neither changes, so that a run decodes
only pairs with a new side. A run proves the likeliest pairs first and at most `MOST_PROOFS`; the next one goes on.

Lives here: the analyzer and what it says. The pairs and their proofs are `duplicate_pairs`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.pair_details import (
    AlignmentDetails,
    SignalDetails,
    alignment_details,
    files_of,
    keywords_of,
    signal_details,
)
from pipelines.analyzers.scene_details import Details, SceneSummary, scene_summary, scene_title
from pipelines.analyzers.scene_keeper import Keeper, choose_keeper
from pipelines.analyzers.sources import MatchChanges, StashChanges
from pipelines.stash.records import Scene
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.duplicate_pairs import Pair
    from pipelines.analyzers.tools import Tools
    from pipelines.duplicates.score import Score

MOST_PROOFS = 2000
"""Pairs that one run decodes at most: some hours on two cores."""


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

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[Pair | Failed]]:
        from pipelines.analyzers.duplicate_pairs import find_pairs

        async for pairs in find_pairs(tools, scope, self.most_proofs):
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
            signals=signal_details(pair.signals, pair.proof),
            alignment=alignment_details(pair.proof),
            group=min((one.id for one in pair.group), key=int),
            actions=_actions(score.relation, keeper, other),
        )
        return Finding(
            target_type="scene",
            target_id=f"{pair.a.id}:{pair.b.id}",
            finding=digest("same footage"),
            evidence=digest(files_of(pair.a), files_of(pair.b), score.relation),
            title=f"{scene_title(pair.a)} / {scene_title(pair.b)}",
            summary=" ".join(score.reasons),
            confidence=score.confidence,
            details=details.model_dump(mode="json"),
            keywords=tuple(keywords_of(pair.a, pair.b)),
        )


def _actions(relation: str, keeper: Keeper, other: Scene) -> dict[str, dict[str, Any]]:
    """Returns what can be done; a clip is not merged, as it would become a file of a scene that it is a part of."""
    offered: dict[str, dict[str, Any]] = {}
    if relation != "clip":
        offered["merge_scenes"] = {"destination_id": keeper.scene_id, "source_ids": [other.id]}
    offered["delete_scene"] = {"scene_id": other.id, "delete_file": False, "file_ids": [f.id for f in other.files]}
    return offered
