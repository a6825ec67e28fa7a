"""Who is on a scene, image or gallery: tagging and untagging performers; whoever else is there stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from pipelines.actions.base import ActionType, Change, Params, Plan
from pipelines.actions.places import MOST_PLACES, Place, counted, read_places, tag_change, tag_steps
from pipelines.actions.snapshots import ContentName, EntityKind, Snapshot, name_of, snapshot
from pipelines.errors import InputError
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing


class TaggingParams(Params):
    """Whom, and on what."""

    entity: ContentName
    entity_id: str = Field(max_length=18)
    performer_ids: tuple[str, ...] = Field(min_length=1, max_length=100)


class TagParams(Params):
    """Whom, and on what: one thing, or many by `places`. Whom may be left open until it is done."""

    entity: ContentName | None = None
    entity_id: str | None = Field(None, max_length=18)
    places: tuple[Place, ...] = Field((), max_length=MOST_PLACES)
    performer_ids: tuple[str, ...] = Field((), max_length=100)

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        named = self.entity is not None and self.entity_id is not None
        if named == bool(self.places) or (self.entity is None) != (self.entity_id is None):
            raise ValueError("give entity and entity_id, or places")
        return self

    @property
    def all_places(self) -> tuple[Place, ...]:
        if self.entity is None or self.entity_id is None:
            return self.places
        return (Place(entity=self.entity, entity_id=self.entity_id),)


class TagPerformers(ActionType):
    """Tags performers."""

    id = "tag_performers"
    title = "Tag performers"
    description = "Add performers to a scene, image or gallery, or to many at once."
    destructive = False
    params = TagParams

    def entities(self, params: TagParams) -> list[tuple[EntityKind, str]]:
        return [place.key for place in params.all_places]

    async def plan(self, library: StashLibrary, params: TagParams) -> Plan:
        if not params.performer_ids:
            raise InputError("Nobody is to be tagged.", "Give performer_ids.")
        contents = await read_places(library, params.all_places)
        people = [await snapshot(library, "performer", one) for one in dict.fromkeys(params.performer_ids)]
        names = {one["id"]: one["name"] for one in people}
        new = {(one["kind"], one["id"]): _without(names, one["performer_ids"]) for one in contents}
        lacking = [one for one in contents if new[one["kind"], one["id"]]]
        wanted = [i for i in names if any(i not in one["performer_ids"] for one in contents)]
        return Plan(
            self.id,
            params.model_dump(mode="json", exclude_none=True),
            f"Tag {', '.join(names.values())} on {counted(contents)}.",
            tuple(contents),
            tuple(tag_change(one, list(new[one["kind"], one["id"]].values())) for one in lacking),
            tuple(tag_steps(lacking, wanted)),
        )

    async def undo(self, undoing: Undoing) -> None:
        people: Sequence[str] = undoing.params["performer_ids"]
        await undoing.untag(
            [(one["kind"], one["id"], [i for i in people if i not in one["performer_ids"]]) for one in undoing.befores]
        )


def _without(names: dict[str, str], there: Sequence[str]) -> dict[str, str]:
    return {i: name for i, name in names.items() if i not in there}


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


def _names(content: Snapshot) -> list[str]:
    labels = content["labels"]
    assert isinstance(labels, dict)  # noqa: S101 - as `snapshot` makes it
    return list(labels["performer_ids"].values())


def _change(content: Snapshot, before: list[str], after: list[str], *, destructive: bool = False) -> Change:
    title = name_of(content)
    return Change(
        str(content["kind"]), str(content["id"]), "performer_ids", before, after, destructive=destructive, title=title
    )
