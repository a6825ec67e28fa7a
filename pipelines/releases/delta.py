"""Deltas of the successor's releases: what changed from one version to the next, replayed on what is imported.

Performers are found by (endpoint, id) among all ids that are known of them, faces by the number that the release gives
them. Numbers of performers are never identities: the same number may stand for somebody else in another database.
Replayed in the order that the program which makes deltas counts on: performers, faces, removed faces, catalogue
performers and faces, removed catalogue performers, corrected owners. Tables that a delta lacks are skipped.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import ReleaseCorrupt, ReleaseGap
from pipelines.faces.gallery import Performer
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import unit
from pipelines.releases.bundle import F16, I64, Bundle, TakeTemplates, new_performer, usable_id
from pipelines.releases.facts import ReleaseFacts, Watch
from pipelines.releases.links import code_by_id
from pipelines.releases.performers_db import Columns, catalogue_number, has_table, opened, select, universal_id
from pipelines.store.domains import domain_of, domain_order

DATABASE = "delta.db"

_PERFORMERS: Columns = {
    "id": "INTEGER",
    "endpoint": "TEXT",
    "stashbox_id": "TEXT",
    "action": "TEXT",
    "name": "TEXT",
    "disambiguation": "TEXT",
    "gender": "TEXT",
    "country": "TEXT",
    "birth_date": "TEXT",
    "career_start_year": "INTEGER",
    "career_end_year": "INTEGER",
    "aliases_json": "TEXT",
    "images_json": "TEXT",
    "merged_into_id": "TEXT",
}
_CATALOGUE_PERFORMERS: Columns = {
    "id": "INTEGER",
    "canonical_name": "TEXT",
    "gender": "TEXT",
    "country": "TEXT",
    "image_url": "TEXT",
}
_URLS: Columns = {"performer_id": "INTEGER", "url_type": "TEXT", "source_endpoint": "TEXT"}
_FACE: Columns = {
    "embedding_index": "INTEGER",
    "image_url": "TEXT",
    "image_sha256": "TEXT",
    "quality_score": "REAL",
    "yaw": "REAL",
    "embedding": "BLOB",
}
_FACES: Columns = {"endpoint": "TEXT", "stashbox_id": "TEXT", **_FACE}
_FACTS = ("disambiguation", "gender", "country", "birth_date", "image_url", "career_start", "career_end")
_CATALOGUE_FACES: Columns = {"performer_id": "INTEGER", "source_endpoint": "TEXT", **_FACE}


def check_chain(facts: ReleaseFacts, imported: str | None) -> None:
    """Raises ReleaseGap unless the delta continues the imported version."""
    if imported is None:
        raise ReleaseGap(
            f"The delta leads from {facts.from_version} to {facts.version}, but no full release is imported.",
            "Import a full release first, then the deltas that follow it.",
        )
    if facts.from_version != imported:
        raise ReleaseGap(
            f"The delta leads from {facts.from_version} to {facts.version}, but {imported} is imported.",
            "A full download is needed, or the deltas in between.",
        )


def apply_delta(bundle: Bundle, folder: Path, pack: ModelPack, watch: Watch) -> Bundle:
    """Returns the bundle after the verified delta in `folder`. Raises ReleaseCorrupt."""
    replay = _Replay(bundle, pack)
    with opened(folder / DATABASE) as connection:
        for table in ("performers", "faces", "removed_faces"):
            if not has_table(connection, table):
                raise ReleaseCorrupt(f"{DATABASE} has no table {table}.", "Download the release again.")
        replay.run(connection, watch)
    return replay.bundle()


@dataclass(frozen=True, slots=True)
class _NewFace:
    owner: int
    url: str | None
    sha256: str | None
    quality: float | None
    yaw_deg: float | None
    template: F16


class _Replay:
    """A bundle while it is changed.

    Performers keep their code; one that is removed becomes None. A face that was there keeps its position; new and
    replaced ones are collected by their number.
    """

    def __init__(self, bundle: Bundle, pack: ModelPack) -> None:
        self._bundle = bundle
        self._dimensions = tuple(e.dimension for e in pack.embedders)
        self._people: list[Performer | None] = list(bundle.people)
        self._codes = code_by_id(bundle.people)
        self._owner = bundle.owner.copy()
        keys = np.where(bundle.owner >= 0, bundle.key, -1)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._new: dict[int, _NewFace] = {}
        self._numbers: dict[int, int] = {}
        """Code by the number that this delta gives a performer; good within this delta alone."""
        self._skipped = dict(bundle.skipped)

    def run(self, connection: sqlite3.Connection, watch: Watch) -> None:
        watch.step("read", 0, 1)
        for row in _rows(connection, "performers", _PERFORMERS):
            watch.check()
            self._performer(row)
        for row in _rows(connection, "faces", _FACES):
            watch.check()
            self._face(row, self._codes.get(_id_of(row)), "unknown_performers")
        for row in _rows(connection, "removed_faces", {"embedding_index": "INTEGER"}):
            self._remove_face(row["embedding_index"])
        self._catalogue(connection, watch)
        for row in _rows(connection, "face_owner_repair", {"embedding_index": "INTEGER", "performer_id": "INTEGER"}):
            self._repair(row["embedding_index"], row["performer_id"])
        watch.step("read", 1, 1)

    def bundle(self) -> Bundle:
        """Returns what came out of it."""
        gone = np.array([p is None for p in self._people] + [True])
        codes = np.where(gone, -1, np.cumsum(~gone) - 1).astype(np.int32)
        new = list(self._new.items())
        templates = (
            np.stack([face.template for _, face in new])
            if new
            else np.zeros((0, sum(self._dimensions)), dtype=np.float16)
        )
        old = self._bundle
        return Bundle(
            people=[p for p in self._people if p is not None],
            owner=codes[np.concatenate([self._owner, np.array([f.owner for _, f in new], dtype=np.int32)])],
            key=np.concatenate([old.key, np.array([key for key, _ in new], dtype=np.int64)]),
            url=pa.concat_arrays([old.url, pa.array([f.url for _, f in new], pa.string())]),
            sha256=pa.concat_arrays([old.sha256, pa.array([f.sha256 for _, f in new], pa.string())]),
            quality=np.concatenate([old.quality, np.array([f.quality for _, f in new], dtype=np.float32)]),
            yaw_deg=np.concatenate([old.yaw_deg, np.array([f.yaw_deg for _, f in new], dtype=np.float32)]),
            take=_either(old.take, len(old.owner), templates),
            skipped=self._skipped,
        )

    def _performer(self, row: Mapping[str, Any]) -> None:
        own_id = _id_of(row)
        if not usable_id(own_id):
            self._count("bad_performers")
            return
        code = self._codes.get(own_id)
        if row["action"] == "removed":
            self._remove_performer(own_id, code, row)
            return
        fresh = new_performer(
            own_id,
            row["name"],
            aliases=_listed(row["aliases_json"]),
            image_url=_first_url(row["images_json"]),
            career_start=row["career_start_year"],
            career_end=row["career_end_year"],
            disambiguation=row["disambiguation"],
            gender=row["gender"],
            country=row["country"],
            birth_date=row["birth_date"],
        )
        if fresh is None:
            self._count("bad_performers")
        else:
            self._upsert(code, fresh, row["id"])

    def _upsert(self, code: int | None, fresh: Performer, number: int | None) -> None:
        known = self._people[code] if code is not None else None
        if known is None or code is None:
            code = len(self._people)
            self._people.append(fresh)
        elif domain_of(known.universal_id) == domain_of(fresh.universal_id):
            renewed = replace(fresh, universal_id=known.universal_id)
            self._people[code] = _completed(renewed, known, known.aliases)
        else:
            self._people[code] = _completed(known, fresh, (fresh.name, *fresh.aliases))
        self._codes[fresh.universal_id] = code
        if number is not None:
            self._numbers[number] = code

    def _remove_performer(self, own_id: str, code: int | None, row: Mapping[str, Any]) -> None:
        known = self._people[code] if code is not None else None
        if known is None or code is None:
            self._count("unknown_removals")
            return
        del self._codes[own_id]
        # Ids of the same catalogue that are left are of entries merged into the removed one.
        left = tuple(i for i in known.ids if self._codes.get(i) == code)
        if any(domain_of(i) != domain_of(own_id) for i in left):
            shown = known.universal_id if own_id != known.universal_id else _best(left)
            self._people[code] = replace(known, universal_id=shown, ids=left)
        else:
            self._people[code] = None
        merged_into = universal_id(row["endpoint"], row["merged_into_id"]) if row["merged_into_id"] else ""
        target = self._codes.get(merged_into, code)
        into = self._people[target]
        if target != code and into is not None:
            self._people[target] = replace(into, ids=(*into.ids, own_id))
            self._codes[own_id] = target

    def _face(self, row: Mapping[str, Any], owner: int | None, unknown: str) -> None:
        key = row["embedding_index"]
        if owner is None or self._people[owner] is None:
            self._count(unknown)
            return
        template = _template(key, row["embedding"], self._dimensions)
        self._forget(key)
        if template is None:
            self._count("bad_vectors")
            return
        self._new[key] = _NewFace(
            owner, row["image_url"], row["image_sha256"], row["quality_score"], row["yaw"], template
        )

    def _remove_face(self, key: int) -> None:
        if not self._forget(key):
            self._count("unknown_removals")

    def _forget(self, key: int) -> bool:
        """Leaves out the face of that number; returns whether there was one."""
        was_new = self._new.pop(key, None) is not None
        position = self._position(key)
        was_old = position is not None and self._owner[position] >= 0
        if position is not None:
            self._owner[position] = -1
        return was_new or bool(was_old)

    def _position(self, key: int) -> int | None:
        place = int(np.searchsorted(self._keys, key))
        found = key >= 0 and place < len(self._keys) and int(self._keys[place]) == key
        return int(self._order[place]) if found else None

    def _catalogue(self, connection: sqlite3.Connection, watch: Watch) -> None:
        """Replays the performers of catalogues, whose universal id is the catalogue's name and their number."""
        names = {
            row["performer_id"]: row["source_endpoint"]
            for row in _rows(connection, "catalogue_performer_urls", _URLS)
            if row["url_type"] == "catalogue" and row["source_endpoint"]
        }
        for row in _rows(connection, "catalogue_faces", {"performer_id": "INTEGER", "source_endpoint": "TEXT"}):
            names.setdefault(row["performer_id"], row["source_endpoint"])
        of_number = self._catalogue_numbers()
        for row in _rows(connection, "catalogue_performers", _CATALOGUE_PERFORMERS):
            watch.check()
            self._catalogue_performer(row, names.get(row["id"]), of_number)
        for row in _rows(connection, "catalogue_faces", _CATALOGUE_FACES):
            watch.check()
            self._face(row, of_number.get(row["performer_id"]), "unknown_performers")
        for row in _rows(connection, "catalogue_removed_performers", {"id": "INTEGER"}):
            code = of_number.pop(row["id"], None)
            if code is None:
                self._count("unknown_removals")
            else:
                self._people[code] = None
        self._numbers = {**self._numbers, **of_number}

    def _catalogue_performer(self, row: Mapping[str, Any], catalogue: str | None, of_number: dict[int, int]) -> None:
        number = row["id"]
        before = self._people[of_number[number]] if number in of_number else None
        # With the catalogue's name it is the universal id that counts: the same number may be somebody else's here.
        own_id = f"{catalogue}:{number}" if catalogue else before.universal_id if before else ""
        fresh = new_performer(
            own_id, row["canonical_name"], image_url=row["image_url"], gender=row["gender"], country=row["country"]
        )
        if fresh is None:
            self._count("bad_performers")
        else:
            self._upsert(self._codes.get(own_id), fresh, None)
            of_number[number] = self._codes[fresh.universal_id]

    def _catalogue_numbers(self) -> dict[int, int]:
        """Returns the code of each performer of a catalogue by the number in its universal id."""
        codes = {}
        for code, performer in enumerate(self._people):
            number = catalogue_number(performer.universal_id) if performer else None
            if number is not None:
                codes[number] = code
        return codes

    def _repair(self, key: int, number: int) -> None:
        """Gives a face to the performer whom this delta knows by that number."""
        owner, position = self._numbers.get(number), self._position(key)
        if owner is None or self._people[owner] is None:
            self._count("unknown_repairs")
        elif key in self._new:
            self._new[key] = replace(self._new[key], owner=owner)
        elif position is not None and self._owner[position] >= 0:
            self._owner[position] = owner

    def _count(self, reason: str) -> None:
        self._skipped[reason] = self._skipped.get(reason, 0) + 1


