"""What becomes of entities that are one: the values of the one that stays, so that nothing is lost. Plain functions.

Lists become unions. A single value stays as the keeper has it; what the keeper lacks comes from the others, the one
that Stash has known longest first. The date is the oldest one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.actions.snapshots import Snapshot, same

_SINGLE: Mapping[str, tuple[str, ...]] = {
    "scene": ("title", "code", "details", "director", "studio_id", "rating100"),
    "image": ("title", "code", "details", "photographer", "studio_id", "rating100"),
    "performer": (
        *("gender", "birthdate", "death_date", "ethnicity", "country", "eye_color", "hair_color", "height_cm"),
        *("weight", "measurements", "fake_tits", "penis_length", "circumcised", "career_length", "career_start"),
        *("career_end", "tattoos", "piercings", "details", "rating100"),
    ),
}
"""A performer's name and disambiguation tell people apart, so they are not taken over: a name becomes an alias."""
_LISTS: Mapping[str, tuple[str, ...]] = {
    "scene": ("urls", "performer_ids", "tag_ids", "gallery_ids"),
    "image": ("urls", "performer_ids", "tag_ids"),
    "performer": ("urls", "tag_ids"),
}
_FLAGS: Mapping[str, tuple[str, ...]] = {"scene": ("organized",), "image": ("organized",), "performer": ("favorite",)}


def union(keeper: Snapshot, others: Sequence[Snapshot], chosen: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns those fields of the keeper, in Stash's names, that the union changes.

    Args:
        chosen: field -> id of the one whose single value is taken instead, such as {"title": "45"}.
    """
    kind = keeper["kind"]
    everyone = (keeper, *by_age(others))
    values: dict[str, Any] = {}
    for field in _SINGLE[kind]:
        values[field] = next((one[field] for one in everyone if one.get(field) is not None), None)
    for field in _LISTS[kind]:
        values[field] = _joined(one.get(field) for one in everyone)
    for field in _FLAGS[kind]:
        values[field] = any(one.get(field) for one in everyone)
    if kind != "performer":
        values["date"] = oldest(one.get("date") for one in everyone)
    if kind != "image":
        values["stash_ids"] = _links(everyone)
    if kind == "scene":
        values["groups"] = _groups(everyone)
        values["play_duration"] = sum(one.get("play_duration") or 0.0 for one in everyone)
    if kind == "performer":
        values["alias_list"] = _aliases(everyone)
    by_id = {one["id"]: one for one in everyone}
    for field, one_id in (chosen or {}).items():
        values[field] = by_id[one_id].get(field)
    changed = {f: v for f, v in values.items() if f in keeper and not same(f, keeper[f], v)}
    if custom := _custom_fields(everyone):
        changed["custom_fields"] = custom
    return changed


def single_fields(kind: str) -> frozenset[str]:
    """Returns the fields of which only one value can be kept, so that somebody may choose which."""
    return frozenset((*_SINGLE[kind], *(() if kind == "performer" else ("date",))))


def dropped(keeper: Snapshot, others: Sequence[Snapshot], values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Returns, by field, the single values that the union does not have: they are in the log alone."""
    lost: dict[str, list[Any]] = {}
    for field in single_fields(keeper["kind"]):
        kept = values.get(field, keeper.get(field))
        found = [one[field] for one in (keeper, *others) if one.get(field) is not None]
        gone = [value for value in dict.fromkeys(found) if value != kept]
        if gone:
            lost[field] = gone
    return lost


def by_age(entities: Iterable[Snapshot]) -> list[Snapshot]:
    """Returns the entities, the one that Stash has known longest first."""
    return sorted(entities, key=lambda one: (_instant(one.get("created_at")), int(one["id"])))


def oldest(dates: Iterable[str | None]) -> str | None:
    """Returns the oldest date; of those that agree as far as they go the more exact one. Dates may be years."""
    found = [date for date in dates if date]
    return min(found, key=lambda date: (date.ljust(10, "~"), -len(date)), default=None)


def _instant(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _joined(lists: Iterable[Sequence[str] | None]) -> list[str]:
    return list(dict.fromkeys(one for values in lists for one in values or ()))


def _links(everyone: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """Returns all links, several of one stash-box included."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in everyone:
        for link in one.get("stash_ids") or ():
            found.setdefault((link["endpoint"], link["stash_id"]), link)
    return list(found.values())


def _groups(everyone: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """Returns every group once; the place in it is the first one that is known."""
    found: dict[str, dict[str, Any]] = {}
    for one in everyone:
        for place in one.get("groups") or ():
            known = found.get(place["group_id"])
            if known is None or known["scene_index"] is None:
                found[place["group_id"]] = place
    return list(found.values())


def _aliases(everyone: Sequence[Snapshot]) -> list[str]:
    """Returns all aliases and the names of the others, without the keeper's own name; letter case does not count."""
    keeper, *others = everyone
    found = {keeper["name"].casefold(): ""}
    names = [
        *(keeper.get("alias_list") or ()),
        *(n for one in others for n in (one["name"], *(one["alias_list"] or ()))),
    ]
    for name in names:
        found.setdefault(name.casefold(), name)
    return [name for name in found.values() if name]


def _custom_fields(everyone: Sequence[Snapshot]) -> dict[str, Any] | None:
    """Returns the change that adds what the keeper lacks, None when it lacks nothing."""
    keeper, *others = everyone
    missing = {k: v for one in reversed(others) for k, v in (one.get("custom_fields") or {}).items()}
    missing = {k: v for k, v in missing.items() if k not in (keeper.get("custom_fields") or {})}
    return {"partial": missing} if missing else None
