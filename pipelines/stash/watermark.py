"""What changed since: filters on `updated_at` that lose nothing.

Stash keeps times as text in its own offset and compares them as text, to the second. So a watermark is the text that
Stash returned, never a time of this machine, and a filter starts well before it: the reader drops what it has already
seen by (id, updated_at). Removals leave no trace; only comparing all ids (`StashLibrary.outlines`) finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pipelines.errors import StashRejected

OVERLAP = timedelta(hours=2, seconds=1)
"""The longest step of a summer time is 2 h; a second because times have no fractions."""


def updated_since(watermark: str, overlap: timedelta = OVERLAP) -> dict[str, Any]:
    """Returns the filter for what changed after `watermark` - `overlap`, in the offset of the watermark.

    Raises StashRejected when the watermark is no RFC 3339 time with an offset.
    """
    since = instant(watermark) - overlap
    text = since.replace(microsecond=0).isoformat()
    if watermark.endswith(("Z", "z")):
        text = text.removesuffix("+00:00") + "Z"
    return {"updated_at": {"value": text, "modifier": "GREATER_THAN"}}


def latest(times: Iterable[str]) -> str | None:
    """Returns the latest of Stash's times letter by letter, whatever their offsets; None when there is none."""
    return max((t for t in times if t), key=instant, default=None)


def instant(text: str) -> datetime:
    """Returns a time of Stash with its offset. Raises StashRejected."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise StashRejected(f"{text!r} is not a time of Stash.", "RFC 3339 with an offset is needed.")
    return time