def _rows(connection: sqlite3.Connection, table: str, columns: Columns) -> Iterator[dict[str, Any]]:
    if has_table(connection, table):
        for row in select(connection, table, columns):
            yield dict(zip(columns, row, strict=True))


def _id_of(row: Mapping[str, Any]) -> str:
    return universal_id(row["endpoint"] or "", row["stashbox_id"] or "")


def _best(ids: tuple[str, ...]) -> str:
    order = domain_order(domain_of(i) for i in ids)
    return min(ids, key=lambda i: (order.index(domain_of(i)), i))


def _completed(shown: Performer, other: Performer, names: tuple[str, ...]) -> Performer:
    """Returns `shown` with the ids of the other, what it does not know itself, and these names as aliases."""
    aliases = dict.fromkeys((*shown.aliases, *names))
    aliases.pop(shown.name, None)
    missing = {name: getattr(other, name) for name in _FACTS if getattr(shown, name) is None}
    return replace(shown, aliases=tuple(aliases), ids=(*shown.ids, *other.ids), **missing)


def _template(key: int, blob: bytes | None, dimensions: tuple[int, ...]) -> F16 | None:
    """Returns the template of a stored vector, unit length; None when it is empty or no number."""
    length = sum(dimensions)
    if not isinstance(blob, bytes) or len(blob) not in {2 * length, 4 * length}:
        size = len(blob) if isinstance(blob, bytes) else "no"
        raise ReleaseCorrupt(f"Face {key} of {DATABASE} has a vector of {size} bytes, must have {4 * length}.")
    values = np.frombuffer(blob, dtype=np.float32 if len(blob) == 4 * length else np.float16).astype(np.float32)
    if not np.isfinite(values).all() or not values.any():
        return None
    template: F16 = unit(values[None])[0].astype(np.float16)
    return template


def _either(old: TakeTemplates, count: int, new: F16) -> TakeTemplates:
    """Returns a taker over `count` old templates and the new ones after them."""

    def take(rows: I64) -> F16:
        taken = np.empty((len(rows), new.shape[1]), dtype=np.float16)
        is_new = rows >= count
        taken[is_new] = new[rows[is_new] - count]
        if not is_new.all():
            taken[~is_new] = old(rows[~is_new])
        return taken

    return take


def _first_url(listed: str | None) -> object:
    first = next(iter(_listed(listed)), None)
    return first.get("url") if isinstance(first, dict) else first


def _listed(text: str | None) -> list[object]:
    """Returns the values of a JSON list; nothing for what is none."""
    try:
        values = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return []
    return values if isinstance(values, list) else []
