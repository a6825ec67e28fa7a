"""The Range header as Go's file server reads it (net/http.ServeContent), which is what streams Stash's media."""

from __future__ import annotations

import re
from dataclasses import dataclass


class RangeInvalid(Exception):
    """416 without a Content-Range: the header is not understood."""


class RangeUnsatisfiable(Exception):
    """416 with `Content-Range: bytes */size`: no range begins inside the file."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    start: int
    length: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_range(header: str, size: int) -> list[ByteRange]:
    """Returns the asked ranges inside a file of `size` bytes; empty means: answer the whole file with 200.

    Ranges that together are longer than the file, and any range of an empty file, give the whole file.
    """
    if not header:
        return []
    if not header.startswith("bytes="):
        raise RangeInvalid("invalid range")
    ranges: list[ByteRange] = []
    beyond = False
    for part in header.removeprefix("bytes=").split(","):
        spec = part.strip()
        if not spec:
            continue
        found = re.fullmatch(r"(\d*)\s*-\s*(\d*)", spec)
        if found is None or spec == "-":
            raise RangeInvalid("invalid range")
        one = _one(found[1], found[2], size)
        beyond = beyond or one is None
        ranges += [one] if one is not None else []
    if beyond and not ranges:
        if size == 0:
            return []
        raise RangeUnsatisfiable("invalid range: failed to overlap")
    return ranges if sum(one.length for one in ranges) <= size else []


def _one(first: str, last: str, size: int) -> ByteRange | None:
    if not first:
        length = min(int(last), size)
        return ByteRange(size - length, length)
    start = int(first)
    if start >= size:
        return None
    if not last:
        return ByteRange(start, size - start)
    if int(last) < start:
        raise RangeInvalid("invalid range")
    return ByteRange(start, min(int(last), size - 1) - start + 1)
