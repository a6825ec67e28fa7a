"""Pictures that Stash makes of media: covers, sprites with their VTT, thumbnails, phashes. Made once and kept."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageOps

U8 = npt.NDArray[np.uint8]

SPRITE_SIDE = 9
"""Rows and columns of a sprite: 81 pictures (Stash's pkg/scene/generate/sprite.go)."""

TILE_WIDTH_PX = 160
COVER_AT = 0.2
"""Stash takes the cover at a fifth of the duration."""

THUMBNAIL_PX = 640
_HASH_SIDE = 5
_SEEK_FROM_S = 15.0
"""Wanted pictures that are farther apart are looked up from the key frame before them, nearer ones read on."""


SILHOUETTE = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 60" width="40" height="60">'
    b'<rect width="40" height="60" fill="#ccc"/><circle cx="20" cy="20" r="9" fill="#999"/>'
    b'<path d="M4 60c0-20 8-26 16-26s16 6 16 26z" fill="#999"/></svg>'
)
"""Answered for performers and scenes without a picture."""


class PictureShop:
    """Makes each picture once and keeps it under `folder`; two requests for one picture wait for the same work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._making: dict[Path, threading.Lock] = {}

    def cover(self, media: Path) -> bytes:
        """Returns a JPEG in the size of the video; b"" when no picture can be decoded."""
        return self._kept(media, "cover.jpg", lambda: _jpeg(_first(frames_at(media, [COVER_AT]))))

    def sprite(self, media: Path) -> bytes:
        """Returns a JPEG of 9 x 9 pictures, each 160 px wide; b"" when none can be decoded."""
        return self._kept(media, "sprite.jpg", lambda: _jpeg(_montage(media)))

    def thumbnail(self, media: Path) -> bytes:
        """Returns a JPEG of at most 640 px; b"" when it is no picture."""
        return self._kept(media, "thumbnail.jpg", lambda: _thumbnail(media))

    def _kept(self, media: Path, name: str, make: Any) -> bytes:
        status = media.stat()
        key = hashlib.sha1(f"{media.resolve()}|{status.st_size}|{status.st_mtime_ns}".encode()).hexdigest()  # noqa: S324
        path = self._folder / f"{key}.{name}"
        with self._lock:
            lock = self._making.setdefault(path, threading.Lock())
        with lock:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_suffix(".part")
                part.write_bytes(make())
                part.rename(path)
            return path.read_bytes()


def sprite_vtt(sprite: bytes, sprite_name: str, duration_s: float) -> str:
    """Returns the VTT of a sprite: 81 cues of equal length, each with the place of its picture."""
    with Pillow.open(io.BytesIO(sprite)) as picture:
        width, height = picture.width // SPRITE_SIDE, picture.height // SPRITE_SIDE
    step_s = duration_s / SPRITE_SIDE**2
    lines = ["WEBVTT", ""]
    for index in range(SPRITE_SIDE**2):
        x, y = width * (index % SPRITE_SIDE), height * (index // SPRITE_SIDE)
        lines.append(f"{vtt_time(index * step_s)} --> {vtt_time((index + 1) * step_s)}")
        lines.append(f"{sprite_name}#xywh={x},{y},{width},{height}")
        lines.append("")
    return "\n".join(lines)


def vtt_time(seconds: float) -> str:
    """Returns hh:mm:ss.mmm, milliseconds cut off."""
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{thousandths:03d}"


def frames_at(media: Path, shares: list[float], width_px: int | None = None) -> Iterator[U8]:
    """Yields an upright (h, w, 3) RGB picture for each share of the duration, ascending.

    The picture is the last one at or before the time. Nothing comes of what cannot be decoded.
    """
    try:
        with av.open(str(media)) as container:
            if not container.streams.video:
                return
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield from _pick(container, stream, shares, width_px)
    except (av.error.FFmpegError, OSError):
        return


def _pick(container: Any, stream: Any, shares: list[float], width_px: int | None) -> Iterator[U8]:
    duration_s = float(container.duration or 0) / 1e6
    begin_s = float((stream.start_time or 0) * stream.time_base)
    frames = container.decode(stream)
    ahead = next(frames, None)
    last = ahead
    for share in shares:
        target_s = begin_s + share * duration_s
        if ahead is not None and target_s - float(ahead.time) > _SEEK_FROM_S:
            container.seek(int(target_s * 1e6))
            frames = container.decode(stream)
            ahead = next(frames, None)
            last = ahead or last
        while ahead is not None and float(ahead.time) <= target_s:
            last, ahead = ahead, next(frames, None)
        if last is not None:
            yield _upright(last, width_px)


def _upright(frame: Any, width_px: int | None) -> U8:
    turns = int(frame.rotation) // 90 % 4
    wide = frame.height if turns % 2 else frame.width
    scale = 1.0 if width_px is None else width_px / wide
    size = (max(2, round(frame.width * scale)), max(2, round(frame.height * scale)))
    picture = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA").to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, turns))


def _first(pictures: Iterator[U8]) -> U8 | None:
    return next(pictures, None)


def _montage(media: Path) -> U8 | None:
    count = SPRITE_SIDE**2
    tiles = list(frames_at(media, [index / count for index in range(count)], TILE_WIDTH_PX))
    if not tiles:
        return None
    tiles += [tiles[-1]] * (count - len(tiles))
    rows = [np.concatenate(tiles[start : start + SPRITE_SIDE], axis=1) for start in range(0, count, SPRITE_SIDE)]
    return np.concatenate(rows, axis=0)


def _jpeg(picture: U8 | None) -> bytes:
    if picture is None:
        return b""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return bytes(data) if ok else b""


def _thumbnail(media: Path) -> bytes:
    try:
        with Pillow.open(media) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            upright.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
            target = io.BytesIO()
            upright.save(target, "JPEG", quality=85)
            return target.getvalue()
    except (OSError, SyntaxError):
        return b""


def phash(media: Path) -> str:
    """Returns the hex of a DCT hash over 25 pictures, without leading zeros; "" when none can be decoded.

    Near copies are near, as with Stash's; the bits are not Stash's, whose scaling is another.
    """
    count = _HASH_SIDE**2
    tiles = list(frames_at(media, [0.05 + 0.9 * index / count for index in range(count)], TILE_WIDTH_PX))
    if not tiles:
        return ""
    tiles += [tiles[-1]] * (count - len(tiles))
    rows = [np.concatenate(tiles[start : start + _HASH_SIDE], axis=1) for start in range(0, count, _HASH_SIDE)]
    grey = cv2.cvtColor(np.concatenate(rows, axis=0), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low)
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):x}"
