"""Engine replicas: media in, an answer out. Pictures of different requests share batches; videos have their own lane.

Encoded bytes come in and are decoded here, in the threads of `media_reader`; the names come from the FaceIndex. The
event loop only waits.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import Any

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from pipelines.errors import LimitExceeded, MediaError, Overloaded, StashSenseError
from pipelines.faces.catalogue import get_pack
from pipelines.faces.engine import Face, FaceEngine
from pipelines.faces.types import Frame
from pipelines.identify_media import Analyzer, analyze_video
from pipelines.media.video import SamplingPlan, VideoSource
from pipelines.models.library import ModelLibrary
from pipelines.parts import identify_options, sampling_plan, scan_recipe
from pipelines.scan_content import scan_content
from pipelines.settings import Settings
from pipelines.store.templates import ContentScan, ScanDataset, ScanKey
from serve_app.answers import jpeg, people_answer
from serve_app.contents import Content, Medium
from serve_app.deployments.evidence import Evidence, of_gallery, of_picture, of_scan, of_video
from serve_app.deployments.face_index import Named
from serve_app.deployments.lanes import (
    CONCURRENT_BATCHES,
    VIDEO_NICENESS,
    CancellableEngine,
    Cancelled,
    EngineLane,
    EnginePlan,
    give_way,
)
from serve_app.deployments.loopback import confine_inner_port
from serve_app.deployments.media_reader import Box, MediaReader
from serve_app.deployments.outcome import returns_errors, unwrap
from serve_app.schemas import Question, SceneQuestion

logger = logging.getLogger("ray.serve")

HEALTH_TIMEOUT_S = 20.0

Answer = dict[str, Any]
Changed = Mapping[str, Any]
UNCHANGED: Changed = MappingProxyType({})


class FaceEngineReplica:
    """One engine and the threads it runs in."""

    def __init__(self, settings: Settings, index: DeploymentHandle[Any]) -> None:
        confine_inner_port()
        self._settings = settings
        self._index = index
        plan = EnginePlan.of(settings)
        pack = get_pack(settings.pack)
        folder = ModelLibrary(settings.models_path).folder(pack)
        self._engine = FaceEngine(pack, folder, plan.engine_options(settings))
        self._pictures = EngineLane(self._engine, plan, name="pictures")
        self._videos = EngineLane(self._engine, plan, name="videos", niceness=VIDEO_NICENESS)
        self._media = MediaReader(settings.max_image_megapixels, threads=plan.threads + 1)
        self._video_decoders = ThreadPoolExecutor(
            plan.videos, "video", initializer=give_way, initargs=(VIDEO_NICENESS,)
        )
        self._videos_left = plan.most_videos
        self._scans = ScanDataset(settings.scans_path)
        self._template_dim = pack.template_dim
        self._analyze = serve.batch(
            max_batch_size=plan.batch_size,
            batch_wait_timeout_s=plan.batch_wait_s,
            max_concurrent_batches=CONCURRENT_BATCHES,
        )(self._analyze_batch)

    @returns_errors
    async def identify(self, medium: Medium, question: SceneQuestion, changed: Changed = UNCHANGED) -> Answer:
        """Returns who is in a picture or a video, whichever the bytes turn out to be.

        Args:
            changed: settings that are in force now and differ from those that the replica was started with.
        """
        kind = await self._media.kind(medium.source)
        answer: Answer = unwrap(await (self.image if kind == "image" else self.scene)(medium, question, changed))
        return answer

    @returns_errors
    async def image(self, medium: Medium, question: Question, changed: Changed = UNCHANGED) -> Answer:
        """Returns who is in one picture, one person for each face."""
        started = time.perf_counter()
        settings = self._in_force(changed)
        picture = await self._picture(medium, question, settings)
        named, index_ms = await self._ask("image", question, settings, medium.tagged, picture.faces)
        return {
            "kind": "image",
            **await self._people(named, picture, question, [medium]),
            "frames": 1,
            "width": picture.width,
            "height": picture.height,
            "timing_ms": timings(started, decode=picture.decode_ms, engine=picture.engine_ms, index=index_ms),
        }

    @returns_errors
    async def gallery(
        self, media: Sequence[Medium], tagged: tuple[str, ...], question: Question, changed: Changed = UNCHANGED
    ) -> Answer:
        """Returns who is in several pictures; those that cannot be used are listed and do not stop the others."""
        started = time.perf_counter()
        settings = self._in_force(changed)
        unwrap(await self._index.info.remote())
        results = await asyncio.gather(*(self._picture(m, question, settings) for m in media), return_exceptions=True)
        errors = []
        for number, result in enumerate(results):
            if isinstance(result, MediaError | LimitExceeded):
                errors.append({"image": number, **result.as_dict()})
            elif isinstance(result, BaseException):
                raise result
        pictures = [r if isinstance(r, Evidence) else None for r in results]
        evidence = of_gallery(pictures, self._template_dim)
        named, index_ms = await self._ask("gallery", question, settings, tagged, evidence.faces, len(media))
        used = [p for p in pictures if p is not None]
        warnings = [f"{len(errors)} of {len(media)} pictures could not be used."] if errors else []
        return {
            "kind": "gallery",
            **await self._people(named, evidence, question, media),
            "frames": len(used),
            "frames_wanted": len(media),
            "stored_images": sum(p.scanned_at is not None for p in used),
            "stored": any(p.kept for p in used),
            "source": "stored" if used and all(p.scanned_at is not None for p in used) else "fresh",
            "warnings": warnings,
            "errors": errors,
            "timing_ms": timings(started, index=index_ms),
        }

    @returns_errors
    async def scene(self, medium: Medium, question: SceneQuestion, changed: Changed = UNCHANGED) -> Answer:
        """Returns who is in a video, and when."""
        started = time.perf_counter()
        settings = self._in_force(changed)
        unwrap(await self._index.info.remote())  # before seconds of work whose faces nobody could name
        video = await self._video(medium, question, settings)
        named, index_ms = await self._ask("scene", question, settings, medium.tagged, video.scene)
        return {
            "kind": "video",
            **await self._people(named, video, question, [medium]),
            "frames": len(video.frame_times),
            "frames_wanted": video.frames_wanted,
            "width": video.width,
            "height": video.height,
            "duration_s": round(video.duration_s or 0.0, 3),
            "timing_ms": timings(started, decode=video.decode_ms, engine=video.engine_ms, index=index_ms),
        }

    @returns_errors
    async def crop(self, medium: Medium, time_s: float | None, box: Box, changed: Changed = UNCHANGED) -> bytes:
        """Returns the face in a box (x1, y1, x2, y2 px as shown) as JPEG; `time_s` is of a video."""
        return await self._media.cut(medium, time_s, box, self._in_force(changed))

    async def check_health(self) -> None:
        """Runs the engine on an empty picture. When that fails or takes too long, Serve starts a new replica."""
        blank = np.zeros((64, 64, 3), np.uint8)
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            await self._pictures.analyze_async([blank])

    async def ready(self) -> bool:
        """Answers once the models are loaded."""
        return True

    async def providers(self) -> list[str]:
        """Returns the execution providers of the models; one that cannot be used would have failed the start."""
        return list(self._engine.options.providers)

    def __del__(self) -> None:
        for pool in (self._pictures, self._videos):
            pool.close()
        self._media.close()
        self._video_decoders.shutdown(wait=False, cancel_futures=True)

    def _in_force(self, changed: Changed) -> Settings:
        return self._settings.model_copy(update=changed) if changed else self._settings

    async def _picture(self, medium: Medium, question: Question, settings: Settings) -> Evidence:
        """Returns the faces of one picture, stored ones where they are current, as far as they are asked for."""
        found = await self._stored(medium.content, question, settings)
        if found is None:
            data = await self._media.fetched(medium, settings)
            if medium.content is None:
                found = await self._look(data, settings)
            else:
                async with self._media.room_for(data):
                    found = await self._media.in_thread(self._scan, medium.content, data, self._pictures, settings)
        return wanted(found, question)

    async def _look(self, data: bytes | Path, settings: Settings) -> Evidence:
        """Decodes and analyses one picture."""
        started = time.perf_counter()
        async with self._media.room_for(data):
            frame = await self._media.decoded(data, settings)
            decoded = time.perf_counter()
            faces = await self._analyze(frame)
        engine_ms, decode_ms = 1000 * (time.perf_counter() - decoded), 1000 * (decoded - started)
        return of_picture(faces, frame.shape[1], frame.shape[0], self._template_dim, decode_ms, engine_ms)

    async def _stored(self, content: Content | None, question: Question, settings: Settings) -> Evidence | None:
        """Returns what a stored scan found if it is of this very file, pack and sampling; None otherwise."""
        if content is None or question.fresh or not default_sampling(question, settings):
            return None
        scan = await self._media.in_thread(self._scans.read, content.kind, content.content_id)
        if scan is None or scan.status == "failed" or scan.key.file_fingerprint != content.file_fingerprint:
            return None
        if scan.key.recipe_digest != scan_recipe(settings, content.kind).digest:
            return None
        return of_scan(scan, self._template_dim)

    async def _video(self, medium: Medium, question: SceneQuestion, settings: Settings) -> Evidence:
        """Returns the faces of one video, stored ones where they are current, as far as they are asked for."""
        found = await self._stored(medium.content, question, settings)
        if found is None:
            await self._media.permit(medium, settings)
            async with self._media.on_disk(medium.source) as file:
                found = await self._in_video_lane(partial(self._watch, medium.content, file, question, settings))
        return wanted(found, question)

    def _watch(
        self,
        content: Content | None,
        source: VideoSource,
        question: SceneQuestion,
        settings: Settings,
        engine: CancellableEngine,
    ) -> Evidence:
        """Decodes and analyses one video. What is of Stash and sampled as a scan does is stored as a scan."""
        if content is not None and default_sampling(question, settings):
            return self._scan(content, source, engine, settings)
        plan = sampling_of(question, settings)
        video = analyze_video(source, engine, plan, max_duration_s=settings.max_video_duration_s)
        return of_video(video, plan.max_side_px, self._template_dim)

    def _scan(self, content: Content, source: VideoSource | bytes, engine: Analyzer, settings: Settings) -> Evidence:
        """Scans one content of Stash as a scan of the library does, and stores that. Raises MediaError leaves."""
        key = ScanKey(content.kind, content.content_id, content.file_fingerprint, scan_recipe(settings, content.kind))
        started = time.perf_counter()
        scan = scan_content(
            key,
            source,
            engine,
            sampling_plan(settings),
            galleries=content.galleries,
            max_duration_s=settings.max_video_duration_s,
            max_megapixels=settings.max_image_megapixels,
        )
        if scan.status == "failed":
            raise failure(scan)
        took_ms = 1000 * (time.perf_counter() - started)
        kept = not scan.retryable and self._keep(scan)
        return replace(of_scan(scan, self._template_dim), scanned_at=None, kept=kept, engine_ms=took_ms)

    def _keep(self, scan: ContentScan) -> bool:
        """Stores a scan; an answer that cannot be stored is an answer all the same."""
        try:
            self._scans.write(scan)
        except StashSenseError as error:
            logger.warning("a scan of %s %s is not stored: %s", scan.key.kind, scan.key.content_id, error)
            return False
        return True

    async def _analyze_batch(self, frames: list[Frame]) -> list[list[Face]]:
        return await self._pictures.analyze_async(frames)

    async def _in_video_lane(self, watch: Callable[[CancellableEngine], Evidence]) -> Evidence:
        """Runs the work on one video in the video lane; stops it when nobody waits any more."""
        if self._videos_left == 0:
            raise Overloaded("Too many videos are waiting already.", "Try again later.", retry_after_s=10)
        self._videos_left -= 1
        cancelled = Event()
        engine = CancellableEngine(self._videos, cancelled)

        def run() -> Evidence:
            if cancelled.is_set():
                raise Cancelled
            return watch(engine)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._video_decoders, run)
        finally:
            cancelled.set()
            self._videos_left += 1

    async def _ask(
        self, method: str, question: Question, settings: Settings, tagged: tuple[str, ...], *faces: Any
    ) -> tuple[Named, float]:
        """Has the index name the people; returns them and the milliseconds that it took."""
        started = time.perf_counter()
        options = identify_options(settings)
        asked = {name: getattr(question, name) for name in ("top_k", "max_distance", "min_unique_frames")}
        options = replace(options, **{k: v for k, v in asked.items() if v is not None})
        if question.same_person_distance is not None:
            options = replace(options, same_person_score=1.0 - question.same_person_distance)
        known = tuple(dict.fromkeys((*question.tagged, *tagged)))
        named: Named = unwrap(await getattr(self._index, method).remote(*faces, options, known))
        return named, 1000 * (time.perf_counter() - started)

    async def _people(self, named: Named, evidence: Evidence, question: Question, media: Sequence[Medium]) -> Answer:
        """Shapes what all answers have."""
        answer: Answer = {
            **people_answer(named.people, evidence, named.about),
            "faces": len(evidence.faces),
            "faces_found": evidence.found,
            "warnings": list(evidence.warnings),
            "database_version": named.version,
            "source": "fresh" if evidence.scanned_at is None else "stored",
            "stored": evidence.kept,
        }
        if evidence.scanned_at is not None:
            answer["scanned_at"] = evidence.scanned_at.isoformat()
        if question.crops or question.crop_links:
            await self._add_crops(answer, [p.best for p in named.people], evidence, question, media)
        return answer

    async def _add_crops(
        self, answer: Answer, rows: Sequence[int], evidence: Evidence, question: Question, media: Sequence[Medium]
    ) -> None:
        """Adds pictures of the best faces: as `crop` in base64, and as `jpeg` for what no link can bring later."""
        for person, row in zip([*answer["people"], *answer["unknown"]], rows, strict=True):
            best = person["best"]
            medium = media[best["frame"] if len(media) > 1 else 0]
            crop = evidence.crops[row] if evidence.crops else None
            linked = question.crop_links and medium.content is None
            if not (question.crops or linked):
                continue
            if crop is not None and crop.size:
                picture = await self._media.in_thread(jpeg, crop)
            else:
                picture = await self._media.cut(medium, best["time_s"], box_of(best), self._settings)
            if question.crops:
                best["crop"] = base64.b64encode(picture).decode("ascii")
            if linked:
                best["jpeg"] = picture


def sampling_of(question: SceneQuestion, settings: Settings) -> SamplingPlan:
    """Returns which frames are looked at: as asked, else as set."""
    asked = {name: getattr(question, name) for name in ("frames", "start_fraction", "end_fraction")}
    return replace(sampling_plan(settings), **{k: v for k, v in asked.items() if v is not None})


def wanted(evidence: Evidence, question: Question) -> Evidence:
    """Returns the faces that are large and certain enough for the question."""
    return evidence.at_least(question.min_face_px or 0, question.min_detection_score or 0.0)


def failure(scan: ContentScan) -> StashSenseError:
    """Returns the error that a failed scan names."""
    code, _, message = scan.reason.partition(": ")
    leaves: list[type[StashSenseError]] = [*MediaError.__subclasses__(), LimitExceeded]
    kinds = {kind.code: kind for kind in leaves}
    return kinds.get(code, MediaError)(message or scan.reason)


def box_of(best: Answer) -> Box:
    """Returns the box of an answer's best face as x1, y1, x2, y2."""
    box = best["box"]
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def default_sampling(question: Question, settings: Settings) -> bool:
    """Whether the question asks for the very frames that a scan looks at; pictures have but one."""
    return not isinstance(question, SceneQuestion) or sampling_of(question, settings) == sampling_plan(settings)


def timings(started: float, **parts: float) -> dict[str, float]:
    """Returns milliseconds by part, and in all since `started`."""
    parts["total"] = 1000 * (time.perf_counter() - started)
    return {name: round(value, 1) for name, value in parts.items()}


FaceEngineDeployment: serve.Deployment = serve.deployment(name="FaceEngine")(FaceEngineReplica)
