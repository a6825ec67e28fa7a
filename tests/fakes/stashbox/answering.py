"""GraphQL of the fake stash-box: its schema, its resolvers, and its answers to what does not fit."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, GraphQLSyntaxError, build_schema, execute, parse, validate
from graphql.execution.values import get_variable_values

from tests.fakes.stash.execution import PARSE_FAILED, VALIDATION_FAILED, Refused, _error, _variable_error
from tests.fakes.stashbox.knobs import BoxKnobs
from tests.fakes.stashbox.world import Performer, Picture, World

SDL = Path(__file__).with_name("schema.graphql").read_text()


@lru_cache(8)
def schema_of(without: tuple[str, ...]) -> GraphQLSchema:
    """Returns the schema of a box that does not know these fields, such as "Performer.merged_ids"."""
    schema = build_schema(SDL)
    for name in without:
        kind, field = name.split(".")
        del schema.type_map[kind].fields[field]  # type: ignore[attr-defined]
    fields = {name: kind.fields for name, kind in schema.type_map.items() if hasattr(kind, "fields")}
    resolvers: dict[tuple[str, str], Any] = {
        ("Query", "findPerformer"): _find,
        ("Query", "queryPerformers"): _query,
        ("Query", "searchPerformers"): _search,
        ("Image", "url"): _url,
        ("Performer", "birthdate"): _fuzzy,
        ("Performer", "created"): lambda row, _: _time(row.created),
        ("Performer", "updated"): lambda row, _: _time(row.updated),
    }
    for (kind, field), resolve in resolvers.items():
        if field in fields[kind]:
            fields[kind][field].resolve = resolve
    return schema


class Asked:
    """One request to the box: what resolvers need."""

    def __init__(self, world: World, knobs: BoxKnobs, base_url: str) -> None:
        self.world, self.knobs, self.base_url = world, knobs, base_url


def answer(asked: Asked, body: dict[str, Any]) -> tuple[int, dict[str, Any], tuple[str, ...]]:
    """Returns HTTP status, the answer, and the names of the top-level fields, each as often as it was asked for."""
    schema = schema_of(tuple(asked.knobs.without))
    try:
        document = parse(body.get("query") or "")
    except GraphQLSyntaxError as error:
        return 422, Refused([_error(error, PARSE_FAILED)]).answer, ()
    errors = validate(schema, document)
    if errors:
        return 422, Refused([_error(error, VALIDATION_FAILED) for error in errors]).answer, ()
    operation: Any = document.definitions[0]
    variables = body.get("variables") or {}
    outcome = get_variable_values(schema, operation.variable_definitions or (), variables)
    if isinstance(outcome, list):
        return 422, Refused([_variable_error(error) for error in outcome]).answer, ()
    fields = tuple(node.name.value for node in operation.selection_set.selections)
    with asked.world.lock:
        result = execute(schema, document, context_value=asked, variable_values=variables)
    assert isinstance(result, ExecutionResult)
    for error in result.errors or ():
        if error.original_error is not None and not isinstance(error.original_error, LookupError):
            raise error.original_error
    answered: dict[str, Any] = {"data": result.data}
    if result.errors:
        answered["errors"] = [{"message": e.message, "path": list(e.path or ())} for e in result.errors]
    return 200, answered, fields


def _find(_: Any, info: Any, id: str) -> Performer | None:  # noqa: A002
    asked: Asked = info.context
    found = asked.world.performers.get(id.lower())
    if found is None and asked.knobs.missing_is_error:
        raise LookupError("performer not found")
    return found


def _query(_: Any, info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002
    """Deleted rows are in no list."""
    asked: Asked = info.context
    rows = asked.world.living()
    by = {"UPDATED_AT": lambda p: p.updated, "CREATED_AT": lambda p: p.created, "NAME": lambda p: p.name}
    rows.sort(key=by[input["sort"]], reverse=input["direction"] == "DESC")
    return _page(asked, rows, input["page"], input["per_page"])


def _search(
    _: Any,
    info: Any,
    term: str,
    limit: int | None = None,
    page: int = 1,
    per_page: int = 25,
    filter: Any = None,  # noqa: A002
) -> dict[str, Any]:
    asked: Asked = info.context
    words = term.casefold().split()
    rows = [p for p in asked.world.living() if all(w in f"{p.name} {' '.join(p.aliases)}".casefold() for w in words)]
    return _page(asked, rows, page, limit or per_page)


def _page(asked: Asked, rows: list[Performer], page: int, per_page: int) -> dict[str, Any]:
    size = min(per_page, asked.knobs.most_per_page)
    start = (max(page, 1) - 1) * size
    return {"count": len(rows), "performers": rows[start : start + size]}


def _url(picture: Picture, info: Any) -> str:
    return picture.url or f"{info.context.base_url}/images/{picture.id}"


def _fuzzy(row: Performer, _: Any) -> dict[str, str] | None:
    if not row.birth_date:
        return None
    accuracy = {4: "YEAR", 7: "MONTH", 10: "DAY"}[len(row.birth_date)]
    return {"date": f"{row.birth_date}-01-01"[:10], "accuracy": accuracy}


def _time(moment: Any) -> str:
    return str(moment.isoformat().replace("+00:00", "Z"))
