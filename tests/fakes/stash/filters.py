"""SceneFilterType and its sisters: which criterion reads which column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.fakes.stash.criteria import (
    Criterion,
    Test,
    all_of,
    any_of,
    ids_test,
    joined_text_test,
    like,
    list_test,
    not_,
    number_test,
    stash_id_test,
    text_test,
    time_test,
)
from tests.fakes.stash.library import Library, StashFailure
from tests.fakes.stash.records import ContentName, File

Maker = Callable[[Library, Any], Test]

_OPERATORS = ("AND", "OR", "NOT")


def compile_filter(library: Library, kind: ContentName | str, given: Mapping[str, Any] | None) -> Test:
    """Returns the test of a filter of `kind` ("file" too). Raises StashFailure for a wrong combination or regexp."""
    given = {key: value for key, value in (given or {}).items() if value is not None}
    operators = [name for name in _OPERATORS if name in given]
    if len(operators) > 1:
        raise StashFailure(f"cannot have {operators[0]} and {operators[1]} in the same filter")
    makers = _MAKERS[kind]
    own = all_of([makers[name](library, value) for name, value in given.items() if name not in _OPERATORS])
    if not operators:
        return own
    sub = compile_filter(library, kind, given[operators[0]])
    if operators[0] == "AND":
        return all_of([own, sub])
    if operators[0] == "NOT":
        return all_of([own, not_(sub)])
    return any_of([own, sub]) if len(given) > 1 else sub


def search_test(library: Library, kind: ContentName, q: str) -> Test:
    """The `q` of a query: each word is in some text of the row, a -word in none; "a phrase"; this OR that."""
    columns = _SEARCHED[kind]

    def has(row: Any, word: str) -> bool:
        return any(like(text, f"%{word}%") for text in columns(library, row))

    needed, banned, sets = parse_search(q)

    def test(row: Any) -> bool:
        return (
            all(has(row, word) for word in needed)
            and not any(has(row, word) for word in banned)
            and all(any(has(row, word) for word in words) for words in sets)
        )

    return test


def parse_search(q: str) -> tuple[list[str], list[str], list[list[str]]]:
    """Returns the words that must be there, those that must not, and the sets of which one must be."""
    tokens = [phrase or word for phrase, word in re.findall(r'(-?"[^"]+")|(\S+)', q)]
    needed: list[str] = []
    banned: list[str] = []
    sets: list[list[str]] = []
    index = 0
    while index < len(tokens):
        group = [tokens[index]]
        while index + 2 < len(tokens) and tokens[index + 1] in {"OR", "|"}:
            index += 2
            group.append(tokens[index])
        plain = [token.replace('"', "") for token in group]
        if len(group) > 1:
            sets.append(plain)
        elif plain[0].startswith("-") and len(plain[0]) > 1:
            banned.append(plain[0][1:])
        else:
            needed.append(plain[0])
        index += 1
    return needed, banned, sets


def _text(attribute: str) -> Maker:
    return lambda _, criterion: text_test(criterion, lambda row: getattr(row, attribute))


def _texts(attribute: str) -> Maker:
    return lambda _, criterion: list_test(criterion, lambda row: getattr(row, attribute))


def _time(attribute: str) -> Maker:
    return lambda library, criterion: time_test(criterion, lambda row: getattr(row, attribute), library)


def _flag(attribute: str) -> Maker:
    return lambda _, wanted: lambda row: getattr(row, attribute) is wanted


def _number(attribute: str) -> Maker:
    return lambda _, criterion: number_test(criterion, lambda row: getattr(row, attribute))


def _length(attribute: str) -> Maker:
    return lambda _, criterion: number_test(criterion, lambda row: len(getattr(row, attribute)))


def _ids(attribute: str) -> Maker:
    return lambda _, criterion: ids_test(criterion, lambda row: getattr(row, attribute))


def _count(kind: str, of: str) -> Maker:
    return lambda library, criterion: number_test(criterion, lambda row: library.counts(kind, of)[row.id])


def _studio_ids(row: Any) -> tuple[int, ...]:
    return () if row.studio_id is None else (row.studio_id,)


def _studios(library: Library, criterion: Criterion) -> Test:
    depth = criterion.get("depth") or 0
    wanted = {int(i) for i in criterion.get("value") or ()}
    while depth:
        children = {s.id for s in library.studios.values() if s.parent_id in wanted} - wanted
        wanted |= children
        depth = depth - 1 if children else 0
    return ids_test({**criterion, "value": sorted(wanted)}, _studio_ids)


def _of_files(read: Callable[[File], str | None]) -> Maker:
    def maker(library: Library, criterion: Criterion) -> Test:
        def values(row: Any) -> Iterable[str]:
            return [value for i in row.file_ids if (value := read(library.files[i])) is not None]

        return joined_text_test(criterion, values)

    return maker


def _duration(library: Library, criterion: Criterion) -> Test:
    def whole_seconds(row: Any) -> int | None:
        file = library.primary_file(row)
        return None if file is None else int(file.duration)

    return number_test(criterion, whole_seconds)


def _files_filter(library: Library, given: Mapping[str, Any]) -> Test:
    test = compile_filter(library, "file", given)
    return lambda row: any(test(library.files[i]) is True for i in row.file_ids)


def _performers_filter(library: Library, given: Mapping[str, Any]) -> Test:
    test = compile_filter(library, "performer", given)
    return lambda row: any(test(library.performers[i]) is True for i in row.performer_ids)


def _missing(known: Mapping[str, Callable[[Library, Any], bool]], columns: Iterable[str]) -> Maker:
    """is_missing: a named relation, or a column of the table; "" asks for nothing."""
    allowed = set(columns)

    def maker(library: Library, name: str) -> Test:
        if not name:
            return lambda _: True
        if name in known:
            return lambda row: known[name](library, row)
        if name not in allowed:
            raise StashFailure(f"no such column: {name}")
        return lambda row: getattr(row, name) in {None, ""}

    return maker


def _has_fingerprint(library: Library, row: Any, kind: str) -> bool:
    return any(library.files[i].fingerprint(kind) for i in row.file_ids)


_RELATIONS: dict[str, Callable[[Library, Any], bool]] = {
    "url": lambda _, row: not row.urls,
    "studio": lambda _, row: row.studio_id is None,
    "performers": lambda _, row: not row.performer_ids,
    "tags": lambda _, row: not row.tag_ids,
}
_GALLERIES: dict[str, Callable[[Library, Any], bool]] = {"galleries": lambda _, row: not row.gallery_ids}
_SCENE_RELATIONS = {
    **_RELATIONS,
    **_GALLERIES,
    "group": lambda _, row: not row.group_places,
    "stash_id": lambda _, row: not row.stash_ids,
    "phash": lambda library, row: not _has_fingerprint(library, row, "phash"),
    "cover": lambda library, row: row.cover is None and library.local_file(row) is None,
}
_PEOPLE_RELATIONS: dict[str, Callable[[Library, Any], bool]] = {
    "url": lambda _, row: not row.urls,
    "stash_id": lambda _, row: not row.stash_ids,
    "aliases": lambda _, row: not (row.alias_list if hasattr(row, "alias_list") else row.aliases),
    "image": lambda _, row: getattr(row, "image", None) is None,
}

_DATED: dict[str, Maker] = {"created_at": _time("created_at"), "updated_at": _time("updated_at")}
_CONTENT: dict[str, Maker] = {
    **_DATED,
    "id": _number("id"),
    "title": _text("title"),
    "code": _text("code"),
    "details": _text("details"),
    "organized": _flag("organized"),
    "url": _texts("urls"),
    "date": _time("date"),
    "studios": _studios,
    "tags": _ids("tag_ids"),
    "tag_count": _length("tag_ids"),
    "performers": _ids("performer_ids"),
    "performer_count": _length("performer_ids"),
}
_FILED: dict[str, Maker] = {
    "path": _of_files(lambda file: file.path),
    "checksum": _of_files(lambda file: file.fingerprint("md5")),
    "file_count": _length("file_ids"),
    "galleries": _ids("gallery_ids"),
}
_BOXED: dict[str, Maker] = {
    "stash_id_endpoint": lambda _, criterion: stash_id_test(criterion),
    "stash_ids_endpoint": lambda _, criterion: stash_id_test(criterion),
    "stash_id_count": _length("stash_ids"),
}

_MAKERS: dict[str, dict[str, Maker]] = {
    "scene": {
        **_CONTENT,
        **_FILED,
        **_BOXED,
        "director": _text("director"),
        "oshash": _of_files(lambda file: file.fingerprint("oshash")),
        "duration": _duration,
        "video_codec": _of_files(lambda file: file.video_codec),
        "is_missing": _missing(_SCENE_RELATIONS, ("title", "code", "details", "director", "date", "rating")),
        "performers_filter": _performers_filter,
        "files_filter": _files_filter,
    },
    "image": {
        **_CONTENT,
        **_FILED,
        "is_missing": _missing({**_RELATIONS, **_GALLERIES}, ("title", "code", "details", "date", "photographer")),
    },
    "gallery": {
        **_CONTENT,
        "path": _text("folder"),
        "scenes": lambda library, c: ids_test(c, lambda row: library.members(row.id, "scenes")),
        "image_count": lambda library, c: number_test(c, lambda row: len(library.members(row.id, "images"))),
        "is_missing": _missing(
            {**_RELATIONS, "scenes": lambda library, row: not library.members(row.id, "scenes")},
            ("title", "code", "details", "date", "photographer"),
        ),
    },
    "performer": {
        **_DATED,
        **_BOXED,
        "name": _text("name"),
        "disambiguation": _text("disambiguation"),
        "aliases": _texts("alias_list"),
        "filter_favorites": _flag("favorite"),
        "tags": _ids("tag_ids"),
        "url": _texts("urls"),
        "scene_count": _count("performer", "scenes"),
        "image_count": _count("performer", "images"),
        "gallery_count": _count("performer", "galleries"),
        "is_missing": _missing(_PEOPLE_RELATIONS, ("disambiguation", "birthdate", "country", "gender", "details")),
    },
    "studio": {
        **_DATED,
        **_BOXED,
        "name": _text("name"),
        "aliases": _texts("aliases"),
        "url": _texts("urls"),
        "parents": lambda _, c: ids_test(c, lambda row: () if row.parent_id is None else (row.parent_id,)),
        "scene_count": _count("studio", "scenes"),
        "is_missing": _missing(_PEOPLE_RELATIONS, ("details",)),
    },
    "tag": {
        **_DATED,
        **_BOXED,
        "name": _text("name"),
        "aliases": _texts("aliases"),
        "scene_count": _count("tag", "scenes"),
        "is_missing": _missing(
            {name: test for name, test in _PEOPLE_RELATIONS.items() if name != "url"}, ("description",)
        ),
    },
    "file": {**_DATED, "path": _text("path"), "basename": _text("basename"), "mod_time": _time("mod_time")},
    "marker": {**_DATED, "scenes": lambda _, c: ids_test(c, lambda row: (row.scene_id,))},
}


def _content_texts(library: Library, row: Any) -> list[str]:
    files = [library.files[i] for i in row.file_ids]
    markers = [m.title for m in library.markers.values() if m.scene_id == row.id] if hasattr(row, "director") else []
    return [row.title, row.details, *(f.path for f in files), *(v for f in files for _, v in f.fingerprints), *markers]


_SEARCHED: dict[str, Callable[[Library, Any], list[str]]] = {
    "scene": _content_texts,
    "image": _content_texts,
    "gallery": lambda _, row: [row.title, row.folder or ""],
    "performer": lambda _, row: [row.name, *row.alias_list],
    "studio": lambda _, row: [row.name, *row.aliases],
    "tag": lambda _, row: [row.name, *row.aliases],
}
