"""What can be shown of enrolled faces: of some a small picture is kept, others are in scans of Stash's scenes.

Lives here: finding either. A face of a scene or image is found again in its stored scan, by time and template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from pipelines.store.face_crops import FaceCrops, face_key
from pipelines.store.templates import ContentScan, ScanDataset

Face = Mapping[str, Any]
"""A row of `tables.face_schema` without its template, with `origin` (id of the source) and `key` (`face_key`)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where in Stash an enrolled face was seen.

    Attributes:
        time_s: in a video.
        box: x1, y1, x2, y2 px as shown.
    """

    kind: str
    content_id: str
    file_fingerprint: str
    time_s: float | None
    box: tuple[float, float, float, float]


def kept_pictures(root: Path, faces: Iterable[Face]) -> set[tuple[str, str, str]]:
    """Returns of which faces a small picture is kept, as origin, universal id and key."""
    found: set[tuple[str, str, str]] = set()
    for origin, universal_id in {(face["origin"], face["universal_id"]) for face in faces}:
        found |= {(origin, universal_id, key) for key in FaceCrops(root, origin).keys(universal_id)}
    return found


def seen_in(dataset: ScanDataset, template_id: str, faces: Iterable[Face]) -> dict[tuple[str, str], Seen]:
    """Returns where in Stash faces were seen, by their source text and key; without those whose scan is another by now.

    Args:
        faces: those whose source is such as "scene/42@12.50" or "image/7"; all others are passed over.
    """
    wanted: dict[tuple[str, str], list[Face]] = {}
    for face in faces:
        kind, _, rest = str(face["source"]).partition("/")
        content_id = rest.partition("@")[0]
        if kind in {"scene", "image"} and content_id.isascii() and content_id.isdigit():
            wanted.setdefault((kind, content_id), []).append(face)
    found: dict[tuple[str, str], Seen] = {}
    if not wanted:
        return found
    for scan in dataset.scans(pack=template_id, with_frames=False, keys=set(wanted)):
        own = wanted[scan.key.kind, scan.key.content_id]
        for face in own:
            row = _row(scan, face)
            if row is not None:
                found[face["source"], face["key"]] = _seen(scan, row)
    return found


def face_sources(scan: ContentScan) -> list[str]:
    """Returns the text that names each face of a scan as the source of an enrolled one, such as "scene/42@12.50"."""
    where = f"{scan.key.kind}/{scan.key.content_id}"
    return [where if isnan(time_s) else f"{where}@{time_s:.2f}" for time_s in scan.faces.time_s.tolist()]


def _row(scan: ContentScan, face: Face) -> int | None:
    """Returns the row of a face in a scan: of its time and template; faces that share a template differ in time."""
    for row, source in enumerate(face_sources(scan)):
        if source == face["source"] and face_key(scan.faces.template[row]) == face["key"]:
            return row
    return None


def _seen(scan: ContentScan, row: int) -> Seen:
    time_s = float(scan.faces.time_s[row])
    x1, y1, x2, y2 = (round(float(px), 1) for px in scan.faces.box[row])
    return Seen(
        scan.key.kind,
        scan.key.content_id,
        scan.key.file_fingerprint,
        None if isnan(time_s) else round(time_s, 3),
        (x1, y1, x2, y2),
    )
