"""Stored scans to people: many scenes and images at once, against one performer database.

Lives here: `ContentMatcher`, which reads scans and returns their matches, and the columns of a stored scan as the
sightings that naming works on. It opens no picture and writes nothing. Which contents need it is `rematch`.

The answers are those of the online path on the same frames: templates are kept in half precision, which moves distances
by less than 1e-3. What is tagged on a scene is not looked at, because it changes in Stash at any time; who wants the
boost of tagged performers gives `scene_sightings` of a stored scan to `Identifier.scenes` with `tagged=`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from pipelines.faces.catalogue import get_pack
from pipelines.faces.identify import FoundPerson, Identifier, Match, SceneSightings
from pipelines.faces.sightings import Sightings
from pipelines.match_options import identify_options, options_digest
from pipelines.settings import Settings
from pipelines.store.matches import ContentMatch, ContentPerson, Key, MatchCandidate, MatchStamp
from pipelines.store.performers import PerformerDatabase
from pipelines.store.templates import ContentScan, ScanDataset, ScannedFaces

BATCH_FACES = 32_768
"""Most faces named in one go; one content with more is named alone."""
BATCH_BYTES = 16 << 20
"""Most bytes of their stored templates; naming takes about six times as much for a while."""


def batch_faces(template_dim: int) -> int:
    """Returns how many faces with templates of that length are named in one go."""
    return max(1, min(BATCH_FACES, BATCH_BYTES // (2 * template_dim)))


def sightings_of(faces: ScannedFaces) -> Sightings:
    """Returns the faces of a stored scan for naming, row by row."""
    return Sightings(faces.frame, faces.box, faces.quality, faces.score, faces.template)


def scene_sightings(scan: ContentScan) -> SceneSightings:
    """Returns a stored scene for naming. Its sampled frames are those whose hashes it holds."""
    duration_s = None if np.isnan(scan.duration_s) else scan.duration_s
    return SceneSightings(sightings_of(scan.faces), scan.frame_times, duration_s)


class ContentMatcher:
    """Matches stored scans against one version of the performer database, which is mapped, not read.

    Raises DatabaseMissing, DatabaseCorrupt and PackMismatch like `PerformerDatabase.load`.
    """

    def __init__(
        self, settings: Settings, version: str | None = None, *, threads: int = 0, everybody: bool = False
    ) -> None:
        """
        Args:
            version: of the performer database; the current one by default.
            threads: CPU threads of one search; 0 = all that this process may use.
            everybody: see `PerformerDatabase.load`.
        """
        self._pack = get_pack(settings.pack)
        database = PerformerDatabase(settings.database_path)
        gallery = database.load(version, pack=self._pack, threads=threads, everybody=everybody)
        self._dataset = ScanDataset(settings.scans_path)
        self._identifier = Identifier(gallery, identify_options(settings))
        self._digest = options_digest(settings)

    @property
    def database_version(self) -> str:
        return self._identifier.enrolled.version

    def match(self, keys: Collection[Key]) -> list[ContentMatch]:
        """Returns the matches of these contents, without those that have no scan with faces of the pack."""
        found: list[ContentMatch] = []
        for batch in self._batches(keys):
            found.extend(self.match_scans(batch))
        return found

    def match_scans(self, scans: Sequence[ContentScan]) -> list[ContentMatch]:
        """Returns the matches of scans that did not fail, in order."""
        return [self._match(scan, people) for scan, people in zip(scans, self.people(scans), strict=True)]

    def people(self, scans: Sequence[ContentScan]) -> list[list[FoundPerson]]:
        """Returns the people of each of several scans that did not fail; their rows are those of its faces."""
        # Stash counts short clips among its images; they were scanned as videos, and their frames have times.
        seen = [s for s in scans if len(s.faces)]
        scenes = [s for s in seen if s.key.kind == "scene" or not np.isnan(s.faces.time_s[0])]
        images = [s for s in seen if s.key.kind == "image" and np.isnan(s.faces.time_s[0])]
        named = zip(
            [*scenes, *images],
            [
                *self._identifier.scenes([scene_sightings(s) for s in scenes]),
                *self._identifier.images([sightings_of(s.faces) for s in images]),
            ],
            strict=True,
        )
        people = {id(scan): found for scan, found in named}
        return [people.get(id(scan), []) for scan in scans]

    def gallery_people(self, gallery_id: str) -> tuple[list[FoundPerson], list[ContentScan]]:
        """Returns the people of a gallery of Stash and the scans of its images, by id.

        The frame of a face (`rows` of a person are faces of all images in order) is the number of its image. Faces of
        different images are compared with each other, so this is more than the people of the single images; it is
        done when asked, because images enter and leave a gallery without being scanned again.
        """
        listed = self._dataset.done(["kind", "content_id", "galleries", "pack", "status"])
        rows = zip(*(listed[name].to_pylist() for name in listed.column_names), strict=True)
        keys: list[Key] = [
            (kind, content_id)
            for kind, content_id, galleries, pack, status in rows
            if kind == "image" and gallery_id in galleries and pack == self._pack.template_id and status != "failed"
        ]
        scans = list(self._dataset.scans(keys=keys, with_frames=False)) if keys else []
        faces = [s.faces for s in scans if len(s.faces)]
        if not faces:
            return [], scans
        numbers = np.repeat(np.arange(len(scans), dtype=np.int32), [len(s.faces) for s in scans])
        together = Sightings(
            numbers,
            np.concatenate([f.box for f in faces]),
            np.concatenate([f.quality for f in faces]),
            np.concatenate([f.score for f in faces]),
            np.concatenate([f.template for f in faces]),
        )
        return self._identifier.gallery_of(together, len(scans)), scans

    def _batches(self, keys: Collection[Key]) -> Iterator[list[ContentScan]]:
        most = batch_faces(self._pack.template_dim)
        batch: list[ContentScan] = []
        faces = 0
        for scan in self._dataset.scans(pack=self._pack.template_id, keys=keys):
            if scan.status == "failed":
                continue
            if batch and faces + len(scan.faces) > most:
                yield batch
                batch, faces = [], 0
            batch.append(scan)
            faces += len(scan.faces)
        if batch:
            yield batch

    def _match(self, scan: ContentScan, people: Sequence[FoundPerson]) -> ContentMatch:
        key = scan.key
        stamp = MatchStamp(
            key.file_fingerprint, key.recipe_digest, scan.scanned_at, self.database_version, self._digest
        )
        frames = len(scan.frames) or 1
        return ContentMatch(
            kind=key.kind,
            content_id=key.content_id,
            stamp=stamp,
            status=scan.status,
            faces=len(scan.faces),
            frames=frames,
            duration_s=None if np.isnan(scan.duration_s) else scan.duration_s,
            people=tuple(_person(person, scan.faces, frames) for person in people),
            matched_at=datetime.now(UTC),
        )


def _person(person: FoundPerson, faces: ScannedFaces, frames: int) -> ContentPerson:
    match = person.match
    time_s = float(faces.time_s[person.best])
    box = [round(float(x), 1) for x in faces.box[person.best]]
    return ContentPerson(
        universal_id=match.universal_id if match else None,
        name=match.name if match else None,
        faces=len(person.rows),
        frames=person.frames,
        share=round(person.frames / frames, 6),
        confidence=match.confidence if match else None,
        distance=match.distance if match else None,
        ranges=person.ranges,
        candidates=tuple(_candidate(c) for c in person.candidates),
        best_time_s=None if np.isnan(time_s) else round(time_s, 3),
        best_box=(box[0], box[1], box[2], box[3]),
    )


def _candidate(match: Match) -> MatchCandidate:
    return MatchCandidate(match.universal_id, match.name, round(match.distance, 6), round(match.confidence, 6))
