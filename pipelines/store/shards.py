"""Shards: what one source gave to a version, two Parquet files that later versions link rather than write anew.

    <version>/sources/<source>/performers.parquet    PERFORMER_SCHEMA
    <version>/sources/<source>/faces.parquet         `tables.face_schema`, in the order in which they came

Lives here: writing a shard from batches of faces, linking one, reading one. Memory is that of one row group.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.durable import sync
from pipelines.errors import DatabaseCorrupt, InputError
from pipelines.store.domains import source_folder
from pipelines.store.manifest import FileEntry, Manifest, SourceInfo
from pipelines.store.tables import batch_templates, face_schema
from pipelines.store.versions import RESTORE

ROWS_A_GROUP = 8192
"""Faces of a row group, and of what is in memory at once: 16 MB with templates of 1024 numbers."""
SHARD_FILES = ("performers.parquet", "faces.parquet")
_EXPONENT = np.uint16(0x7C00)
"""A float16 with all of these bits is no number."""


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """What one source gives to a version that is written.

    Attributes:
        performers: PERFORMER_SCHEMA.
        batches: gives all faces, batches of `face_schema`; asked once.
        before: the version's folder that holds exactly this shard, None for one that is new.
        files: of the shard in that version, by file name.
    """

    info: SourceInfo
    performers: pa.Table
    batches: Callable[[], Iterable[pa.RecordBatch]]
    before: Path | None = None
    files: dict[str, FileEntry] | None = None


def shard_folder(version: Path, source: str) -> Path:
    """Returns the folder of a source's shard in the folder of a version."""
    return version / "sources" / source_folder(source)


def stored_shards(version: Path, manifest: Manifest) -> list[Shard]:
    """Returns the shards of a version, given with its folder."""
    return [stored_shard(version, manifest, source) for source in manifest.sources]


def stored_shard(version: Path, manifest: Manifest, source: str) -> Shard:
    """Returns the shard of one source of a version."""
    folder = shard_folder(version, source)
    below = folder.relative_to(version).as_posix()
    with readable(folder):
        performers = pq.read_table(folder / SHARD_FILES[0], memory_map=True)
    return Shard(
        manifest.sources[source],
        performers,
        lambda: face_batches(folder / SHARD_FILES[1]),
        version,
        {name: manifest.files[f"{below}/{name}"] for name in SHARD_FILES},
    )


def face_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yields the faces of a shard's file, one row group at a time; all columns by default."""
    with readable(path):
        file = pq.ParquetFile(path, memory_map=True)
    with file:
        batches = file.iter_batches(ROWS_A_GROUP, columns=None if columns is None else list(columns))
        while True:
            with readable(path):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what Arrow says of a damaged or missing file inside the block into DatabaseCorrupt."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DatabaseCorrupt(f"{path} cannot be read: {error}.", RESTORE) from error


def link_shard(shard: Shard, version: Path) -> None:
    """Gives a version the files of a stored shard: as hard links, as copies where links are not possible."""
    if shard.before is None:
        raise ValueError(f"the shard of {shard.info.id} is not stored")
    folder = shard_folder(version, shard.info.id)
    folder.mkdir(parents=True)
    for name in SHARD_FILES:
        stored = shard_folder(shard.before, shard.info.id) / name
        try:
            (folder / name).hardlink_to(stored)
        except OSError:
            shutil.copyfile(stored, folder / name)
            sync(folder / name)


def write_shard(shard: Shard, version: Path, template_dim: int, gone: Collection[str]) -> SourceInfo:
    """Writes a shard without the performers `gone` into the folder of a version; returns its facts with the counts.

    Raises:
        InputError: faces of other columns or of nobody in the table, a template that is not finite.
    """
    folder = shard_folder(version, shard.info.id)
    folder.mkdir(parents=True)
    left_out = pa.array(list(gone), pa.string())
    performers = shard.performers
    if len(left_out):
        performers = performers.filter(pc.invert(pc.is_in(performers["universal_id"], value_set=left_out)))
    pq.write_table(performers, folder / SHARD_FILES[0])
    schema, faces = face_schema(template_dim), 0
    known = shard.performers["universal_id"].combine_chunks()
    with pq.ParquetWriter(folder / SHARD_FILES[1], schema, **_how(schema)) as writer:
        for table in _groups(shard.batches(), schema):
            _check(table, known)
            kept = table
            if len(left_out):
                kept = table.filter(pc.invert(pc.is_in(table["universal_id"], value_set=left_out)))
            if len(kept):
                writer.write_table(kept, row_group_size=ROWS_A_GROUP)
                faces += len(kept)
    for name in SHARD_FILES:
        sync(folder / name)
    return shard.info.model_copy(update={"performers": len(performers), "faces": faces})


def _how(schema: pa.Schema) -> dict[str, object]:
    """Templates are noise to a compressor; packed they would take three times as long to read."""
    compression = dict.fromkeys(schema.names, "snappy") | {"template.list.element": "none"}
    return {"compression": compression, "use_dictionary": ["universal_id"], "write_statistics": ["universal_id"]}


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yields tables of about a row group, whatever the size of the batches."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.schema.equals(schema):
            raise InputError(f"Faces have the columns {batch.schema}, must have {schema}.")
        for start in range(0, len(batch), ROWS_A_GROUP):
            waiting.append(batch.slice(start, ROWS_A_GROUP))
            if sum(map(len, waiting)) >= ROWS_A_GROUP:
                yield pa.Table.from_batches(waiting, schema)
                waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _check(faces: pa.Table, known: pa.Array) -> None:
    strangers = pc.invert(pc.is_in(faces["universal_id"], value_set=known))
    if pc.any(strangers).as_py():
        first = faces["universal_id"].filter(strangers)[0].as_py()
        raise InputError(f"A face belongs to {first}, which is no performer of the table.")
    if faces["template"].null_count:
        raise InputError("A face has no template.")
    for batch in faces.to_batches():
        odd = ((batch_templates(batch).view(np.uint16) & _EXPONENT) == _EXPONENT).any(axis=1)
        if odd.any():
            owner = batch.column("universal_id")[int(odd.argmax())].as_py()
            raise InputError(f"A template of {owner} holds what is no finite number.")
