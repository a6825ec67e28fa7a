"""How a scene was identified before: frames of ffmpeg processes, picture by picture, approximate search, greedy groups.

The steps are those of the single-process system that this project replaces, with this project's models in their place:
each face is looked up alone, k = 100, in one Voyager index per embedder at the library's defaults; a performer whom one
index does not return gets an imputed distance; faces are grouped greedily in order; the most frequent performer names
the group.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import voyager

from pipelines.faces.engine import FaceEngine
from pipelines.faces.packs import ModelPack
from pipelines.faces.types import F32
from tests.bench.old_way import old_way_frames

FACES_PER_QUERY = 100
MAX_DISTANCE = 0.5
GROUP_DISTANCE = 0.6
MIN_CONFIDENCE = 0.35
IMPUTED_DISTANCE = 0.5


@dataclass(frozen=True)
class OldIndex:
    """One Voyager index per embedder and the name of each item, the same in all of them."""

    indices: tuple[voyager.Index, ...]
    names: tuple[str, ...]

    @classmethod
    def build(cls, pack: ModelPack, templates: F32, names: list[str], folder: Path) -> OldIndex:
        """Returns indices over (n, template_dim) raw templates; what was built before lies in `folder`."""
        indices, start = [], 0
        for embedder in pack.embedders:
            part = templates[:, start : start + embedder.dimension]
            start += embedder.dimension
            file = folder / f"voyager_{pack.template_id}_{embedder.name}_{len(templates)}.voy"
            if not file.exists():
                index = voyager.Index(voyager.Space.Cosine, embedder.dimension)
                index.add_items(part)
                index.save(str(file))
            indices.append(voyager.Index.load(str(file)))
        return cls(tuple(indices), tuple(names))

    def distances(self, template: F32, pack: ModelPack) -> dict[str, float]:
        """Returns the fused distance of one face to each performer found, the best face of each."""
        found: dict[str, dict[int, float]] = defaultdict(dict)
        start = 0
        for number, (index, embedder) in enumerate(zip(self.indices, pack.embedders, strict=True)):
            query = template[start : start + embedder.dimension]
            start += embedder.dimension
            for item, distance in zip(*index.query(query, k=FACES_PER_QUERY), strict=True):
                name = self.names[item]
                found[name][number] = min(float(distance), found[name].get(number, 9.0))
        return {
            name: sum(e.weight * by_index.get(i, IMPUTED_DISTANCE) for i, e in enumerate(pack.embedders))
            for name, by_index in found.items()
        }


def old_identify(path: Path, engine: FaceEngine, index: OldIndex) -> set[str]:
    """Returns the names of the people of a video."""
    groups: list[list[tuple[int, F32, dict[str, float]]]] = []
    for number, frame in enumerate(old_way_frames(path)):
        for face in engine.analyze([frame], retry=False)[0]:
            _join(groups, (number, face.template, index.distances(face.template, engine.pack)))
    names: set[str] = set()
    for group in sorted(groups, key=len, reverse=True):
        name = _most_frequent(group, names)
        if name is not None:
            names.add(name)
    return names


def _join(groups: list[list[tuple[int, F32, dict[str, float]]]], face: tuple[int, F32, dict[str, float]]) -> None:
    """Adds a face to the nearest group, or starts one; the means are computed anew each time, as they were."""
    nearest, best = None, GROUP_DISTANCE
    for group in groups:
        mean = np.mean([template for _, template, _ in group], axis=0)
        distance = 1 - float(face[1] @ mean) / float(np.linalg.norm(face[1]) * np.linalg.norm(mean))
        if distance < best:
            nearest, best = group, distance
    if nearest is None:
        groups.append([face])
    else:
        nearest.append(face)


def _most_frequent(group: list[tuple[int, F32, dict[str, float]]], taken: set[str]) -> str | None:
    """Returns the performer with the best (1 - least distance) * (1 + 0.1 * (frames - 1)) whom no larger group has."""
    frames: dict[str, set[int]] = defaultdict(set)
    least: dict[str, float] = {}
    for frame, _, candidates in group:
        for name, distance in candidates.items():
            if distance <= MAX_DISTANCE and name not in taken:
                frames[name].add(frame)
                least[name] = min(distance, least.get(name, 9.0))
    scores = {n: (1 - least[n]) * (1 + 0.1 * (len(f) - 1)) for n, f in frames.items() if 1 - least[n] >= MIN_CONFIDENCE}
    return max(scores, key=lambda n: scores[n], default=None)
