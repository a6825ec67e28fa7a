"""Stored faces against the performer database of now: who is in every scanned scene and image, without decoding.

    report = rematch(settings)          # whatever is out of date
    report = rematch(settings, contents=[("scene", "42")])

A content is out of date when its scan, the performer database or the rules of naming are not those that its people were
found with. Contents are matched in chunks and written in short transactions, so a run may be stopped or killed at any
time and the next one goes on where it was. A run that brought everything up to date writes the Parquet file of the
database version and then the marker that `rematch_due` looks at.

Much work is done by Ray Data where Ray runs: one actor a core, on any node that sees the data folder; the face index is
mapped from disk, so the actors of a node share one copy of it. Little work is done in this process: starting actors
takes longer than matching a thousand scenes. Galleries are not stored but named when asked, see `gallery_people`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from pipelines.errors import DatabaseMissing
from pipelines.faces.catalogue import get_pack
from pipelines.folder_lock import alone_in
from pipelines.jobs import JobContext
from pipelines.match_contents import ContentMatcher, batch_faces
from pipelines.match_options import options_digest
from pipelines.rematch_due import MatchMarker, enrolled_version, read_marker, write_marker
from pipelines.settings import Settings
from pipelines.store.match_table import write_people
from pipelines.store.matches import ContentMatch, Key, MatchStamp, MatchStore
from pipelines.store.performers import PerformerDatabase
from pipelines.store.scan_schema import ContentKind
from pipelines.store.sql import open_store
from pipelines.store.templates import ScanDataset

CHUNK_CONTENTS = 1024
"""Most contents of one chunk; those without a face cost no naming but are read all the same."""
RAY_FROM_CHUNKS = 6
"""Fewer chunks are matched in this process, which is then done before the actors would have started."""

Stop = Callable[[], bool]


class RematchProgress(TypedDict):
    """done, total: contents. rate_per_s: contents a second. eta_s: seconds left, None while unknown."""

    done: int
    total: int
    rate_per_s: float
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class RematchReport:
    """What a re-match did.

    Attributes:
        database_version: what was matched with; None when nobody is enrolled, then nothing was done.
        matched: contents.
        up_to_date: contents that were left as they are.
        removed: contents that were matched once and whose scans are gone, failed or of another pack.
        named, unknown: people in the matched contents.
        stopped: it was asked to end before everything was done.
    """

    database_version: str | None
    options_digest: str
    matched: int = 0
    up_to_date: int = 0
    removed: int = 0
    named: int = 0
    unknown: int = 0
    seconds: float = 0.0
    stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done: contents to match with their numbers of faces, contents to forget."""

    todo: list[tuple[Key, int]]
    gone: list[Key]
    up_to_date: int


def rematch(
    settings: Settings,
    *,
    contents: Iterable[Key] | None = None,
    full: bool = False,
    on_progress: Callable[[RematchProgress], None] = lambda _: None,
    should_stop: Stop = lambda: False,
) -> RematchReport:
    """Brings the people of scanned scenes and images up to date; one process at a time, others wait for it.

    Args:
        contents: only these, as kind and id; everything by default.
        full: also what is up to date.
        should_stop: asked at least every second; what is matched by then stays.

    Raises:
        PackMismatch: the performer database holds templates of another pack than the settings.
        DatabaseCorrupt, StoreError leaves, NotWritable.
    """
    began, digest = time.monotonic(), options_digest(settings)
    with alone_in(settings.matches_path, should_stop) as first:
        if not first:
            return RematchReport(enrolled_version(settings), digest, stopped=True)
        try:
            matcher = ContentMatcher(settings)
        except DatabaseMissing:
            return RematchReport(None, digest)
        store = open_store(settings.store_url)
        try:
            run = _Run(settings, MatchStore(store), matcher, digest, should_stop)
            report = run.go(None if contents is None else set(contents), full, on_progress)
        finally:
            store.close()
    return RematchReport(**{**asdict(report), "seconds": time.monotonic() - began})


def run_job(context: JobContext) -> dict[str, Any]:
    """The job "rematch"; its parameters are a `RematchRequest`."""

    def progress(now: RematchProgress) -> None:
        context.progress(now["done"], now["total"], {})

    report = rematch(
        context.settings,
        contents=context.params.contents,
        full=context.params.full,
        on_progress=progress,
        should_stop=context.stop_requested,
    )
    return report.to_dict()


def current(settings: Settings, kind: ContentKind, content_id: str) -> ContentMatch | None:
    """Returns the stored people of a content, None when there are none or they are out of date."""
    version = enrolled_version(settings)
    store = open_store(settings.store_url)
    try:
        found = MatchStore(store).get(kind, content_id)
    finally:
        store.close()
    if found is None or version is None:
        return None
    scan = ScanDataset(settings.scans_path).read(kind, content_id)
    if scan is None:
        return None
    stamp = MatchStamp(
        scan.key.file_fingerprint, scan.key.recipe_digest, scan.scanned_at, version, options_digest(settings)
    )
    return found if found.stamp == stamp else None


