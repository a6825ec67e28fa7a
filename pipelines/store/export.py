"""The owner's data as plain files: the people, the entries of each source and their faces, in Parquet or CSV.

    performers     the people that are searched, PERFORMER_SCHEMA
    members        which entry of which source is which person: source, universal_id, person (its universal id)
    faces          `tables.face_schema` and `origin`, the source id; the template only where it is wanted
    manifest.json  beside Parquet with templates: versions, numbers and sha256; a zip of the four is a release

Lives here: writing them. Lists are joined with "|" in CSV, the numbers of a template with a blank. Memory is that of
the people and of one row group of faces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from pipelines.durable import rename_synced
from pipelines.errors import InputError, NotWritable
from pipelines.store.manifest import Manifest
from pipelines.store.people import having
from pipelines.store.shards import SHARD_FILES, face_batches, shard_folder

Format = Literal["parquet", "csv"]
_LISTS = "|"
MANIFEST = "manifest.json"
FORMAT = "stash-sense-ray 1"


def export(
    version: Path,
    manifest: Manifest,
    folder: Path,
    *,
    format: Format,  # noqa: A002 - the word of the command
    templates: bool,
    ids: Collection[str] | None,
) -> list[Path]:
    """Writes performers, members and faces of a version's folder into another folder; returns the files, manifest last.

    Args:
        folder: made when it is not there; files of the same name are replaced.
        templates: with the templates of the faces.
        ids: only of the people who have one of these universal ids; everybody by default.

    Raises:
        InputError: another format, or nobody has one of the ids.
        NotWritable: the folder cannot be written, or the disk is full.
    """
    if format not in {"parquet", "csv"}:
        raise InputError(f"The format is {format!r}.", "parquet and csv are allowed.")
    people = pq.read_table(version / "performers.parquet")
    chosen = np.ones(len(people), dtype=bool) if ids is None else having(people, ids)
    if not chosen.any():
        raise InputError("Nobody who is enrolled has one of these ids.", "`stash-sense database list` shows them.")
    entries = pq.read_table(version / "members.parquet")
    entries = entries.filter(pa.array(chosen[entries["row"].to_numpy()]))
    persons = people["universal_id"].take(entries["row"])
    members = entries.select(["source", "universal_id"]).append_column("person", persons)
    parts: dict[str, Iterator[pa.Table]] = {
        "performers": iter([people.filter(pa.array(chosen))]),
        "members": iter([members]),
        "faces": _faces(version, manifest, entries, templates=templates),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [_write(folder / f"{name}.{format}", tables) for name, tables in parts.items()]
        if format == "parquet" and templates:
            files.append(_manifest(folder / MANIFEST, manifest, files))
        return files
    except OSError as error:
        raise NotWritable(f"{folder} cannot be written: {error}.", "Free some space.") from error


def _manifest(path: Path, manifest: Manifest, files: Sequence[Path]) -> Path:
    """Writes what makes the files a release that another installation can import."""
    rows = {file.stem: pq.read_metadata(file).num_rows for file in files}
    facts = {
        "format": FORMAT,
        "version": manifest.version,
        "created": manifest.created.isoformat(),
        "pack": manifest.pack,
        "models": {"template_id": manifest.template_id},
        "performer_count": rows["performers"],
        "face_count": rows["faces"],
        "checksums": {file.name: f"sha256:{_sha256(file)}" for file in files},
    }
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(facts, indent=1))
    rename_synced(partial, path)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _faces(version: Path, manifest: Manifest, entries: pa.Table, *, templates: bool) -> Iterator[pa.Table]:
    for source in manifest.sources:
        own = entries.filter(pc.equal(entries["source"], source))["universal_id"].combine_chunks()
        path = shard_folder(version, source) / SHARD_FILES[1]
        columns = [name for name in pq.read_schema(path).names if templates or name != "template"]
        for batch in face_batches(path, columns):
            table = pa.Table.from_batches([batch])
            table = table.filter(pc.is_in(table["universal_id"], value_set=own))
            origin = pa.array([source], pa.string()).take(pa.array([0] * len(table), pa.int32()))
            yield table.append_column("origin", origin)


def _write(path: Path, tables: Iterator[pa.Table]) -> Path:
    """Writes tables of one schema as one file, which is there as a whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    parquet = path.suffix == ".parquet"
    writer: Any = None
    try:
        with ExitStack() as stack:
            for table in tables:
                rows = table if parquet else _flat(table)
                if writer is None:
                    kind = pq.ParquetWriter if parquet else pcsv.CSVWriter
                    writer = stack.enter_context(kind(partial, rows.schema))
                writer.write_table(rows)
        rename_synced(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _flat(table: pa.Table) -> pa.Table:
    """Returns the table with its lists as text."""
    for place, field in enumerate(table.schema):
        if pa.types.is_fixed_size_list(field.type):
            rows = [" ".join(f"{number:.5g}" for number in row) for row in table[field.name].to_pylist()]
            table = table.set_column(place, field.name, pa.array(rows, pa.string()))
        elif pa.types.is_list(field.type):
            table = table.set_column(place, field.name, pc.binary_join(table[field.name], _LISTS))
    return table
