"""A picture or a video file to the people in it, in this process.

Lives here: decoding ahead of the engine, timings, and the JSON record of one identified path. Sampling is
`media.frames`, faces are `faces.engine`, names are `faces.identify`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, Literal, Protocol

from pipelines.errors import LimitExceeded, StashSenseError
from pipelines.faces.engine import Face, FaceEngine
from pipelines.faces.identify import Identifier, Match, Person
from pipelines.faces.tracks import SeenFace
from pipelines.faces.types import Frame
from pipelines.media.frames import FrameSampler, SampledFrame, SamplingPlan, SamplingReport, VideoInfo, VideoSource
from pipelines.media.images import load_image
from pipelines.media.kind import media_kind

_BLOCKS_AHEAD = 2
"""Blocks of frames that may wait for the engine: with 8 frames of 1280 x 720 a block, 44 MB."""
_POLL_S = 0.1


class Analyzer(Protocol):
    """What gives the faces of frames: a FaceEngine, or something that shares one."""

    def analyze(self, images: Sequence[Frame], *, retry: bool = True) -> list[list[Face]]: ...


@dataclass(slots=True)
class Stopwatch:
    """Milliseconds by step."""

    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - started) * 1e3


@dataclass(frozen=True, slots=True, eq=False)
class VideoFaces:
    """The faces of the sampled frames of one video.

    Attributes:
        seen: all faces, in order of frame; boxes are px of the decoded frame.
        frame_times: time of every sampled frame, faces or not.
        report: how the sampling went; `partial` for files that are cut short.
        timing_ms: decode and detect_embed (which overlap), and total.
    """

    seen: tuple[SeenFace, ...]
    frame_times: tuple[float, ...]
    info: VideoInfo
    report: SamplingReport
    timing_ms: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """The people of one file, or why there is no answer.

    Attributes:
        people: named and unknown ones; `Person.best.face.crop` shows the face.
        timing_ms: decode, detect_embed, match, total; steps of a video overlap, so they do not add up.
        duration_s: of a video.
    """

    path: str
    kind: Literal["image", "video", "error"]
    people: tuple[Person, ...]
    timing_ms: dict[str, float]
    error: dict[str, str] | None = None
    duration_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON record of `identify --json`."""
        return {
            "path": self.path,
            "kind": self.kind,
            "people": [_named(p, p.match) for p in self.people if p.match is not None],
            "unknown": [_seen(p) for p in self.people if p.match is None],
            "timing_ms": {name: round(ms, 1) for name, ms in self.timing_ms.items()},
            "error": self.error,
        }


def analyze_image(
    source: Path | bytes, engine: Analyzer, *, max_megapixels: float = 100, watch: Stopwatch | None = None
) -> list[Face]:
    """Returns the faces of a picture, largest first. Raises MediaError leaves and LimitExceeded."""
    watch = watch or Stopwatch()
    with watch.step("decode"):
        image = load_image(source, max_megapixels=max_megapixels)
    with watch.step("detect_embed"):
        return engine.analyze([image])[0]


def analyze_video(
    source: VideoSource,
    engine: Analyzer,
    plan: SamplingPlan | None = None,
    *,
    max_duration_s: float | None = None,
    on_block: Callable[[Sequence[SampledFrame]], None] = lambda _block: None,
) -> VideoFaces:
    """Returns the faces of the sampled frames of a video; frames are decoded while the engine works on earlier ones.

    At most `_BLOCKS_AHEAD` + 2 blocks of frames are in memory. `on_block` is given each block before the engine is;
    what it raises ends the analysis.

    Raises:
        MediaError: a leaf, when the video gives no frame.
        LimitExceeded: it is longer than `max_duration_s`.
    """
    watch = Stopwatch()
    seen: list[SeenFace] = []
    times: list[float] = []
    with watch.step("total"), FrameSampler(source, plan or SamplingPlan()) as sampler:
        if max_duration_s is not None and sampler.info.duration_s > max_duration_s:
            raise LimitExceeded(
                f"The video is {sampler.info.duration_s:.0f} s long.", f"At most {max_duration_s:.0f} s are allowed."
            )
        for block in _decoded_ahead(sampler, watch):
            on_block(block)
            with watch.step("detect_embed"):
                found = engine.analyze([frame.image for frame in block], retry=False)
            for frame, faces in zip(block, found, strict=True):
                seen.extend(SeenFace(face, frame.time_s, len(times)) for face in faces)
                times.append(frame.time_s)
        return VideoFaces(tuple(seen), tuple(times), sampler.info, sampler.report, watch.ms)


def identify_media(
    path: Path,
    engine: FaceEngine,
    identifier: Identifier,
    plan: SamplingPlan | None = None,
    *,
    tagged: Collection[str] = (),
    max_megapixels: float = 100,
    max_duration_s: float | None = None,
) -> Identification:
    """Returns the people of one picture or video; a file that cannot be read is an answer of kind "error"."""
    watch = Stopwatch()
    try:
        with watch.step("total"):
            if media_kind(path) == "image":
                faces = analyze_image(path, engine, max_megapixels=max_megapixels, watch=watch)
                with watch.step("match"):
                    people = identifier.image(faces, tagged=tagged)
                duration_s = None
            else:
                video = analyze_video(path, engine, plan, max_duration_s=max_duration_s)
                duration_s = video.info.duration_s
                watch.ms |= {name: ms for name, ms in video.timing_ms.items() if name != "total"}
                with watch.step("match"):
                    people = identifier.scene(
                        video.seen, frame_times=video.frame_times, duration_s=duration_s, tagged=tagged
                    )
    except StashSenseError as error:
        return Identification(str(path), "error", (), watch.ms, error.as_dict())
    kind: Literal["image", "video"] = "image" if duration_s is None else "video"
    return Identification(str(path), kind, tuple(people), watch.ms, duration_s=duration_s)


def identify_path(
    path: Path, engine: FaceEngine, identifier: Identifier, plan: SamplingPlan | None = None, **options: Any
) -> dict[str, Any]:
    """Returns `identify_media(...)` as the JSON record of the command line."""
    return identify_media(path, engine, identifier, plan, **options).to_dict()


def match_record(match: Match) -> dict[str, Any]:
    """Returns the JSON record of one candidate."""
    return {
        "name": match.name,
        "universal_id": match.universal_id,
        "confidence": round(match.confidence, 4),
        "distance": round(match.distance, 4),
    }


def _named(person: Person, match: Match) -> dict[str, Any]:
    return match_record(match) | _seen(person)


def _seen(person: Person) -> dict[str, Any]:
    return {
        "faces": person.faces,
        "ranges": [list(r) for r in person.ranges],
        "candidates": [match_record(m) for m in person.candidates],
    }


def _decoded_ahead(sampler: FrameSampler, watch: Stopwatch) -> Iterator[list[SampledFrame]]:
    """Yields the sampler's blocks, decoded by a thread that is at most `_BLOCKS_AHEAD` blocks ahead."""
    blocks: Queue[list[SampledFrame] | BaseException | None] = Queue(_BLOCKS_AHEAD)
    stopped = Event()

    def put(item: list[SampledFrame] | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(Full):
                blocks.put(item, timeout=_POLL_S)
                return

    def decode() -> None:
        source = sampler.blocks()
        try:
            while not stopped.is_set():
                with watch.step("decode"):
                    block = next(source, None)
                put(block)
                if block is None:
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer's thread
            put(error)

    thread = Thread(target=decode, name="decode", daemon=True)
    thread.start()
    try:
        while (item := blocks.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
