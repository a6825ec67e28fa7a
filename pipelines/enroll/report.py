"""What an enrolment left out and why: counts by reason, a few example crops of each, as JSON and as a page.

Lives here: `GateReport`. Which reasons there are is `faces.gates.REASONS`; a report takes any word.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from pipelines.durable import rename_synced
from pipelines.faces.gates import REASONS
from pipelines.faces.types import Frame

EXAMPLES = 6
"""Crops that are kept of one reason."""
CROP_PX = 160
JPEG_QUALITY = 80
ENROLLED = "enrolled"
"""The reason of a face that passed every gate."""

_PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }
td, th { padding: .2em 1em .2em 0; text-align: left; vertical-align: top; }
td.number { text-align: right; } figure { display: inline-block; margin: 0 1em 1em 0; width: 160px; }
figcaption { color: #666; font-size: 12px; overflow-wrap: anywhere; }
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ created }}</p>
{% if facts %}<table>{% for name, value in facts.items() %}
<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>{% endif %}
<h2>Pictures</h2>
<table>{% for row in rows %}
<tr><td class="number">{{ "{:,}".format(row.count) }}</td><td>{{ row.reason }}</td><td>{{ row.meaning }}</td></tr>
{% endfor %}</table>
{% for row in rows if row.examples %}
<h2>{{ row.meaning }}</h2>
{% for example in row.examples %}
<figure>{% if example.crop %}<img src="{{ example.crop }}" alt="">{% endif %}
<figcaption>{{ example.detail }}</figcaption></figure>
{% endfor %}{% endfor %}
</body></html>
""")


@dataclass(frozen=True, slots=True)
class Example:
    """One picture of a reason; `jpeg` is empty where there is nothing to show."""

    detail: str
    jpeg: bytes = field(repr=False)


class GateReport:
    """Counts what became of each picture, and keeps the first few examples of each reason. Not thread-safe."""

    def __init__(self, *, examples: int = EXAMPLES) -> None:
        self._most = examples
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[Example]] = {}

    @property
    def counts(self) -> dict[str, int]:
        """Pictures by reason, the most frequent first; `enrolled` is those that passed."""
        return dict(self._counts.most_common())

    @property
    def examples(self) -> Mapping[str, list[Example]]:
        return self._examples

    def wants(self, reason: str) -> bool:
        """Whether an example of the reason would be kept: making a crop costs something."""
        return len(self._examples.get(reason, ())) < self._most

    def add(self, reason: str, detail: str = "", crop: Frame | bytes | None = None, *, count: int = 1) -> None:
        """Counts pictures with a reason.

        Args:
            detail: what is written below the example, such as "41 px, at least 80 are needed".
            crop: (h, w, 3) uint8 RGB, or a JPEG; None where there is nothing to show.
            count: 0 adds only the example.
        """
        if count:
            self._counts[reason] += count
        if (crop is not None or (detail and count)) and self.wants(reason):
            self._examples.setdefault(reason, []).append(Example(detail, small_jpeg(crop)))

    def write(self, folder: Path, *, title: str = "Enrolment", facts: Mapping[str, Any] | None = None) -> Path:
        """Writes report.json, index.html and the crops to a folder, which is replaced; returns the page.

        Args:
            facts: what else to say, such as {"performers": 120}.
        """
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        created = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        rows = [self._row(partial, reason, count) for reason, count in self.counts.items()]
        said = {"title": title, "created": created, "facts": dict(facts or {}), "rows": rows}
        (partial / "report.json").write_text(json.dumps(said, indent=1, default=str) + "\n")
        (partial / "index.html").write_text(_PAGE.render(**said))
        shutil.rmtree(folder, ignore_errors=True)
        rename_synced(partial, folder)
        return folder / "index.html"

    def _row(self, folder: Path, reason: str, count: int) -> dict[str, Any]:
        shown = []
        for number, example in enumerate(self._examples.get(reason, ())):
            name = f"{reason}-{number}.jpg" if example.jpeg else ""
            if name:
                (folder / name).write_bytes(example.jpeg)
            shown.append({"detail": example.detail, "crop": name})
        meaning = "enrolled" if reason == ENROLLED else REASONS.get(reason, reason)
        return {"reason": reason, "meaning": meaning, "count": count, "examples": shown}


def small_jpeg(crop: Frame | bytes | None) -> bytes:
    """Returns a JPEG of at most CROP_PX a side; a JPEG is taken as it is, None gives no bytes."""
    if crop is None or isinstance(crop, bytes):
        return crop or b""
    scale = min(1.0, CROP_PX / max(crop.shape[:2]))
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    small = crop if scale == 1.0 else cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    written, data = cv2.imencode(".jpg", np.ascontiguousarray(small[:, :, ::-1]), parameters)
    return data.tobytes() if written else b""
