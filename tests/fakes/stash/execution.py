"""GraphQL requests in, GraphQL answers out, with the statuses, texts and codes of Stash's server (gqlgen)."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    execute,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from tests.fakes.stash.library import StashFailure
from tests.fakes.stash.resolvers import Context
from tests.fakes.stash.schema import schema_of

VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
PARSE_FAILED = "GRAPHQL_PARSE_FAILED"

Answer = dict[str, Any]


class Refused(Exception):
    """The request does not fit the schema: HTTP 422."""

    def __init__(self, errors: list[Answer]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors

    @property
    def answer(self) -> Answer:
        return {"errors": self.errors, "data": None}


@dataclass(frozen=True, slots=True)
class Operation:
    """A request that fits the schema."""

    document: DocumentNode
    node: OperationDefinitionNode
    variables: dict[str, Any]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the top-level fields."""
        nodes = self.node.selection_set.selections
        return tuple(node.name.value for node in nodes if node.kind == "field")  # type: ignore[attr-defined]

    @property
    def is_subscription(self) -> bool:
        return self.node.operation is OperationType.SUBSCRIPTION


@lru_cache(1000)
def _checked(minor: int, query: str) -> DocumentNode:
    """Returns the parsed query; raises Refused. (Refusals are not kept, documents are, as in Stash.)"""
    try:
        document = parse(query)
    except GraphQLSyntaxError as error:
        raise Refused([_error(error, PARSE_FAILED)]) from error
    errors = validate(schema_of(minor), document)
    if errors:
        raise Refused([_error(error, VALIDATION_FAILED) for error in errors])
    return document


def prepare(minor: int, query: str, name: str | None, variables: dict[str, Any]) -> Operation:
    """Returns the operation to run; raises Refused when query, name or variables do not fit the schema."""
    if not query:
        raise Refused([{"message": "no operation provided", "extensions": {"code": VALIDATION_FAILED}}])
    document = _checked(minor, query)
    nodes = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if name:
        nodes = [node for node in nodes if node.name is not None and node.name.value == name]
    if len(nodes) != 1:
        text = f"operation {name} not found" if name else "operation name is needed"
        raise Refused([{"message": text, "extensions": {"code": VALIDATION_FAILED}}])
    outcome = get_variable_values(schema_of(minor), nodes[0].variable_definitions or (), variables)
    if isinstance(outcome, list):
        raise Refused([_variable_error(error) for error in outcome])
    return Operation(document, nodes[0], variables)


def run(context: Context, operation: Operation) -> Answer:
    """Runs a query or mutation and returns its answer; failures of resolvers are in `errors`, with HTTP 200."""
    # A plugin asks its Stash while it runs, and touches no row itself.
    with contextlib.nullcontext() if operation.fields == ("runPluginOperation",) else context.library.lock:
        result = execute(
            schema_of(context.minor),
            operation.document,
            context_value=context,
            variable_values=operation.variables,
            operation_name=operation.node.name.value if operation.node.name else None,
            is_awaitable=lambda _: False,  # type: ignore[arg-type]
        )
    assert isinstance(result, ExecutionResult)
    return answer_of(result)


def answer_of(result: ExecutionResult) -> Answer:
    """Returns the JSON of a result. Raises what is wrong with the fake itself: that must not look like Stash."""
    answer: Answer = {}
    for error in result.errors or ():
        if error.original_error is not None and not isinstance(error.original_error, StashFailure | GraphQLError):
            raise error.original_error
    if result.errors:
        answer["errors"] = [{"message": e.message, "path": list(e.path or ())} for e in result.errors]
    answer["data"] = result.data
    return answer


def _error(error: GraphQLError, code: str) -> Answer:
    places = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    return {"message": _words(error.message), "locations": places, "extensions": {"code": code}}


def _words(message: str) -> str:
    """Returns the message as the Go library words it."""
    unknown = re.match(r"Expected value of type '(\w+)!?' not to include unknown field '(\w+)'", message)
    if unknown:
        return f'Field "{unknown[2]}" is not defined by type "{unknown[1]}".'
    return message.replace("'", '"')


def _variable_error(error: GraphQLError) -> Answer:
    """gqlgen names the place of a wrong variable as a path."""
    found = re.match(r"Variable '\$(\w+)' has invalid value(?: at ([^:]+))?: (.*)", error.message, re.DOTALL)
    assert found is not None, error.message
    path: list[str | int] = ["variable", found[1]]
    path += [int(part) if part.isdigit() else part for part in re.findall(r"\w+", found[2] or "")]
    text = found[3]
    unknown = re.search(r"unknown field '(\w+)'", text)
    missing = re.search(r"to include required field '(\w+)'", text)
    if unknown:
        path, text = [*path, unknown[1]], "unknown field"
    elif missing:
        path, text = [*path, missing[1]], "must be defined"
    elif "to be provided" in text:
        text = "must be defined"
    elif "not to be None" in text:
        text = "cannot be null"
    return {"message": _words(text), "path": path, "extensions": {"code": VALIDATION_FAILED}}
