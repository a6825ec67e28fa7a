"""Erasure of people wherever something of them is kept: scans, matches, pictures of faces, enrolments, the database.

    report = erase(settings, ["stashdb.org:..."])

The performer database comes last, because it says whose face is whose: a run that was cut off can be repeated and finds
what is left. Afterwards there is another version of the database, so everything is matched again. Who must not come
back with the next enrolment or import is put on the exclusion list as well, by the caller. Lives here: the order of
the steps, and finding the faces of people in stored scans.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import DatabaseError, NotWritable
from pipelines.faces.catalogue import get_pack
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import TemplateSpace
from pipelines.folder_lock import alone_in
from pipelines.match_contents import ContentMatcher
from pipelines.settings import Settings
from pipelines.store import forgetting
from pipelines.store.face_crops import forget_faces
from pipelines.store.match_table import forget_people
from pipelines.store.matches import ContentMatch, ContentPerson, Key, MatchStore
from pipelines.store.people import having
from pipelines.store.performers import Erasure, PerformerDatabase
from pipelines.store.rejections import RejectionStore
from pipelines.store.scrubbing import Scrubber
from pipelines.store.sql import open_store
from pipelines.store.templates import ContentScan, ScanDataset

_CONTENTS_AT_ONCE = 256
_SAME_PLACE_PX = 0.11
"""Boxes of matches are rounded to a tenth of a px."""
_SAME_TIME_S = 0.0011


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure removed.

    Attributes:
        database: from the versions of the performer database.
        contents: scenes and images in which somebody was named.
        scanned_faces: rows of stored scans, their templates included.
        matches: people in stored matches, in the SQL store; `candidates`: mentions as candidates of others.
        match_rows: people and candidates in the Parquet files of matches.
        seen_faces: that enrolments from stash-boxes kept to be quicker the next time.
        seen_performers: of Stash, of whom its enrolment kept something.
        recommendations: that were about somebody.
        rejections: of somebody in scenes, images or galleries.
        mentions: recommendations about other things, jobs and notes in which a neutral word took the place of a name.
        actions: that lost their before-images, because these named somebody: they cannot be undone any more.
        cleaned_actions: others of which only the words named somebody; they can be undone as before.
        actions_left: that are under way and name somebody: erase again when they have ended.
        exports: files of exports of the performer database below the data folder, whoever is in them.
        crops: pictures of faces: those of the people's enrolled faces, and all that answers named, whoever they show,
            because nothing says whose they are and they are cut anew when asked for.
    """

    database: Erasure
    contents: int
    scanned_faces: int
    matches: int
    candidates: int
    match_rows: int
    seen_faces: int
    seen_performers: int
    recommendations: int
    rejections: int
    mentions: int
    actions: int
    cleaned_actions: int
    actions_left: int
    exports: int
    crops: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return asdict(self)


def erase(settings: Settings, ids: Iterable[str]) -> ErasureReport:
    """Removes the people who have one of these universal ids from all that is kept.

    The faces of a scan that are somebody's are found by naming its people again, with the database version that named
    them or another one that knows the person; where none does any more, by their likeness to the best face of the
    match. Their whole rows go, see `ScanDataset.erase_faces`.

    Raises:
        InputError: no id, or one that is none.
        PackMismatch: see `PerformerDatabase.erase`.
        StoreError leaves, DatabaseCorrupt, NotWritable.
    """
    database = PerformerDatabase(settings.database_path)
    every = database.every_id(ids)
    with _no_matching(settings):
        store = open_store(settings.store_url)
        try:
            matches = MatchStore(store)
            named = matches.naming(every)
            scanned = ScanDataset(settings.scans_path).erase_faces(_faces(settings, database, named, every))
            rejected = RejectionStore(store).forget_people(every)
            names = _names(database, every) | {one.name for one in rejected} | _named(named, every)
            people, candidates = matches.forget_people(every)
            forgotten = forgetting.forget_people(store, Scrubber(every, names))
            store.compact()
        finally:
            store.close()
        rows = sum(forget_people(path, every) for path in sorted(settings.matches_path.glob("*.parquet")))
        seen = _forget_enrolments(settings, every)
        exports = _remove_exports(settings)
        crops = _remove_pictures(settings) + forget_faces(settings.enrolled_crops_path, every)
        erasure = database.erase(every)
    actions = forgotten.actions
    return ErasureReport(
        database=erasure,
        contents=len(named),
        scanned_faces=scanned,
        matches=people,
        candidates=candidates,
        match_rows=rows,
        seen_faces=seen[0],
        seen_performers=seen[1],
        recommendations=forgotten.recommendations,
        rejections=len(rejected),
        mentions=forgotten.mentions,
        actions=actions.dropped,
        cleaned_actions=actions.cleaned,
        actions_left=actions.left,
        exports=exports,
        crops=crops,
    )


def _names(database: PerformerDatabase, ids: Collection[str]) -> set[str]:
    """Returns the names and aliases by which any version knows somebody."""
    found: set[str] = set()
    for version in database.versions():
        try:
            people = database.performers(version)
        except DatabaseError:
            continue
        for one in people.filter(pa.array(having(people, ids))).select(["name", "aliases"]).to_pylist():
            found |= {one["name"], *(one["aliases"] or ())}
    return found


