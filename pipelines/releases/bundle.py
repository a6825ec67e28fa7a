"""One source's performers and faces on their way from a bundle into the database.

A full release makes a bundle, deltas and links make another one of it, and publishing streams it: templates are taken
in blocks from where they lie (mapped files), never all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.faces.gallery import Performer, is_universal_id
from pipelines.faces.types import F32
from pipelines.releases.facts import Watch
from pipelines.store.performers import PerformerDatabase
from pipelines.store.tables import face_schema

I64 = npt.NDArray[np.int64]
F16 = npt.NDArray[np.float16]
TakeTemplates = Callable[[I64], F16]
"""Gives (k, template_dim) float16 for k positions."""

ROWS = 8192
_KEY = "#face="
"""Between a picture's URL and the number that deltas call the face by; a fragment, so the URL still opens."""
_LOCAL = ("local:", "stash:")
_LONGEST = 1000
"""Characters of a name, an id or a URL."""
_YEARS = range(1850, 2150)


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """Performers and faces of one source.

    Attributes:
        people: performers by code.
        owner: (n,) int32, code of each face's performer, -1 for a face that is left out.
        key: (n,) int64, number by which a release calls the face, -1 for none.
        url, sha256: (n,) text or null, of the picture.
        quality, yaw_deg: (n,) float32, NaN where unknown.
        take: templates by position.
        skipped: what was left out, by reason.
    """

    people: list[Performer]
    owner: npt.NDArray[np.int32]
    key: I64
    url: pa.Array
    sha256: pa.Array
    quality: F32
    yaw_deg: F32
    take: TakeTemplates
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def faces(self) -> int:
        """Number of faces that are kept."""
        return int((self.owner >= 0).sum())

    def with_faces_only(self) -> Bundle:
        """Returns the bundle without performers that have no face, which nobody could find."""
        used = np.unique(self.owner[self.owner >= 0])
        codes = np.full(len(self.people) + 1, -1, dtype=np.int32)
        codes[used] = np.arange(len(used), dtype=np.int32)
        skipped = {**self.skipped, "without_faces": len(self.people) - len(used)}
        return replace(
            self, people=[self.people[i] for i in used.tolist()], owner=codes[self.owner], skipped=_counted(skipped)
        )

    def batches(self, template_dim: int, watch: Watch) -> Iterator[pa.RecordBatch]:
        """Yields record batches of `face_schema`, performer by performer in the order of `people`."""
        schema = face_schema(template_dim)
        names = pa.array([p.universal_id for p in self.people], pa.string())
        order = np.argsort(self.owner, kind="stable")
        order = order[np.searchsorted(self.owner[order], 0) :]
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            watch.step("write", start, len(order))
            values = pa.array(np.ascontiguousarray(self.take(rows)).ravel())
            columns = {
                "universal_id": names.take(pa.array(self.owner[rows])),
                "source": self._sources(rows),
                "source_sha256": self.sha256.take(pa.array(rows)),
                "quality": _or_null(self.quality[rows]),
                "yaw_deg": _or_null(self.yaw_deg[rows]),
                "detection_score": pa.nulls(len(rows), pa.float32()),
                "template": pa.FixedSizeListArray.from_arrays(values, template_dim),
            }
            yield pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
        watch.step("write", len(order), len(order))

    def _sources(self, rows: I64) -> pa.Array:
        urls = pc.fill_null(self.url.take(pa.array(rows)), "")
        keys = self.key[rows]
        if not (keys >= 0).any():
            return urls
        numbers = pc.binary_join_element_wise(_KEY, pa.array(keys).cast(pa.string()), "")
        return pc.if_else(pa.array(keys >= 0), pc.binary_join_element_wise(urls, numbers, ""), urls)


def stored_bundle(database: PerformerDatabase, source: str) -> Bundle | None:
    """Returns a source of the current version as it was imported; None when the database has no such source."""
    if database.current() is None:
        return None
    performers, faces = database.source_performers(source), database.source_faces(source)
    if performers is None or faces is None:
        return None
    parts = pc.extract_regex(faces["source"], rf"^(?P<url>.*?)(?:{_KEY}(?P<key>\d+))?$").combine_chunks()
    key = pc.cast(pc.if_else(pc.equal(parts.field("key"), ""), "-1", parts.field("key")), pa.int64())
    url = pc.if_else(pc.equal(parts.field("url"), ""), None, parts.field("url"))
    return Bundle(
        people=[Performer.from_record(record) for record in performers.to_pylist()],
        owner=pc.index_in(faces["universal_id"], performers["universal_id"]).to_numpy().astype(np.int32),
        key=key.to_numpy(),
        url=url,
        sha256=faces["source_sha256"].combine_chunks(),
        quality=_or_nan(faces["quality"]),
        yaw_deg=_or_nan(faces["yaw_deg"]),
        take=_taker(faces["template"]),
    )


def _taker(templates: pa.ChunkedArray) -> TakeTemplates:
    dimension = templates.type.list_size
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension) for chunk in templates.chunks]
    starts = np.cumsum([0, *map(len, chunks)])

    def take(rows: I64) -> F16:
        taken = np.empty((len(rows), dimension), dtype=np.float16)
        place = np.searchsorted(starts, rows, side="right") - 1
        for number in np.unique(place).tolist():
            here = place == number
            taken[here] = chunks[number][rows[here] - starts[number]]
        return taken

    return take


def is_local(universal_id: str) -> bool:
    """Returns whether an id means something in one installation only, and so nothing here."""
    return universal_id.startswith(_LOCAL)


def usable_id(text: object) -> TypeGuard[str]:
    """Returns whether something is a universal id that means something here."""
    if not isinstance(text, str) or len(text) > _LONGEST or not is_universal_id(text) or is_local(text):
        return False
    return text == clean(text)


def clean(text: object) -> str:
    """Returns a text as it can be stored; empty for what is none."""
    if not isinstance(text, str):
        return ""
    return text[:_LONGEST].encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip()


def new_performer(
    universal_id: str,
    name: object,
    *,
    aliases: Iterable[object] = (),
    ids: Iterable[object] = (),
    image_url: object = None,
    career_start: int | None = None,
    career_end: int | None = None,
    **texts: object,
) -> Performer | None:
    """Returns the performer, with what of the given facts can be used; None when name or id cannot.

    Args:
        texts: disambiguation, gender, country, birth_date.
    """
    shown, url = clean(name), clean(image_url)
    if not usable_id(universal_id) or not shown:
        return None
    others = dict.fromkeys(clean(alias) for alias in aliases)
    return Performer(
        universal_id,
        shown,
        aliases=tuple(alias for alias in others if alias not in {"", shown}),
        image_url=url if url.startswith(("https://", "http://")) else None,
        ids=tuple(i for i in ids if usable_id(i)),
        career_start=_year(career_start),
        career_end=_year(career_end),
        **{field: clean(value) or None for field, value in texts.items()},
    )


def _year(value: int | None) -> int | None:
    return value if value in _YEARS else None


def _counted(skipped: dict[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in skipped.items() if count}


def _or_null(values: F32) -> pa.Array:
    return pa.array(values, from_pandas=True)


def _or_nan(values: pa.ChunkedArray) -> F32:
    numbers: F32 = values.to_numpy(zero_copy_only=False).astype(np.float32)
    return numbers
