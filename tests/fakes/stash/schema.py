"""The schema of one version of Stash: `schema.graphql` without what that version does not know, with resolvers."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from graphql import (
    REMOVE,
    GraphQLAbstractType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    Node,
    Visitor,
    build_ast_schema,
    parse,
    visit,
)

from tests.fakes.stash import (  # noqa: F401  they register their resolvers
    mutations,
    people_mutations,
    plugin_resolvers,
    scene_mutations,
    status_resolvers,
)
from tests.fakes.stash.resolvers import RESOLVERS, file_type

SDL = Path(__file__).with_name("schema.graphql")
MINORS = range(25, 32)
"""Minor versions that can be played: 0.25 to 0.31."""

LATEST = "0.31"


def minor_of(version: str) -> int:
    """Returns 30 for "0.30" or "v0.30.1"; raises ValueError for a version that is not played."""
    minor = int(version.removeprefix("v").split(".")[1])
    if minor not in MINORS:
        raise ValueError(f"version is {version!r}; 0.{MINORS[0]} to 0.{MINORS[-1]} are played")
    return minor


class _Prune(Visitor):
    """Leaves out nodes that a version does not know, and the marks themselves."""

    def __init__(self, minor: int) -> None:
        super().__init__()
        self.minor = minor

    def enter(self, node: Node, *_: Any) -> Any:
        if node.kind == "directive_definition":
            return REMOVE
        marks = {d.name.value: minor_of(d.arguments[0].value.value) for d in getattr(node, "directives", None) or ()
                 if d.name.value in {"since", "until"}}  # fmt: skip
        return None if marks.get("since", 0) <= self.minor < marks.get("until", 99) else REMOVE

    def enter_directive(self, node: Node, *_: Any) -> Any:
        return REMOVE if node.name.value in {"since", "until"} else None  # type: ignore[attr-defined]


@cache
def schema_of(minor: int) -> GraphQLSchema:
    """Returns the executable schema of version 0.`minor`."""
    document = visit(parse(SDL.read_text(), no_location=True), _Prune(minor))
    schema = build_ast_schema(document)
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__"):
            for field_name, definition in kind.fields.items():
                definition.resolve = RESOLVERS.get((name, field_name)) or _plain(field_name)
        elif isinstance(kind, GraphQLScalarType) and name == "Int64":
            kind.serialize = int  # type: ignore[assignment]
        if isinstance(kind, GraphQLAbstractType):
            kind.resolve_type = lambda value, *_: file_type(value)
    return schema


@cache
def _plain(name: str) -> Any:
    attribute = attrgetter(name)

    def resolve(row: Any, _: Any) -> Any:
        return row.get(name) if isinstance(row, dict) else attribute(row)

    return resolve
