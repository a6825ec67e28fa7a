"""Linking a scene or performer to its entry on a stash-box; links that are there stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipelines.actions.base import ActionType, Change, Params, Plan
from pipelines.actions.snapshots import EntityKind, name_of, snapshot
from pipelines.errors import InputError
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import StashId

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing


class LinkParams(Params):
    """What is linked to which entry."""

    entity: Literal["scene", "performer"]
    entity_id: str = Field(max_length=18)
    endpoint: str = Field(min_length=1, max_length=500, pattern=r"^https?://", description="Of the stash-box.")
    stash_id: str = Field(min_length=1, max_length=100, description="Id of the entry there.")


class LinkStashId(ActionType):
    """Adds a link."""

    id = "link_stash_id"
    title = "Link to a stash-box"
    description = "Add the id of an entry on a stash-box; several ids of one stash-box are kept."
    destructive = False
    params = LinkParams

    def entities(self, params: LinkParams) -> list[tuple[EntityKind, str]]:
        return [(params.entity, params.entity_id)]

    async def plan(self, library: StashLibrary, params: LinkParams) -> Plan:
        if not library.choice.allows(params.endpoint):
            raise InputError(
                f"The stash-box {params.endpoint} is switched off.", "Take it off the setting stashbox_off, then link."
            )
        image = await snapshot(library, params.entity, params.entity_id)
        before = [f"{one['endpoint']} {one['stash_id']}" for one in image["stash_ids"]]
        link = f"{params.endpoint} {params.stash_id}"
        step = {
            "op": "link",
            "kind": params.entity,
            "id": image["id"],
            "endpoint": params.endpoint,
            "stash_id": params.stash_id,
        }
        change = Change(params.entity, image["id"], "stash_ids", before, [*before, link], title=name_of(image))
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Link {params.entity} {image['id']} ({name_of(image)}) to {params.stash_id} of {params.endpoint}.",
            (image,),
            () if link in before else (change,),
            () if link in before else (step,),
        )

    async def undo(self, undoing: Undoing) -> None:
        params = undoing.params
        link = StashId(params["endpoint"], params["stash_id"])
        before = undoing.before(params["entity"], params["entity_id"])
        if any((one["endpoint"], one["stash_id"]) == (link.endpoint, link.stash_id) for one in before["stash_ids"]):
            return
        await undoing.unlink(before["kind"], before["id"], link)
