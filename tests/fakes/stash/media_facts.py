"""Facts about real media files as Stash's own scan finds them: hashes, sizes, codecs, durations."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
from PIL import Image as Pillow

from pipelines.errors import MediaError
from pipelines.media.frames import probe

_CHUNK = 64 * 1024
VIDEO_EXTENSIONS = frozenset({"m4v", "mp4", "mov", "wmv", "avi", "mpg", "mpeg", "ts", "flv", "mkv", "webm", "m2ts"})
IMAGE_EXTENSIONS = frozenset({"png", "jpg", "jpeg", "gif", "webp", "avif"})
"""Endings that Stash takes for videos and images by default."""


def media_type(path: Path) -> str:
    """Returns "video", "image" or "" by the ending of a name."""
    ending = path.suffix.lower().lstrip(".")
    return "video" if ending in VIDEO_EXTENSIONS else "image" if ending in IMAGE_EXTENSIONS else ""


def oshash(path: Path) -> str:
    """Returns the 16 hex digits of OpenSubtitles' hash: size + sums of the first and the last 64 KiB, modulo 2**64.

    A file of 8 bytes or less has none, as in Stash: raises ValueError.
    """
    size = path.stat().st_size
    if size <= 8:
        raise ValueError(f"{path.name} has {size} bytes; more than 8 are needed")
    chunk = min(_CHUNK, size) // 8 * 8
    with path.open("rb") as file:
        head = file.read(chunk)
        file.seek(-chunk, 2)
        tail = file.read(chunk)
    total = size
    for block in (head, tail):
        total += sum(struct.unpack(f"<{len(block) // 8}Q", block))
    return f"{total & 0xFFFFFFFFFFFFFFFF:016x}"


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


@lru_cache(4096)
def _video_facts(path: Path, size: int, mtime_ns: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"format": path.suffix.lstrip("."), "size": size}
    if size > 8:
        facts["fingerprints"] = (("oshash", oshash(path)),)
    try:
        info = probe(path)
    except MediaError:
        return facts
    bits = round(size * 8 / info.duration_s) if info.duration_s else 0
    return facts | {
        "duration": round(info.duration_s, 3),
        "width": info.width,
        "height": info.height,
        **_codecs(path),
        "frame_rate": round(info.fps, 3),
        "bit_rate": min(bits, 2**31 - 1),
    }


def _codecs(path: Path) -> dict[str, str]:
    """Returns the codecs by the names of their formats ("av1"), not of the decoders at hand ("libdav1d")."""
    with av.open(str(path)) as container:
        names = {
            "video_codec": [one.codec_context.codec.canonical_name for one in container.streams.video],
            "audio_codec": [one.codec_context.codec.canonical_name for one in container.streams.audio],
        }
    return {kind: found[0] if found else "" for kind, found in names.items()}


def video_facts(path: Path) -> dict[str, Any]:
    """Returns the fields of a video's File row. What cannot be opened keeps zeros, as a file Stash could not probe."""
    status = path.stat()
    return dict(_video_facts(path.resolve(), status.st_size, status.st_mtime_ns))


@lru_cache(4096)
def _image_facts(path: Path, size: int, mtime_ns: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"format": path.suffix.lstrip("."), "size": size, "fingerprints": (("md5", md5(path)),)}
    try:
        with Pillow.open(path) as picture:
            return facts | {"width": picture.width, "height": picture.height, "format": (picture.format or "").lower()}
    except (OSError, SyntaxError):
        return facts


def image_facts(path: Path) -> dict[str, Any]:
    """Returns the fields of an image's File row; a broken picture keeps zeros."""
    status = path.stat()
    return dict(_image_facts(path.resolve(), status.st_size, status.st_mtime_ns))
