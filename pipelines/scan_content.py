"""One scene or image to its scan: every face with its template, every sampled frame with its hashes.

What cannot be read is a scan too, of status "failed" with the reason. Nothing is written and Ray is not known here, so
that the workers of a scan and a server that answers one question do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines.errors import InputError, LimitExceeded, MediaError, MediaNotFound, MediaTimeout, MediaUnreachable
from pipelines.faces.engine import Face
from pipelines.identify_media import Analyzer, analyze_video
from pipelines.media.deadline import Deadline
from pipelines.media.frames import HttpSource, SampledFrame, SamplingPlan, VideoSource
from pipelines.media.hashes import Hashes, VideoHashes, frame_hashes
from pipelines.media.http_file import HttpFile
from pipelines.media.images import load_image
from pipelines.media.kind import media_kind
from pipelines.store.scan_schema import ContentScan, FrameHashes, ScanKey, ScannedFaces

LARGEST_PICTURE_BYTES = 256 << 20
"""A picture behind Stash that has more bytes is not fetched."""

Source = VideoSource | bytes


def scan_content(
    key: ScanKey,
    source: Source,
    engine: Analyzer,
    plan: SamplingPlan,
    *,
    galleries: Sequence[str] = (),
    max_duration_s: float | None = None,
    max_megapixels: float = 100,
    checkpoint: Callable[[], None] = lambda: None,
) -> ContentScan:
    """Returns the scan of one content; a file that cannot be read is a scan of status "failed".

    Args:
        checkpoint: called before each block of frames; what it raises ends the scan and reaches the caller.
    """
    try:
        if key.kind == "image":
            scan = _image(key, source, engine, plan, max_megapixels, checkpoint)
        elif isinstance(source, bytes):
            raise InputError("a scene was given as bytes.", "Give a path or an address.")
        else:
            scan = _video(key, source, engine, plan, max_duration_s, checkpoint)
    except (MediaError, LimitExceeded) as error:
        scan = failed_scan(key, f"{error.code}: {error.message}", retryable=_may_pass(error, source))
    return replace(scan, galleries=tuple(galleries))


def failed_scan(key: ScanKey, reason: str, *, retryable: bool) -> ContentScan:
    """Returns the scan of a content that gave nothing; `reason` is a code, a colon and words."""
    return ContentScan(key, "failed", reason, retryable)


def _video(
    key: ScanKey,
    source: VideoSource,
    engine: Analyzer,
    plan: SamplingPlan,
    max_duration_s: float | None,
    checkpoint: Callable[[], None],
) -> ContentScan:
    hashes, times_s, scales = VideoHashes(), list[float](), list[float]()

    def on_block(block: Sequence[SampledFrame]) -> None:
        checkpoint()
        for frame in block:
            hashes.add(frame.image)
            times_s.append(frame.time_s)
            scales.append(frame.scale)

    video = analyze_video(source, engine, plan, max_duration_s=max_duration_s, on_block=on_block)
    found = [(s.frame, s.face, s.time_s) for s in video.seen]
    partial = video.report.partial
    return ContentScan(
        key,
        "partial" if partial else "ok" if found else "no_face",
        f"{video.report.stopped_by or 'frames_missing'}: {video.report.reason}" if partial else "",
        video.report.stopped_by in {MediaUnreachable.code, MediaTimeout.code} and isinstance(source, HttpSource),
        datetime.now(UTC),
        video.info.duration_s,
        video.info.width,
        video.info.height,
        faces=_faces(found, [scales[number] for number, _, _ in found]),
        frames=_frames(times_s, hashes.result()),
    )


def _image(
    key: ScanKey,
    source: Source,
    engine: Analyzer,
    plan: SamplingPlan,
    max_megapixels: float,
    checkpoint: Callable[[], None],
) -> ContentScan:
    data = fetch_picture(source, plan.timeout_s) if isinstance(source, HttpSource) else source
    if isinstance(data, Path) and media_kind(data) == "video":  # Stash counts short clips among its images
        return _video(key, data, engine, plan, None, checkpoint)
    image = load_image(data, max_megapixels=max_megapixels)
    checkpoint()
    found = [(0, face, None) for face in engine.analyze([image])[0]]
    return ContentScan(
        key,
        "ok" if found else "no_face",
        scanned_at=datetime.now(UTC),
        width=image.shape[1],
        height=image.shape[0],
        faces=_faces(found, [1.0] * len(found)),
        frames=_frames([float("nan")], [frame_hashes(image)]),
    )


def fetch_picture(source: HttpSource, timeout_s: float) -> bytes:
    """Returns the bytes of a picture behind Stash. Raises MediaError leaves, LimitExceeded."""
    file = HttpFile(source, Deadline(timeout_s, source.name))
    try:
        if file.size_bytes > LARGEST_PICTURE_BYTES:
            raise LimitExceeded(
                f"{source.name}: {file.size_bytes} bytes.", f"At most {LARGEST_PICTURE_BYTES} are allowed."
            )
        pieces = []
        while piece := file.read():
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        file.close()


def _may_pass(error: Exception, source: Source) -> bool:
    """Whether another try may go better though the file stays as it is.

    A missing file may be on a disk that is not mounted. Local files that take too long take too long the next time.
    """
    if isinstance(error, MediaTimeout):
        return isinstance(source, HttpSource)
    return isinstance(error, (MediaUnreachable, MediaNotFound))


def _frames(times_s: Sequence[float], hashes: Sequence[Hashes]) -> FrameHashes:
    """Returns the hashes of frames as columns."""
    if not hashes:
        return FrameHashes.none()
    phashes, pdqs, qualities = zip(*hashes, strict=True)
    return FrameHashes(
        np.array(times_s, np.float32), np.array(phashes, np.uint64), np.stack(pdqs), np.array(qualities, np.uint8)
    )


def _faces(found: Sequence[tuple[int, Face, float | None]], scales: Sequence[float]) -> ScannedFaces:
    """Returns the faces as columns; boxes and landmarks divided by the scale of their frame."""
    if not found:
        return ScannedFaces.none()
    faces = [face for _, face, _ in found]
    scale = np.array(scales, np.float32)
    times = [float("nan") if time_s is None else time_s for _, _, time_s in found]
    return ScannedFaces(
        frame=np.array([number for number, _, _ in found], np.int32),
        time_s=np.array(times, np.float32),
        box=(np.stack([f.box for f in faces]) / scale[:, None]).astype(np.float32),
        landmarks=(np.stack([f.landmarks for f in faces]) / scale[:, None, None]).astype(np.float32),
        score=np.array([f.detection_score for f in faces], np.float32),
        yaw=np.array([f.yaw_deg for f in faces], np.float32),
        roll=np.array([f.roll_deg for f in faces], np.float32),
        quality=np.array([f.quality for f in faces], np.float32),
        template=np.stack([f.template for f in faces]).astype(np.float16),
    )
