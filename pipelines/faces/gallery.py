"""The enrolled performers as one searchable whole.

Lives here: `Performer`, what is known of one performer, and `Gallery`, which joins performers, their raw templates, the
template space and the index. Reading and writing galleries is `pipelines.store.performers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import InputError, PackMismatch
from pipelines.faces.id_rows import IdRows
from pipelines.faces.index import FaceIndex, Hits, IndexDtype
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import TemplateSpace, performer_means
from pipelines.faces.types import F32, I32

_UNIVERSAL_ID = re.compile(r"[^\s:/]+:\S+")

PERFORMER_SCHEMA = pa.schema(
    [
        pa.field("universal_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("aliases", pa.list_(pa.string()), nullable=False),
        pa.field("disambiguation", pa.string()),
        pa.field("gender", pa.string()),
        pa.field("country", pa.string()),
        pa.field("birth_date", pa.string()),
        pa.field("image_url", pa.string()),
        pa.field("ids", pa.list_(pa.string()), nullable=False),
        pa.field("career_start", pa.int32()),
        pa.field("career_end", pa.int32()),
    ]
)
_LISTS = ("aliases", "ids")


@dataclass(frozen=True, slots=True)
class Performer:
    """What is known of one performer.

    Attributes:
        universal_id: `domain:id`, for example `stashdb.org:<uuid>`, or `local:<name>` for enrolled folders.
        birth_date: ISO 8601, possibly only a year or a year and month.
        ids: every universal id known for that person, the own one and those of merged entries included; sorted.
        career_start, career_end: years.
    """

    universal_id: str
    name: str
    aliases: tuple[str, ...] = ()
    disambiguation: str | None = None
    gender: str | None = None
    country: str | None = None
    birth_date: str | None = None
    image_url: str | None = None
    ids: tuple[str, ...] = ()
    career_start: int | None = None
    career_end: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(sorted({self.universal_id, *self.ids})))
        for universal_id in self.ids:
            if not is_universal_id(universal_id):
                raise InputError(f"The universal id is {universal_id!r}.", "It has the form domain:id.")
        if not self.name.strip():
            raise InputError(f"The name of {self.universal_id} is empty.")

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Returns the performer of one row of PERFORMER_SCHEMA as a dict."""
        return cls(**{**record, **{name: tuple(record[name] or ()) for name in _LISTS}})


def is_universal_id(text: str) -> bool:
    """Returns whether a text has the form domain:id."""
    return bool(_UNIVERSAL_ID.fullmatch(text))


def performer_table(performers: Iterable[Performer]) -> pa.Table:
    """Returns the performers as a table of PERFORMER_SCHEMA, in order."""
    rows = list(performers)
    columns = {
        name: [list(getattr(p, name)) if name in _LISTS else getattr(p, name) for p in rows]
        for name in PERFORMER_SCHEMA.names
    }
    return pa.table(columns, schema=PERFORMER_SCHEMA)


@dataclass(frozen=True, slots=True, eq=False)
class RawTemplates:
    """Raw templates of enrolled faces.

    Attributes:
        templates: (n, template_dim) float16 or float32.
        rows: (n,) int32, performer row of each template.
    """

    templates: npt.NDArray[np.floating[Any]]
    rows: I32


