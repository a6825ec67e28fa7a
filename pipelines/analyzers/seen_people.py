"""Who of the people in a scene is missing among its performers, and which performers were never seen there.

Lives here: the judgement of one scene from its stored match, without Stash, without decoding.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipelines.analyzers.household import Household, called, own_ids
from pipelines.analyzers.names import agreement
from pipelines.stash.records import Performer, PerformerRef, Scene
from pipelines.store.matches import ContentMatch, ContentPerson

CLEAR_CONFIDENCE = 0.9
"""Least calibrated probability that the name is right. With the pack `open` that is 0.04 above the accepting score;
the lowest of 97 enrolled people in 40 test videos was 0.12 above it, the highest stranger 0.01 below it (the
measurement of 2026-11-22 that `Tracks.templates` cites)."""
CLEAR_FRAMES = 3
"""Least number of sampled frames that somebody is in; one or two may be a poster, a menu, or a wrong track."""
WELL_SCANNED_FRAMES = 20
"""Sampled frames from which on it says something that somebody was never seen: who shows the face in a fifth of the
frames is missed by all of 20 in 1 of 87 scenes (0.8^20)."""
PERHAPS = 0.1
"""Somebody who is a candidate with this probability may have been seen."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Somebody who is clearly seen and not tagged.

    Attributes:
        performer: of Stash who is the person, None when there is none.
        others: further performers of Stash with ids of the person: duplicates of the first.
    """

    person: ContentPerson
    universal_id: str
    name: str
    confidence: float
    performer: Performer | None
    others: tuple[Performer, ...] = ()


def missing_people(
    scene: Scene, match: ContentMatch, household: Household, rejected: Collection[str] = ()
) -> list[Missing]:
    """Returns who is clearly seen in a scene, and neither tagged nor rejected there, the likeliest first.

    Args:
        rejected: every id of those who were rejected in the scene.
    """
    tagged = {one for performer in scene.performers for one in own_ids(performer)}
    tagged_rows = set(household.rows(tagged))
    found = []
    for person in clear_people(match):
        universal_id = str(person.universal_id)
        ids = household.ids_of(universal_id)
        if not tagged.isdisjoint(ids) or household.row([universal_id]) in tagged_rows:
            continue
        if not household.excluded.isdisjoint(ids) or not set(rejected).isdisjoint(ids):
            continue
        holders = household.holders(ids)
        if not holders and _namesake(scene.performers, universal_id, household):
            continue
        first = holders[0] if holders else None
        found.append(
            Missing(
                person, universal_id, person.name or universal_id, person.confidence or 0.0, first, tuple(holders[1:])
            )
        )
    return sorted(found, key=lambda m: (-m.confidence, -m.person.frames, m.universal_id))


def clear_people(match: ContentMatch) -> list[ContentPerson]:
    """Returns the people of a scene who are named beyond doubt and seen in several frames."""
    return [
        person
        for person in match.people
        if person.universal_id is not None
        and (person.confidence or 0.0) >= CLEAR_CONFIDENCE
        and person.frames >= CLEAR_FRAMES
    ]


def never_seen(scene: Scene, match: ContentMatch, household: Household) -> list[PerformerRef]:
    """Returns the tagged performers whose face is known and who were not seen; nobody where the scan says little."""
    if match.status != "ok" or match.frames < WELL_SCANNED_FRAMES:
        return []
    named = {person.universal_id for person in match.people if person.universal_id is not None}
    perhaps = {c.universal_id for person in match.people for c in person.candidates if c.confidence >= PERHAPS}
    seen = set(household.rows(named | perhaps))
    return [
        performer
        for performer in scene.performers
        if (rows := household.rows(own_ids(performer))) and seen.isdisjoint(rows)
    ]


def _namesake(tagged: Sequence[PerformerRef], universal_id: str, household: Household) -> bool:
    """Returns whether a tagged performer has exactly the person's name: the same person without a link."""
    row = household.row([universal_id])
    if row is None:
        return False
    person = household.called_at(row)
    for one in tagged:
        performer = household.performers.get(one.id)
        found = None if performer is None else agreement(called(performer), person)
        if found is not None and found.how != "similar" and not found.told_apart:
            return True
    return False
