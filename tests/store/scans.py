"""Generated scans, for tests of the dataset and of what reads it."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from pipelines.store.templates import ContentScan, FrameHashes, ScanKey, ScannedFaces, ScanRecipe

RECIPE = ScanRecipe("open-00000000", "s1", "h1")
START = datetime(2026, 1, 1, tzinfo=UTC)


def faces(count: int, *, frames: int = 10, template_dim: int = 8, seed: int = 0) -> ScannedFaces:
    """Returns `count` faces in order of frame, with random numbers everywhere."""
    rng = np.random.default_rng(seed)

    def f32(*shape: int) -> Any:
        return rng.random(shape, dtype=np.float32)

    frame = np.sort(rng.integers(0, frames, count)).astype(np.int32)
    template = rng.standard_normal((count, template_dim)).astype(np.float16)
    return ScannedFaces(
        frame,
        frame.astype(np.float32),
        f32(count, 4) * 500,
        f32(count, 5, 2) * 500,
        f32(count),
        f32(count) * 90 - 45,
        f32(count) * 20 - 10,
        f32(count),
        template,
    )


def hashes(count: int, seed: int = 0) -> FrameHashes:
    rng = np.random.default_rng(seed)
    phash = rng.integers(0, 2**64, count, dtype=np.uint64)
    pdq = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    return FrameHashes(np.arange(count, dtype=np.float32), phash, pdq, rng.integers(0, 101, count, dtype=np.uint8))


def make_scan(
    content_id: str | int,
    *,
    count: int = 5,
    frames: int = 10,
    kind: str = "scene",
    fingerprint: str = "oshash:1",
    recipe: ScanRecipe = RECIPE,
    minutes: float = 0,
    template_dim: int = 8,
    seed: int | None = None,
    **more: Any,
) -> ContentScan:
    """Returns a scan of status "ok", or "no_face" with `count` 0, or as `more` says."""
    key = ScanKey(kind, str(content_id), fingerprint, recipe)  # type: ignore[arg-type]
    seed = zlib.crc32(f"{kind} {content_id} {fingerprint}".encode()) if seed is None else seed
    defaults: dict[str, Any] = {
        "status": "ok" if count else "no_face",
        "scanned_at": START + timedelta(minutes=minutes),
        "duration_s": 12.5,
        "width": 1920,
        "height": 1080,
        "faces": faces(count, frames=frames, template_dim=template_dim, seed=seed),
        "frames": hashes(frames, seed),
    }
    return ContentScan(key, **(defaults | more))


def failed(content_id: str | int, *, retryable: bool = True, **more: Any) -> ContentScan:
    more = {"status": "failed", "reason": "media_not_found: no such file", "retryable": retryable, **more}
    return make_scan(content_id, count=0, frames=0, **more)


def as_rows(scan: ContentScan) -> tuple[Any, ...]:
    """Returns everything of a scan as plain values that compare; times of scanning left out."""
    face, frame = scan.faces, scan.frames
    arrays = (face.frame, face.time_s, face.box, face.landmarks, face.score, face.yaw, face.roll, face.quality)
    hashes_ = (frame.time_s, frame.phash, frame.pdq, frame.pdq_quality)
    facts = (scan.status, scan.reason, scan.retryable, repr(scan.duration_s), scan.width, scan.height, scan.galleries)
    return (scan.key, *facts, *(a.tobytes() for a in (*arrays, face.template, *hashes_)))
