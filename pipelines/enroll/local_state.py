"""What an enrolment from Stash keeps between two runs, below `Settings.portraits_path`.

    performers.parquet    who was listed, and which bytes their pictures had
    pictures/             what was found in the pictures, by the sha256 of their bytes
    places.parquet        what was found in scenes, images and galleries, by the scans of them
    last.json             digest and counts of the last run that ended
    report/               what was left out and why, with example crops

All of it can be lost: it is found again. Lives here: the files, the lock of whoever writes them, and forgetting people.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipelines.durable import replace_text
from pipelines.enroll.local_judged import read_judged, write_judged
from pipelines.enroll.local_people import DOMAIN, read_performers, write_performers
from pipelines.enroll.local_pictures import Pictures
from pipelines.enroll.local_places import Judged, PlaceGates, PlaceKey
from pipelines.errors import JobConflict, NotWritable
from pipelines.faces.catalogue import get_pack
from pipelines.folder_lock import alone_in
from pipelines.parts import scan_recipe
from pipelines.settings import Settings

FORGET_WAIT_S = 5.0
"""How long forgetting people waits for an enrolment to end."""


class LocalState:
    """The files below `Settings.portraits_path`."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.portraits_path
        recipe = scan_recipe(settings, "image")
        self.pack = get_pack(settings.pack)
        self.gates = PlaceGates()
        self.recipe = replace(recipe, hashes="none")
        self.performers = folder / "performers.parquet"
        self.last = folder / "last.json"
        self.report = folder / "report"
        self._pictures = folder / "pictures"
        self._places = folder / "places.parquet"

    def open_pictures(self) -> Pictures:
        return Pictures(self._pictures, self.recipe)

    def read_judged(self) -> dict[PlaceKey, Judged]:
        return read_judged(self._places, self.pack.template_dim, self._digest)

    def write_judged(self, judged: Mapping[PlaceKey, Judged]) -> None:
        write_judged(self._places, judged.items(), self.pack.template_dim, self._digest)

    @property
    def _digest(self) -> str:
        return f"{self.pack.template_id} {self.gates.digest}"

    def read_last(self) -> dict[str, Any]:
        """Returns what the last run that ended noted; nothing when there was none."""
        try:
            noted = json.loads(self.last.read_text())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def write_last(self, noted: Mapping[str, Any]) -> None:
        """Notes what `read_last` returns. Raises NotWritable."""
        try:
            replace_text(self.last, json.dumps(noted) + "\n")
        except OSError as error:
            raise NotWritable(f"{self.last} cannot be written: {error}.", "Free some space.") from error


def forget_performers(settings: Settings, universal_ids: Iterable[str]) -> int:
    """Removes what is kept of these performers of Stash (`stash:ID`) besides the database; returns how many had any.

    Raises JobConflict when an enrolment runs and does not end meanwhile, NotWritable.
    """
    ids = {i.partition(":")[2] for i in universal_ids if i.partition(":")[0] == DOMAIN}
    if not ids or not settings.portraits_path.exists():
        return 0
    until = time.monotonic() + FORGET_WAIT_S
    with alone_in(settings.portraits_path, lambda: time.monotonic() > until) as first:
        if not first:
            raise JobConflict("An enrolment from Stash is running.", "Stop it, or wait for its end, then try again.")
        state = LocalState(settings)
        performers, judged = read_performers(state.performers), state.read_judged()
        known = {i for i in ids if i in performers} | state.open_pictures().forget(ids)
        write_performers(state.performers, [p for i, p in performers.items() if i not in ids])
        state.write_judged({key: j for key, j in judged.items() if j.performer_id not in ids})
        state.last.unlink(missing_ok=True)
        return len(known)
