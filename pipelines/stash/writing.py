"""How changes of Stash are sent: one at a time over the whole cluster, with fields that its version knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.errors import StashRejected, StashUnknownField
from pipelines.stash.features import Features
from pipelines.stash.fields import FINDERS, Kind
from pipelines.stash.graphql import WriteTurn
from pipelines.stash.limiter import Priority
from pipelines.stash.reading import LibraryReading
from pipelines.stash.records import StashId

_PLAIN_ANSWERS = {
    *("scenesDestroy", "performersDestroy", "deleteFiles", "destroyFiles", "sceneAssignFile", "fileSetFingerprints"),
    *("metadataGenerate", "metadataScan", "stopJob", "imagesDestroy"),
}
"""Mutations that answer with a value instead of a thing."""
_COUNTED_ANSWERS = {"sceneAddPlay", "sceneDeletePlay", "sceneAddO", "sceneDeleteO"}


class LibraryWriting(LibraryReading):
    """One mutation at a time."""

    async def _write(
        self,
        name: str,
        arguments: Mapping[str, tuple[str, Any]],
        *,
        priority: Priority = Priority.INTERACTIVE,
        repeatable: bool = False,
        turn: WriteTurn | None = None,
    ) -> Any:
        """Returns what a mutation returns, {"id"} of things. `arguments`: name -> (type, value), all needed."""
        known = await self.client.features(priority)
        known.check("Mutation", [name])
        declared = ", ".join(f"${argument}: {kind}!" for argument, (kind, _) in arguments.items())
        passed = ", ".join(f"{argument}: ${argument}" for argument in arguments)
        selected = "" if name in _PLAIN_ANSWERS else " { count }" if name in _COUNTED_ANSWERS else " { id }"
        text = f"mutation Write({declared}) {{ {name}({passed}){selected} }}"
        variables = {argument: value for argument, (_, value) in arguments.items()}
        try:
            if turn is not None:
                data = await turn.execute(text, variables, repeatable=repeatable)
            else:
                data = await self.client.execute(text, variables, priority=priority, write=True, repeatable=repeatable)
        except StashUnknownField:
            await self.client.features(priority, again=True)  # the server has changed; the next write knows
            raise
        if data[name] is False:
            raise StashRejected(f"Stash did not carry out {name}.")
        return data[name]


def update_of(kind: Kind) -> tuple[str, str]:
    return f"{kind}Update", f"{FINDERS[kind].full.kind}UpdateInput"


def prepared(known: Features, input_type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields as the server's version takes them. Raises StashUnknownField for one that it does not know."""
    given = dict(fields)
    if "urls" in given and not known.knows(input_type, "urls") and known.knows(input_type, "url"):
        urls = list(given.pop("urls") or ())
        if len(urls) > 1:
            raise StashUnknownField(f"This version of Stash keeps one address, not {len(urls)}.", "Update Stash.")
        given["url"] = urls[0] if urls else None
    known.check(input_type, given)
    if given.get("stash_ids"):
        dated = known.knows("StashIDInput", "updated_at")
        given["stash_ids"] = [_link(link, dated=dated) for link in given["stash_ids"]]
    return given


def _link(link: StashId | Mapping[str, Any], *, dated: bool) -> Mapping[str, Any]:
    if not isinstance(link, StashId):
        return link
    when = {"updated_at": link.updated_at} if dated and link.updated_at else {}
    return {"endpoint": link.endpoint, "stash_id": link.stash_id, **when}
