"""find* queries: filter, sort, one page. Offset paging drifts while rows come and go, as in Stash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tests.fakes.stash.criteria import Test, all_of
from tests.fakes.stash.filters import compile_filter, search_test
from tests.fakes.stash.library import Library, StashFailure, Table, scrambled
from tests.fakes.stash.records import ContentName, File

DEFAULT_PER_PAGE = 25

_COUNTED = ("scenes_count", "images_count", "galleries_count", "tag_count")
_SORTS: dict[ContentName, tuple[str, ...]] = {
    "scene": (
        "bitrate created_at code date file_count filesize duration file_mod_time framerate group_scene_number id",
        "interactive interactive_speed last_o_at last_played_at movie_scene_number o_counter organized performer_count",
        "play_count play_duration resume_time path perceptual_similarity random rating resolution studio tag_count",
        "title updated_at performer_age",
    ),
    "image": (
        "created_at date file_count file_mod_time filesize id o_counter path performer_count random rating resolution",
        "tag_count title updated_at",
    ),
    "gallery": (
        "created_at date file_count file_mod_time id images_count path performer_count random rating tag_count title",
        "updated_at performer_age",
    ),
    "performer": (
        "birthdate career_length created_at galleries_count height id images_count last_o_at last_played_at",
        "latest_scene measurements name o_counter penis_length play_count random rating scenes_count",
        "scenes_duration scenes_size tag_count updated_at weight",
    ),
    "studio": (
        "child_count created_at galleries_count id images_count latest_scene name scenes_count scenes_duration",
        "scenes_size random rating tag_count updated_at",
    ),
    "tag": (
        "created_at galleries_count groups_count id images_count name performers_count random scene_markers_count",
        "scenes_count scenes_duration scenes_size updated_at",
    ),
}
SORTS = {kind: frozenset(" ".join(lines).split()) for kind, lines in _SORTS.items()}
"""What Stash's own lists of allowed sorts hold (pkg/sqlite of v0.30)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows, and the numbers over all pages; 0 where nobody asked for them."""

    rows: list[Any]
    count: int = 0
    duration: float = 0.0
    filesize: float = 0.0
    megapixels: float = 0.0


def find(
    library: Library,
    kind: ContentName,
    *,
    ids: Sequence[str | int] | None = None,
    given: Mapping[str, Any] | None = None,
    paging: Mapping[str, Any] | None = None,
    wanted: frozenset[str] = frozenset({"count"}),
) -> Found:
    """Answers a query. `ids` win over filter and paging; `wanted` names the aggregates that were selected."""
    table = library.table(kind)
    if ids:
        rows = table.get_many(_id_list(ids))
        return _aggregated(library, rows, rows, frozenset({"count", "duration", "filesize", "megapixels"}))
    paging = paging or {}
    sort = paging.get("sort") or ""
    _check_sort(kind, sort)
    test = _whole_test(library, kind, given, paging.get("q"))
    low, high = _id_range(given)
    candidates = table.between(low, high)
    per_page, offset = _page(paging)
    stop = None if per_page is None else offset + per_page
    if sort in {"id", ""} and not wanted:
        ordered = _by_id(candidates, sort, paging)
        return Found(list(islice(_matching(table, ordered, test), offset, stop)))
    matching = list(_matching(table, candidates, test))
    return _aggregated(library, _sorted(library, kind, matching, sort, paging)[offset:stop], matching, wanted)


def _whole_test(library: Library, kind: ContentName, given: Mapping[str, Any] | None, q: str | None) -> Test:
    test = compile_filter(library, kind, given)
    return all_of([test, search_test(library, kind, q)]) if q else test


def _matching(table: Table[Any], ids: Iterable[int], test: Test) -> Iterator[Any]:
    return (row for row in map(table.__getitem__, ids) if test(row) is True)


def _by_id(ids: list[int], sort: str, paging: Mapping[str, Any]) -> list[int]:
    if not sort:
        return scrambled(ids)
    return ids[::-1] if paging.get("direction") == "DESC" else ids


def _id_range(given: Mapping[str, Any] | None) -> tuple[int, int]:
    """Returns the ids that a filter's own `id` criterion leaves: id-keyed paging must not read the whole table."""
    low, high = 0, 2**63
    criterion = (given or {}).get("id")
    if criterion and "OR" not in (given or {}):
        value = criterion["value"]
        if criterion["modifier"] == "GREATER_THAN":
            low = value + 1
        elif criterion["modifier"] == "LESS_THAN":
            high = value - 1
        elif criterion["modifier"] == "EQUALS":
            low = high = value
    return low, high


def _page(paging: Mapping[str, Any]) -> tuple[int | None, int]:
    """Returns (rows a page, rows before it); None rows a page for all of them."""
    per_page = paging.get("per_page")
    per_page = DEFAULT_PER_PAGE if per_page is None else per_page
    if per_page < 0:
        return None, 0
    return per_page, (max(1, paging.get("page") or 1) - 1) * per_page


