"""`engine`: the engine against a bare loop over the same sessions, and against insightface's own classes.

- bare_loop: frames/s of `FaceEngine.analyze` against a loop that calls the same ONNX sessions with the very inputs that
  the engine gave them, and does nothing else: no resizing, decoding or alignment. Ratio = engine / loop: what is left
  for Python, OpenCV and NumPy. Medians of alternating repetitions. bare_loop_cpu: the same in CPU time, which other
  work on the machine disturbs less.
- one_pass: the same frames/s against a hand-written loop of one detector pass, alignment and embedding per frame,
  without second looks and refined landmarks: the price of these.
- insightface_parity: largest difference of boxes in px and least cosine of embeddings on the same files, with the
  square canvas of insightface; short_canvas: with the canvas that the engine uses.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from pipelines.faces.alignment import align_face
from pipelines.faces.catalogue import OPEN
from pipelines.faces.detector import FaceDetector, box_iou
from pipelines.faces.embedder import FaceEmbedder
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.faces.sessions import GraphSession
from pipelines.faces.types import F32, Frame
from pipelines.media.images import load_image
from tests.bench.report import Options, Report

DATA = Path(__file__).parents[1] / "data"
CLIPS = ("asl_again.mkv", "asl_bird.mkv", "asl_book.mkv", "short_hamilton_clip.mp4", "head_pose_male.mp4")
FRAMES_PER_CLIP = 8
FRAMES_PER_CALL = 8
REPETITIONS = 7
THREADS = {1: "", 2: "_2_threads"}
"""One thread in a model call is what the server uses on a CPU; suffix of the metrics."""


def run(report: Report, options: Options) -> None:
    frames = _frames(2 if options.quick else FRAMES_PER_CLIP)
    for threads, suffix in THREADS.items():
        _compare_with_loops(report, options, frames, threads, suffix)
    _compare_with_insightface(report, "insightface_parity", OnePass(options.models, square=True), options)
    _compare_with_insightface(report, "short_canvas", OnePass(options.models), options)


def _compare_with_loops(report: Report, options: Options, frames: list[Frame], threads: int, suffix: str) -> None:
    engine = FaceEngine(OPEN, options.models, EngineOptions(threads=threads))

    def analyze() -> None:
        for start in range(0, len(frames), FRAMES_PER_CALL):
            engine.analyze(frames[start : start + FRAMES_PER_CALL], retry=False)

    calls = _record(analyze)

    def bare_loop() -> None:
        for session, blob in calls:
            session.run(blob)

    one_pass = OnePass(options.models, threads=threads)

    def one_pass_loop() -> None:
        for frame in frames:
            one_pass.analyze(frame)

    wall_s, cpu_s = _alternate([analyze, bare_loop, one_pass_loop], 2 if options.quick else REPETITIONS)
    engine_fps, bare_fps, one_pass_fps = (len(frames) / s for s in wall_s)
    engine_ms, bare_ms, _ = (1e3 * s / len(frames) for s in cpu_s)
    report.add(f"bare_loop{suffix}", engine_fps, "frames/s", baseline=bare_fps, ratio=engine_fps / bare_fps)
    report.add(f"bare_loop_cpu{suffix}", engine_ms, "CPU ms a frame", baseline=bare_ms, ratio=bare_ms / engine_ms)
    report.add(f"one_pass{suffix}", engine_fps, "frames/s", baseline=one_pass_fps, ratio=engine_fps / one_pass_fps)


def _frames(per_clip: int) -> list[Frame]:
    """Evenly spaced frames of real clips, 480 x 270 to 640 x 480 px, most with one or two faces."""
    frames: list[Frame] = []
    for name in CLIPS:
        with av.open(str(DATA / "video/real" / name)) as container:
            every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        frames += every[:: max(1, len(every) // per_clip)][:per_clip]
    return frames


def _record(analyze: Callable[[], None]) -> list[tuple[GraphSession, F32]]:
    """Returns every session call that `analyze` makes, in order, with a copy of its input."""
    calls: list[tuple[GraphSession, F32]] = []
    original = GraphSession.run

    def recording(session: GraphSession, blob: F32) -> list[F32]:
        calls.append((session, blob.copy()))
        return original(session, blob)

    GraphSession.run = recording  # type: ignore[method-assign]
    try:
        analyze()
    finally:
        GraphSession.run = original  # type: ignore[method-assign]
    return calls


class OnePass:
    """The loop that a reader of the ONNX files would write: one pass, no second look."""

    def __init__(self, folder: Path, *, threads: int = 1, square: bool = False) -> None:
        cv2.setNumThreads(1)
        self.spec = OPEN.embedders[0]
        self.detector = FaceDetector(OPEN.detector, folder / OPEN.detector.file.name, threads=threads, square=square)
        self.embedder = FaceEmbedder(self.spec, folder / self.spec.file.name, threads=threads)

    def analyze(self, frame: Frame) -> tuple[F32, F32, F32]:
        """Returns boxes (n, 4), landmarks (n, 5, 2) and embeddings (n, dimension) of one frame."""
        found = self.detector.detect([frame])[0]
        crops = [align_face(frame, marks, self.spec.alignment, self.spec.input_px) for marks in found.landmarks]
        side = self.spec.input_px
        embeddings = self.embedder.embed(np.stack(crops) if crops else np.zeros((0, side, side, 3), np.uint8))
        return found.boxes, found.landmarks, embeddings


def _alternate(calls: Sequence[Callable[[], None]], repetitions: int) -> tuple[list[float], list[float]]:
    """Returns the median wall and CPU seconds of each call; they take turns, so that a busy machine slows all alike."""
    for call in calls:
        call()
    wall: list[list[float]] = [[] for _ in calls]
    cpu: list[list[float]] = [[] for _ in calls]
    for _ in range(repetitions):
        for i, call in enumerate(calls):
            start = time.perf_counter(), time.process_time()
            call()
            wall[i].append(time.perf_counter() - start[0])
            cpu[i].append(time.process_time() - start[1])
    return [statistics.median(t) for t in wall], [statistics.median(t) for t in cpu]


def _compare_with_insightface(report: Report, name: str, ours: OnePass, options: Options) -> None:
    from insightface.model_zoo import get_model
    from insightface.utils import face_align

    providers = ["CPUExecutionProvider"]
    detector = get_model(str(options.models / OPEN.detector.file.name), providers=providers)
    detector.prepare(ctx_id=-1, det_thresh=OPEN.detector.min_score, input_size=(640, 640))
    embedder = get_model(str(options.models / ours.spec.file.name), providers=providers)
    files = sorted(p for folder in ("groups", "people/*") for p in (DATA / "faces").glob(f"{folder}/*.*"))
    box_px, landmark_px, cosine, faces, missing = 0.0, 0.0, 1.0, 0, 0
    for path in files[:3] if options.quick else files:
        picture = load_image(path)
        boxes, landmarks, embeddings = ours.analyze(picture)
        their_boxes, their_landmarks = detector.detect(picture[:, :, ::-1])
        missing += abs(len(boxes) - len(their_boxes))
        for box, marks in zip(their_boxes[:, :4], their_landmarks, strict=True):
            row = int(box_iou(box, boxes).argmax())
            embedding = embedder.get_feat(face_align.norm_crop(picture[:, :, ::-1], marks, ours.spec.input_px))[0]
            box_px = max(box_px, float(np.abs(boxes[row] - box).max()))
            landmark_px = max(landmark_px, float(np.abs(landmarks[row] - marks).max()))
            cosine = min(cosine, float(embeddings[row] @ embedding / np.linalg.norm(embedding)))
            faces += 1
    report.add(name, box_px, "px, largest box difference")
    report.add(f"{name}_landmarks", landmark_px, "px, largest difference")
    report.add(f"{name}_cosine", cosine, "least cosine")
    report.add(f"{name}_faces", faces, "faces compared")
    report.add(f"{name}_missing", missing, "faces that only one of the two found")
