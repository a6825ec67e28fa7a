"""Who the people are: faces of an image, a scene or a gallery against the enrolled performers.

Lives here: `Identifier` and the records of its answers. Grouping faces into people is `tracks`, searching is `index`.
Many images or scenes may be named at once (`images`, `scenes`): all their people are looked up in one search, which is
several times faster, and the answers are the same.

The rules, for all three kinds:

- A person is named when the best candidate's score reaches the threshold: the pack's calibrated accept score at the
  size of the gallery, or 1 - `max_distance` when that is set.
- Two people who are visible side by side never get the same name: the better score wins, the other one takes its next
  candidate that reaches the threshold or stays unknown.
- Performers already tagged on the scene get `tagged_boost` on their score (not on their distance).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipelines.faces.engine import Face
from pipelines.faces.gallery import Gallery
from pipelines.faces.options import IdentifyOptions
from pipelines.faces.ranges import SampleTimes, time_ranges
from pipelines.faces.sightings import Rows, SeenFace, Sightings
from pipelines.faces.tracks import Tracks, find_tracks, seen_side_by_side
from pipelines.faces.types import F32

__all__ = ["FoundPerson", "Identifier", "IdentifyOptions", "Match", "Person", "SceneSightings"]

SINGLE_IMAGE_DISTANCE = 0.8
"""A performer seen in only one image of a gallery of several must be within this fraction of the largest accepted
distance: 0.4 of 0.5 in the defaults of the design, expressed relative to the pack's calibration."""
_DEFAULTS = IdentifyOptions()
_SPARE_CANDIDATES = 10
"""Candidates looked up beyond `top_k`, for people whose first ones are taken by others."""


