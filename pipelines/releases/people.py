"""Whose faces a full bundle holds: faces.json, performers.json and performers.db brought together.

faces.json says whose a face is, by universal id; what is known of that performer comes from both others. Numbers of
rows are never taken for identities, but where the universal id itself is made of one (`catalogue:number`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import ReleaseCorrupt
from pipelines.faces.gallery import Performer, is_universal_id
from pipelines.releases.bundle import I64, Bundle, TakeTemplates, clean, is_local, new_performer
from pipelines.releases.facts import ReleaseFacts
from pipelines.releases.files import as_list, read_json, require_count
from pipelines.releases.performers_db import (
    KnownFaces,
    KnownPerformer,
    KnownPerformers,
    catalogue_number,
    read_performers,
)


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """Whose each face is.

    Attributes:
        people: by code.
        code: (n,) int32 of each entry of faces.json; -1 for nobody that can be imported.
        null: (n,) whether the entry is null.
        skipped: faces and performers that were left out, by reason.
    """

    people: list[Performer]
    code: npt.NDArray[np.int32]
    null: npt.NDArray[np.bool_]
    skipped: dict[str, int]

    def bundle(
        self, index: I64, good: npt.NDArray[np.bool_], known: KnownFaces, take: TakeTemplates, *, keyed: bool
    ) -> Bundle:
        """Returns the bundle of the faces with these numbers.

        Args:
            index: (n,) ascending numbers, each an entry of faces.json.
            good: (n,) whether there is a template.
            take: gives templates by position in `index`.
            keyed: keep the numbers, for deltas.
        """
        owner = np.where(good, self.code[index], np.int32(-1)).astype(np.int32)
        row = np.searchsorted(known.index, index)
        row = np.where(row < len(known.index), row, 0)
        listed = (known.index[row] == index) if len(known.index) else np.zeros(len(index), dtype=np.bool_)
        rows = pa.array(row, mask=~listed)
        skipped = dict(self.skipped)
        skipped["bad_vectors"] = int((~good & (self.code[index] >= 0)).sum())
        skipped["unlisted_faces"] = int(((owner >= 0) & ~listed).sum())
        return Bundle(
            people=self.people,
            owner=owner,
            key=index if keyed else np.full(len(index), -1),
            url=known.image_url.take(rows),
            sha256=known.image_sha256.take(rows),
            quality=_taken(known.quality, row, listed),
            yaw_deg=_taken(known.yaw_deg, row, listed),
            take=take,
            skipped={reason: count for reason, count in skipped.items() if count},
        )


def read_owners(folder: Path, facts: ReleaseFacts) -> Owners:
    """Returns whose each entry of faces.json is. Raises ReleaseCorrupt when a file is not what it should be."""
    listed = read_json(folder / "performers.json")
    if not isinstance(listed, dict):
        raise ReleaseCorrupt("performers.json holds no performers by id.", "Download the release again.")
    require_count("performers in performers.json", len(listed), facts.performers)
    entries = as_list(read_json(folder / "faces.json"), "faces.json")
    codes: dict[object, int] = {}
    try:
        raw = np.fromiter((codes.setdefault(entry, len(codes)) for entry in entries), np.int32, len(entries))
    except TypeError:
        raise ReleaseCorrupt("faces.json holds what is no id.", "Download the release again.") from None
    null = raw == codes[None] if None in codes else np.zeros(len(raw), dtype=np.bool_)
    return _resolved(raw, null, list(codes), listed, read_performers(folder / "performers.db"))


def _resolved(
    raw: npt.NDArray[np.int32],
    null: npt.NDArray[np.bool_],
    ids: list[object],
    listed: Mapping[str, Any],
    known: KnownPerformers,
) -> Owners:
    people: list[Performer] = []
    skipped: dict[str, int] = {}
    new_code = np.full(len(ids) + 1, -1, dtype=np.int32)
    sizes = np.bincount(raw, minlength=len(ids))
    for code, universal_id in enumerate(ids):
        performer, reason = _performer(universal_id, listed, known)
        if performer is None:
            skipped[reason] = skipped.get(reason, 0) + int(sizes[code])
        else:
            new_code[code] = len(people)
            people.append(performer)
    return Owners(people, new_code[raw], null, skipped)


def _performer(universal_id: object, listed: Mapping[str, Any], known: KnownPerformers) -> tuple[Performer | None, str]:
    """Returns the performer of an entry of faces.json, or None and why there is none."""
    if universal_id is None:
        return None, "no_owner"
    if not isinstance(universal_id, str) or not is_universal_id(universal_id):
        return None, "bad_performers"
    if is_local(universal_id):
        return None, "local_ids"
    shown = listed.get(universal_id)
    shown = shown if isinstance(shown, dict) else {}
    row = known.by_id.get(universal_id) or _of_catalogue(universal_id, known)
    if row is None and not shown:
        return None, "unknown_performers"
    row = row or KnownPerformer("")
    performer = new_performer(
        universal_id,
        clean(shown.get("name")) or row.name,
        aliases=row.aliases,
        ids=row.ids,
        image_url=shown.get("image_url") or row.image_url,
        career_start=row.career_start,
        career_end=row.career_end,
        disambiguation=row.disambiguation,
        gender=shown.get("gender") or row.gender,
        country=shown.get("country") or row.country,
        birth_date=row.birth_date,
    )
    return performer, "bad_performers"


def _of_catalogue(universal_id: str, known: KnownPerformers) -> KnownPerformer | None:
    """Returns the row of `catalogue:number`, unless it is somebody of a stash-box who has that number by accident."""
    number = catalogue_number(universal_id)
    row = known.by_number.get(number) if number is not None else None
    return None if row is None or row.linked else row


def _taken(values: npt.NDArray[np.float32], row: I64, listed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    if not len(values):
        return np.full(len(row), np.nan, dtype=np.float32)
    return np.where(listed, values[row], np.float32(np.nan))
