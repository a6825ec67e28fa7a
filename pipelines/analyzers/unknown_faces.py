"""Unknown people of a whole library, and which of them are one person.

Lives here: the template of every unknown person from the stored scan of the scene, groups of them over all scenes, and
names of groups that stay the same from run to run. A template is the mean that naming worked with (`Tracks`): the
tracks of a scene are made again from its stored faces, and the one whose best face is that of the stored match is it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.durable import replace_table
from pipelines.faces.clusters import average_linkage
from pipelines.faces.gallery import Gallery
from pipelines.faces.tracks import find_tracks
from pipelines.faces.types import F32
from pipelines.machine import cores
from pipelines.match_contents import sightings_of
from pipelines.match_options import identify_options
from pipelines.settings import Settings
from pipelines.store.matches import ContentPerson, MatchStore
from pipelines.store.templates import ContentScan, ScanDataset

LEAST_FRAMES = 3
"""Sampled frames that somebody is in; one or two may be a poster, a menu, or a wrong track."""
LEAST_SCENES = 3
"""Different scenes that make an unknown person worth a name. Two strangers are joined now and then in a large library,
three are not: a group grows only while the average of all pairs is above the score of MARGIN."""
MARGIN = 10
"""Faces are joined as surely as among so many times as many: a wrong join gives a name to all scenes of two people, a
missed one asks twice. Two men filmed by one camera had 0.36 to 0.46, 0.40 on average, and were one person at the plain
accepting score of some galleries; scenes of one person had 0.9 (pack `open`, 7 clips, 2026-11-26)."""
NEAR = 5
"""Enrolled performers that are shown as hints."""
_SCENES_AT_ONCE = 512

_KEPT = pa.schema([pa.field("member", pa.string()), pa.field("scene_id", pa.string()), pa.field("person", pa.string())])


@dataclass(frozen=True, slots=True)
class UnknownFace:
    """One unknown person of one scene."""

    scene_id: str
    file_fingerprint: str
    person: ContentPerson

    @property
    def member(self) -> str:
        """What tells it apart from every other one: scene, time and place of the best face."""
        box = ",".join(f"{px:.0f}" for px in self.person.best_box or ())
        return f"{self.scene_id}@{self.person.best_time_s}@{box}"


@dataclass(frozen=True, slots=True, eq=False)
class UnknownPerson:
    """A group of unknown people who are one person.

    Attributes:
        id: stays the same while the person has members of the run before.
        faces: those of the scene with most frames first.
        likeness: average score of all pairs of them.
        confidence: calibrated probability that a pair of that score is one person, 0..1.
        near: universal id, name, distance and confidence of the nearest enrolled performers.
    """

    id: str
    faces: tuple[UnknownFace, ...]
    likeness: float
    confidence: float
    near: tuple[tuple[str, str, float, float], ...]

    @property
    def scene_ids(self) -> list[str]:
        return list(dict.fromkeys(face.scene_id for face in self.faces))


def unknown_people(
    settings: Settings,
    matches: MatchStore,
    gallery: Gallery,
    *,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[UnknownPerson] | None:
    """Returns the unknown people who are in at least LEAST_SCENES scenes, those in most first; None when stopped.

    Memory is one vector an unknown person and scene: 0.1 GB for 200,000 with the pack `open`.
    """
    listed: dict[str, list[UnknownFace]] = {}
    for scene_id, fingerprint, person in matches.unknown("scene", LEAST_FRAMES):
        listed.setdefault(scene_id, []).append(UnknownFace(scene_id, fingerprint, person))
    faces, vectors = _templates(settings, gallery, listed, progress, should_stop)
    if should_stop():
        return None
    calibration = gallery.pack.calibration
    cut = calibration.accept_score_at(MARGIN * max(len(faces), gallery.size))
    labels = average_linkage(vectors, cut, threads=cores(), should_stop=should_stop)
    if labels is None:
        return None
    groups = groups_in_scenes(labels.tolist(), [face.scene_id for face in faces], LEAST_SCENES)
    names = kept_names(settings, [[faces[row] for row in group] for group in groups])
    found = []
    for name, group in zip(names, groups, strict=True):
        own = vectors[group]
        total, size = own.sum(axis=0), len(group)
        likeness = float((total @ total - size) / (size * (size - 1)))
        ordered = sorted((faces[row] for row in group), key=lambda f: (-f.person.frames, f.member))
        confidence = calibration.confidence(likeness, max(len(faces), gallery.size))
        found.append(UnknownPerson(name, tuple(ordered), likeness, confidence, _near(gallery, total)))
    return sorted(found, key=lambda p: (-len(p.scene_ids), p.id))


def groups_in_scenes(labels: Sequence[int], scene_ids: Sequence[str], least: int) -> list[list[int]]:
    """Returns the rows of each label that is in so many different scenes, in order of label."""
    rows: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    return [own for own in rows.values() if len({scene_ids[row] for row in own}) >= least]


def stable_names(
    known: Mapping[str, str], scenes: Mapping[str, set[str]], groups: Sequence[Sequence[UnknownFace]]
) -> list[str]:
    """Returns a name for each group: that of the known person it shares most with, else a new one; none twice.

    Args:
        known: person by member, of the runs before.
        scenes: persons by scene, for members whose scene was scanned again and has another best face now.
    """
    shared: list[tuple[int, int, str]] = []
    for number, group in enumerate(groups):
        votes: Counter[str] = Counter()
        for face in group:
            if face.member in known:
                votes[known[face.member]] += 2
            else:
                votes.update(scenes.get(face.scene_id, ()))
        shared.extend((count, number, person) for person, count in votes.items())
    names: dict[int, str] = {}
    taken: set[str] = set()
    for _, number, person in sorted(shared, key=lambda one: (-one[0], one[1], one[2])):
        if number not in names and person not in taken:
            names[number] = person
            taken.add(person)
    used = taken | set(known.values())
    for number, group in enumerate(groups):
        if number not in names:
            names[number] = _new_name(group, used)
            used.add(names[number])
    return [names[number] for number in range(len(groups))]


def kept_names(settings: Settings, groups: Sequence[Sequence[UnknownFace]]) -> list[str]:
    """Returns the names of groups and keeps them for the next run. Raises NotWritable.

    What is kept says which faces were one person: scenes, times and places, no template. Persons that are not found
    this time are kept too: they may be there again when all scenes are matched.
    """
    path = settings.matches_path / "unknown" / "people.parquet"
    rows = _read(path)
    known = {member: person for member, _, person in rows}
    scenes: dict[str, set[str]] = {}
    for _, scene_id, person in rows:
        scenes.setdefault(scene_id, set()).add(person)
    names = stable_names(known, scenes, groups)
    now = {face.member: (face.scene_id, name) for name, group in zip(names, groups, strict=True) for face in group}
    merged = {member: (scene_id, person) for member, scene_id, person in rows} | now
    _write(path, [(member, scene_id, person) for member, (scene_id, person) in sorted(merged.items())])
    return names


def _templates(
    settings: Settings,
    gallery: Gallery,
    listed: Mapping[str, Sequence[UnknownFace]],
    progress: Callable[[int, int | None], None],
    should_stop: Callable[[], bool],
) -> tuple[list[UnknownFace], F32]:
    """Returns the unknown people whose scan is the one that was matched, and (n, projected_dim) templates of them."""
    same = identify_options(settings).same_person_score
    same = gallery.pack.calibration.same_person_score if same is None else same
    faces: list[UnknownFace] = []
    parts: list[F32] = []
    dataset, ids = ScanDataset(settings.scans_path), list(listed)
    for start in range(0, len(ids), _SCENES_AT_ONCE):
        if should_stop():
            break
        keys = [("scene", one) for one in ids[start : start + _SCENES_AT_ONCE]]
        for scan in dataset.scans(pack=gallery.pack.template_id, with_frames=False, keys=keys):
            for face, vector in _of_scan(scan, listed[scan.key.content_id], gallery, same):
                faces.append(face)
                parts.append(vector)
        progress(min(start + _SCENES_AT_ONCE, len(ids)), len(ids))
    none = np.zeros((0, gallery.space.projected_dim), np.float32)
    return faces, np.stack(parts) if parts else none


def _of_scan(
    scan: ContentScan, wanted: Sequence[UnknownFace], gallery: Gallery, same_person_score: float
) -> Iterable[tuple[UnknownFace, F32]]:
    if not len(scan.faces):
        return
    seen = sightings_of(scan.faces)
    tracks = find_tracks(seen, gallery.space.project(scan.faces.template.astype(np.float32)), same_person_score)
    best = {}
    for track in range(len(tracks)):
        row = seen.best(tracks.rows([track]))
        box = tuple(round(float(px), 1) for px in scan.faces.box[row])
        best[round(float(scan.faces.time_s[row]), 3), box] = tracks.templates[track]
    for face in wanted:
        person = face.person
        if face.file_fingerprint == scan.key.file_fingerprint and person.best_time_s is not None and person.best_box:
            vector = best.get((round(person.best_time_s, 3), tuple(round(px, 1) for px in person.best_box)))
            if vector is not None:
                yield face, vector


def _near(gallery: Gallery, total: F32) -> tuple[tuple[str, str, float, float], ...]:
    mean = (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)
    hits = gallery.index.search(mean[None], min(NEAR, max(gallery.size, 1)))
    rows = hits.performers[0][hits.performers[0] >= 0]
    names = gallery.names(rows)
    scores = hits.scores[0][: len(rows)].tolist()
    confidence = gallery.pack.calibration.confidence
    return tuple(
        (*names[row], round(1.0 - score, 4), round(confidence(score, gallery.size), 4))
        for row, score in zip(rows.tolist(), scores, strict=True)
    )


def _new_name(group: Sequence[UnknownFace], used: set[str]) -> str:
    text = min(face.member for face in group)
    for attempt in range(len(used) + 1):
        name = "p" + hashlib.blake2b(f"{text} {attempt}".encode(), digest_size=6).hexdigest()
        if name not in used:
            return name
    raise AssertionError("more attempts than names")


def _read(path: Path) -> list[tuple[str, str, str]]:
    try:
        table = pq.read_table(path, schema=_KEPT)
    except (OSError, pa.ArrowException):
        return []  # names are made anew; nothing else is lost
    return [*zip(*(table[name].to_pylist() for name in _KEPT.names), strict=True)]


def _write(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    columns = [[row[place] for row in rows] for place in range(len(_KEPT))]
    replace_table(path, pa.Table.from_arrays([pa.array(c, pa.string()) for c in columns], schema=_KEPT))
