"""performer_links.json and aliases.json: which entries of different catalogues are one person, and other names.

They are the whole state, not a difference: they may be imported again at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.errors import ReleaseCorrupt
from pipelines.faces.gallery import Performer
from pipelines.releases.bundle import Bundle, clean, usable_id
from pipelines.releases.files import as_list, read_json

LINKS_FILE, ALIASES_FILE = "performer_links.json", "aliases.json"


def linked(bundle: Bundle, folder: Path) -> Bundle:
    """Returns the bundle with the links and aliases that lie in a folder; either file may be missing.

    People of one group get each other's ids, so that the database joins them. Raises ReleaseCorrupt.
    """
    people, skipped = list(bundle.people), dict(bundle.skipped)
    if (folder / LINKS_FILE).is_file():
        unknown = _link(people, read_groups(folder / LINKS_FILE))
        if unknown:
            skipped["unknown_links"] = unknown
    if (folder / ALIASES_FILE).is_file():
        _name(people, read_aliases(folder / ALIASES_FILE))
    return replace(bundle, people=people, skipped=skipped)


def read_groups(path: Path) -> list[list[str]]:
    """Returns the groups of universal ids; what is no universal id, or of one installation only, is left out."""
    groups = as_list(read_json(path), path.name)
    return [[i for i in as_list(group, path.name) if usable_id(i)] for group in groups]


def read_aliases(path: Path) -> dict[str, list[str]]:
    """Returns other names by universal id."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise ReleaseCorrupt(f"{path.name} holds no names by id.", "Download the release again.")
    return {
        universal_id: [name for name in map(clean, as_list(names, path.name)) if name]
        for universal_id, names in found.items()
    }


def code_by_id(people: Sequence[Performer]) -> dict[str, int]:
    """Returns the number of each performer by all ids; an id that two have belongs to the one whose own it is."""
    codes: dict[str, int] = {}
    for code, performer in enumerate(people):
        for universal_id in performer.ids:
            codes.setdefault(universal_id, code)
    codes.update({performer.universal_id: code for code, performer in enumerate(people)})
    return codes


def _link(people: list[Performer], groups: Iterable[Sequence[str]]) -> int:
    """Joins the ids of each group; returns how many groups say nothing of anybody who is here."""
    codes, unknown = code_by_id(people), 0
    for group in groups:
        members = sorted({codes[i] for i in group if i in codes})
        if not members:
            unknown += 1
            continue
        # A star, not a clique: all get the first one's id, the first one gets all. Joined, they have all of them.
        first = people[members[0]]
        people[members[0]] = replace(first, ids=(*first.ids, *group))
        for member in members[1:]:
            people[member] = replace(people[member], ids=(*people[member].ids, first.universal_id))
    return unknown


def _name(people: list[Performer], names: dict[str, list[str]]) -> None:
    codes = code_by_id(people)
    for universal_id, more in names.items():
        code = codes.get(universal_id)
        if code is not None:
            known = people[code]
            fresh = dict.fromkeys((*known.aliases, *more))
            fresh.pop(known.name, None)
            people[code] = replace(known, aliases=tuple(fresh))
