"""The fake's library: tables of rows, the server's clock, and which row belongs to which. Knows no GraphQL, no HTTP."""

from __future__ import annotations

import datetime as dt
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from tests.fakes.stash.records import (
    Box,
    Content,
    ContentName,
    File,
    Gallery,
    Group,
    Image,
    Marker,
    Performer,
    Row,
    Scene,
    Studio,
    Tag,
)

STASHDB = "https://stashdb.org/graphql"
FANSDB = "https://fansdb.cc/graphql"

_SCRAMBLE = 2654435761
"""Knuth's multiplicative hash: spreads ids so that an order nobody asked for is no order."""


NIL_POINTER = "Internal system error. Error <runtime error: invalid memory address or nil pointer dereference>"
"""What Stash says where it looks somebody up and goes on although nobody is there."""


class StashFailure(Exception):
    """A resolver of Stash answers this text: HTTP 200 with `errors`."""


class HasId(Protocol):
    id: int


T = TypeVar("T", bound=HasId)


class Table(dict[int, T], Generic[T]):
    """Rows by id. Ids are given out once, upwards, and never again."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.ids: list[int] = []
        self._last = 0

    def new_id(self) -> int:
        self._last += 1
        return self._last

    def add(self, row: T) -> T:
        if row.id in self:
            raise ValueError(f"{self.name} {row.id} is there already")
        self[row.id] = row
        self._last = max(self._last, row.id)
        if self.ids and row.id < self.ids[-1]:
            insort(self.ids, row.id)
        else:
            self.ids.append(row.id)
        return row

    def remove(self, row_id: int) -> T:
        del self.ids[bisect_left(self.ids, row_id)]
        return self.pop(row_id)

    def between(self, low: int, high: int) -> list[int]:
        """Returns the ids from `low` to `high`, both included, ascending."""
        return self.ids[bisect_left(self.ids, low) : bisect_right(self.ids, high)]

    def get_many(self, ids: Iterable[int]) -> list[T]:
        """Returns the rows in the order of `ids`; one missing id fails all, as in Stash."""
        wanted = list(ids)
        for row_id in wanted:
            if row_id not in self:
                raise StashFailure(f"{self.name} with id {row_id} not found")
        return [self[row_id] for row_id in wanted]

    def one(self, row_id: str | int) -> T:
        """Returns the row, by its number or by the string that GraphQL shows; raises StashFailure without one."""
        return self.get_many([int(row_id)])[0]


def scrambled(ids: Iterable[int]) -> list[int]:
    """Returns `ids` in the order of a query without a sort: the same each time, and like nothing a client expects."""
    return sorted(ids, key=lambda row_id: row_id * _SCRAMBLE & 0xFFFFFFFF)


class Library:
    """All that a Stash server knows.

    Attributes:
        lock: held by each query and each write; hold it to change rows while the server runs.
        roots: folders of the library as Stash sees them, and where they are here (None: only facts).
        clock: seconds since 1970.
        utc_offset_h: offset in which times are stored and compared.
        revision: counts writes; counts of related rows are computed once a revision.
    """

    def __init__(
        self, *, utc_offset_h: float = -5.0, clock: Callable[[], float] = time.time, boxes: Iterable[Box] = ()
    ) -> None:
        self.lock = threading.RLock()
        self.scenes: Table[Scene] = Table("scene")
        self.images: Table[Image] = Table("image")
        self.galleries: Table[Gallery] = Table("gallery")
        self.performers: Table[Performer] = Table("performer")
        self.studios: Table[Studio] = Table("studio")
        self.tags: Table[Tag] = Table("tag")
        self.groups: Table[Group] = Table("group")
        self.markers: Table[Marker] = Table("scene marker")
        self.files: Table[File] = Table("file")
        self.boxes = list(boxes) or [Box(STASHDB, "stashdb.org", max_requests_per_minute=240), Box(FANSDB, "FansDB")]
        self.roots: dict[str, Path | None] = {}
        self.clock = clock
        self.utc_offset_h = utc_offset_h
        self.revision = 0
        self._related: tuple[int, dict[str, Any]] = (-1, {})

    def table(self, kind: ContentName) -> Table[Any]:
        tables: dict[str, Table[Any]] = {
            "scene": self.scenes,
            "image": self.images,
            "gallery": self.galleries,
            "performer": self.performers,
            "studio": self.studios,
            "tag": self.tags,
        }
        return tables[kind]

    def text_time(self, seconds: float) -> str:
        """Returns RFC 3339 text with whole seconds in the server's offset."""
        zone = dt.timezone(dt.timedelta(hours=self.utc_offset_h))
        return dt.datetime.fromtimestamp(int(seconds), zone).isoformat()

    def now(self) -> str:
        return self.text_time(self.clock())

    def touch(self, *rows: Row | File) -> None:
        """Marks rows as changed now; call it after changing rows by hand."""
        for row in rows:
            row.updated_at = self.now()
        self.revision += 1

    def add_file(self, **facts: Any) -> File:
        now = facts.pop("now", None) or self.now()
        facts.setdefault("mod_time", now)
        self.revision += 1
        return self.files.add(File(id=self.files.new_id(), created_at=now, updated_at=now, **facts))

    def add(self, kind: ContentName, *, now: str = "", **fields: Any) -> Any:
        """Adds a row and returns it; `now` is its time of creation."""
        makers: dict[str, Callable[..., Any]] = {
            "scene": Scene,
            "image": Image,
            "gallery": Gallery,
            "performer": Performer,
            "studio": Studio,
            "tag": Tag,
        }
        table = self.table(kind)
        now = now or self.now()
        self.revision += 1
        return table.add(makers[kind](id=table.new_id(), created_at=now, updated_at=now, **fields))

    def add_group(self, name: str) -> Group:
        now = self.now()
        self.revision += 1
        return self.groups.add(Group(id=self.groups.new_id(), created_at=now, updated_at=now, name=name))

    def add_marker(self, scene_id: int, title: str, seconds: float, primary_tag_id: int) -> Marker:
        now = self.now()
        self.revision += 1
        return self.markers.add(
            Marker(
                id=self.markers.new_id(),
                created_at=now,
                updated_at=now,
                scene_id=scene_id,
                title=title,
                seconds=seconds,
                primary_tag_id=primary_tag_id,
            )
        )

    def primary_file(self, row: Scene | Image) -> File | None:
        return self.files[row.file_ids[0]] if row.file_ids else None

    def is_primary(self, file_id: int) -> bool:
        return file_id in self.related("primary files", self._primary_files)

    def local_file(self, row: Scene | Image) -> Path | None:
        """Returns where the bytes of the primary file are; None when there are none."""
        file = self.primary_file(row)
        return file.local if file is not None and file.local is not None and file.local.exists() else None

    def scene_of_hash(self, value: str) -> Scene | None:
        scenes: dict[str, int] = self.related("scenes by hash", self._scenes_by_hash)
        return self.scenes.get(scenes.get(value, 0))

    def counts(self, kind: str, of: str) -> Counter[int]:
        """Returns how many `of` ("scenes", "images", "galleries") name each "performer", "tag" or "studio"."""
        counted: Counter[int] = self.related(f"{of} of {kind}", lambda: self._counts(kind, of))
        return counted

    def members(self, gallery_id: int, of: str) -> list[int]:
        """Returns the ids of the "images" or "scenes" of a gallery, ascending."""
        groups: dict[int, list[int]] = self.related(f"{of} by gallery", lambda: self._by_gallery(of))
        return groups.get(gallery_id, [])

    def related(self, name: str, compute: Callable[[], Any]) -> Any:
        """Returns what `compute` gave at this revision."""
        revision, known = self._related
        if revision != self.revision:
            known = {}
            self._related = (self.revision, known)
        if name not in known:
            known[name] = compute()
        return known[name]

    def drop_scene(self, scene_id: int, *, delete_file: bool = False, drop_file_rows: bool = False) -> None:
        """Removes a scene and its markers; its files too when asked and when nobody else has them."""
        scene = self.scenes.remove(scene_id)
        for marker_id in [i for i, marker in self.markers.items() if marker.scene_id == scene_id]:
            self.markers.remove(marker_id)
        if delete_file or drop_file_rows:
            others = {file_id for other in self.scenes.values() for file_id in other.file_ids}
            for file_id in scene.file_ids:
                if file_id not in others:
                    self.drop_file(file_id, delete=delete_file)
        self.revision += 1

    def drop_image(self, image_id: int, *, delete_file: bool = False) -> None:
        """Removes an image; its files too when asked and when no other image has them."""
        image = self.images.remove(image_id)
        others = {file_id for other in self.images.values() for file_id in other.file_ids} if delete_file else set()
        for file_id in image.file_ids if delete_file else ():
            if file_id not in others:
                self.drop_file(file_id, delete=True)
        self.revision += 1

    def drop_file(self, file_id: int, *, delete: bool) -> None:
        """Removes a file's row. `delete` forgets where its bytes are as well; no file of this machine is deleted."""
        file = self.files.remove(file_id)
        if delete:
            file.local = None
        self.revision += 1

    def drop_performer(self, performer_id: int) -> None:
        self.performers.remove(performer_id)
        for table in (self.scenes, self.images, self.galleries):
            for row in table.values():
                if performer_id in row.performer_ids:
                    row.performer_ids = tuple(i for i in row.performer_ids if i != performer_id)
        self.revision += 1

    def vanish(self, ids: Iterable[str | int], kind: ContentName = "scene") -> None:
        """Removes rows as if somebody deleted them in Stash: no trace is left. Missing ids are fine."""
        with self.lock:
            for row_id in map(int, ids):
                if row_id not in self.table(kind):
                    continue
                if kind == "scene":
                    self.drop_scene(row_id)
                elif kind == "performer":
                    self.drop_performer(row_id)
                else:
                    self.table(kind).remove(row_id)
                self.revision += 1

    def _primary_files(self) -> set[int]:
        return {row.file_ids[0] for table in (self.scenes, self.images) for row in table.values() if row.file_ids}

    def _scenes_by_hash(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for scene_id in reversed(self.scenes.ids):
            file = self.primary_file(self.scenes[scene_id])
            for kind, value in file.fingerprints if file else ():
                if kind in {"oshash", "md5"}:
                    found[value] = scene_id
        return found

    def _counts(self, kind: str, of: str) -> Counter[int]:
        rows: Iterable[Content] = getattr(self, of).values()
        if kind == "studio":
            return Counter(row.studio_id for row in rows if row.studio_id is not None)
        attribute = f"{kind}_ids"
        return Counter(row_id for row in rows for row_id in getattr(row, attribute))

    def _by_gallery(self, of: str) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = defaultdict(list)
        table: Table[Any] = getattr(self, of)
        for row_id in table.ids:
            for gallery_id in table[row_id].gallery_ids:
                groups[gallery_id].append(row_id)
        return groups