@dataclass(frozen=True, eq=False)
class Gallery:
    """Enrolled performers, ready to be searched. Immutable.

    Performers are rows of a table; a performer row is what templates and hits refer to.

    Attributes:
        version: id of the database version, empty for one that was never written.
        table: PERFORMER_SCHEMA, one row per performer.
        index: projected mean template of every performer; its performer rows are those of `table`.
        read_templates: gives the raw templates and their rows; they are read when first asked for, because searching
            does not need them.
        hidden: performer rows that are neither found nor named, see `hiding`.
    """

    version: str
    pack: ModelPack
    table: pa.Table
    space: TemplateSpace
    index: FaceIndex
    read_templates: Callable[[], RawTemplates]
    hidden: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for part, template_id in (("space", self.space.template_id), ("index", self.index.template_id)):
            if template_id != self.pack.template_id:
                raise PackMismatch(
                    f"The {part} of the gallery holds templates {template_id}, the pack {self.pack.template_id}.",
                    "Enrol again with this pack, or choose the pack of the database.",
                )

    @classmethod
    def build(
        cls,
        pack: ModelPack,
        performers: Sequence[Performer] | pa.Table,
        templates: npt.NDArray[np.floating[Any]],
        rows: npt.NDArray[np.integer[Any]],
        *,
        version: str = "",
        dtype: IndexDtype = "float16",
        threads: int = 0,
    ) -> Self:
        """Returns the gallery of raw templates; centre and index are computed from them.

        Args:
            templates: (n, template_dim), raw.
            rows: (n,) performer row of each template, in any order.
        """
        table = performers if isinstance(performers, pa.Table) else performer_table(performers)
        if templates.shape != (len(rows), pack.template_dim):
            raise InputError(f"Templates have shape {templates.shape}, must be ({len(rows)}, {pack.template_dim}).")
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(table):
            raise InputError(f"Performer rows reach from {rows.min()} to {rows.max()}, there are {len(table)}.")
        if len(rows) and (np.diff(rows) < 0).any():
            order = np.argsort(rows, kind="stable")
            templates, rows = templates[order], rows[order]
        means = performer_means(templates, rows, len(table))
        enrolled = np.unique(rows)
        raw = RawTemplates(templates, rows.astype(np.int32))
        return cls.of_means(
            pack, table, means[enrolled], enrolled, lambda: raw, version=version, dtype=dtype, threads=threads
        )

    @classmethod
    def of_means(
        cls,
        pack: ModelPack,
        table: pa.Table,
        means: F32,
        enrolled: npt.NDArray[np.integer[Any]],
        read_templates: Callable[[], RawTemplates],
        *,
        version: str = "",
        dtype: IndexDtype = "float16",
        threads: int = 0,
    ) -> Self:
        """Returns the gallery of (n, template_dim) mean raw templates; `enrolled` are their performer rows."""
        space = TemplateSpace.for_gallery(pack, means)
        index = FaceIndex.build(
            space.project(means), enrolled, template_id=pack.template_id, dtype=dtype, threads=threads
        )
        return cls(version, pack, table, space, index, read_templates)

    @cached_property
    def raw(self) -> RawTemplates:
        """The raw templates in ascending order of performer row; read when first asked for."""
        return self.read_templates()

    @property
    def size(self) -> int:
        """Number of performers that can be found: those with a template that are not hidden."""
        return self.index.count - self.index.hidden

    def hiding(self, ids: Collection[str]) -> Self:
        """Returns the gallery in which nobody with one of these ids is found or named; everybody else is.

        Nothing is copied; whoever was hidden before is found again unless named here too.
        """
        rows = self.rows_having(ids)
        return replace(self, index=self.index.hiding(rows), hidden=frozenset(rows.tolist()))

    def rows_having(self, ids: Collection[str]) -> npt.NDArray[np.integer[Any]]:
        """Returns the rows of the performers who have one of these ids."""
        column = self.table["ids"].combine_chunks()
        wanted = pa.array(list(ids), pa.string())
        rows = pc.list_parent_indices(column).filter(pc.is_in(column.flatten(), value_set=wanted)).to_numpy()
        return np.unique(rows)

    def performer(self, row: int) -> Performer:
        """Returns the performer of a row."""
        return Performer.from_record(self.table.slice(row, 1).to_pylist()[0])

    def names(self, rows: npt.NDArray[np.integer[Any]]) -> dict[int, tuple[str, str]]:
        """Returns (universal_id, name) by performer row."""
        chosen = self.table.select(["universal_id", "name"]).take(pa.array(rows)).to_pydict()
        return dict(zip(rows.tolist(), zip(chosen["universal_id"], chosen["name"], strict=True), strict=True))

    @cached_property
    def performers(self) -> tuple[Performer, ...]:
        """All performers in row order; made when first asked for."""
        return tuple(map(Performer.from_record, self.table.to_pylist()))

    @cached_property
    def row_of(self) -> IdRows:
        """Performer row by any universal id of the performer, without who is hidden; made when first asked for."""
        return IdRows(self.table["ids"], self.hidden)

    def search(self, templates: F32, k: int) -> Hits:
        """Returns the k best performers of each of (q, template_dim) raw templates."""
        return self.index.search(self.space.project(templates), k)
