"""Bundles of this program: what `database export` writes with templates, as a zip or a folder.

performers.parquet has the people, members.parquet says which entry of which source is which person, faces.parquet has
the faces with their templates (`store.export`). Ids that only mean something where the export was made are replaced by
another one of the person; people who have no other are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ReleaseCorrupt, ReleaseUnsupported
from pipelines.faces.gallery import PERFORMER_SCHEMA, Performer
from pipelines.faces.packs import ModelPack
from pipelines.releases.bundle import F16, Bundle, new_performer, usable_id
from pipelines.releases.facts import ReleaseFacts, Watch
from pipelines.releases.files import require_count
from pipelines.store.tables import face_schema

FILES = ("performers.parquet", "members.parquet", "faces.parquet")
_MEMBERS = pa.schema([(name, pa.string()) for name in ("source", "universal_id", "person")])
_ROWS = 8192
_AGAIN = "Make the export again, or download it again."


def read_bundle(folder: Path, facts: ReleaseFacts, pack: ModelPack, scratch: Path, watch: Watch) -> Bundle:
    """Returns the verified bundle in `folder`; its templates lie in `scratch`.

    Raises:
        ReleaseCorrupt: a file is no such table, or the numbers disagree with the manifest.
        ReleaseUnsupported: templates of another kind than the pack's.
    """
    stated = facts.models.get("template_id")
    if stated != pack.template_id:
        raise ReleaseUnsupported(
            f"The export holds templates {stated!r}, the pack {pack.id} makes {pack.template_id!r}.",
            "Export with the same version of the program.",
        )
    people, code_of, local = _people(_table(folder / FILES[0], PERFORMER_SCHEMA))
    members = _table(folder / FILES[1], _MEMBERS)
    owner_of = {
        (source, entry): code_of.get(person, -1)
        for source, entry, person in zip(*(members[name].to_pylist() for name in _MEMBERS.names), strict=True)
    }
    columns, templates = _faces(folder / FILES[2], scratch / "templates", pack.template_dim, watch)
    require_count("faces", len(columns), facts.faces)
    require_count("performers", len(people) + local, facts.performers)
    entries = zip(columns["origin"].to_pylist(), columns["universal_id"].to_pylist(), strict=True)
    owner = np.array([owner_of.get(entry, -1) for entry in entries], dtype=np.int32)
    good = np.isfinite(templates).all(axis=1) & templates.any(axis=1) if len(templates) else np.zeros(0, dtype=np.bool_)
    skipped = {"local_ids": int((owner < 0).sum()), "bad_vectors": int((~good & (owner >= 0)).sum())}
    return Bundle(
        people=people,
        owner=np.where(good, owner, np.int32(-1)).astype(np.int32),
        key=np.full(len(columns), -1, dtype=np.int64),
        url=columns["source"].combine_chunks(),
        sha256=columns["source_sha256"].combine_chunks(),
        quality=_numbers(columns["quality"]),
        yaw_deg=_numbers(columns["yaw_deg"]),
        take=lambda rows: np.asarray(templates[rows]),
        skipped={reason: count for reason, count in skipped.items() if count},
    )


def _people(table: pa.Table) -> tuple[list[Performer], dict[str, int], int]:
    """Returns the performers, the code of each by the universal id in the export, and how many have only local ids."""
    people: list[Performer] = []
    code_of: dict[str, int] = {}
    for record in table.to_pylist():
        ids = [one for one in (record["universal_id"], *record.pop("ids")) if usable_id(one)]
        own = record.pop("universal_id")
        performer = new_performer(ids[0], record.pop("name"), ids=ids[1:], **record) if ids else None
        if performer is not None:
            code_of[own] = len(people)
            people.append(performer)
    return people, code_of, len(table) - len(people)


def _faces(path: Path, scratch: Path, dimension: int, watch: Watch) -> tuple[pa.Table, F16]:
    """Returns the columns but for the templates, and these, (n, dimension) float16, as a file that is mapped."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    schema = face_schema(dimension).append(pa.field("origin", pa.string()))
    file = _opened(path, schema)
    names = [name for name in schema.names if name not in {"detection_score", "template"}]
    parts: list[pa.RecordBatch] = []
    done, total = 0, file.metadata.num_rows
    with scratch.open("wb") as target:
        for batch in _read(path, lambda: file.iter_batches(batch_size=_ROWS, columns=[*names, "template"])):
            if batch.column("template").null_count:
                raise ReleaseCorrupt(f"{path.name} has faces without a template.", _AGAIN)
            target.write(batch.column("template").flatten().to_numpy(zero_copy_only=False).tobytes())
            parts.append(batch.select(names))
            done += len(batch)
            watch.step("read", done, total)
    columns = _joined(parts, schema)
    if not done:
        return columns, np.zeros((0, dimension), dtype=np.float16)
    return columns, np.memmap(scratch, dtype=np.float16, mode="r", shape=(done, dimension))


def _table(path: Path, schema: pa.Schema) -> pa.Table:
    file = _opened(path, schema)
    return _joined(list(_read(path, lambda: file.iter_batches(columns=schema.names))), schema)


def _joined(parts: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(parts) if parts else schema.empty_table()


def _read(path: Path, batches: Callable[[], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches()
    except (pa.ArrowException, OSError) as error:
        raise ReleaseCorrupt(f"{path.name} cannot be read: {error}.", _AGAIN) from error


def _opened(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """Raises ReleaseCorrupt unless the file is Parquet with the columns of a schema."""
    try:
        file = pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise ReleaseCorrupt(f"{path.name} cannot be read: {error}.", _AGAIN) from error
    found = {field.name: field.type for field in file.schema_arrow}
    for field in schema:
        if found.get(field.name) != field.type:
            raise ReleaseCorrupt(
                f"The column {field.name} of {path.name} is {found.get(field.name)}, expected is {field.type}.", _AGAIN
            )
    return file


def _numbers(values: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    numbers: npt.NDArray[np.float32] = values.to_numpy(zero_copy_only=False).astype(np.float32)
    return numbers