@dataclass(frozen=True, slots=True)
class Match:
    """One candidate of one person.

    Attributes:
        score: weighted cosine plus the boost of a tagged performer; compared with the threshold.
        distance: 1 - weighted cosine, 0..2, without the boost.
        confidence: calibrated probability, 0..1, that a best candidate with this score is the right performer.
        already_tagged: whether the caller said that the performer is tagged on the scene.
    """

    universal_id: str
    name: str
    score: float
    distance: float
    confidence: float
    already_tagged: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One person of an image, scene or gallery.

    Attributes:
        match: the performer, or None for an unknown person.
        candidates: best first, at most `top_k`; those that are taken by others or below the threshold included.
        faces: number of faces seen.
        frames: number of different frames or images.
        ranges: when the person is seen, (start_s, end_s) in order; empty for images.
        best: the face of the highest quality.
    """

    match: Match | None
    candidates: tuple[Match, ...]
    faces: int
    frames: int
    ranges: tuple[tuple[float, float], ...]
    best: SeenFace


@dataclass(frozen=True, slots=True, eq=False)
class FoundPerson:
    """One person of an image, scene or gallery as rows of its sightings; otherwise like `Person`.

    Attributes:
        rows: (faces,) the rows of the faces.
        best: the row of the face of the highest quality.
    """

    match: Match | None
    candidates: tuple[Match, ...]
    rows: Rows
    frames: int
    ranges: tuple[tuple[float, float], ...]
    best: int


@dataclass(frozen=True, slots=True, eq=False)
class SceneSightings:
    """The faces of one video.

    Attributes:
        frame_times: time of every sampled frame, those without faces included.
        duration_s: ranges end here at the latest, when known.
    """

    faces: Sightings
    frame_times: Sequence[float]
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """The tracks of one image, scene or gallery with their candidates and the names they were given."""

    faces: Sightings
    tracks: Tracks
    candidates: Sequence[Sequence[Match]]
    matches: Sequence[Match | None]


class Identifier:
    """Names people against one gallery. Immutable and thread-safe."""

    def __init__(self, gallery: Gallery, options: IdentifyOptions = _DEFAULTS) -> None:
        self.enrolled = gallery
        self.options = options

    @property
    def threshold(self) -> float:
        """Least score at which a person is named."""
        if self.options.max_distance is not None:
            return 1.0 - self.options.max_distance
        gallery = self.enrolled
        return gallery.pack.calibration.accept_score_at(gallery.size)

    def image(self, faces: Sequence[Face], *, tagged: Collection[str] = ()) -> list[Person]:
        """Returns one person per face of an image, in the order of the faces.

        Args:
            tagged: universal ids of the performers already tagged; any of a performer's ids will do.
        """
        seen = [SeenFace(face, None, 0) for face in faces]
        if not seen:
            return []
        return _with_faces(self.images([Sightings.of(seen)], tagged=tagged)[0], seen)

    def scene(
        self,
        seen: Sequence[SeenFace],
        *,
        frame_times: Sequence[float] | None = None,
        duration_s: float | None = None,
        tagged: Collection[str] = (),
    ) -> list[Person]:
        """Returns the people of a video, named ones first, then by number of frames.

        Args:
            seen: all faces of all sampled frames, in any order.
            frame_times: time of every sampled frame, those without faces included; ranges are more exact with it.
            duration_s: ranges end here at the latest.
        """
        if not seen:
            return []
        times = SampleTimes.of([(s.frame, s.time_s) for s in seen], frame_times, duration_s)
        frames = len(frame_times) if frame_times is not None else max(s.frame for s in seen) + 1
        (named,) = self._named([Sightings.of(seen)], tagged)
        return _with_faces(self._people(named, frames, times), seen)

    def gallery(self, images: Sequence[Sequence[Face]], *, tagged: Collection[str] = ()) -> list[Person]:
        """Returns the people of several images, named ones first, then by number of images.

        A performer seen in only one of several images is named only within SINGLE_IMAGE_DISTANCE of the largest
        accepted distance, and is unknown otherwise.
        """
        seen = [SeenFace(face, None, number) for number, faces in enumerate(images) for face in faces]
        if not seen:
            return []
        return _with_faces(self.gallery_of(Sightings.of(seen), len(images), tagged=tagged), seen)

    def images(self, batch: Sequence[Sightings], *, tagged: Collection[str] = ()) -> list[list[FoundPerson]]:
        """Returns, for each of several images, one person per face, in the order of the faces."""
        found = []
        for named in self._named(batch, tagged, one_face_each=True):
            people = [self._person(named, [t], named.matches[t], t, None) for t in range(len(named.tracks))]
            found.append(people)
        return found

    def scenes(self, batch: Sequence[SceneSightings], *, tagged: Collection[str] = ()) -> list[list[FoundPerson]]:
        """Returns the people of each of several videos, like `scene`."""
        found = []
        for scene, named in zip(batch, self._named([s.faces for s in batch], tagged), strict=True):
            times = SampleTimes.of([], scene.frame_times, scene.duration_s)
            found.append(self._people(named, len(scene.frame_times), times))
        return found

    def gallery_of(self, faces: Sightings, images: int, *, tagged: Collection[str] = ()) -> list[FoundPerson]:
        """Returns the people of several images, like `gallery`; the frame of a face is the number of its image."""
        (named,) = self._named([faces], tagged)
        people = self._people(named, 1, None)
        if images < 2:
            return people
        nearest = SINGLE_IMAGE_DISTANCE * (1.0 - self.threshold)
        doubtful = [p.match is not None and p.frames < 2 and p.match.distance > nearest for p in people]
        return _ordered([replace(p, match=None) if d else p for p, d in zip(people, doubtful, strict=True)], faces)

    def _named(
        self, batch: Sequence[Sightings], tagged: Collection[str], *, one_face_each: bool = False
    ) -> list[_Named]:
        """Returns the tracks of each of several images, scenes or galleries with the names that they are given."""
        gallery = self.enrolled
        edges = np.cumsum([0, *map(len, batch)])
        if not edges[-1]:
            return [_Named(faces, Tracks.one_each(gallery.space.project(faces.templates)), [], []) for faces in batch]
        vectors = gallery.space.project(np.concatenate([faces.templates for faces in batch]))
        same = self.options.same_person_score
        same = gallery.pack.calibration.same_person_score if same is None else same
        tracks = []
        for faces, (start, stop) in zip(batch, pairwise(edges), strict=True):
            own = vectors[start:stop]
            tracks.append(Tracks.one_each(own) if one_face_each or not len(own) else find_tracks(faces, own, same))
        candidates = iter(self._candidates(np.concatenate([t.templates for t in tracks]), tagged))
        return [self._assigned(faces, own, candidates) for faces, own in zip(batch, tracks, strict=True)]

    def _assigned(self, faces: Sightings, tracks: Tracks, candidates: Iterator[list[Match]]) -> _Named:
        own = [next(candidates) for _ in range(len(tracks))]
        return _Named(faces, tracks, own, _assign(own, seen_side_by_side(tracks, faces), self.threshold))

    def _people(self, found: _Named, frames: int, times: SampleTimes | None) -> list[FoundPerson]:
        """Returns the people of a scene of that many frames or of a gallery: tracks of one name are one person."""
        numbers: dict[str, list[int]] = {}
        for track, match in enumerate(found.matches):
            numbers.setdefault(match.universal_id if match else f"unknown {track}", []).append(track)
        people = []
        for own in numbers.values():
            best = max(own, key=lambda t: m.score if (m := found.matches[t]) else 0.0)
            people.append(self._person(found, own, found.matches[best], best, times))
        least, clear = min(self.options.min_unique_frames, frames), self.options.min_unknown_quality
        qualities = found.faces.qualities
        kept = [p for p in people if p.frames >= least and (p.match or qualities[p.best] >= clear)]
        return _ordered(kept, found.faces)

    def _candidates(self, vectors: F32, tagged: Collection[str]) -> list[list[Match]]:
        """Returns the ranked candidates of each of (q, projected_dim) vectors."""
        gallery = self.enrolled
        hits = gallery.index.search(vectors, min(self.options.top_k + _SPARE_CANDIDATES, max(gallery.size, 1)))
        rows = np.array(sorted({gallery.row_of[t] for t in tagged if t in gallery.row_of}), dtype=np.int64)
        boosted = gallery.index.scores_of(vectors, rows)
        names = gallery.names(np.unique(np.append(hits.performers[hits.performers >= 0], rows)))
        ranked, threshold = [], self.threshold
        for performers, scores, own in zip(hits.performers.tolist(), hits.scores.tolist(), boosted, strict=True):
            # Only these are reported or may give a name.
            least = min(threshold, scores[min(self.options.top_k, len(scores)) - 1])
            cosines = {row: c for row, c in zip(performers, scores, strict=True) if row >= 0 and c >= least}
            cosines |= {int(row): float(cosine) for row, cosine in zip(rows, own, strict=True) if np.isfinite(cosine)}
            matches = [self._match(names[row], cosine, row in rows) for row, cosine in cosines.items()]
            ranked.append(sorted(matches, key=lambda m: (-m.score, m.universal_id)))
        return ranked

    def _match(self, named: tuple[str, str], cosine: float, already_tagged: bool) -> Match:  # noqa: FBT001 - a field
        score = cosine + (self.options.tagged_boost if already_tagged else 0.0)
        confidence = self.enrolled.pack.calibration.confidence(score, self.enrolled.size)
        return Match(*named, score, 1.0 - cosine, confidence, already_tagged)

    def _person(
        self, found: _Named, tracks: Sequence[int], match: Match | None, best: int, times: SampleTimes | None
    ) -> FoundPerson:
        """Returns the person of these tracks, whose candidates are those of the track `best`."""
        rows = found.tracks.rows(tracks)
        frames = np.unique(found.faces.frames[rows]).tolist()
        ranges = () if times is None else time_ranges(frames, times, self.options.join_gap_s)
        candidates = tuple(found.candidates[best][: self.options.top_k])
        return FoundPerson(match, candidates, rows, len(frames), ranges, found.faces.best(rows))


def _assign(
    candidates: Sequence[Sequence[Match]], apart: npt.NDArray[np.bool_], threshold: float
) -> list[Match | None]:
    """Returns the match of each track: best pairs first, no performer twice among tracks seen side by side.

    Args:
        apart: (n, n) bool, whether two tracks are seen side by side.
    """
    pairs = sorted(
        ((m.score, number, m) for number, own in enumerate(candidates) for m in own if m.score >= threshold),
        key=lambda pair: (-pair[0], pair[1], pair[2].universal_id),
    )
    matches: list[Match | None] = [None] * len(candidates)
    holders: dict[str, list[int]] = {}
    for _, number, match in pairs:
        others = holders.setdefault(match.universal_id, [])
        if matches[number] is None and not apart[number, others].any():
            matches[number] = match
            others.append(number)
    return matches


def _with_faces(people: Sequence[FoundPerson], seen: Sequence[SeenFace]) -> list[Person]:
    return [Person(p.match, p.candidates, len(p.rows), p.frames, p.ranges, seen[p.best]) for p in people]


def _ordered(people: Sequence[FoundPerson], faces: Sightings) -> list[FoundPerson]:
    return sorted(
        people,
        key=lambda p: (
            p.match is None,
            -p.frames,
            -(p.match.score if p.match else 0.0),
            int(faces.frames[p.best]),
            tuple(faces.boxes[p.best].tolist()),
        ),
    )
