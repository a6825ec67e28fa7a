"""Scenes with several files: which one to keep, how much space the others take, and how sure that is.

That the files are one scene is Stash's word, or that of somebody who merged scenes; so nothing is decoded here. What
speaks against it (other lengths, other pictures by Stash's own phash) is said, and lowers the confidence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.analyzers.base import BaseAnalyzer, Failed, OfferedAction, Scope
from pipelines.analyzers.file_quality import SAME_LENGTH, FileScore, best_file, score_files
from pipelines.analyzers.scene_details import Details, SceneFile, SceneSummary, scene_file, scene_summary, scene_title
from pipelines.analyzers.sources import SceneFileChanges, StashChanges
from pipelines.stash.records import Scene, VideoFile, content_fingerprint
from pipelines.store.recommendation_records import Finding, digest

if TYPE_CHECKING:
    from pipelines.analyzers.tools import Tools

OTHER_PICTURES = 10
"""Bits of 64 by which phashes of re-encodings differ at most (Stash's own widest search goes to 10)."""
CERTAIN, OTHER_LENGTH, OTHER_CONTENT = 95.0, 60.0, 40.0
"""Confidence that the files are the same content: nothing speaks against it; lengths do; length or pictures clearly."""


class ScoredFile(SceneFile):
    """A file with what speaks for and against it."""

    score: float
    reasons: tuple[str, ...]


class DuplicateSceneFilesDetails(Details):
    """What the page shows of a scene with several files; `actions` holds what each action needs."""

    scene: SceneSummary
    files: tuple[ScoredFile, ...]
    keeper_file_id: str
    savings_bytes: int
    reasons: tuple[str, ...]
    actions: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Judged:
    """The files of a scene, judged."""

    scores: tuple[FileScore, ...]
    keeper: VideoFile
    doubts: tuple[str, ...]
    confidence: float


class DuplicateSceneFiles(BaseAnalyzer[Scene, Judged]):
    """Scenes that have more than one file."""

    id = "duplicate_scene_files"
    title = "Scenes with several files"
    description = "Scenes that have more than one file, and which of them to keep."
    target_type = "scene"
    reads = (
        StashChanges("scene", worth={"file_count": {"value": 1, "modifier": "GREATER_THAN"}}),
        SceneFileChanges(),
    )
    details = DuplicateSceneFilesDetails
    actions = (
        OfferedAction("delete_scene_files", "Keep the best file, delete the others", destructive=True),
        OfferedAction("set_primary_file", "Make the best file the primary one"),
    )
    closing = "The scene has one file, or other files than before."

    async def candidates(self, tools: Tools, scope: Scope) -> AsyncIterator[Sequence[Scene | Failed]]:
        yield [scene async for scene in tools.scenes(scope) if len(scene.files) > 1]

    def score(self, tools: Tools, candidates: Sequence[Scene]) -> Sequence[Judged | Failed | None]:  # noqa: ARG002 - nothing is read
        return [judge(scene.files) for scene in candidates]

    def explain(self, candidate: Scene, score: Judged) -> Finding:
        scene, keeper = candidate, score.keeper
        others = [file for file in scene.files if file.id != keeper.id]
        own = {one.file_id: one for one in score.scores}
        savings = sum(file.size_bytes for file in others)
        kept = keeper.basename or keeper.path
        if equal(scene.files):
            why = "The files are equal, byte for byte: any one of them will do."
            summary = f"{len(scene.files)} equal files; keep {kept}, the primary one, which frees {size(savings)}."
        else:
            facts_of_it = ", ".join(own[keeper.id].reasons)
            why = f"Keep the file with {facts_of_it}."
            summary = f"{len(scene.files)} files; keep {kept} ({facts_of_it}), which frees {size(savings)}."
        deleted = {
            "scene_id": scene.id,
            "keep_file_id": keeper.id,
            "delete_file_ids": [file.id for file in others],
        }
        offered: dict[str, dict[str, Any]] = {"delete_scene_files": deleted}
        if scene.files[0].id != keeper.id:
            offered["set_primary_file"] = {"scene_id": scene.id, "file_id": keeper.id}
        details = DuplicateSceneFilesDetails(
            scene=scene_summary(scene),
            files=tuple(
                ScoredFile(**scene_file(f).model_dump(), score=own[f.id].score, reasons=own[f.id].reasons)
                for f in scene.files
            ),
            keeper_file_id=keeper.id,
            savings_bytes=savings,
            reasons=(*score.doubts, why),
            actions=offered,
        )
        return Finding(
            target_type="scene",
            target_id=scene.id,
            finding=digest(sorted(content_fingerprint(f) for f in scene.files)),
            evidence=digest(sorted(facts(f) for f in scene.files), scene.files[0].id),
            title=scene_title(scene),
            summary=" ".join((*score.doubts, summary)),
            confidence=score.confidence,
            details=details.model_dump(mode="json"),
            keywords=(*(f.path for f in scene.files), *(p.name for p in scene.performers)),
        )


def judge(files: Sequence[VideoFile]) -> Judged:
    """Returns which file to keep and what speaks against it."""
    scores = tuple(score_files(files))
    doubts, confidence = _doubts(files)
    return Judged(scores, best_file(files, scores), doubts, confidence)


def equal(files: Sequence[VideoFile]) -> bool:
    """Returns whether the files have the same content, as Stash's hashes of it say."""
    hashes = {content_fingerprint(file) for file in files}
    return len(hashes) == 1 and not hashes.pop().startswith("stat:")


def facts(file: VideoFile) -> list[Any]:
    """Returns what a decision about a file rests on."""
    return [
        file.id,
        content_fingerprint(file),
        file.width,
        file.height,
        file.video_codec,
        file.bit_rate,
        round(file.duration_s, 1),
    ]


def size(size_bytes: int) -> str:
    """Returns a size for people, such as 1.4 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes} bytes"


def _doubts(files: Sequence[VideoFile]) -> tuple[tuple[str, ...], float]:
    doubts: list[str] = []
    confidence = CERTAIN
    lengths = [file.duration_s for file in files]
    if min(lengths) < SAME_LENGTH * max(lengths):
        cut = 100 * (1 - min(lengths) / max(lengths))
        doubts.append(f"The lengths differ by {cut:.0f} %: look at the files before one is deleted.")
        confidence = OTHER_CONTENT if cut > OTHER_PICTURES else OTHER_LENGTH
    hashes = [p.phash64 for file in files for p in file.fingerprints if p.phash64 is not None]
    apart = max(((a ^ b).bit_count() for a in hashes for b in hashes), default=0)
    if apart > OTHER_PICTURES:
        doubts.append(f"Stash's perceptual hashes differ in {apart} of 64 bits: these may be other pictures.")
        confidence = min(confidence, OTHER_CONTENT)
    return tuple(doubts), confidence
