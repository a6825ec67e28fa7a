"""What is stored of the library, as JSON: how far it is, and who is in one scene or image. Everything here blocks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

from pipelines.library_status import library_status
from pipelines.settings import Settings
from pipelines.store.exclusions import ExclusionList
from pipelines.store.matches import ContentMatch, ContentPerson, MatchStore
from pipelines.store.sql import open_store


def status(settings: Settings, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the numbers of `pipelines.library_status`. Raises StoreError leaves."""
    return library_status(settings.model_copy(update=changed))


def stored_people(settings: Settings, kind: Literal["scene", "image"], content_id: str) -> dict[str, Any] | None:
    """Returns the people of one content as `library_schemas.StoredPeople` has them, None when it was never matched.

    People are never named who have been put on the exclusion list since. Raises StoreError leaves and DatabaseCorrupt.
    """
    store = open_store(settings.store_url)
    try:
        match = MatchStore(store).get(kind, content_id)
    finally:
        store.close()
    if match is None:
        return None
    excluded = ExclusionList(settings.database_path).ids()
    return _answer(replace(match, people=tuple(_without(person, excluded) for person in match.people)))


def _without(person: ContentPerson, excluded: Collection[str]) -> ContentPerson:
    """Returns a person as it would be found if nobody on the exclusion list were enrolled: unknown at most."""
    candidates = tuple(c for c in person.candidates if c.universal_id not in excluded)
    if person.universal_id not in excluded:
        return replace(person, candidates=candidates)
    return replace(person, universal_id=None, name=None, confidence=None, distance=None, candidates=candidates)


def _answer(match: ContentMatch) -> dict[str, Any]:
    people = [_person(person) for person in match.people]
    return {
        "kind": match.kind,
        "id": match.content_id,
        "status": match.status,
        "people": [p for p in people if "universal_id" in p],
        "unknown": [p for p in people if "universal_id" not in p],
        "faces": match.faces,
        "frames": match.frames,
        "duration_s": match.duration_s,
        "scanned_at": match.stamp.scanned_at.isoformat(),
        "matched_at": match.matched_at.isoformat(),
        "database_version": match.stamp.database_version,
        "file_fingerprint": match.stamp.file_fingerprint,
    }


def _person(person: ContentPerson) -> dict[str, Any]:
    names = ("universal_id", "name", "confidence", "distance") if person.universal_id is not None else ()
    best: dict[str, Any] | None = None
    if person.best_box is not None:
        x1, y1, x2, y2 = (round(px, 1) for px in person.best_box)
        box = {"x": x1, "y": y1, "width": round(x2 - x1, 1), "height": round(y2 - y1, 1)}
        best = {"box": box, "time_s": None if person.best_time_s is None else round(person.best_time_s, 3)}
    return {
        **{name: getattr(person, name) for name in names},
        "faces": person.faces,
        "frames": person.frames,
        "share": person.share,
        "ranges": [list(r) for r in person.ranges],
        "best": best,
        "candidates": [
            {"universal_id": c.universal_id, "name": c.name, "confidence": c.confidence, "distance": c.distance}
            for c in person.candidates
        ],
    }
