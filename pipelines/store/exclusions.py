"""The exclusion list: performers who are never enrolled and never answered. <root>/excluded.json.

Lives here: reading and changing the list; it is replaced by rename. A person is entered with every id that is known of
it, so that another source which knows only one of the others does not bring it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.durable import replace_text
from pipelines.errors import DatabaseCorrupt, InputError
from pipelines.faces.gallery import is_universal_id
from pipelines.faces.id_rows import IdRows

EXCLUDED = "excluded.json"


class Exclusion(BaseModel):
    """One person on the list.

    Attributes:
        universal_id: the id that was asked for.
        ids: all ids of the person, the one above included; sorted.
        name: as it was known when the person was excluded; empty for somebody unknown.
        reason: free text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    universal_id: str
    ids: tuple[str, ...]
    name: str = ""
    reason: str = ""
    created: datetime


class _ExclusionFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    excluded: tuple[Exclusion, ...] = ()


class ExclusionList:
    """The list below one folder. Changes are for the holder of the writer's lock of the database."""

    def __init__(self, root: Path) -> None:
        self.path = root / EXCLUDED

    def read(self) -> tuple[Exclusion, ...]:
        """Returns who is excluded, in order of entry. Raises DatabaseCorrupt when the list cannot be read."""
        try:
            return _ExclusionFile.model_validate_json(self.path.read_bytes()).excluded
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise DatabaseCorrupt(
                f"{self.path} cannot be read: {error}.",
                "Restore a backup of it, or remove it; everybody on it can be found again then.",
            ) from error

    def ids(self) -> frozenset[str]:
        """Returns every excluded id. Raises like `read`."""
        return frozenset(universal_id for one in self.read() for universal_id in one.ids)

    def stamp(self) -> tuple[int, int, int] | None:
        """Returns what changes whenever the list does; None where there is no list. Cheap."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return None
        return state.st_ino, state.st_mtime_ns, state.st_size

    def add(self, exclusions: Iterable[Exclusion]) -> None:
        """Enters people; somebody who is on the list is entered anew, with the ids of both entries."""
        listed = {one.universal_id: one for one in self.read()}
        for one in exclusions:
            before = listed.get(one.universal_id)
            ids = tuple(sorted({*one.ids, *(before.ids if before else ())}))
            listed[one.universal_id] = one.model_copy(update={"ids": ids})
        self._write(listed.values())

    def learn(self, people: Iterable[Collection[str]]) -> None:
        """Adds ids that came to be known of people on the list, each given with all ids; writes only what is new."""
        listed = list(self.read())
        changed = False
        for ids in people:
            for place, one in enumerate(listed):
                if not set(one.ids).isdisjoint(ids) and not set(ids) <= set(one.ids):
                    listed[place] = one.model_copy(update={"ids": tuple(sorted({*one.ids, *ids}))})
                    changed = True
        if changed:
            self._write(listed)

    def forget_names(self, ids: Collection[str]) -> None:
        """Takes out the names of those who have one of these ids; the ids stay, since they keep somebody out."""
        listed = self.read()
        kept = [one if set(one.ids).isdisjoint(ids) else one.model_copy(update={"name": ""}) for one in listed]
        if kept != list(listed):
            self._write(kept)

    def remove(self, ids: Iterable[str]) -> None:
        """Removes everybody who has one of these ids."""
        gone = set(ids)
        listed = self.read()
        kept = [one for one in listed if gone.isdisjoint(one.ids)]
        if len(kept) < len(listed):
            self._write(kept)

    def _write(self, exclusions: Iterable[Exclusion]) -> None:
        content = _ExclusionFile(excluded=tuple(exclusions))
        replace_text(self.path, content.model_dump_json(indent=1) + "\n")


def entries(ids: Iterable[str], people: pa.Table | None, reason: str) -> list[Exclusion]:
    """Returns what to enter for these ids; two ids of one person are one entry.

    Args:
        people: PERFORMER_SCHEMA, those who are known; None for nobody.
    """
    now = datetime.now(UTC)
    found: dict[tuple[str, ...], Exclusion] = {}
    rows = {} if people is None else IdRows(people["ids"])
    for universal_id in ids:
        row = rows.get(universal_id)
        every, name = (universal_id,), ""
        if people is not None and row is not None:
            every, name = tuple(sorted(people["ids"][row].as_py())), people["name"][row].as_py()
        found.setdefault(every, Exclusion(universal_id=universal_id, ids=every, name=name, reason=reason, created=now))
    return list(found.values())


def checked_ids(ids: Iterable[str]) -> list[str]:
    """Returns universal ids without repetition. Raises InputError for what is none, or for no id at all."""
    chosen = list(dict.fromkeys(ids))
    for universal_id in chosen:
        if not is_universal_id(universal_id):
            raise InputError(f"The universal id is {universal_id!r}.", "It has the form domain:id.")
    if not chosen:
        raise InputError("No performer was named.", "Give at least one universal id.")
    return chosen
