"""What a Stash server knows: its types, their fields and its arguments, asked once by introspection.

A field that a server does not know fails a whole query (HTTP 422), and every release of Stash adds and removes some.
So nothing is asked for, and nothing sent, that is not in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import StashRejected, StashUnknownField

INTROSPECTION = """
query Features {
  __schema {
    types {
      name
      fields(includeDeprecated: true) { name args { name } }
      inputFields { name }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Features:
    """The fields of every type, object or input, and the arguments of every field.

    Attributes:
        fields: type -> its field names.
        arguments: (type, field) -> argument names.
    """

    fields: Mapping[str, frozenset[str]] = field(repr=False)
    arguments: Mapping[tuple[str, str], frozenset[str]] = field(repr=False)

    @classmethod
    def from_introspection(cls, data: Mapping[str, Any]) -> Features:
        """Reads the answer to `INTROSPECTION`. Raises StashRejected when it is not one."""
        fields: dict[str, frozenset[str]] = {}
        arguments: dict[tuple[str, str], frozenset[str]] = {}
        try:
            for kind in data["__schema"]["types"]:
                found = kind.get("fields") or kind.get("inputFields") or ()
                fields[kind["name"]] = frozenset(f["name"] for f in found)
                for one in kind.get("fields") or ():
                    arguments[kind["name"], one["name"]] = frozenset(a["name"] for a in one["args"])
        except (KeyError, TypeError, AttributeError) as error:
            raise StashRejected(
                "The server does not tell which fields it knows.", "Is this the address of Stash?"
            ) from error
        return cls(fields, arguments)

    def knows(self, kind: str, name: str) -> bool:
        """Whether the type `kind` has a field `name`."""
        return name in self.fields.get(kind, ())

    def knows_argument(self, kind: str, name: str, argument: str) -> bool:
        return argument in self.arguments.get((kind, name), ())

    def mutation(self, name: str) -> bool:
        return self.knows("Mutation", name)

    def check(self, kind: str, names: Iterable[str]) -> None:
        """Raises StashUnknownField when the type lacks one of the fields: sent anyway, it would be refused or lost."""
        unknown = sorted(set(names) - self.fields.get(kind, frozenset()))
        if unknown:
            raise StashUnknownField(
                f"This version of Stash knows no {', '.join(f'{kind}.{name}' for name in unknown)}.",
                "Update Stash, or leave it out.",
            )
