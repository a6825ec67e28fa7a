"""What an engine replica does with media before and after the engine: fetch, open, decode, cut faces out.

All of it runs in decoding threads or waits; how many pixels and bytes are in memory at once is bounded here.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from pipelines.errors import MediaUnsupported
from pipelines.faces.types import Frame
from pipelines.media.crops import cut_face, frame_at
from pipelines.media.images import load_image
from pipelines.media.kind import Kind, media_kind
from pipelines.media.video import HttpSource, VideoSource
from pipelines.settings import Settings
from pipelines.stash.limiter import Priority
from pipelines.stash.shared_limiter import limiter_for
from serve_app.answers import jpeg
from serve_app.contents import Medium
from serve_app.deployments.lanes import PixelBudget
from serve_app.sources import Source, Upload, fetch

PICTURES_IN_MEMORY = 2
"""Decoded pictures in memory, in multiples of the largest one that is allowed."""
FETCHES = 4
"""Pictures fetched at once; their bytes are in memory until they are decoded."""
FRAME_MEGAPIXELS = 9.0
"""Of one frame of a video that is cut for a face: at most 4096 x 2160 px."""

Box = tuple[float, float, float, float]
T = TypeVar("T")


class MediaReader:
    """Media of requests, for one replica."""

    def __init__(self, max_image_megapixels: float, threads: int) -> None:
        """
        Args:
            threads: decoding threads.
        """
        self._threads = ThreadPoolExecutor(threads, "decode")
        self._budget = PixelBudget(PICTURES_IN_MEMORY * max_image_megapixels)
        self._fetches = asyncio.Semaphore(FETCHES)

    async def in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """Runs a call in a decoding thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def kind(self, source: Source) -> Kind:
        """Returns whether a source is a picture or a video. Raises MediaUnsupported for a file that is neither."""
        if isinstance(source, HttpSource):
            return "video"
        try:
            return await self.in_thread(media_kind, source.data if isinstance(source, Upload) else source)
        except MediaUnsupported:
            if isinstance(source, Upload):
                return "video"  # bytes that say nothing: the video reader knows more formats and names the error
            raise

    async def fetched(self, medium: Medium, settings: Settings) -> bytes | Path:
        """Returns the bytes of an upload or behind a URL; a path as it is."""
        source = medium.source
        if isinstance(source, Path):
            return source
        if isinstance(source, HttpSource):
            async with self._fetches:
                await self.permit(medium, settings)
                source = await fetch(source, settings.max_body_mb)
        return source.data

    async def permit(self, medium: Medium, settings: Settings) -> None:
        """Waits for the turn of a file that Stash serves: its limit counts opened files as requests."""
        if medium.content is not None and isinstance(medium.source, HttpSource):
            await limiter_for(settings).acquire(Priority.INTERACTIVE)

    @asynccontextmanager
    async def room_for(self, data: bytes | Path) -> AsyncIterator[None]:
        """Waits until a picture of that size may be in memory, and counts it inside the block."""
        async with self._budget.hold(await self.in_thread(megapixels, data)):
            yield

    async def decoded(self, data: bytes | Path, settings: Settings) -> Frame:
        """Returns a picture as (h, w, 3) uint8 RGB. Raises MediaError leaves, LimitExceeded."""
        limit = settings.max_image_megapixels
        return await self.in_thread(lambda: load_image(data, max_megapixels=limit))

    @asynccontextmanager
    async def on_disk(self, source: Source) -> AsyncIterator[VideoSource]:
        """Yields what the video reader can open; an upload is in a temporary file meanwhile."""
        if not isinstance(source, Upload):
            yield source
            return
        with tempfile.NamedTemporaryFile(prefix="upload-") as file:
            await self.in_thread(Path(file.name).write_bytes, source.data)
            yield Path(file.name)

    async def cut(self, medium: Medium, time_s: float | None, box: Box, settings: Settings) -> bytes:
        """Returns a face of a picture, or of the frame of a video at that time, as JPEG."""
        if time_s is None:
            data = await self.fetched(medium, settings)
            async with self.room_for(data):
                frame = await self.decoded(data, settings)
                return await self.in_thread(lambda: jpeg(cut_face(frame, box)))
        await self.permit(medium, settings)
        async with self.on_disk(medium.source) as file, self._budget.hold(FRAME_MEGAPIXELS):
            found = await self.in_thread(lambda: frame_at(file, time_s, timeout_s=settings.decode_timeout_s))
            return await self.in_thread(lambda: jpeg(cut_face(found.image, [px * found.scale for px in box])))

    def close(self) -> None:
        """Ends the threads; what they have not begun is forgotten."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def megapixels(source: Path | bytes) -> float:
    """Returns the size that a picture's header states; 0 when it cannot be read, which decoding will say better."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            return picture.width * picture.height / 1e6
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError):
        return 0.0
