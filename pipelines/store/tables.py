"""The tables of a performer database: which columns they have, how arrays become tables and back.

Lives here: the schema of faces.parquet and what is asked of it, vectorised. Versions and files are `performers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.errors import InputError
from pipelines.faces.gallery import PERFORMER_SCHEMA
from pipelines.faces.types import F32

_ENROLLED = pa.schema(
    [pa.field("universal_id", pa.string()), pa.field("source_sha256", pa.string()), pa.field("shard", pa.int32())]
)


def face_schema(template_dim: int) -> pa.Schema:
    """Returns the columns of faces.parquet.

    `template` is stored as float16: the cosine of 20,000 random pairs of vectors of 128 numbers changed by at most 8e-5
    (own measurement, 2026-11-22), a thousandth of what separates people.
    """
    return pa.schema(
        [
            pa.field("universal_id", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),  # path or URL of the picture
            pa.field("source_sha256", pa.string()),  # of the picture's bytes, where they were seen
            pa.field("quality", pa.float32()),
            pa.field("yaw_deg", pa.float32()),
            pa.field("detection_score", pa.float32()),
            pa.field("template", pa.list_(pa.float16(), template_dim), nullable=False),
        ]
    )


def face_table(columns: Mapping[str, Sequence[Any]], templates: npt.NDArray[np.floating[Any]]) -> pa.Table:
    """Returns a table of `face_schema` from the columns other than `template` and (n, template_dim) raw templates."""
    schema = face_schema(templates.shape[1])
    values = pa.array(np.ascontiguousarray(templates, dtype=np.float16).ravel())
    arrays = [pa.array(columns[field.name], field.type) for field in schema if field.name != "template"]
    return pa.Table.from_arrays([*arrays, pa.FixedSizeListArray.from_arrays(values, templates.shape[1])], schema=schema)


@dataclass(frozen=True, eq=False)
class EnrolledFaces:
    """The faces of one version, by performer and by file.

    Attributes:
        table: `universal_id`, `source_sha256` and the number `shard` of the file that a face is in.
        files: those files; templates are read from them when they are asked for.
        template_dim: length of a template.
    """

    table: pa.Table
    files: tuple[Path, ...]
    template_dim: int

    @cached_property
    def universal_ids(self) -> set[str]:
        return set(self.table["universal_id"].unique().to_pylist())

    @cached_property
    def owner_of_file(self) -> dict[str, str]:
        """Universal id by sha256 of the picture's bytes."""
        seen = self.table.select(["source_sha256", "universal_id"]).drop_null().to_pydict()
        return dict(zip(seen["source_sha256"], seen["universal_id"], strict=True))

    def templates_of(self, universal_id: str) -> F32:
        """Returns (n, template_dim) float32, the raw templates of one performer; n is 0 for a stranger."""
        own = self.table["shard"].filter(pc.equal(self.table["universal_id"], universal_id))
        found = [_templates_in(self.files[number], universal_id) for number in sorted(set(own.to_pylist()))]
        return np.concatenate(found) if found else np.zeros((0, self.template_dim), np.float32)


def enrolled_faces(files: Sequence[Path], template_dim: int) -> EnrolledFaces:
    """Returns the faces of these files of `face_schema(template_dim)`."""
    columns = ["universal_id", "source_sha256"]
    tables = [_ENROLLED.empty_table()]
    for number, path in enumerate(files):
        table = pq.read_table(path, columns=columns, memory_map=True)
        numbers = pa.array(np.full(len(table), number, np.int32))
        tables.append(table.append_column(_ENROLLED.field("shard"), numbers).cast(_ENROLLED))
    return EnrolledFaces(pa.concat_tables(tables), tuple(files), template_dim)


def new_faces(batches: Iterable[pa.RecordBatch], enrolled: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yields the faces that are not enrolled yet, by performer and sha256 of the picture's bytes.

    Args:
        enrolled: the columns universal_id and source_sha256 of those that are.
    """
    known = _keys(enrolled)
    known = pc.unique(known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known)
    for batch in batches:
        yield batch.filter(pc.invert(pc.is_in(_keys(batch), value_set=known, skip_nulls=True)))


def check_performers(table: pa.Table) -> None:
    """Raises InputError unless the table has the columns of performers and every universal id once."""
    if not table.schema.equals(PERFORMER_SCHEMA):
        raise InputError(f"The performer table has columns {table.schema}, must have {PERFORMER_SCHEMA}.")
    for name in ("universal_id", "name", "aliases", "ids"):
        if table[name].null_count:
            raise InputError(f"A performer of the table has no {name}.")
    if pc.count_distinct(table["universal_id"]).as_py() != len(table):
        raise InputError("Two performers have the same universal id.")


def batch_templates(batch: pa.RecordBatch) -> npt.NDArray[np.float16]:
    """Returns (n, template_dim) float16 of the `template` column of a batch; a view of it."""
    column = batch.column("template")
    values: npt.NDArray[np.float16] = column.flatten().to_numpy().reshape(-1, column.type.list_size)
    return values


def template_values(templates: pa.ChunkedArray) -> npt.NDArray[np.float16]:
    """Returns (n, template_dim) float16 of a `template` column."""
    dimension = templates.type.list_size
    flat = pa.concat_arrays([pa.array([], pa.float16()), *(chunk.flatten() for chunk in templates.chunks)])
    values: npt.NDArray[np.float16] = flat.to_numpy(zero_copy_only=False).reshape(-1, dimension)
    return values


def _templates_in(path: Path, universal_id: str) -> F32:
    """Returns the raw templates of one performer in a file; only row groups with faces of it are decoded."""
    owner = pc.field("universal_id") == universal_id
    found: F32 = template_values(pq.read_table(path, columns=["template"], filters=owner)["template"]).astype(
        np.float32
    )
    return found


def _keys(faces: pa.Table | pa.RecordBatch) -> pa.ChunkedArray:
    """Returns performer and file as one string; null where the file's bytes were never seen."""
    return pc.binary_join_element_wise(faces["universal_id"], faces["source_sha256"], " ")
