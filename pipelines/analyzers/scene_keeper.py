"""Which of several scenes of the same footage to keep, and why: what would be lost decides first, then the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.analyzers.file_quality import SAME_LENGTH, FileScore, best_file, score_files
from pipelines.stash.records import Scene

FILE_WEIGHT = 0.6
"""The rest is metadata: a picture can be merged into a scene, but so can metadata; files weigh more because the other
ones may be deleted (own choice, 2026-11-26)."""
METADATA = {"stash-box links": 30.0, "organized": 20.0, "plays": 10.0, "fields": 40.0}


@dataclass(frozen=True, slots=True)
class Keeper:
    """The scene to keep and the reasons, the strongest first."""

    scene_id: str
    reasons: tuple[str, ...]


def choose_keeper(scenes: Sequence[Scene]) -> Keeper:
    """Returns which scene to keep. A scene without files is never kept; without any file the richest is.

    The order is total: among equals the smaller id, which is the older scene, wins.
    """
    files = [best_file(scene.files, score_files(scene.files)) if scene.files else None for scene in scenes]
    present = [file for file in files if file is not None]
    scores = {id(file): score for file, score in zip(present, score_files(present), strict=True)} if present else {}
    longest_s = max((file.duration_s for file in present), default=0.0)

    def rank(place: int) -> tuple[bool, bool, float, int]:
        scene, file = scenes[place], files[place]
        whole = file is not None and file.duration_s >= SAME_LENGTH * longest_s
        picture = scores[id(file)].score if file is not None else 0.0
        value = FILE_WEIGHT * picture + (1 - FILE_WEIGHT) * richness(scene)
        return file is not None, whole, round(value, 1), -int(scene.id)

    best = max(range(len(scenes)), key=rank)
    others = [scene for place, scene in enumerate(scenes) if place != best]
    kept = files[best]
    return Keeper(scenes[best].id, tuple(_reasons(scenes[best], others, scores.get(id(kept)), longest_s)))


def richness(scene: Scene) -> float:
    """Returns how much is known of a scene, 0..100."""
    fields = (
        *(scene.title, scene.date, scene.details, scene.code, scene.director, scene.urls, scene.studio),
        *(scene.performers, scene.tags, scene.groups, scene.galleries, scene.rating is not None),
    )
    return (
        METADATA["stash-box links"] * bool(scene.stash_ids)
        + METADATA["organized"] * scene.organized
        + METADATA["plays"] * bool(scene.play_count or scene.o_counter)
        + METADATA["fields"] * sum(map(bool, fields)) / len(fields)
    )


def _reasons(kept: Scene, others: Sequence[Scene], score: FileScore | None, longest_s: float) -> list[str]:
    said = []
    if score is not None:
        shorter = [o for o in others if o.files and max(f.duration_s for f in o.files) < SAME_LENGTH * longest_s]
        if shorter:
            said.append("it is the longer one")
        said += [reason for reason in score.reasons if ", the " in reason]
    for has, what in (
        (lambda scene: bool(scene.stash_ids), "it is linked to a stash-box"),
        (lambda scene: scene.organized, "it is organized"),
        (lambda scene: bool(scene.play_count or scene.o_counter), "it was played"),
    ):
        if has(kept) and not all(has(other) for other in others):
            said.append(what)
    if all(richness(kept) > richness(other) for other in others):
        said.append("more is known of it")
    return said or ["nothing tells them apart; it is the older scene"]
