"""Who is on a scene, image or gallery: tagging and untagging performers; whoever else is there stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.actions.base import ActionType, Change, Params, Plan
from pipelines.actions.snapshots import ContentName, EntityKind, name_of, snapshot
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing


class TaggingParams(Params):
    """Whom, and on what."""

    entity: ContentName
    entity_id: str = Field(max_length=18)
    performer_ids: tuple[str, ...] = Field(min_length=1, max_length=100)


class TagPerformers(ActionType):
    """Tags performers."""

    id = "tag_performers"
    title = "Tag performers"
    description = "Add performers to a scene, image or gallery."
    destructive = False
    params = TaggingParams

    def entities(self, params: TaggingParams) -> list[tuple[EntityKind, str]]:
        return [(params.entity, params.entity_id)]

    async def plan(self, library: StashLibrary, params: TaggingParams) -> Plan:
        content = await snapshot(library, params.entity, params.entity_id)
        people = [await snapshot(library, "performer", one) for one in dict.fromkeys(params.performer_ids)]
        new = {one["id"]: one["name"] for one in people if one["id"] not in content["performer_ids"]}
        step = {"op": "tag", "kind": params.entity, "id": content["id"], "performer_ids": list(new)}
        before = _names(content)
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Tag {', '.join(one['name'] for one in people)} on {params.entity} {content['id']} ({name_of(content)}).",
            (content,),
            (_change(content, before, [*before, *new.values()]),) if new else (),
            (step,) if new else (),
        )

    async def undo(self, undoing: Undoing) -> None:
        before = undoing.before(undoing.params["entity"], undoing.params["entity_id"])
        added = [one for one in undoing.params["performer_ids"] if one not in before["performer_ids"]]
        await undoing.untag(before["kind"], before["id"], added)


class UntagPerformers(ActionType):
    """Takes performers off."""

    id = "untag_performers"
    title = "Untag performers"
    description = "Take performers off a scene, image or gallery."
    destructive = True
    params = TaggingParams

    def entities(self, params: TaggingParams) -> list[tuple[EntityKind, str]]:
        return [(params.entity, params.entity_id)]

    async def plan(self, library: StashLibrary, params: TaggingParams) -> Plan:
        content = await snapshot(library, params.entity, params.entity_id)
        gone = [one for one in content["performer_ids"] if one in params.performer_ids]
        names = content["labels"]["performer_ids"]
        step = {"op": "untag", "kind": params.entity, "id": content["id"], "performer_ids": gone}
        after = [names[one] for one in content["performer_ids"] if one not in gone]
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Take {', '.join(names[one] for one in gone) or 'nobody'} off {params.entity} {content['id']} "
            f"({name_of(content)}).",
            (content,),
            (_change(content, _names(content), after, destructive=True),) if gone else (),
            (step,) if gone else (),
        )

    async def undo(self, undoing: Undoing) -> None:
        before = undoing.before(undoing.params["entity"], undoing.params["entity_id"])
        removed = [one for one in before["performer_ids"] if one in undoing.params["performer_ids"]]
        await undoing.tag(before["kind"], before["id"], removed)


def _names(content: dict[str, object]) -> list[str]:
    labels = content["labels"]
    assert isinstance(labels, dict)  # noqa: S101 - as `snapshot` makes it
    return list(labels["performer_ids"].values())


def _change(content: dict[str, object], before: list[str], after: list[str], *, destructive: bool = False) -> Change:
    title = name_of(content)
    return Change(
        str(content["kind"]), str(content["id"]), "performer_ids", before, after, destructive=destructive, title=title
    )
