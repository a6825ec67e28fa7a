"""What an input of a mutation does to a row: Stash's partial updates, and what it refuses."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.fakes.stash.find import whole_number
from tests.fakes.stash.library import Library, StashFailure
from tests.fakes.stash.records import ContentName, StashId
from tests.fakes.stash.resolvers import Context

Input = Mapping[str, Any]

_RELATIONS: dict[str, ContentName] = {
    "performer_ids": "performer",
    "tag_ids": "tag",
    "gallery_ids": "gallery",
    "parent_ids": "tag",
}
_IGNORED = frozenset({"id", "ids", "clientMutationId", "primary_file_id", "cover_image", "image", "scene_ids"})

FOREIGN_KEY = "FOREIGN KEY constraint failed"
NO_ROWS = "sql: no rows in result set"


def changes_of(library: Library, context: Context, given: Input) -> dict[str, Any]:
    """Returns the columns that an input sets: a key that is absent stays, null clears, a list replaces.

    Raises StashFailure for a date that Stash does not read and for ids of rows that are not there.
    """
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key in _COLUMNS:
            changes[_COLUMN_NAMES.get(key, key)] = _COLUMNS[key](library, context, key, value)
        elif key not in _IGNORED and key != "custom_fields":
            raise AssertionError(f"the schema has {key}, the fake does not write it")
    return changes


def _groups(library: Library, values: Iterable[Input] | None) -> tuple[tuple[int, int | None], ...]:
    places = tuple((whole_number(one["group_id"]), one.get("scene_index")) for one in values or ())
    if any(group_id not in library.groups for group_id, _ in places):
        raise StashFailure(FOREIGN_KEY)
    return places


def known_ids(library: Library, key: str, values: Iterable[str] | None) -> tuple[int, ...]:
    """Returns the ids, each once; raises StashFailure when one has no row."""
    table = library.table(_RELATIONS[key])
    ids = tuple(dict.fromkeys(whole_number(one) for one in values or ()))
    if any(one not in table for one in ids):
        raise StashFailure(FOREIGN_KEY)
    return ids


def _studio_id(library: Library, key: str, value: str | None) -> int | None:
    if value is None:
        return None
    studio_id = whole_number(value)
    if studio_id not in library.studios:
        raise StashFailure(FOREIGN_KEY if key == "studio_id" else f"studio with id {studio_id} not found")
    return studio_id


def _date(context: Context, key: str, value: str | None) -> str | None:
    """Returns the date; years and months alone since 0.30."""
    if not value:
        return None
    partial = r"(-\d\d(-\d\d)?)?" if context.minor >= 30 else r"-\d\d-\d\d"
    if not re.fullmatch(rf"\d{{4}}{partial}", value):
        raise StashFailure(f'converting {key.replace("_", " ")}: failed to parse date "{value}"')
    return str(value)


def _stash_ids(library: Library, values: Iterable[Input]) -> tuple[StashId, ...]:
    """Stash keeps one time each: the one given, else now."""
    return tuple(StashId(one["endpoint"], one["stash_id"], one.get("updated_at") or library.now()) for one in values)


def _text(_: Library, __: Context, key: str, value: str | None) -> str:
    return (value or "").strip() if key == "name" else value or ""


def _texts(_: Library, __: Context, ___: str, values: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.strip() for one in values or ()))


def _as_given(_: Library, __: Context, ___: str, value: Any) -> Any:
    return value


Converter = Callable[[Library, Context, str, Any], Any]
_COLUMNS: dict[str, Converter] = {
    **dict.fromkeys(_RELATIONS, lambda library, _, key, value: known_ids(library, key, value)),
    **dict.fromkeys(("urls", "alias_list", "aliases"), _texts),
    **dict.fromkeys(("organized", "favorite", "ignore_auto_tag"), lambda _, __, ___, value: bool(value)),
    **dict.fromkeys(
        ("date", "birthdate", "death_date", "career_start", "career_end"),
        lambda _, context, key, value: _date(context, key, value),
    ),
    **dict.fromkeys(
        (
            *("title", "code", "details", "director", "photographer", "name", "disambiguation", "ethnicity", "country"),
            *("eye_color", "hair_color", "measurements", "fake_tits", "career_length", "tattoos", "piercings"),
            *("sort_name", "description"),
        ),
        _text,
    ),
    **dict.fromkeys(
        (
            *("rating100", "height_cm", "weight", "penis_length", "circumcised", "gender"),
            *("resume_time", "play_duration"),
        ),
        _as_given,
    ),
    **dict.fromkeys(("studio_id", "parent_id"), lambda library, _, key, value: _studio_id(library, key, value)),
    "url": lambda _, __, ___, value: (value,) if value else (),
    "stash_ids": lambda library, _, __, value: _stash_ids(library, value or ()),
    "groups": lambda library, _, __, value: _groups(library, value),
}
_COLUMN_NAMES = {"url": "urls", "groups": "group_places"}


def _custom_fields(old: dict[str, Any] | None, given: Input | None) -> dict[str, Any] | None:
    if given is None:
        return old
    fields = dict(given["full"]) if given.get("full") is not None else dict(old or {})
    fields.update(given.get("partial") or {})
    for name in given.get("remove") or ():
        fields.pop(name, None)
    return fields


def picture(value: str | None) -> bytes | None:
    """Returns the bytes of a data URI; a web address would be fetched by the server, which the fake never does."""
    if not value:
        return None
    found = re.fullmatch(r"data:[\w/+.-]+;base64,(.*)", value, re.DOTALL)
    if found is None:
        raise StashFailure("processing image: the fake Stash reads data URIs only")
    return base64.b64decode(found[1])


def apply(library: Library, row: Any, changes: Input, given: Input) -> None:
    """Writes what `changes_of` gave and the custom fields of the input; marks the row as changed now."""
    for name, value in changes.items():
        setattr(row, name, value)
    if "custom_fields" in given:
        row.custom_fields = _custom_fields(row.custom_fields, given["custom_fields"])
    library.touch(row)
