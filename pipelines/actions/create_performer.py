"""Making a performer of what the performer database or somebody knows, and tagging it where it was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from pipelines.actions.base import ActionType, Change, Params, Plan, Step
from pipelines.actions.places import MOST_PLACES, Place, counted, read_places, tag_change, tag_steps
from pipelines.actions.snapshots import NOW, EntityKind, Snapshot
from pipelines.actions.steps import performer_named
from pipelines.errors import InputError
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing

GENDERS = frozenset({"MALE", "FEMALE", "TRANSGENDER_MALE", "TRANSGENDER_FEMALE", "INTERSEX", "NON_BINARY"})
"""GenderEnum of Stash."""


class Link(Params):
    """An entry of a stash-box."""

    endpoint: str = Field(min_length=1, max_length=500, pattern=r"^https?://")
    stash_id: str = Field(min_length=1, max_length=100)


class CreatePerformerParams(Params):
    """Who; `universal_id` stands for what the performer database knows, and what is given beside it goes first."""

    universal_id: str | None = Field(None, max_length=255)
    name: str | None = Field(None, min_length=1, max_length=500)
    disambiguation: str | None = Field(None, max_length=500)
    aliases: tuple[str, ...] = Field((), max_length=500)
    gender: str | None = Field(None, max_length=40)
    country: str | None = Field(None, max_length=100)
    birthdate: str | None = Field(None, pattern=r"^\d{4}(-\d\d(-\d\d)?)?$")
    urls: tuple[str, ...] = Field((), max_length=100)
    ids: tuple[str, ...] = Field((), max_length=100, description="Universal ids, domain:uuid, that become links.")
    stash_ids: tuple[Link, ...] = Field((), max_length=100)
    tag: Place | Annotated[tuple[Place, ...], Field(max_length=MOST_PLACES)] = Field(
        (), description="Where the performer is tagged; one place or several."
    )

    @property
    def places(self) -> tuple[Place, ...]:
        return (self.tag,) if isinstance(self.tag, Place) else self.tag


def filled(params: Mapping[str, Any], person: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the parameters with what the performer database knows of their `universal_id`, PERFORMER_SCHEMA."""
    if person is None:
        return dict(params)
    gender = str(person.get("gender") or "").upper()
    known = {
        "name": person.get("name"),
        "disambiguation": person.get("disambiguation"),
        "aliases": list(person.get("aliases") or ()),
        "gender": gender if gender in GENDERS else None,
        "country": person.get("country"),
        "birthdate": person.get("birth_date"),
        "ids": list(person.get("ids") or ()),
    }
    return {**{key: value for key, value in known.items() if value}, **params}


class CreatePerformer(ActionType):
    """Makes one performer."""

    id = "create_performer"
    title = "Create the performer"
    description = "Make a performer of what is known and tag it on what it was seen in."
    destructive = False
    params = CreatePerformerParams

    def entities(self, params: CreatePerformerParams) -> list[tuple[EntityKind, str]]:
        return [place.key for place in params.places]

    async def plan(self, library: StashLibrary, params: CreatePerformerParams) -> Plan:
        if not params.name:
            raise InputError("The performer has no name.", "Give name, or a universal_id that is enrolled.")
        links = await _links(library, params)
        await _check_new(library, params, links)
        contents = await read_places(library, params.places)
        values = _values(params, links)
        steps: list[Step] = [{"op": "create_performer", "values": values}]
        changes = [
            Change("performer", "", "exists", False, True, title=params.name),
            *(Change("performer", "", field, None, value, title=params.name) for field, value in values.items()),
        ]
        changes += [tag_change(content, [params.name]) for content in contents]
        steps += tag_steps(contents, [{"result_of": 0}])
        tagged = f" and tag it on {counted(contents)}" if contents else ""
        return Plan(
            self.id,
            params.model_dump(mode="json"),
            f"Create the performer {params.name}{tagged}.",
            tuple(contents),
            tuple(changes),
            tuple(steps),
        )

    async def undo(self, undoing: Undoing) -> None:
        made = undoing.result(0).get("id")
        if made is None:
            return
        places = {(one["kind"], one["id"]) for one in undoing.befores if one["kind"] != "performer"}
        await undoing.remove_made_performer(made, places)


async def _links(library: StashLibrary, params: CreatePerformerParams) -> list[dict[str, str]]:
    """Returns the links given, and those of universal ids whose stash-box is used, in the order of the boxes."""
    found = {(one.endpoint, one.stash_id): None for one in params.stash_ids}
    if params.ids or params.universal_id:
        boxes = {_domain(box.endpoint): box.endpoint for box in await library.boxes(NOW)}
        for universal_id in (*((params.universal_id,) if params.universal_id else ()), *params.ids):
            domain, _, stash_id = universal_id.partition(":")
            if domain in boxes and stash_id:
                found.setdefault((boxes[domain], stash_id))
        places = {endpoint: place for place, endpoint in enumerate(boxes.values())}
        found = dict.fromkeys(sorted(found, key=lambda link: places.get(link[0], len(places))))
    return [{"endpoint": endpoint, "stash_id": stash_id} for endpoint, stash_id in found]


def _domain(endpoint: str) -> str:
    from pipelines.stash.records import StashId

    return StashId(endpoint, "").domain


async def _check_new(library: StashLibrary, params: CreatePerformerParams, links: list[dict[str, str]]) -> None:
    """Raises InputError when Stash has this performer already, by name or by link."""
    assert params.name is not None  # noqa: S101 - looked at before
    there = await performer_named(library, params.name, params.disambiguation)
    if there is None and links:
        boxes = {box.endpoint: box for box in (await library.configuration(NOW)).stash_boxes}
        for link in links:
            if link["endpoint"] in boxes:
                criteria = await library.linked("performer", boxes[link["endpoint"]], link["stash_id"], NOW)
                async for one in library.performers(filter=criteria, priority=NOW):
                    there = one.id
    if there is not None:
        raise InputError(
            f"Stash has this performer already: {there}.", "Tag that one, or give a disambiguation of its own."
        )


def _values(params: CreatePerformerParams, links: list[dict[str, str]]) -> Snapshot:
    assert params.name is not None  # noqa: S101 - looked at before
    seen = {params.name.casefold()}
    aliases = []
    for alias in params.aliases:  # Stash refuses an alias that comes twice or is the name
        if alias.strip() and alias.strip().casefold() not in seen:
            seen.add(alias.strip().casefold())
            aliases.append(alias.strip())
    values = {
        "name": params.name.strip(),
        "disambiguation": params.disambiguation,
        "alias_list": aliases,
        "gender": params.gender if params.gender in GENDERS else None,
        "country": params.country,
        "birthdate": params.birthdate,
        "urls": list(params.urls),
        "stash_ids": links,
    }
    return {key: value for key, value in values.items() if value}
