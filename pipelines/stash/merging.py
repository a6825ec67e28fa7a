"""What becomes of several things that are one: the values of the one that stays. No requests here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.stash.records import Performer, StashId

_TEXTS = {
    "gender": "gender",
    "birthdate": "birthdate",
    "death_date": "death_date",
    "ethnicity": "ethnicity",
    "country": "country",
    "eye_color": "eye_color",
    "hair_color": "hair_color",
    "height_cm": "height_cm",
    "weight": "weight_kg",
    "measurements": "measurements",
    "fake_tits": "fake_tits",
    "penis_length": "penis_length_cm",
    "circumcised": "circumcised",
    "career_length": "career_length",
    "career_start": "career_start",
    "career_end": "career_end",
    "tattoos": "tattoos",
    "piercings": "piercings",
    "details": "details",
    "rating100": "rating",
}
"""Stash's field -> ours, of what has one value. A disambiguation tells its own name apart, so it is not taken over."""


def merged_stash_ids(
    current: Iterable[StashId], add: Iterable[StashId] = (), remove: Iterable[StashId] = ()
) -> tuple[StashId, ...]:
    """Returns the links without `remove` and with `add`, each once, those that were there first.

    Several entries of one stash-box are kept: they are legitimate.
    """
    add = tuple(add)
    gone = set(remove) - set(add)
    return tuple(dict.fromkeys(link for link in (*current, *add) if link not in gone))


def merged_performer(destination: Performer, sources: Sequence[Performer]) -> dict[str, Any]:
    """Returns the fields of a performerUpdate, in Stash's names, that keep what `sources` know.

    Lists become unions, the names of the sources become aliases, and a value that the destination lacks is taken from
    the first source that has it; career_start and career_end only where they have one. The picture stays.
    """
    everyone = (destination, *sources)
    values: dict[str, Any] = {
        "alias_list": _aliases(destination, sources),
        "urls": list(dict.fromkeys(url for one in everyone for url in one.urls)),
        "tag_ids": list(dict.fromkeys(tag.id for one in everyone for tag in one.tags)),
        "stash_ids": merged_stash_ids(destination.stash_ids, (link for one in sources for link in one.stash_ids)),
        "favorite": any(one.favorite for one in everyone),
    }
    for name, ours in _TEXTS.items():
        found = next((value for one in everyone if (value := getattr(one, ours)) not in {"", None}), None)
        if found is not None and getattr(destination, ours) in {"", None}:
            values[name] = found
    missing = {k: v for one in reversed(sources) for k, v in one.custom_fields.items()}
    missing = {k: v for k, v in missing.items() if k not in destination.custom_fields}
    if missing:
        values["custom_fields"] = {"partial": missing}
    return values


def _aliases(destination: Performer, sources: Sequence[Performer]) -> list[str]:
    """Returns all aliases and the sources' names, without the destination's own name; letter case does not count."""
    found = {destination.name.casefold(): ""}
    for alias in (*destination.aliases, *(name for one in sources for name in (one.name, *one.aliases))):
        found.setdefault(alias.casefold(), alias)
    return [alias for alias in found.values() if alias]