def whole_number(value: str | int) -> int:
    """Returns an id as a number; raises StashFailure with the text of Go's parser."""
    try:
        return int(value)
    except ValueError as error:
        raise StashFailure(f'strconv.Atoi: parsing "{value}": invalid syntax') from error


def _id_list(ids: Sequence[str | int]) -> list[int]:
    if len(set(ids)) < len(ids):
        repeated = next(one for place, one in enumerate(ids) if one in ids[:place])
        raise StashFailure(f"validating ids: duplicate id found: {repeated}")
    return [whole_number(one) for one in ids]


def _check_sort(kind: ContentName, sort: str) -> None:
    if sort.startswith("random_"):
        if not sort.removeprefix("random_").isdigit():
            raise StashFailure(f"invalid random seed: {sort.removeprefix('random_')}")
    elif sort and sort not in SORTS[kind]:
        raise StashFailure(f"invalid sort: {sort}")


def _aggregated(library: Library, page: list[Any], rows: list[Any], wanted: frozenset[str]) -> Found:
    duration = filesize = megapixels = 0.0
    if wanted & {"duration", "filesize", "megapixels"} and rows and hasattr(rows[0], "file_ids"):
        files = [file for row in rows if (file := library.primary_file(row)) is not None]
        duration = sum(f.duration for f in files) if "duration" in wanted else 0.0
        filesize = float(sum(f.size for f in files)) if "filesize" in wanted else 0.0
        megapixels = sum(f.width * f.height for f in files) / 1e6 if "megapixels" in wanted else 0.0
    return Found(page, len(rows) if "count" in wanted else 0, duration, filesize, megapixels)


def _sorted(library: Library, kind: ContentName, rows: list[Any], sort: str, paging: Mapping[str, Any]) -> list[Any]:
    by_id = {row.id: row for row in rows}
    descending = paging.get("direction") == "DESC"
    if sort == "id":
        return sorted(rows, key=lambda row: row.id, reverse=descending)
    mixed = [by_id[i] for i in scrambled(by_id)]
    if not sort:
        return mixed
    mixed.sort(key=lambda row: natural(getattr(row, "title", "") or getattr(row, "name", "") or str(row.id)))
    read = _sort_value(library, kind, sort)
    mixed.sort(key=lambda row: _nulls_first(read(row)), reverse=descending)
    return mixed


def _nulls_first(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Key of NATURAL_CI: no case, numbers by their value."""
    parts = re.findall(r"\d+|\D+", text.casefold())
    return tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)


def _sort_value(library: Library, kind: ContentName, sort: str) -> Callable[[Any], Any]:
    if sort.startswith("random"):
        seed = int(sort.partition("_")[2] or library.clock() * 1000) % 10**8
        return lambda row: ((row.id + seed) ** 2 * 52959209 + (row.id + seed) * 1047483763) % 2147483647
    if sort in _COUNTED[:3]:
        of = sort.removesuffix("_count")
        return lambda row: len(library.members(row.id, of)) if kind == "gallery" else library.counts(kind, of)[row.id]
    filed = kind in {"scene", "image"}
    if sort in _LENGTHS and (filed or sort in {"performer_count", "tag_count"}):
        return lambda row: len(getattr(row, _LENGTHS[sort]))
    if sort in _OF_FILE and filed:
        return lambda row: None if (file := library.primary_file(row)) is None else _OF_FILE[sort](file)
    if sort in {"title", "name"}:
        return lambda row: natural(getattr(row, sort) or _file_name(library, row))
    if sort in _COLUMNS:
        return lambda row: getattr(row, _COLUMNS[sort]) or (None if _COLUMNS[sort] != "organized" else False)
    raise StashFailure(f"the fake Stash does not sort by {sort} yet")


def _file_name(library: Library, row: Any) -> str:
    file = library.primary_file(row) if hasattr(row, "file_ids") else None
    return file.basename if file else ""


_LENGTHS = {
    "file_count": "file_ids",
    "performer_count": "performer_ids",
    "tag_count": "tag_ids",
    "play_count": "play_history",
    "o_counter": "o_history",
}
_OF_FILE: dict[str, Callable[[File], Any]] = {
    "bitrate": lambda file: file.bit_rate,
    "duration": lambda file: file.duration,
    "filesize": lambda file: file.size,
    "file_mod_time": lambda file: file.mod_time,
    "framerate": lambda file: file.frame_rate,
    "path": lambda file: natural(file.path),
    "resolution": lambda file: min(file.width, file.height),
}
_COLUMNS = {
    name: name
    for name in ("created_at", "updated_at", "code", "date", "organized", "resume_time", "play_duration", "birthdate")
}
_COLUMNS |= {name: name for name in ("career_length", "measurements", "penis_length", "weight")}
_COLUMNS |= {"rating": "rating100", "height": "height_cm"}
