"""Links to face crops that a page can show, and the crops that were made.

A link holds what it shows and until when, signed with a key that follows from the API key's digest; the API key is not
in it. What comes from Stash is cut out when the link is first followed; crops of anything else are kept when the answer
is given, because nothing can bring them back later.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.errors import MediaNotFound
from serve_app.contents import Content, Medium

if TYPE_CHECKING:
    from pipelines.store.enrolled_faces import Seen

LIVES_S = 86_400
"""Least life of a link. It ends at a multiple of it, so that links of one day are alike and browsers keep them."""
MOST_BYTES = 256_000_000
"""Crops on disk, about 25,000; the oldest go first."""
KEEP_SHARE = 0.8
_FACE = {"scene_id", "time_s", "box", "file_fingerprint"}
SIGNATURE_BYTES = 16


@dataclass(frozen=True, slots=True)
class CropName:
    """What a link shows.

    Attributes:
        kind: "kept" for crops that were kept with the answer, "enrolled" for those that an enrolment kept, "portrait"
            for what the performer database names as somebody's picture.
        name: id of the content in Stash, digest of a kept crop, "source id key" of an enrolled face, universal id.
        file: digest of the file's fingerprint: another file under the same id is another picture.
        time_s: in a video.
        box: x1, y1, x2, y2 px as shown.
    """

    kind: Literal["scene", "image", "kept", "enrolled", "portrait"]
    name: str
    file: str = ""
    time_s: float | None = None
    box: tuple[float, float, float, float] | None = None

    @property
    def cache_key(self) -> str:
        return digest(repr(self).encode())


class Crops:
    """Makes and reads links; keeps crops below `folder`."""

    def __init__(self, key_digest: str, folder: Path) -> None:
        self._key = hmac.digest(key_digest.encode(), b"face crops", "sha256")
        self._folder = folder
        self._bytes: int | None = None
        self._writing = asyncio.Lock()

    def link(self, crop: CropName, now: float | None = None) -> str:
        """Returns the path of a link."""
        now = time.time() if now is None else now
        expires = (int(now // LIVES_S) + 2) * LIVES_S
        said = json.dumps([expires, crop.kind, crop.name, crop.file, crop.time_s, crop.box], separators=(",", ":"))
        payload = said.encode()
        return f"/crops/{text(self._signature(payload) + payload)}.jpg"

    def read(self, token: str, now: float | None = None) -> CropName:
        """Returns what a link shows. Raises MediaNotFound when it is none of ours, or too old."""
        now = time.time() if now is None else now
        try:
            data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            data = b""
        signature, payload = data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(payload)):
            raise MediaNotFound("There is no such crop.", "Links come with the answers of /identify.")
        expires, kind, name, file, time_s, box = json.loads(payload)
        if now > expires:
            raise MediaNotFound("The link has expired.", "Ask again.")
        return CropName(kind, name, file, time_s, tuple(box) if box else None)

    async def get(self, crop: CropName) -> bytes | None:
        """Returns a crop that was made before."""
        return await asyncio.to_thread(self._read, self._path(crop))

    async def keep(self, crop: CropName, picture: bytes) -> None:
        """Keeps a crop; the oldest ones give way."""
        async with self._writing:
            await asyncio.to_thread(self._write, self._path(crop), picture)

    async def add_links(self, answer: dict[str, Any], media: Sequence[Medium]) -> None:
        """Gives every person of an answer a link to the best face, `best.crop_url`."""
        for person in (*answer["people"], *answer["unknown"]):
            best = person["best"]
            content = media[best["frame"] if len(media) > 1 else 0].content
            picture = best.pop("jpeg", None)
            if content is not None:
                best["crop_url"] = self.link(of_content(content, best))
            elif picture is not None:
                kept = CropName("kept", digest(picture))
                await self.keep(kept, picture)
                best["crop_url"] = self.link(kept)

    def linked(self, details: Any) -> Any:
        """Returns details of a recommendation in which every face of a scene has its link, `crop_url`.

        Such a face is an object with scene_id, time_s, box and file_fingerprint, wherever it is.
        """
        if isinstance(details, list | tuple):
            return [self.linked(one) for one in details]
        if not isinstance(details, dict):
            return details
        found = {name: self.linked(value) for name, value in details.items()}
        if is_linked(found) and found["box"]:
            file = digest(found["file_fingerprint"].encode())[:12]
            found["crop_url"] = self.link(
                CropName("scene", found["scene_id"], file, found["time_s"], corners(found["box"]))
            )
        return found

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:SIGNATURE_BYTES]

    def _path(self, crop: CropName) -> Path:
        key = crop.cache_key
        return self._folder / key[:2] / f"{key}.jpg"

    def _read(self, path: Path) -> bytes | None:
        with suppress(OSError):
            picture = path.read_bytes()
            os.utime(path)  # the oldest are those that nobody looks at
            return picture
        return None

    def _write(self, path: Path, picture: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(picture)
        temporary.replace(path)
        self._bytes = self._on_disk() if self._bytes is None else self._bytes + len(picture)
        if self._bytes > MOST_BYTES:
            self._make_room()

    def _on_disk(self) -> int:
        return sum(path.stat().st_size for path in self._folder.rglob("*.jpg"))

    def _make_room(self) -> None:
        files = sorted((s.st_mtime, s.st_size, p) for p in self._folder.rglob("*.jpg") if (s := p.stat()))
        left = sum(size for _, size, _ in files)
        for _, size, path in files:
            if left <= KEEP_SHARE * MOST_BYTES:
                break
            path.unlink(missing_ok=True)
            left -= size
        self._bytes = left


def is_linked(fields: Mapping[str, Any]) -> bool:
    """Whether fields of details are those of a face that gets a link."""
    return fields.keys() >= _FACE


def of_content(content: Content, best: dict[str, Any]) -> CropName:
    """Returns the name of the best face of a person in something of Stash."""
    return CropName(content.kind, content.content_id, file_digest(content), best["time_s"], corners(best["box"]))


def of_scan(seen: Seen) -> CropName:
    """Returns the name of an enrolled face that was seen in something of Stash."""
    file = digest(seen.file_fingerprint.encode())[:12]
    return CropName("scene" if seen.kind == "scene" else "image", seen.content_id, file, seen.time_s, seen.box)


def enrolled_face(source: str, universal_id: str, key: str) -> CropName:
    """Returns the name of the picture that an enrolment kept of a face; none of the three has a blank in it."""
    return CropName("enrolled", f"{source} {universal_id} {key}")


def is_portrait(image_url: str | None, stash_url: str | None) -> bool:
    """Whether the picture that the performer database names is one to fetch; what is in Stash the page has from it."""
    address = image_url or ""
    theirs = address.startswith(("http://", "https://"))
    return theirs and not (stash_url and address.startswith(stash_url.rstrip("/") + "/"))


def corners(box: Mapping[str, float]) -> tuple[float, float, float, float]:
    """Returns x1, y1, x2, y2 of a box with x, y, width, height, px."""
    return box["x"], box["y"], round(box["x"] + box["width"], 1), round(box["y"] + box["height"], 1)


def file_digest(content: Content) -> str:
    """Returns a short digest of the file's fingerprint."""
    return digest(content.file_fingerprint.encode())[:12]


def digest(data: bytes) -> str:
    """Returns 32 hex digits."""
    return hashlib.sha256(data).hexdigest()[:32]


def text(data: bytes) -> str:
    """Returns bytes as letters, digits, - and _."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
