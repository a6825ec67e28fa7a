"""The performers of the owner's Stash to the source `stash` of the performer database.

    report = enroll_local(settings, LocalEnrolRequest())

The picture: list who there is and what changed -> fetch and look at pictures that may have changed -> judge the stored
scans of scenes, images and galleries where one performer alone is tagged -> choose what agrees -> publish when anything
differs. Everything found is kept by what it was found in (bytes of a picture, scan of a scene), so a run that was
killed goes on where it was, and a run to which nothing is new asks for the listings and ends. What is enrolled is
always computed as a whole from what is kept: who is deleted, merged, excluded or no longer tagged is simply not in it.
Steps live in enroll_local_stash, enroll_local_pictures, enroll_local_places and enroll_local_choice.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pyarrow as pa

from pipelines.enroll.crop_writer import CropWriter
from pipelines.enroll.local_choice import GATES, Chosen, choose
from pipelines.enroll.local_judging import Stamps, judge_places, scan_stamps, stamp_of
from pipelines.enroll.local_known import KnownPeople
from pipelines.enroll.local_people import DOMAIN, LocalPerformer, read_performers, write_performers
from pipelines.enroll.local_pictures import PictureRound
from pipelines.enroll.local_places import ONE_PERSON, Judge, Judged, Place, PlaceKey
from pipelines.enroll.local_publish import LocalShard
from pipelines.enroll.local_report import LocalEnrolProgress, LocalEnrolReport
from pipelines.enroll.local_stash import ListedPerformers, list_performers, list_places
from pipelines.enroll.local_state import LocalState, forget_performers
from pipelines.enroll.report import GateReport
from pipelines.faces.catalogue import get_pack
from pipelines.faces.engine import FaceEngine
from pipelines.folder_lock import alone_in
from pipelines.jobs import JobContext, LocalEnrolRequest
from pipelines.models.library import ModelLibrary
from pipelines.parts import open_engine
from pipelines.scan_listing import LibraryOpener, run_loop_stoppable
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.store.face_crops import face_key
from pipelines.store.performers import PerformerDatabase
from pipelines.store.rules import under_18
from pipelines.store.tables import template_values
from pipelines.store.templates import ScanDataset

__all__ = [
    "LocalEnrolProgress",
    "LocalEnrolReport",
    "LocalEnrolRequest",
    "enroll_local",
    "forget_performers",
    "run_job",
]

Stop = Callable[[], bool]
_EVERYTHING = LocalEnrolRequest()


def enroll_local(
    settings: Settings,
    request: LocalEnrolRequest = _EVERYTHING,
    *,
    library_opener: LibraryOpener | None = None,
    engine: FaceEngine | None = None,
    on_progress: Callable[[LocalEnrolProgress], None] = lambda _: None,
    should_stop: Stop = lambda: False,
) -> LocalEnrolReport:
    """Brings the source `stash` of the performer database up to date; one process at a time, others wait for it.

    Args:
        library_opener: gives the Stash that is asked; the one of the settings by default.
        engine: of the pack of the settings; opened when the first picture has to be looked at by default.
        should_stop: asked several times a second; nothing is published then, and what was found so far is kept.

    Raises:
        StashError: Stash cannot be asked, or stays away.
        PackMismatch: the database holds templates of another pack from other sources.
        DatabaseCorrupt, StoreError, NotWritable, PackUnknown, ModelMissing.
    """
    began = time.monotonic()
    ModelLibrary(settings.models_path).folder(get_pack(settings.pack))
    with alone_in(settings.portraits_path, should_stop) as first:
        if not first:
            return LocalEnrolReport(stopped=True)
        run = _Run(settings, request, engine, on_progress, should_stop)
        report = run.go(library_opener or open_library)
    return replace(report, seconds=time.monotonic() - began)


def run_job(context: JobContext) -> dict[str, Any]:
    """The job "enroll_local"; its parameters are a `LocalEnrolRequest`."""

    def progress(now: LocalEnrolProgress) -> None:
        context.progress(now.done, now.total or None, now.counts)

    report = enroll_local(context.settings, context.params, on_progress=progress, should_stop=context.stop_requested)
    return report.to_dict()


class _Run:
    """One enrolment, alone in its folder."""

    def __init__(
        self,
        settings: Settings,
        request: LocalEnrolRequest,
        engine: FaceEngine | None,
        on_progress: Callable[[LocalEnrolProgress], None],
        should_stop: Stop,
    ) -> None:
        self._settings = settings
        self._request = request
        self._engine = engine
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._state = LocalState(settings)
        self._pack = self._state.pack
        self._database = PerformerDatabase(settings.database_path)
        self._shard = LocalShard(self._database, self._pack)
        self._pictures = self._state.open_pictures()
        self._dataset = ScanDataset(settings.scans_path)
        self._report = GateReport()
        self._before = read_performers(self._state.performers)
        self._listed = ListedPerformers(self._before)
        self._places: list[Place] = []
        self._barred: dict[str, str] = {}
        self._crops = CropWriter(settings, DOMAIN)
        self._round = PictureRound(
            self._pictures, cache(self._opened), settings.max_image_megapixels, self._crops, self._keep
        )
        self._step = "listing"

    def go(self, opener: LibraryOpener) -> LocalEnrolReport:
        self._shard.check_pack()
        stamps = scan_stamps(self._dataset, self._pack.template_id)
        if not self._ask(opener, stamps) or self._should_stop():
            return replace(self._facts(), version=self._database.current(), stopped=True)
        allowed = {i: p for i, p in self._listed.performers.items() if i not in self._barred}
        self._pictures.compact(self._should_stop)
        places = [place for place in self._places if place.performer_id in allowed]
        known = self._shard.stamps()  # before anything is chosen: another process may publish meanwhile
        digest = self._digest(allowed, places, stamps, known)
        last = self._state.read_last()
        if last.get("digest") == digest and not self._request.full:
            noted = {name: last.get(name, {}) for name in ("enrolled", "faces", "gates")}
            return replace(self._facts(), version=self._database.current(), places=len(places), **noted)
        self._step = "scenes"
        found = judge_places(
            self._state,
            self._dataset,
            Judge(self._pack, self._state.gates, self._settings.max_side_px),
            places,
            stamps,
            self._listed.gone,
            on_progress=lambda done, total: self._on_progress(LocalEnrolProgress(self._step, done, total)),
            should_stop=self._should_stop,
        )
        if self._should_stop():
            return replace(self._facts(), version=self._database.current(), stopped=True)
        chosen = self._choose(allowed, places, found.judged)
        version, published = self._publish(chosen)
        if published:
            self._tidy_crops(chosen)
        enrolled: dict[str, Any] = {
            "enrolled": len(chosen.performers),
            "faces": dict(chosen.by_kind),
            "gates": self._report.counts,
        }
        facts = {"performers of Stash": len(self._listed.performers), "enrolled": len(chosen.performers)}
        facts |= Counter(self._barred.values())
        page = self._report.write(self._state.report, title="Enrolment from Stash", facts=facts)
        known = {source: stamp for source, stamp in known.items() if source != DOMAIN}
        if DOMAIN in (now := self._shard.stamps()):
            known[DOMAIN] = now[DOMAIN]
        noted = {"digest": self._digest(allowed, places, stamps, known), **enrolled}
        self._state.write_last(noted)
        return replace(
            self._facts(),
            version=version,
            published=published,
            merged=found.merged,
            places=len(places),
            looked_at=found.looked_at,
            report_page=str(page),
            **enrolled,
        )

    # --- what Stash says

    def _ask(self, opener: LibraryOpener, stamps: Stamps) -> bool:
        """Lists and fetches; returns False when it was stopped. What is known of performers is kept in any case."""

        async def ask() -> None:
            request = self._request
            async with opener(self._settings) as library:
                self._listed = await list_performers(library, self._before, request.performers, full=request.full)
                due = self._bar_and_find_due()
                self._save_performers()
                self._places = await list_places(
                    library, stamps, scenes=request.use_scenes, galleries=request.use_galleries
                )
                self._step = "pictures"
                await self._round.go(library, self._listed.performers, due, self._failed)

        try:
            return run_loop_stoppable(ask, self._should_stop, self._tell)
        finally:
            if self._round.done:
                self._save_performers()

    def _bar_and_find_due(self) -> list[str]:
        """Finds out who is not enrolled, forgets what is kept of them, and returns whose picture has to be fetched."""
        performers = self._listed.performers
        excluded = {i for one in self._database.excluded() for i in one.ids}
        dates = pa.chunked_array([pa.array([p.birth_date or None for p in performers.values()], pa.string())])
        young: list[bool] = under_18(dates).tolist() if performers else []
        for performer, is_young in zip(list(performers.values()), young, strict=True):
            reason = "excluded" if not excluded.isdisjoint(performer.ids) else "under_18" if is_young else ""
            if reason:
                self._barred[performer.id] = reason
            if (reason or not performer.image_url) and (performer.sha256 or performer.picture_of):
                performers[performer.id] = replace(performer, picture_of="", sha256="", etag="")
        pictured = [p for p in performers.values() if p.image_url and p.id not in self._barred]
        self._pictures.keep_only({p.id for p in pictured})
        due = [p.id for p in pictured if p.picture_due or not self._pictures.knows(p)]
        if self._request.performers is not None:
            due = [i for i in due if i in self._request.performers]
        return sorted(due, key=int)

    def _failed(self, performer: LocalPerformer, message: str) -> None:
        self._report.add("unreadable", f"{performer.universal_id} {performer.name}: {message}")

    def _opened(self) -> FaceEngine:
        return self._engine or open_engine(self._settings)

    def _keep(self) -> None:
        self._save_performers()
        self._pictures.compact(self._should_stop)

    def _save_performers(self) -> None:
        write_performers(self._state.performers, list(self._listed.performers.values()))

    # --- scans

    # --- choosing and writing

    def _choose(
        self, allowed: Mapping[str, LocalPerformer], places: Sequence[Place], judged: Mapping[PlaceKey, Judged]
    ) -> Chosen:
        self._step = "choosing"
        self._tell()
        showing = []
        for place in places:
            found = judged.get(place.key)
            if found is None:
                self._report.add("surplus", f"{place.kind} {place.content_id}")
            elif found.reason != ONE_PERSON:
                tagged = allowed[place.performer_id].name
                self._report.add(found.reason, f"{place.kind} {place.content_id}, tagged {tagged}: {found.detail}")
            else:
                showing.append((place, found))
        pictures = self._pictures.of(p for p in allowed.values() if p.image_url)
        known = KnownPeople(self._pack)
        if not self._shard.alone():
            known = KnownPeople.of(self._database, self._pack, allowed)
        return choose(allowed, pictures, showing, known, GATES, self._report, self._round.crops)

    def _publish(self, chosen: Chosen) -> tuple[str | None, bool]:
        only_of = None
        if self._request.performers is not None:
            seen = {*self._listed.performers, *self._listed.gone, *self._request.performers}
            only_of = {f"{DOMAIN}:{i}" for i in seen}
        return self._shard.publish(
            chosen,
            label=self._settings.stash_url or "",
            details={"gates": self._report.counts, "faces": dict(chosen.by_kind)},
            dtype=self._settings.index_dtype,
            only_of=only_of,
        )

    def _tidy_crops(self, chosen: Chosen) -> None:
        """Removes the pictures of faces that were found and are not enrolled."""
        self._crops.tidy()
        keys: dict[str, set[str]] = {performer.universal_id: set() for performer in chosen.performers}
        if chosen.faces is not None:
            templates = template_values(chosen.faces["template"])
            for owner, template in zip(chosen.faces["universal_id"].to_pylist(), templates, strict=True):
                keys[owner].add(face_key(template))
        for universal_id, own in keys.items():
            self._crops.crops.keep_only(universal_id, own)

    # --- telling

    def _digest(
        self,
        allowed: Mapping[str, LocalPerformer],
        places: Sequence[Place],
        stamps: Stamps,
        sources: Mapping[str, str],
    ) -> str:
        """Returns a digest of all that decides what is enrolled, and of what is."""
        digest = hashlib.sha256()
        for part in (
            (sorted(sources.items()), self._state.gates.digest, self._state.recipe.digest, self._pack.template_id),
            *((p.id, p.updated_at, p.sha256, p.image_url) for p in allowed.values()),
            *((*place.key, place.performer_id, stamp_of(place, stamps)) for place in places),
        ):
            digest.update(repr(part).encode())
        return digest.hexdigest()

    def _tell(self) -> None:
        counts = dict(self._round.counts)
        done, total = self._round.done, self._round.total
        self._on_progress(LocalEnrolProgress(self._step, done, total, counts))

    def _facts(self) -> LocalEnrolReport:
        listed = self._listed
        return LocalEnrolReport(
            listed=len(listed.performers),
            new=len(listed.new),
            changed=len(listed.changed),
            renamed=len(listed.renamed),
            gone=len(listed.gone),
            barred=dict(Counter(self._barred.values())),
            pictures=dict(self._round.counts),
        )