def _named(named: Mapping[Key, ContentMatch], ids: Collection[str]) -> set[str]:
    """Returns the names under which somebody was matched."""
    return {p.name for match in named.values() for p in match.people if p.universal_id in ids and p.name}


def _faces(
    settings: Settings, database: PerformerDatabase, named: Mapping[Key, ContentMatch], ids: Collection[str]
) -> dict[tuple[str, str], tuple[datetime, Collection[int]]]:
    """Returns when each content was scanned and which rows of its faces are somebody's."""
    if not named:
        return {}
    pack = get_pack(settings.pack)
    found: dict[tuple[str, str], tuple[datetime, Collection[int]]] = {}
    by_version: dict[str | None, list[Key]] = {}
    for key, match in named.items():
        by_version.setdefault(_knowing(database, match.stamp.database_version, ids), []).append(key)
    for version, keys in by_version.items():
        matcher = None if version is None else ContentMatcher(settings, version, everybody=True)
        for scans in _scans(settings, pack, keys):
            people = [[]] * len(scans) if matcher is None else matcher.people(scans)
            for scan, own in zip(scans, people, strict=True):
                rows = {int(row) for p in own if p.match and p.match.universal_id in ids for row in p.rows}
                for person in named[scan.key.kind, scan.key.content_id].people:
                    if person.universal_id in ids:
                        rows |= _alike(scan, person, pack, rows)
                found[scan.key.kind, scan.key.content_id] = scan.scanned_at, rows
    return found


def _scans(settings: Settings, pack: ModelPack, keys: Sequence[Key]) -> Iterator[list[ContentScan]]:
    dataset = ScanDataset(settings.scans_path)
    for first in range(0, len(keys), _CONTENTS_AT_ONCE):
        part = keys[first : first + _CONTENTS_AT_ONCE]
        yield [s for s in dataset.scans(pack=pack.template_id, keys=part) if s.status != "failed"]


def _knowing(database: PerformerDatabase, version: str, ids: Collection[str]) -> str | None:
    """Returns a version that knows somebody with one of these ids, if there is one: this one, else the newest."""
    chosen = [database.written_anew(version), *reversed(database.versions())]
    for one in dict.fromkeys(name for name in chosen if name is not None):
        try:
            people = database.performers(one)
        except DatabaseError:
            continue
        if having(people, ids).any():
            return one
    return None


def _alike(scan: ContentScan, person: ContentPerson, pack: ModelPack, known: Collection[int]) -> set[int]:
    """Returns the rows of the faces that look like the best face of a match, none when that is among the known ones."""
    best = _best_row(scan, person)
    if best is None or best in known:
        return set()
    none = np.zeros((0, pack.template_dim), np.float32)
    vectors = TemplateSpace.for_gallery(pack, none).project(scan.faces.template.astype(np.float32))
    alike = vectors @ vectors[best] >= pack.calibration.same_person_score
    return {best, *np.flatnonzero(alike).tolist()}


def _best_row(scan: ContentScan, person: ContentPerson) -> int | None:
    if person.best_box is None or not len(scan.faces):
        return None
    near = np.abs(scan.faces.box - np.array(person.best_box, np.float32)).max(axis=1) <= _SAME_PLACE_PX
    if person.best_time_s is not None:
        near &= np.abs(scan.faces.time_s - person.best_time_s) <= _SAME_TIME_S
    rows = np.flatnonzero(near)
    return int(rows[0]) if len(rows) else None


def _forget_enrolments(settings: Settings, ids: Collection[str]) -> tuple[int, int]:
    from pipelines.enroll.local_state import forget_performers
    from pipelines.enroll.stashbox_homes import erase_seen

    return erase_seen(settings, sorted(ids)), forget_performers(settings, ids)


def _remove_pictures(settings: Settings) -> int:
    """Removes pictures of faces, and the reports with them, that server and enrolments keep; returns how many."""
    folders = (settings.data_dir / "crops", settings.reports_path, settings.portraits_path / "report")
    found = [path for folder in folders for path in folder.rglob("*.jpg")]
    texts = [path for folder in folders[1:] for path in folder.rglob("*") if path.suffix in {".html", ".json"}]
    _unlink(settings, (*found, *texts, settings.data_dir / "report.html"))
    return len(found)


def _remove_exports(settings: Settings) -> int:
    """Removes exports of the performer database: they are made anew when asked for; returns how many files."""
    found = [path for path in (settings.data_dir / "exports").rglob("*") if path.is_file()]
    _unlink(settings, found)
    return len(found)


def _unlink(settings: Settings, paths: Iterable[Path]) -> None:
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritable(f"{settings.data_dir} cannot be written: {error}.") from error


@contextmanager
def _no_matching(settings: Settings) -> Iterator[None]:
    """Nobody is named inside the block."""
    with alone_in(settings.matches_path):
        yield
