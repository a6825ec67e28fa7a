"""The tables of a performer database: which columns they have, how arrays become tables and back.

Lives here: the schema of faces.parquet and what is asked of it, vectorised. Versions and files are `performers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from pipelines.faces.gallery import PERFORMER_SCHEMA, RawTemplates
from pipelines.faces.types import F32


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
    """The faces of one version, by performer and by file. `table` has the columns of `face_schema`."""

    table: pa.Table

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
        own = self.table["template"].filter(pc.equal(self.table["universal_id"], universal_id))
        values: F32 = template_values(own).astype(np.float32)
        return values


def new_faces(faces: pa.Table, enrolled: pa.Table) -> pa.Table:
    """Returns the faces that are not enrolled yet, by performer and sha256 of the picture's bytes."""
    known = pc.is_in(_keys(faces), value_set=_keys(enrolled).combine_chunks(), skip_nulls=True)
    return faces.filter(pc.invert(known))


def check_tables(table: pa.Table, faces: pa.Table) -> None:
    """Raises InputError unless every face belongs to exactly one performer of the table."""
    if not table.schema.equals(PERFORMER_SCHEMA):
        raise InputError(f"The performer table has columns {table.schema.names}, must have {PERFORMER_SCHEMA.names}.")
    if pc.count_distinct(table["universal_id"]).as_py() != len(table):
        raise InputError("Two performers have the same universal id.")
    if not len(faces):
        raise InputError("There is no face to enrol.")
    strangers = pc.invert(pc.is_in(faces["universal_id"], table["universal_id"]))
    if pc.any(strangers).as_py():
        first = faces["universal_id"].filter(strangers)[0].as_py()
        raise InputError(f"A face belongs to {first}, which is no performer of the table.")


def raw_templates(folder: Path, table: pa.Table) -> RawTemplates:
    """Returns the raw templates of a version's folder; `table` gives the performer rows."""
    faces = pq.read_table(folder / "faces.parquet", columns=["universal_id", "template"], memory_map=True)
    rows = pc.index_in(faces["universal_id"], table["universal_id"]).to_numpy().astype(np.int32)
    return RawTemplates(template_values(faces["template"]), rows)


def template_values(templates: pa.ChunkedArray) -> npt.NDArray[np.float16]:
    """Returns (n, template_dim) float16 of a `template` column."""
    dimension = templates.type.list_size
    flat = pa.concat_arrays([pa.array([], pa.float16()), *(chunk.flatten() for chunk in templates.chunks)])
    values: npt.NDArray[np.float16] = flat.to_numpy(zero_copy_only=False).reshape(-1, dimension)
    return values


def _keys(faces: pa.Table) -> pa.ChunkedArray:
    """Returns performer and file as one string; null where the file's bytes were never seen."""
    return pc.binary_join_element_wise(faces["universal_id"], faces["source_sha256"], " ")
