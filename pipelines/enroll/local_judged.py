"""What was found in scenes, images and galleries, as one Parquet file: each scan is looked at once.

Lives here: reading and replacing the file. What of it still counts is for `enroll_local_judging` to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.durable import replace_table
from pipelines.enroll.local_places import Judged, PlaceKey
from pipelines.store.tables import template_values

_TEXTS = ("kind", "content_id", "stamp", "reason", "detail", "performer_id")


def read_judged(path: Path, template_dim: int, digest: str) -> dict[PlaceKey, Judged]:
    """Returns what is remembered; nothing when there is no file, or it is of another pack, other gates, or damaged."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException):
        return {}
    schema = _schema(template_dim)
    if not table.schema.equals(schema) or (table.schema.metadata or {}).get(b"gates") != digest.encode():
        return {}
    columns = {name: table[name].to_pylist() for name in _TEXTS}
    faces = np.concatenate([[0], np.cumsum(table["faces"].to_numpy())])
    flat = table["template"].combine_chunks()
    template = template_values(pa.chunked_array([flat.values]))
    sources = table["sources"].combine_chunks().values.to_pylist()
    quality, yaw, score = (np.array(table[n].combine_chunks().values, np.float32) for n in ("quality", "yaw", "score"))
    judged: dict[PlaceKey, Judged] = {}
    for n, (kind, content_id, stamp, reason, detail, performer_id) in enumerate(zip(*columns.values(), strict=True)):
        own = slice(faces[n], faces[n + 1])
        judged[kind, content_id] = Judged(
            stamp, reason, detail, tuple(sources[own]), quality[own], yaw[own], score[own], template[own], performer_id
        )
    return judged


def write_judged(path: Path, judged: Iterable[tuple[PlaceKey, Judged]], template_dim: int, digest: str) -> None:
    """Replaces the file. Raises NotWritable."""
    rows = list(judged)
    counts = [len(j.sources) for _, j in rows]
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    templates = [j.template for _, j in rows if len(j.sources)]
    flat = np.concatenate(templates) if templates else np.zeros((0, template_dim), np.float16)
    one = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(flat).ravel()), template_dim)

    def listed(values: Any) -> Any:
        return pa.ListArray.from_arrays(offsets, values)

    def joined(name: str) -> Any:
        return listed(pa.array(np.concatenate([np.zeros(0, np.float32), *(getattr(j, name) for _, j in rows)])))

    columns = [
        pa.array([kind for (kind, _), _ in rows], pa.string()),
        pa.array([content_id for (_, content_id), _ in rows], pa.string()),
        pa.array([j.stamp for _, j in rows], pa.string()),
        pa.array([j.reason for _, j in rows], pa.string()),
        pa.array([j.detail for _, j in rows], pa.string()),
        pa.array([j.performer_id for _, j in rows], pa.string()),
        pa.array(counts, pa.int32()),
        listed(pa.array([s for _, j in rows for s in j.sources], pa.string())),
        joined("quality"),
        joined("yaw"),
        joined("score"),
        listed(one),
    ]
    schema = _schema(template_dim).with_metadata({"gates": digest})
    replace_table(path, pa.Table.from_arrays(columns, schema=schema))


def _schema(template_dim: int) -> pa.Schema:
    numbers = [pa.field(name, pa.list_(pa.float32())) for name in ("quality", "yaw", "score")]
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in _TEXTS),
            pa.field("faces", pa.int32()),
            pa.field("sources", pa.list_(pa.string())),
            *numbers,
            pa.field("template", pa.list_(pa.list_(pa.float16(), template_dim))),
        ]
    )
