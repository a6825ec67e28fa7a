"""What a stash-box knows of performers, as records, and which fields are asked for.

Names are the box's own. Times are its text, RFC 3339; `instant` makes them comparable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import StashRejected
from pipelines.stash.fields import Selection

BOX_IMAGE = Selection("Image", ("id", "url", "width", "height"))
BOX_PERFORMER = Selection(
    "Performer",
    (
        *("id", "name", "disambiguation", "aliases", "gender", "birth_date", "country"),
        *("career_start_year", "career_end_year", "deleted", "merged_ids", "merged_into_id", "updated"),
    ),
    {"images": BOX_IMAGE, "birthdate": Selection("FuzzyDate", ("date", "accuracy"))},
)
BOX_OUTLINE = Selection("Performer", ("id", "name", "deleted", "merged_into_id", "updated"))

_ID = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")
"""Ids become names of files here."""
_LENGTHS = {"YEAR": 4, "MONTH": 7, "DAY": 10}


@dataclass(frozen=True, slots=True)
class BoxImage:
    """A picture of a performer; its bytes never change under the same id. Sizes are 0 where the box has none."""

    id: str
    url: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class BoxPerformer:
    """A performer of a stash-box; `birth_date` is "YYYY", "YYYY-MM" or "YYYY-MM-DD".

    Attributes:
        merged_ids: entries that were merged into this one.
        merged_into_id: the entry that this deleted one was merged into; "" for none.
    """

    id: str
    name: str
    disambiguation: str = ""
    aliases: tuple[str, ...] = ()
    gender: str = ""
    birth_date: str = ""
    country: str = ""
    career_start: int | None = None
    career_end: int | None = None
    images: tuple[BoxImage, ...] = ()
    merged_ids: tuple[str, ...] = ()
    merged_into_id: str = ""
    deleted: bool = False
    updated: str = ""


@dataclass(frozen=True, slots=True)
class BoxPage:
    """One page of a list; `count` is the length of the whole list at that moment."""

    count: int
    performers: tuple[BoxPerformer, ...]


def performer_of(data: Mapping[str, Any]) -> BoxPerformer:
    """Returns the record of what a box answered. Raises StashRejected when it is none."""
    try:
        return BoxPerformer(
            id=_id(data["id"]),
            name=str(data.get("name") or "").strip(),
            disambiguation=str(data.get("disambiguation") or ""),
            aliases=tuple(dict.fromkeys(a.strip() for a in data.get("aliases") or () if a.strip())),
            gender=str(data.get("gender") or ""),
            birth_date=str(data.get("birth_date") or _fuzzy(data.get("birthdate"))),
            country=str(data.get("country") or ""),
            career_start=data.get("career_start_year"),
            career_end=data.get("career_end_year"),
            images=tuple(_image(i) for i in data.get("images") or ()),
            merged_ids=tuple(_id(i) for i in data.get("merged_ids") or ()),
            merged_into_id=_id(data["merged_into_id"]) if data.get("merged_into_id") else "",
            deleted=bool(data.get("deleted")),
            updated=str(data.get("updated") or ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise StashRejected(f"The stash-box answered with something that is no performer ({error!r}).") from error


def instant(text: str) -> datetime:
    """Returns a time of a box; one that makes no sense, or none, is the earliest there is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _image(data: Mapping[str, Any]) -> BoxImage:
    return BoxImage(_id(data["id"]), str(data["url"]), data.get("width") or 0, data.get("height") or 0)


def _id(value: Any) -> str:
    """Returns an id in lower case. Raises StashRejected for one that no stash-box gives."""
    text = str(value).lower()
    if not _ID.fullmatch(text):
        raise StashRejected(f"The stash-box answered with the id {text[:80]!r}.", "Ids are letters, digits, - and _.")
    return text


def _fuzzy(date: Mapping[str, Any] | None) -> str:
    """Returns the date of servers before `birth_date`: a whole one, of which only a part may be meant."""
    return str((date or {}).get("date") or "")[: _LENGTHS.get(str((date or {}).get("accuracy")), 10)]
