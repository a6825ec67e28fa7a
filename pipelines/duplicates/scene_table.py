"""What candidates need to know of every scene of a library, as columns: some 200 bytes a scene.

Lives here: scenes to columns. The scenes themselves, with their titles and tags, are not kept.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipelines.duplicates.hamming import I64, U64
from pipelines.stash.records import Scene, content_fingerprint

F32 = npt.NDArray[np.float32]

Key = TypeVar("Key")

NO_DATE = np.iinfo(np.int64).min
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Which of n scenes have what: (m,) places of scenes, and (m,) what each has, each pair once.

    `item` of performers, stash-box ids and people are numbers given in order of appearance.
    """

    scene: I64
    item: I64


@dataclass(frozen=True, slots=True, eq=False)
class SceneTable:
    """The n scenes of a library in order of their numbers.

    Attributes:
        ids: Stash's ids.
        fingerprints: `content_fingerprint` of the primary file, "" without one.
        duration_s: (n,) float32 of the primary file, 0 when unknown.
        day: (n,) int64, number of the day of the date; NO_DATE without one, or with a year or month only.
        studio: (n,) int64, -1 without one.
        cast: (n,) int64, equal where the same performers are tagged; -1 without any.
        performers: who is tagged.
        stash_ids: entries of stash-boxes.
        phash: (p,) uint64 of all files of all scenes, `phash_scene` (p,) whose they are; each pair once.
    """

    ids: tuple[str, ...]
    fingerprints: tuple[str, ...]
    duration_s: F32
    day: I64
    studio: I64
    cast: I64
    performers: Links
    stash_ids: Links
    phash: U64
    phash_scene: I64

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> SceneTable:
        """Returns the table of scenes in any order. Raises ValueError for an id that is no number, or comes twice."""
        builder = SceneTableBuilder()
        for scene in scenes:
            builder.add(scene)
        return builder.table()


class SceneTableBuilder:
    """Takes scenes one by one, and keeps columns only."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, float, int, int, int]] = []
        self._studios: dict[str, int] = {}
        self._performers: dict[str, int] = {}
        self._entries: dict[tuple[str, str], int] = {}
        self._casts: dict[frozenset[int], int] = {}
        self._links: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(self, scene: Scene) -> None:
        """Takes one scene. Raises ValueError when its id is no number."""
        number, file = int(scene.id), scene.primary_file
        performers = frozenset(_number(self._performers, p.id) for p in scene.performers)
        self._links["performers"] += [(number, p) for p in performers]
        self._links["stash_ids"] += {
            (number, _number(self._entries, (s.endpoint.rstrip("/"), s.stash_id)))
            for s in scene.stash_ids
            if s.stash_id
        }
        hashes = {f.phash64 for one in scene.files for f in one.fingerprints}
        self._links["phash"] += [(number, value) for value in hashes if value is not None and value < 1 << 64]
        self._rows.append(
            (
                number,
                content_fingerprint(file) if file else "",
                file.duration_s if file else 0.0,
                _day(scene.date),
                _number(self._studios, scene.studio.id) if scene.studio else -1,
                _number(self._casts, performers) if performers else -1,
            )
        )

    def table(self) -> SceneTable:
        """Returns the columns of all scenes that were added. Raises ValueError when one was added twice."""
        rows = sorted(self._rows)
        numbers = np.array([row[0] for row in rows], np.int64)
        if len(np.unique(numbers)) < len(numbers):
            raise ValueError("a scene was listed twice")
        phash_scene, phash = self._linked(numbers, "phash", np.uint64)
        return SceneTable(
            ids=tuple(str(row[0]) for row in rows),
            fingerprints=tuple(row[1] for row in rows),
            duration_s=np.array([row[2] for row in rows], np.float32),
            day=np.array([row[3] for row in rows], np.int64),
            studio=np.array([row[4] for row in rows], np.int64),
            cast=np.array([row[5] for row in rows], np.int64),
            performers=Links(*self._linked(numbers, "performers", np.int64)),
            stash_ids=Links(*self._linked(numbers, "stash_ids", np.int64)),
            phash=phash,
            phash_scene=phash_scene,
        )

    def _linked(self, numbers: I64, name: str, dtype: type[np.generic]) -> tuple[I64, Any]:
        links = sorted(self._links[name])
        scene = np.searchsorted(numbers, np.array([number for number, _ in links], np.int64))
        return scene.astype(np.int64), np.array([item for _, item in links], dtype)


def _number(numbers: dict[Key, int], key: Key) -> int:
    return numbers.setdefault(key, len(numbers))


def _day(text: str) -> int:
    try:
        return date.fromisoformat(text).toordinal() if _DAY.fullmatch(text) else int(NO_DATE)
    except ValueError:
        return int(NO_DATE)
