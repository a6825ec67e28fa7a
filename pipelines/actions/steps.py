"""The writes that actions are made of, each with the look that tells whether Stash has carried it out already.

A step is JSON and in the log before it is sent. After a crash, or an answer that never came, `is_done` asks Stash; no
step is ever sent twice blindly.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.actions.base import Step
from pipelines.actions.many import snapshots
from pipelines.actions.snapshots import NOW, EntityKind, Snapshot, exists, same, snapshot
from pipelines.errors import ActionConflict, StashRejected
from pipelines.stash.features import Features
from pipelines.stash.fields import FINDERS
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import StashId

Result = dict[str, Any]
PICTURE = "picture:"
"""In a step, the digest of a kept picture stands for the picture after this."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What steps are carried out with.

    Attributes:
        picture: returns a kept picture by its digest, None when it was too large to be kept.
        results: of the steps before, in order.
    """

    library: StashLibrary
    picture: Callable[[str], Awaitable[bytes | None]]
    results: Sequence[Result] = ()


@dataclass(frozen=True, slots=True)
class StepKind:
    """How a step is carried out, and how Stash shows that it was: its result then, else None."""

    run: Callable[[Tools, Step], Awaitable[Result]]
    is_done: Callable[[Tools, Step], Awaitable[Result | None]]


# --- one entity's fields


async def writable(library: StashLibrary, input_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those values that the server's version can be sent; before 0.27 a performer keeps one address."""
    known = await library.client.features(NOW)
    given = {name: value for name, value in values.items() if _takes(known, input_type, name)}
    if "urls" in given and not known.knows(input_type, "urls"):
        given["urls"] = list(given["urls"])[:1]
    return given


def _takes(known: Features, input_type: str, name: str) -> bool:
    return known.knows(input_type, name) or (name == "urls" and known.knows(input_type, "url"))


def input_of(kind: EntityKind, name: str = "Update") -> str:
    return f"{FINDERS[kind].full.kind}{name}Input"


async def update(library: StashLibrary, kind: EntityKind, one_id: str, values: Mapping[str, Any]) -> None:
    """Writes fields of an entity of any kind; nothing is sent for no fields."""
    given = await writable(library, input_of(kind), values)
    if "stash_ids" in given:
        given["stash_ids"] = links_of(given["stash_ids"])
    if given:
        writers: Mapping[EntityKind, Callable[..., Awaitable[None]]] = {
            "scene": library.update_scene,
            "image": library.update_image,
            "gallery": library.update_gallery,
            "performer": library.update_performer,
        }
        await writers[kind](one_id, **given)


def links_of(stash_ids: Sequence[Mapping[str, Any]]) -> list[StashId]:
    return [StashId(one["endpoint"], one["stash_id"], one.get("updated_at") or "") for one in stash_ids]


