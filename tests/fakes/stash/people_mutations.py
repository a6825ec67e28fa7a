"""Writes to performers, studios and tags, with the checks of names, aliases and dates."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Literal

from tests.fakes.stash.changes import NO_ROWS, Input, apply, changes_of, picture
from tests.fakes.stash.find import whole_number
from tests.fakes.stash.library import Library, StashFailure
from tests.fakes.stash.records import Performer
from tests.fakes.stash.resolvers import Info, context_of, resolver


def _check_performer(library: Library, row_id: int, name: str, disambiguation: str, aliases: tuple[str, ...]) -> None:
    if not name:
        raise StashFailure("performer name must not be blank")
    for other in library.performers.values():
        same = other.name.lower() == name.lower() and other.disambiguation.lower() == disambiguation.lower()
        if same and other.id != row_id:
            extra = f" and disambiguation '{disambiguation}'" if disambiguation else ""
            raise StashFailure(f"performer with name '{name}'{extra} already exists")
    seen = {name.lower()}
    for alias in aliases:
        if alias.lower() in seen:
            raise StashFailure(f"performer contains duplicate alias '{alias}'")
        seen.add(alias.lower())


def _check_dates(birthdate: str | None, death_date: str | None) -> None:
    if birthdate and death_date and death_date <= birthdate:
        raise StashFailure(f"death date {death_date} should be after birthdate {birthdate}")


def _checked_performer(library: Library, row: Performer | None, changes: Input) -> None:
    def now(name: str, default: Any) -> Any:
        return changes.get(name, getattr(row, name, default))

    _check_performer(library, row.id if row else 0, now("name", ""), now("disambiguation", ""), now("alias_list", ()))
    _check_dates(now("birthdate", None), now("death_date", None))


@resolver("Mutation", "performerCreate")
def _performer_create(_: Any, info: Info, input: Input) -> Performer:  # noqa: A002
    context = context_of(info)
    changes = changes_of(context.library, context, input)
    _checked_performer(context.library, None, changes)
    image = picture(input.get("image"))
    fields = dict(input.get("custom_fields") or {}) or None
    return context.library.add("performer", image=image, custom_fields=fields, **changes)  # type: ignore[no-any-return]


@resolver("Mutation", "performerUpdate")
def _performer_update(_: Any, info: Info, input: Input) -> Performer:  # noqa: A002
    context = context_of(info)
    library = context.library
    row = library.performers.one(whole_number(input["id"]))
    changes = changes_of(library, context, input)
    _checked_performer(library, row, changes)
    image = picture(input.get("image"))
    apply(library, row, changes, input)
    if "image" in input:
        row.image = image
    return row


def _destroy_performers(info: Info, ids: Iterable[str]) -> bool:
    library = context_of(info).library
    numbers = [whole_number(i) for i in ids]
    for row_id in numbers:
        if row_id not in library.performers:
            raise StashFailure(f"id {row_id} does not exist in performers")
    for row_id in dict.fromkeys(numbers):
        library.drop_performer(row_id)
    return True


@resolver("Mutation", "performerDestroy")
def _performer_destroy(_: Any, info: Info, input: Input) -> bool:  # noqa: A002
    return _destroy_performers(info, [input["id"]])


@resolver("Mutation", "performersDestroy")
def _performers_destroy(_: Any, info: Info, ids: list[str]) -> bool:
    return _destroy_performers(info, ids)


@resolver("Mutation", "performerMerge")
def _performer_merge(_: Any, info: Info, input: Input) -> Performer:  # noqa: A002
    """Moves links of scenes, images, galleries and tags, destroys the sources; carries no other metadata.

    The returned performer is the one read before the merge, as in the real server.
    """
    context = context_of(info)
    library = context.library
    sources = list(dict.fromkeys(whole_number(i) for i in input["source"]))
    destination_id = whole_number(input["destination"])
    if destination_id in sources:
        raise StashFailure("destination performer cannot be in source list")
    try:
        rows = library.performers.get_many(sources)
    except StashFailure as error:
        raise StashFailure(f"finding source performers: {error}") from error
    if destination_id not in library.performers:
        raise StashFailure(f"updating performer: {NO_ROWS}")
    row = library.performers[destination_id]
    before = copy.copy(row)
    values = dict(input.get("values") or {})
    changes = changes_of(library, context, values)
    image = picture(values.get("image"))
    apply(library, row, changes, values)
    row.image = image or row.image
    for table in (library.scenes, library.images, library.galleries):
        for content in table.values():
            if any(i in sources for i in content.performer_ids):
                moved = (destination_id if i in sources else i for i in content.performer_ids)
                content.performer_ids = tuple(dict.fromkeys(moved))
    row.tag_ids = tuple(dict.fromkeys((*row.tag_ids, *(i for source in rows for i in source.tag_ids))))
    for source_id in sources:
        library.drop_performer(source_id)
    return before


def _check_name(library: Library, kind: Literal["studio", "tag"], row_id: int, name: str) -> None:
    if not name:
        raise StashFailure(f"{kind} name must not be blank")
    for other in library.table(kind).values():
        if other.id == row_id:
            continue
        if other.name.lower() == name.lower():
            raise StashFailure(f"{kind} with name '{name}' already exists")
        if name.lower() in {alias.lower() for alias in other.aliases}:
            raise StashFailure(f"name '{name}' is used as alias for '{other.name}'")


def _create(kind: Literal["studio", "tag"], info: Info, given: Input) -> Any:
    context = context_of(info)
    given = {key: value for key, value in given.items() if key != "child_ids"}
    changes = changes_of(context.library, context, given)
    _check_name(context.library, kind, 0, changes["name"])
    return context.library.add(kind, **changes)


def _update_named(kind: Literal["studio", "tag"], info: Info, given: Input) -> Any:
    context = context_of(info)
    library = context.library
    given = {key: value for key, value in given.items() if key != "child_ids"}
    row = library.table(kind).one(whole_number(given["id"]))
    changes = changes_of(library, context, given)
    if "name" in changes:
        _check_name(library, kind, row.id, changes["name"])
    apply(library, row, changes, given)
    return row


@resolver("Mutation", "studioCreate")
def _studio_create(_: Any, info: Info, input: Input) -> Any:  # noqa: A002
    return _create("studio", info, input)


@resolver("Mutation", "studioUpdate")
def _studio_update(_: Any, info: Info, input: Input) -> Any:  # noqa: A002
    return _update_named("studio", info, input)


@resolver("Mutation", "tagCreate")
def _tag_create(_: Any, info: Info, input: Input) -> Any:  # noqa: A002
    return _create("tag", info, input)


@resolver("Mutation", "tagUpdate")
def _tag_update(_: Any, info: Info, input: Input) -> Any:  # noqa: A002
    return _update_named("tag", info, input)
