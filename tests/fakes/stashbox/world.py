"""What the fake stash-box holds: performers and pictures, and how they change."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

_SPACE = uuid.UUID("6f5b3c1e-0b51-4c3e-9a57-5f1b7d0e2a11")
LARGE_PX = 300
BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)


def box_uuid(name: str) -> str:
    """Returns the id that the fake gives to something of that name."""
    return str(uuid.uuid5(_SPACE, name))


@dataclass(slots=True)
class Picture:
    """A picture: a file, and bytes that are appended so that copies of a file differ. `url` is empty for the box's own.

    Attributes:
        broken: "" or "missing", "html", "cut", "empty", "slow", or the address that it redirects to.
    """

    id: str
    path: Path
    width: int
    height: int
    tail: bytes = b""
    url: str = ""
    broken: str = ""


@dataclass(slots=True)
class Performer:
    id: str
    name: str
    created: datetime
    updated: datetime
    disambiguation: str | None = None
    aliases: list[str] = field(default_factory=list)
    gender: str | None = None
    birth_date: str | None = None
    country: str | None = None
    career_start_year: int | None = None
    career_end_year: int | None = None
    images: list[Picture] = field(default_factory=list)
    deleted: bool = False
    merged_ids: list[str] = field(default_factory=list)
    merged_into_id: str | None = None


class World:
    """All performers. Hold `lock` to change several things at once."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.performers: dict[str, Performer] = {}
        self.pictures: dict[str, Picture] = {}
        self._last = BEGINNING

    def add(
        self, name: str, photos: Iterable[Path] = (), *, key: str = "", tail: bytes = b"", **facts: Any
    ) -> Performer:
        """Adds a performer; `key` makes its id (the name by default). Returns it."""
        with self.lock:
            now = self._tick()
            performer = Performer(box_uuid(key or name), name, now, now, **facts)
            self.performers[performer.id] = performer
            for photo in photos:
                performer.images.append(self.picture(photo, f"{key or name}/{photo.name}", tail))
            return performer

    def picture(self, path: Path, key: str, tail: bytes = b"") -> Picture:
        """Returns a new picture, of no performer yet."""
        try:
            with Pillow.open(path) as opened:
                width, height = opened.size
        except OSError:
            width = height = 0
        picture = Picture(box_uuid(key), path, width, height, tail)
        self.pictures[picture.id] = picture
        return picture

    def change(self, performer_id: str, **facts: Any) -> Performer:
        """Sets facts of a performer, which was changed now."""
        with self.lock:
            performer = self.performers[performer_id]
            for name, value in facts.items():
                if not hasattr(performer, name):
                    raise KeyError(name)
                setattr(performer, name, value)
            performer.updated = self._tick()
            return performer

    def delete(self, performer_id: str) -> None:
        self.change(performer_id, deleted=True)

    def merge(self, source_id: str, target_id: str) -> None:
        """Merges an entry into another one: it is gone, and the other keeps its id."""
        with self.lock:
            self.change(source_id, deleted=True, merged_into_id=target_id)
            target = self.performers[target_id]
            self.change(target_id, merged_ids=[*target.merged_ids, source_id, *self.performers[source_id].merged_ids])

    def living(self) -> list[Performer]:
        with self.lock:
            return [p for p in self.performers.values() if not p.deleted]

    def named(self, name: str) -> Performer:
        return next(p for p in self.performers.values() if p.name == name)

    def __iter__(self) -> Iterator[Performer]:
        return iter(list(self.performers.values()))

    def _tick(self) -> datetime:
        self._last += timedelta(hours=1)
        return self._last


def sample_world(data: Path) -> World:
    """Returns a box with the people of the test data, each with its photos."""
    world = World()
    for folder in sorted((data / "faces" / "people").iterdir()):
        photos = sorted(p for p in folder.iterdir() if p.is_file())
        world.add(
            folder.name, photos, gender="FEMALE", birth_date="1980-05-01", country="US", aliases=[f"{folder.name} a"]
        )
    return world


def large_world(data: Path, performers: int, photos: int = 3) -> World:
    """Returns a box of so many performers with that many photos each; no two pictures have the same bytes.

    The photos are those of the test data that are large enough to be enrolled.
    """
    world = World()
    large = [p for p in sorted((data / "faces" / "people").glob("*/*.jpg")) if min(Pillow.open(p).size) >= LARGE_PX]
    people = [list(photos_of) for _, photos_of in groupby(large, key=lambda p: p.parent)]
    for number in range(performers):
        found = people[number % len(people)]
        chosen = [found[i % len(found)] for i in range(photos)]
        performer = world.add(f"performer {number}", key=f"large/{number}")
        for i, photo in enumerate(chosen):
            picture = world.picture(photo, f"large/{number}/{i}", f"{number}/{i}".encode().rjust(24, b"\0"))
            performer.images.append(picture)
    return world