def lacking(image: Snapshot, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the wanted values that an entity does not have."""
    left: dict[str, Any] = {}
    for field, value in values.items():
        if field == "custom_fields" and value is not None:
            there = image.get(field) or {}
            if any(there.get(k, _NOTHING) != v for k, v in value.get("partial", {}).items()):
                left[field] = value
        elif field in image and not same(field, image[field], value):
            left[field] = value
    return left


_NOTHING = object()


async def _update(tools: Tools, step: Step) -> Result:
    await update(tools.library, step["kind"], step["id"], await _with_pictures(tools, step["values"]))
    return {}


async def _is_updated(tools: Tools, step: Step) -> Result | None:
    known = await writable(tools.library, input_of(step["kind"]), step["values"])
    now = await snapshot(tools.library, step["kind"], step["id"])
    return None if lacking(now, known) else {}


async def _complete(tools: Tools, step: Step) -> Result:
    """Writes what a merge was given and Stash did not keep; usually nothing."""
    known = await writable(tools.library, input_of(step["kind"]), step["values"])
    left = lacking(await snapshot(tools.library, step["kind"], step["id"]), known)
    await update(tools.library, step["kind"], step["id"], left)
    return {"written": sorted(left)}


async def _with_pictures(tools: Tools, values: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(values)
    for name in ("cover_image", "image"):
        if str(given.get(name) or "").startswith(PICTURE):
            data = await tools.picture(given[name].removeprefix(PICTURE))
            if data is None:
                del given[name]
            else:
                given[name] = data_uri(data)
    return given


def data_uri(data: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


# --- merges


async def _merge_scenes(tools: Tools, step: Step) -> Result:
    values = await writable(tools.library, "SceneUpdateInput", await _with_pictures(tools, step["values"]))
    if "stash_ids" in values:
        values["stash_ids"] = links_of(values["stash_ids"])
    await tools.library.merge_scenes(
        step["sources"],
        step["destination"],
        values,
        play_history=step["play_history"],
        o_history=step["o_history"],
    )
    return {}


async def _merge_performers(tools: Tools, step: Step) -> Result:
    values = await writable(tools.library, "PerformerUpdateInput", await _with_pictures(tools, step["values"]))
    if "stash_ids" in values:
        values["stash_ids"] = links_of(values["stash_ids"])
    await tools.library.merge_performers(step["sources"], step["destination"], values)
    return {}


async def _is_merged(tools: Tools, step: Step, kind: EntityKind) -> Result | None:
    """Stash destroys the sources in the same transaction that moves what is theirs."""
    if not await exists(tools.library, kind, step["destination"]):
        raise ActionConflict(f"{kind} {step['destination']} is gone.", "It was deleted in Stash meanwhile.")
    left = [one for one in step["sources"] if await exists(tools.library, kind, one)]
    return {} if not left else None


async def _are_scenes_merged(tools: Tools, step: Step) -> Result | None:
    return await _is_merged(tools, step, "scene")


async def _are_performers_merged(tools: Tools, step: Step) -> Result | None:
    return await _is_merged(tools, step, "performer")


# --- deleting


async def _destroy_scenes(tools: Tools, step: Step) -> Result:
    await tools.library.destroy_scenes(step["ids"], delete_file=step["delete_file"])
    return {}


async def _destroy_images(tools: Tools, step: Step) -> Result:
    await tools.library.destroy_images(step["ids"], delete_file=step["delete_file"])
    return {}


async def _are_scenes_gone(tools: Tools, step: Step) -> Result | None:
    return None if any([await exists(tools.library, "scene", one) for one in step["ids"]]) else {}


async def _are_images_gone(tools: Tools, step: Step) -> Result | None:
    return None if any([await exists(tools.library, "image", one) for one in step["ids"]]) else {}


async def _delete_files(tools: Tools, step: Step) -> Result:
    """Deletes files of a scene, looking once more that they are its files and that what stays is the primary one."""
    files = [one["id"] for one in (await snapshot(tools.library, "scene", step["scene_id"]))["files"]]
    if files[:1] != [step["keep"]] or not set(step["ids"]) <= set(files):
        raise ActionConflict(
            f"The files of scene {step['scene_id']} are no longer those that were listed.", "Nothing was deleted."
        )
    await tools.library.delete_files(step["ids"])
    return {}


async def _are_files_gone(tools: Tools, step: Step) -> Result | None:
    files = {one["id"] for one in (await snapshot(tools.library, "scene", step["scene_id"]))["files"]}
    return {} if files.isdisjoint(step["ids"]) else None


# --- people


def _people(tools: Tools, step: Step) -> list[str]:
    """Returns the performers of a step; {"result_of": n} stands for whom step n made."""
    return [one if isinstance(one, str) else tools.results[one["result_of"]]["id"] for one in step["performer_ids"]]


def _places(step: Step) -> list[str]:
    """Returns the ids of what a step tags; logs of older versions name one."""
    return list(step["ids"]) if "ids" in step else [step["id"]]


async def _tag(tools: Tools, step: Step) -> Result:
    await tools.library.add_performers(step["kind"], _places(step), _people(tools, step))
    return {}


async def _is_tagged(tools: Tools, step: Step) -> Result | None:
    wanted, kind = set(_people(tools, step)), step["kind"]
    found = await snapshots(tools.library, [(kind, one) for one in _places(step)], pictures=False)
    there = [found.get((kind, one)) for one in _places(step)]
    return {} if all(one is not None and wanted <= set(one["performer_ids"]) for one in there) else None


async def _untag(tools: Tools, step: Step) -> Result:
    await tools.library.remove_performers(step["kind"], [step["id"]], _people(tools, step))
    return {}


async def _is_untagged(tools: Tools, step: Step) -> Result | None:
    there = (await snapshot(tools.library, step["kind"], step["id"]))["performer_ids"]
    return {} if set(_people(tools, step)).isdisjoint(there) else None


async def _link(tools: Tools, step: Step) -> Result:
    link = StashId(step["endpoint"], step["stash_id"])
    await tools.library.relink(step["kind"], step["id"], add=[link])
    return {}


async def _is_linked(tools: Tools, step: Step) -> Result | None:
    there = (await snapshot(tools.library, step["kind"], step["id"]))["stash_ids"]
    found = any((one["endpoint"], one["stash_id"]) == (step["endpoint"], step["stash_id"]) for one in there)
    return {} if found else None


async def _create_performer(tools: Tools, step: Step) -> Result:
    values = await writable(tools.library, "PerformerCreateInput", step["values"])
    if "stash_ids" in values:
        values["stash_ids"] = links_of(values["stash_ids"])
    return {"id": await tools.library.create_performer(**values)}


async def _is_created(tools: Tools, step: Step) -> Result | None:
    """Names are unique in Stash, and nobody had this one before."""
    found = await performer_named(tools.library, step["values"]["name"], step["values"].get("disambiguation"))
    return {"id": found} if found is not None else None


async def performer_named(library: StashLibrary, name: str, disambiguation: str | None) -> str | None:
    """Returns the id of the performer of exactly that name and disambiguation; case does not count, as in Stash."""
    wanted = (name.casefold(), (disambiguation or "").casefold())
    criteria = {"name": {"value": _like(name), "modifier": "EQUALS"}}
    async for one in library.performers(filter=criteria, priority=NOW):
        if (one.name.casefold(), one.disambiguation.casefold()) == wanted:
            return one.id
    return None


def _like(text: str) -> str:
    """Stash compares with LIKE: a wildcard finds more than is meant, which the caller sorts out."""
    return text.replace("\\", "_")


async def carry_out(tools: Tools, step: Step) -> Result:
    """Carries out one step. Raises StashError leaves, and ActionConflict where Stash is not as it needs it."""
    return await kind_of(step).run(tools, step)


async def done_already(tools: Tools, step: Step) -> Result | None:
    """Returns the result of a step that Stash shows to be carried out; None when it is not."""
    return await kind_of(step).is_done(tools, step)


def kind_of(step: Step) -> StepKind:
    if step["op"] not in STEPS:
        raise StashRejected(f"The log has a step {step['op']!r}, which this version does not know.")
    return STEPS[step["op"]]


STEPS: Mapping[str, StepKind] = {
    "update": StepKind(_update, _is_updated),
    "complete": StepKind(_complete, _is_updated),
    "merge_scenes": StepKind(_merge_scenes, _are_scenes_merged),
    "merge_performers": StepKind(_merge_performers, _are_performers_merged),
    "destroy_scenes": StepKind(_destroy_scenes, _are_scenes_gone),
    "destroy_images": StepKind(_destroy_images, _are_images_gone),
    "delete_files": StepKind(_delete_files, _are_files_gone),
    "tag": StepKind(_tag, _is_tagged),
    "untag": StepKind(_untag, _is_untagged),
    "link": StepKind(_link, _is_linked),
    "create_performer": StepKind(_create_performer, _is_created),
}