class _Run:
    """One re-match, alone in its folder."""

    def __init__(
        self, settings: Settings, store: MatchStore, matcher: ContentMatcher, digest: str, should_stop: Stop
    ) -> None:
        self._settings = settings
        self._store = store
        self._matcher = matcher
        self._version = matcher.database_version
        self._digest = digest
        self._should_stop = should_stop

    def go(self, wanted: set[Key] | None, full: bool, on_progress: Callable[[RematchProgress], None]) -> RematchReport:  # noqa: FBT001 - from the keyword of rematch
        plan = self._plan(wanted, full=full)
        self._store.remove(plan.gone)
        counts = self._match(plan, on_progress)
        stopped = counts["matched"] < len(plan.todo)
        if not stopped:
            self._publish(changed=bool(counts["matched"] or plan.gone), everything=wanted is None)
        return RematchReport(
            self._version,
            self._digest,
            matched=counts["matched"],
            up_to_date=plan.up_to_date,
            removed=len(plan.gone),
            named=counts["named"],
            unknown=counts["unknown"],
            stopped=stopped,
        )

    def _plan(self, wanted: set[Key] | None, *, full: bool) -> _Plan:
        stored = self._store.stamps()
        pack = get_pack(self._settings.pack).template_id
        names = ["kind", "content_id", "file_fingerprint", "recipe", "scanned_at", "face_count", "pack", "status"]
        done = ScanDataset(self._settings.scans_path).done(names)
        todo: list[tuple[Key, int]] = []
        scanned: set[Key] = set()
        for kind, content_id, fingerprint, recipe, scanned_at, faces, own_pack, status in zip(
            *(done[name].to_pylist() for name in names), strict=True
        ):
            key: Key = (kind, content_id)
            if own_pack != pack or status == "failed":
                continue
            scanned.add(key)
            stamp = MatchStamp(fingerprint, recipe, scanned_at, self._version, self._digest)
            if (wanted is None or key in wanted) and (full or stored.get(key) != stamp):
                todo.append((key, faces))
        gone = [key for key in stored if key not in scanned and (wanted is None or key in wanted)]
        looked_at = len(scanned) if wanted is None else len(scanned & wanted)
        return _Plan(todo, gone, looked_at - len(todo))

    def _match(self, plan: _Plan, on_progress: Callable[[RematchProgress], None]) -> Counter[str]:
        """Matches and writes what is to be done; returns how many were matched, named and unknown."""
        counts: Counter[str] = Counter()
        total, began = len(plan.todo), time.monotonic()
        if not total or self._should_stop():
            return counts
        chunks = list(_chunks(plan.todo, batch_faces(get_pack(self._settings.pack).template_dim)))
        done = 0
        for asked, matches in self._matched(chunks):
            self._store.replace(matches)
            done += asked
            counts["matched"] += asked
            people = [person.universal_id is not None for match in matches for person in match.people]
            counts["named"] += sum(people)
            counts["unknown"] += len(people) - sum(people)
            rate = done / max(time.monotonic() - began, 1e-6)
            on_progress({"done": done, "total": total, "rate_per_s": rate, "eta_s": (total - done) / rate})
            if self._should_stop():
                break
        return counts

    def _matched(self, chunks: Sequence[list[Key]]) -> Iterator[tuple[int, list[ContentMatch]]]:
        """Yields how many contents a chunk asked for, and their matches, as chunks are done."""
        # Who has not imported Ray does not run on it, and need not wait for the import.
        if len(chunks) >= RAY_FROM_CHUNKS and "ray" in sys.modules and (workers := _ray_workers(len(chunks))):
            from pipelines.match_workers import matched_by_ray

            yield from matched_by_ray(self._settings, self._version, chunks, workers, self._should_stop)
            return
        for chunk in chunks:
            yield len(chunk), self._matcher.match(chunk)

    def _publish(self, *, changed: bool, everything: bool) -> None:
        """Writes the Parquet file and the marker, unless they are there already.

        After a run over some contents they are renewed only if all others were matched with the same before.
        """
        folder = self._settings.matches_path
        marker = MatchMarker(
            database_version=self._version, options_digest=self._digest, file=f"{self._version}.parquet"
        )
        same = read_marker(folder) == marker
        if (same and not changed) or not (same or everything):
            return
        facts = {"database_version": self._version, "options_digest": self._digest}
        write_people(folder / marker.file, self._store.rows(self._version, self._digest), facts)
        write_marker(folder, marker)
        kept = {f"{version}.parquet" for version in PerformerDatabase(self._settings.database_path).versions()}
        for path in folder.glob("*.parquet"):
            if path.name not in kept:
                path.unlink(missing_ok=True)


def _ray_workers(most: int) -> int:
    from pipelines.match_workers import ray_workers

    return min(most, ray_workers())


def _chunks(todo: Sequence[tuple[Key, int]], most_faces: int) -> Iterator[list[Key]]:
    """Yields contents in order, each chunk of at most CHUNK_CONTENTS and `most_faces` or a single one with more."""
    chunk: list[Key] = []
    held = 0
    for key, faces in todo:
        if chunk and (held + faces > most_faces or len(chunk) == CHUNK_CONTENTS):
            yield chunk
            chunk, held = [], 0
        chunk.append(key)
        held += faces
    if chunk:
        yield chunk
