"""Is it a picture or a video? Told by the first bytes, never by the file's name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

from PIL import Image

from pipelines.errors import MediaCorrupt, MediaEmpty, MediaUnsupported
from pipelines.media.container import check_path, open_video
from pipelines.media.deadline import Deadline

Kind = Literal["image", "video"]

HEAD_BYTES = 64
PROBE_TIMEOUT_S = 30.0
GIF_VIDEO_FROM_S = 1.0
"""A GIF that plays this long or longer is treated as a video; a shorter one as the picture it begins with."""

GIF_MOST_FRAMES_COUNTED = 1000

IMAGE_STARTS = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"II*\x00",  # TIFF, both byte orders
    b"MM\x00*",
    b"\x00\x00\x01\x00",  # ICO
    b"\x00\x00\x00\x0cjP  ",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x0cJXL ",
    b"\xff\x0a",
    b"8BPS",
    b"qoif",
)
IMAGE_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
VIDEO_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"FLV\x01",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",
    b"OggS",
    b".RMF",
)


def media_kind(source: Path | bytes) -> Kind:
    """Returns "image" or "video".

    A path whose first bytes tell nothing is opened as a video, and a MediaError leaf says why it is none. Bytes that
    tell nothing raise MediaUnsupported.
    """
    if isinstance(source, bytes):
        if not source:
            raise MediaEmpty("no bytes were given.")
        kind = kind_of_head(source[:HEAD_BYTES]) or (_gif_kind(source) if source.startswith(b"GIF8") else None)
        if kind is None:
            raise MediaUnsupported("the bytes are neither a picture nor a video that is read here.")
        return kind
    check_path(source)
    with source.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"GIF8"):
        return _gif_kind(source)
    kind = kind_of_head(head)
    if kind is None:
        try:
            with open_video(source, Deadline(PROBE_TIMEOUT_S, str(source))):
                return "video"
        except MediaCorrupt as error:
            raise MediaUnsupported(f"{source}: neither a picture nor a video that is read here.") from error
    return kind


def kind_of_head(head: bytes) -> Kind | None:
    """Returns what the first bytes of a file announce; None for GIF, which can be both, and for unknown formats."""
    if head.startswith(IMAGE_STARTS):
        return "image"
    if head[:4] == b"RIFF":
        return {b"WEBP": "image", b"AVI ": "video"}.get(head[8:12])  # type: ignore[return-value]
    if head[4:8] == b"ftyp":
        return "image" if head[8:12] in IMAGE_BRANDS else "video"
    if head[4:8] in {b"moov", b"mdat", b"wide", b"free", b"skip"}:
        return "video"
    return "video" if head.startswith(VIDEO_STARTS) else None


def _gif_kind(source: Path | bytes) -> Kind:
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            frames = min(getattr(picture, "n_frames", 1), GIF_MOST_FRAMES_COUNTED)
            shown_ms = 0
            for index in range(frames if frames > 1 else 0):
                picture.seek(index)
                shown_ms += int(picture.info.get("duration", 0)) or 100  # browsers show 0 as 0.1 s
            return "video" if shown_ms >= 1000 * GIF_VIDEO_FROM_S else "image"
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise MediaCorrupt(f"the GIF is damaged or cut short ({error}).") from error
